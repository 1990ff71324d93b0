/**
 * FleetFlow's own format over HTTP, for phones and gateways that send what they have gathered: `POST /v1/positions`
 * (any path will do) of `application/x-ndjson`, a position of json-position.ts a line, with the unique id of its device:
 *
 *     {"id":"van-7","fixTime":"2026-01-02T03:04:05Z","latitude":52.52,"longitude":13.405,"speed":48.2}
 *     {"id":"van-8","fixTime":"2026-01-02T03:04:07Z","latitude":52.51,"longitude":13.39,"attributes":{"ignition":true}}
 *
 * A phone may give its id once instead, as `/v1/positions?id=van-7`, and a single position may come as
 * `application/json`. Blank lines count as lines and say nothing.
 *
 * A request is taken as a whole or not at all: the answer is 200 `{"stored":2}` when all of it is safe, 400 with the
 * number of the first wrong line, or 403 when one of its devices is not registered. After any other answer, or none, it
 * can be sent again: a position of the same device, time and bytes is the same position. A client that may write the
 * same batch in other bytes (other white space, another order of fields) gives it an `Idempotency-Key` of 1 to 200
 * visible ASCII characters: under one key, the positions of one device and time that stand at the same place are the
 * same. A key belongs to one batch for ever; what is gathered anew, with more or fewer positions, needs a new one, or none.
 *
 * Several devices share the port, and a device proves nothing but that it knows its id: keep it in a private network, or
 * behind a proxy that asks for more, as with OsmAnd's.
 *
 * Source: this file.
 */
import { isUtf8 } from 'node:buffer'
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { DecodeError, defineAdapter, type Session } from '../adapter.ts'
import { addJsonPosition } from '../json-position.ts'
import { foundIn, type JsonObject, objectFrom, uniqueIdFrom } from '../reported-fields.ts'
import { type FramedRequest, parseHttpFrame, parseJson } from '../requests.ts'

/** Lines of one request: they are decoded in one go, about 4 µs each, and all other devices wait meanwhile. */
export const LINES_MAX = 2_000

/** Different names of attributes in one request: the engine has room for so many in a batch, whoever sends them. */
export const ATTRIBUTE_NAMES_MAX = 1_000

/** Bytes of the ids of the devices of one request, with {@link ID_EXTRA_BYTES} each: about 1,000 IMEIs. */
export const IDS_BYTES_MAX = 32 * 1024
/** What the journal, which has room for 65,535 bytes beside a frame, keeps of a device beside its id. */
const ID_EXTRA_BYTES = 16

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,200}$/
const NEWLINE = 0x0a
const SPACE = 0x20

interface State {
  /** Positions of the request, for the answer. */
  positions: number
}

export const jsonLines = defineAdapter<State>({
  id: 'json-lines',
  version: 1,
  makers: ['anyone: JSON of our own over HTTP'],
  source: 'device-adapters/protocols/json-lines.ts',
  listen: { http: 5056 },
  maxFrameBytes: 1024 * 1024,

  open: () => ({ positions: 0 }),

  decode(frame, session, out) {
    const request = parseHttpFrame(frame)
    checkHead(request)
    const records = new Records(request, session, out)
    if (request.contentType === 'application/json') records.add(0, request.body.length)
    else addLines(request.body, records)
    session.state.positions = records.count
  },

  ack: (_frame, session) => `{"stored":${session.state.positions}}\n`,
})

/** @throws DecodeError if the request is none that has positions. */
function checkHead({ method, contentType, idempotencyKey, body }: FramedRequest): void {
  if (method !== 'POST') throw new DecodeError('malformed', `positions come by POST, not by ${method}`)
  if (contentType !== 'application/x-ndjson' && contentType !== 'application/json') {
    throw new DecodeError(
      'unsupported',
      'Content-Type must be application/x-ndjson (a position a line) or application/json (one position)',
    )
  }
  if (idempotencyKey !== '' && !IDEMPOTENCY_KEY.test(idempotencyKey)) {
    throw new DecodeError('malformed', 'Idempotency-Key must be 1 to 200 visible ASCII characters')
  }
  if (!isUtf8(body)) throw new DecodeError('malformed', 'the body is not UTF-8')
}

/** @throws DecodeError that names the line. */
function addLines(body: Buffer, records: Records): void {
  for (let start = 0, line = 1; start < body.length; line++) {
    if (line > LINES_MAX) {
      throw new DecodeError('malformed', `more than ${LINES_MAX} lines: send them in several requests`)
    }
    const newline = body.indexOf(NEWLINE, start)
    const end = newline < 0 ? body.length : newline
    try {
      records.add(start, end)
    } catch (error) {
      throw foundIn(`line ${line}`, error)
    }
    start = end + 1
  }
}

/** Positions of one request on their way into a batch. */
class Records {
  count = 0
  private readonly request: FramedRequest
  private readonly session: Session<State>
  private readonly out: PositionBatch
  /** Id of the request, for lines that have none. */
  private readonly id: string | undefined
  private readonly ids = new Set<string>()
  private idsBytes = 0
  private readonly attributeNames = new Set<string>()

  /** @throws DecodeError if the request has an id that is none. */
  constructor(request: FramedRequest, session: Session<State>, out: PositionBatch) {
    this.request = request
    this.session = session
    this.out = out
    const query = request.target.indexOf('?')
    const id = new URLSearchParams(query < 0 ? '' : request.target.slice(query + 1)).get('id')
    if (id === null) return
    this.id = uniqueIdFrom('id', id)
    session.identify(this.id)
  }

  /**
   * Adds the position in `body[start, end)`, if there is any.
   * @throws DecodeError if it is none.
   */
  add(start: number, end: number): void {
    const { request, session, out } = this
    if (isBlank(request.body, start, end)) return
    const record = objectFrom('a position', parseJson(request.body.subarray(start, end)))
    const { id, ...position } = record
    const uniqueId = this.idOf(id)
    const row = addJsonPosition(position, out)
    this.nameAttributes(position)
    if (this.count++ === 0) session.identify(uniqueId)
    else if (uniqueId !== session.uniqueId) out.setUniqueId(row, uniqueId)
    // Rows that share the key are told apart by their place, see decodeFrame.
    if (request.idempotencyKey !== '') {
      out.setRecord(row, request.idempotencyKeyStart, request.idempotencyKeyEnd)
    } else out.setRecord(row, request.bodyStart + start, request.bodyStart + end)
  }

  private idOf(id: unknown): string {
    if (typeof id === 'number' && !Number.isSafeInteger(id)) {
      throw new DecodeError('malformed', 'id must be text: as a number it loses digits')
    }
    if (id == null && this.id === undefined) {
      throw new DecodeError('malformed', 'id is missing: give it here, or once as ?id= of the request')
    }
    if (typeof id === 'string' && this.ids.has(id)) return id
    const uniqueId = id == null ? this.id! : uniqueIdFrom('id', id)
    if (this.ids.has(uniqueId)) return uniqueId
    this.ids.add(uniqueId)
    this.idsBytes += Buffer.byteLength(JSON.stringify(uniqueId)) + ID_EXTRA_BYTES
    if (this.idsBytes > IDS_BYTES_MAX) {
      throw new DecodeError('malformed', `device ${this.ids.size} is too many: send them in several requests`)
    }
    return uniqueId
  }

  private nameAttributes({ attributes }: JsonObject): void {
    for (const name in attributes as JsonObject | null | undefined) this.attributeNames.add(name)
    if (this.attributeNames.size > ATTRIBUTE_NAMES_MAX) {
      throw new DecodeError(
        'malformed',
        `more than ${ATTRIBUTE_NAMES_MAX} names of attributes: send the positions in several requests`,
      )
    }
  }
}

function isBlank(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i]! > SPACE) return false
  return true
}
