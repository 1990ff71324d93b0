/**
 * Recorded device messages as JSON lines, and what they decode to, in the shape of `protocols/NAME.vectors.jsonl`:
 * the vectors suite and the `decode` command are the same code.
 */

import { z } from 'zod'
import { attributesOf, roundSpeed } from '../schemas/position.ts'
import { PositionBatch } from '../schemas/position-batch.ts'
import { QUALITY } from '../schemas/quality.ts'
import { type Adapter, DecodeError, type KnownDevice, type Transport } from './adapter.ts'
import { DeviceSession, decodeFrame, repliesOf, toBuffer } from './decoder.ts'
import { FrameReader } from './frames.ts'
import { httpFrame, httpResponse, mqttFrame } from './requests.ts'

const hex = z.string().regex(/^([0-9a-f]{2})*$/i, 'must be hex')

/** One recorded message. Units and shapes as in the vectors. */
export const RecordedLine = z.object({
  /** '' where it is to be found out. */
  protocol: z.string().default(''),
  /** Lines of one protocol and stream share a connection. */
  stream: z.union([z.number(), z.string()]).default(0),
  seq: z.number().optional(),
  transport: z.enum(['tcp', 'udp', 'http', 'mqtt', 'frame']),
  bytes: hex.optional(),
  /** What is in a datagram, where it differs from `bytes`. */
  udpBytes: hex.optional(),
  /** A frame after framing, where delimiter or length may be missing. */
  frame: hex.optional(),
  http: z
    .object({
      method: z.string(),
      uri: z.string(),
      headers: z.record(z.string(), z.string()).optional(),
      body: z.string().optional(),
    })
    .optional(),
  mqtt: z.object({ topic: z.string(), payload: z.string() }).optional(),
  /** Model (`modelOverride`) and options of the registered device, from this line of the stream on. */
  setup: z.record(z.string(), z.unknown()).optional(),
  /** Device of a stream that names none. */
  deviceIds: z.array(z.string()).optional(),
  receivedAt: z.iso.datetime().optional(),
})
export type RecordedLine = z.infer<typeof RecordedLine>

/** A position as the vectors have it: a place not reported is absent, a missing altitude, speed or course is 0. */
export interface RecordedPosition {
  readonly device: string
  readonly noFix?: true
  readonly deviceTime?: string
  readonly fixTime?: string
  readonly valid?: boolean
  readonly latitude?: number
  readonly longitude?: number
  readonly altitude?: number
  readonly speed?: number
  readonly course?: number
  readonly accuracy?: number
  readonly attributes: Record<string, unknown>
  readonly network?: unknown
}

export interface DecodedLine {
  readonly protocol: string
  readonly stream: number | string
  readonly seq: number | undefined
  readonly positions: RecordedPosition[]
  /** Hex, in the order of sending. */
  readonly replies: string[]
  readonly error: { readonly code: string; readonly message: string } | null
}

const NO_BYTES = Buffer.alloc(0)
/** Room for positions at first: a line mostly holds one, and there may be thousands of streams. */
const ROWS = 64

/** Decodes the lines of one stream, with its connection state. Every device counts as registered. */
export class RecordedStream {
  private readonly adapter: Adapter
  private readonly connections = new Map<Transport, { session: DeviceSession; reader: FrameReader }>()
  private readonly batch = new PositionBatch(ROWS)
  private device: KnownDevice = deviceOf({})
  private setup: Readonly<Record<string, unknown>> = {}
  /** Device that a line named last: it stands for datagrams that name none. */
  private uniqueId = ''

  constructor(adapter: Adapter) {
    this.adapter = adapter
  }

  /** What waits for the rest of its frame. */
  get rest(): Buffer {
    return this.connections.get('tcp')?.reader.waiting ?? NO_BYTES
  }

  /** @param nowMs Time of receipt where the line gives none, ms UTC. */
  decode(line: RecordedLine, nowMs: number): DecodedLine {
    const { adapter, batch } = this
    this.setup = { ...this.setup, ...line.setup }
    this.device = deviceOf(this.setup)
    const transport = line.transport === 'frame' ? 'tcp' : line.transport
    const { session, reader } = this.connection(transport)
    if (session.uniqueId !== '') session.device = this.device
    session.receivedMs = line.receivedAt === undefined ? nowMs : Date.parse(line.receivedAt)

    batch.reset()
    const replies: Buffer[] = []
    let error: DecodedLine['error'] = null
    for (const frame of framesOf(line, reader)) {
      if (frame instanceof DecodeError) {
        error ??= errorOf(frame)
        break
      }
      try {
        decodeFrame(adapter, frame, session, batch)
        replies.push(...repliesOf(adapter, frame, session))
      } catch (failure) {
        error ??= errorOf(DecodeError.of(failure))
      }
    }
    if (line.http !== undefined) {
      const body = Buffer.concat(replies.splice(0)).toString('latin1')
      replies.push(
        toBuffer(error === null ? httpResponse(200, 'OK', body) : httpResponse(400, 'Bad Request')),
      )
    }
    if (session.uniqueId !== '') this.uniqueId = session.uniqueId
    const uniqueId = this.uniqueId || (line.deviceIds?.[0] ?? '')
    return {
      protocol: line.protocol,
      stream: line.stream,
      seq: line.seq,
      positions: Array.from({ length: batch.length }, (_, row) => recordedPosition(batch, row, uniqueId)),
      replies: replies.map((reply) => reply.toString('hex')),
      error,
    }
  }

  private connection(transport: Transport): { session: DeviceSession; reader: FrameReader } {
    let connection = this.connections.get(transport)
    // A datagram, a request and a message each stand alone.
    if (connection === undefined || transport !== 'tcp') {
      const session = new DeviceSession(this.adapter, transport, () => this.device)
      connection = { session, reader: new FrameReader(this.adapter, transport) }
      this.connections.set(transport, connection)
    }
    return connection
  }
}

/** Model and options of a device that is registered with this setup. */
export function deviceOf(setup: Readonly<Record<string, unknown>>): KnownDevice {
  const { modelOverride } = setup
  return { model: typeof modelOverride === 'string' ? modelOverride : '', options: setup }
}

/** Frames of the line; the error that ends them where the stream cannot be read on. */
function* framesOf(line: RecordedLine, reader: FrameReader): Iterable<Buffer | DecodeError> {
  const { bytes, isFrame } = bytesOf(line)
  if (isFrame) {
    yield bytes
    return
  }
  reader.push(bytes)
  try {
    for (let next = reader.next(); next !== undefined; next = reader.next()) yield next
  } catch (failure) {
    yield DecodeError.of(failure)
  }
}

/**
 * Whole frames of a line; where the stream cannot be read on, what is left of it is dropped.
 * @throws DecodeError for a bug of the adapter.
 */
export function wholeFramesOf(line: RecordedLine, reader: FrameReader): Buffer[] {
  const frames: Buffer[] = []
  for (const frame of framesOf(line, reader)) {
    if (Buffer.isBuffer(frame)) frames.push(frame)
    else if (frame.code === 'adapter-bug') throw frame
    else reader.take()
  }
  return frames
}

/** What came in: a whole frame, or bytes that are still to be cut into frames. */
export function bytesOf(line: RecordedLine): { readonly bytes: Buffer; readonly isFrame: boolean } {
  if (line.http !== undefined) {
    const { method, uri, headers = {}, body = '' } = line.http
    const header = (wanted: string) =>
      Object.entries(headers).find(([name]) => name.toLowerCase() === wanted)?.[1] ?? ''
    const bytes = httpFrame({
      method,
      target: uri,
      contentType: header('content-type'),
      idempotencyKey: header('idempotency-key'),
      body: Buffer.from(body, 'utf8'),
    })
    return { bytes, isFrame: true }
  }
  if (line.mqtt !== undefined) {
    const { topic, payload } = line.mqtt
    return { bytes: mqttFrame({ topic, payload: Buffer.from(payload, 'utf8') }), isFrame: true }
  }
  if (line.frame !== undefined) return { bytes: Buffer.from(line.frame, 'hex'), isFrame: true }
  const hex = line.transport === 'udp' ? (line.udpBytes ?? line.bytes) : line.bytes
  return { bytes: Buffer.from(hex ?? '', 'hex'), isFrame: false }
}

/** A bug of the adapter is told with its cause, for whoever mends it. */
function errorOf({ code, message, cause }: DecodeError): DecodedLine['error'] {
  return { code, message: cause instanceof Error ? `${message}: ${cause.message}` : message }
}

/** Row of a batch in the shape of the vectors. */
function recordedPosition(batch: PositionBatch, row: number, uniqueId: string): RecordedPosition {
  const { network, ...attributes } = attributesOf(batch, row)
  const device = batch.uniqueIdOf(row) ?? uniqueId
  const deviceTimeMs = batch.deviceTimeMs[row]!
  const deviceTime = Number.isNaN(deviceTimeMs) ? {} : { deviceTime: new Date(deviceTimeMs).toISOString() }
  const extra = { attributes, ...(network === undefined ? {} : { network }) }
  if ((batch.quality[row]! & QUALITY.noPlace) !== 0) return { device, noFix: true, ...deviceTime, ...extra }
  const accuracy = batch.accuracyM[row]!
  return {
    device,
    ...deviceTime,
    fixTime: new Date(batch.fixTimeMs[row]!).toISOString(),
    valid: batch.valid[row] === 1,
    latitude: batch.latitudeDeg[row]!,
    longitude: batch.longitudeDeg[row]!,
    altitude: orZero(batch.altitudeM[row]!),
    speed: orZero(roundSpeed(batch.speedKmh[row]!)),
    course: orZero(batch.courseDeg[row]!),
    ...(Number.isNaN(accuracy) ? {} : { accuracy }),
    ...extra,
  }
}

function orZero(value: number): number {
  return Number.isNaN(value) ? 0 : value
}
