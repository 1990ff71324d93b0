/**
 * What ingest publishes of a stored batch, as bytes for processes elsewhere: commits with their events, and the columns
 * of their rows. A message is sealed with the key of its fleet, so that whoever else can write to the bus can neither
 * show positions nor move the stream's place; and it is checked as a whole, so that what is sealed but wrong, of another
 * version say, ends here. A message that is not taken costs nothing but time: its commits are in the database.
 *
 *     32 bytes  HMAC-SHA256 of all that follows
 *      4        magic and version, u32
 *      4        length of the header, u32
 *      n        header, JSON
 *               columns that are not empty, in the order of the header
 *               sparse attributes: value f64, next i32, key u16, kind u8
 *               rows of all commits, u32
 *
 * Numbers are little endian, as on every machine that Node has uWebSockets for.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import { GeofenceEvent } from './geofence-event.ts'
import type { Commit, LiveEvent, ShardToLive } from './live-port.ts'
import { PositionBatch, ROWS_MAX } from './position-batch.ts'
import { ATTRIBUTE_KIND, BOOLEAN_UNKNOWN, F64_COLUMNS } from './position-columns.ts'
import { Id } from './text.ts'

/**
 * Longest message, bytes. A batch of 8,192 rows has some 2 MB with many attributes; Redis gives up a subscriber for which
 * it would have to hold 32 MB.
 */
export const BUS_MESSAGE_BYTES_MAX = 16 * 1024 * 1024
/** Bytes of the key that messages are sealed with, at least. */
export const BUS_KEY_BYTES_MIN = 32

/** What was stored of a batch. */
export type StoredMessage = Extract<ShardToLive, { readonly type: 'stored' }>

/** "FFB", and the version: other versions are not read. */
const MAGIC = 0x46_46_42_01
const SEAL_BYTES = 32
const PREFIX_BYTES = SEAL_BYTES + 8
const ATTRIBUTE_BYTES = 15
/** Beyond there is no Date. */
const TIME_MS_MAX = 8.64e15

/** Columns that are sent, with what stands in a row that has no value. The others serve only before the commit. */
const COLUMNS: ReadonlyMap<string, number> = new Map([
  ...F64_COLUMNS.map((name): [string, number] => [name, Number.NaN]),
  ...(['device', 'digestHigh', 'digestLow', 'alarm'] as const).map((name): [string, number] => [name, 0]),
  ['attributeFirst', -1],
  ['quality', 0],
  ['valid', 0],
  ['ignition', BOOLEAN_UNKNOWN],
  ['motion', BOOLEAN_UNKNOWN],
])

type Column = Float64Array | Uint32Array | Int32Array | Uint16Array | Uint8Array

const Header = z.strictObject({
  rows: z.int().min(0).max(ROWS_MAX),
  attributes: z
    .int()
    .min(0)
    .max(BUS_MESSAGE_BYTES_MAX / ATTRIBUTE_BYTES),
  columns: z.array(z.string()),
  keys: z.array(z.string()),
  texts: z.array(z.string()),
  commits: z
    .array(
      z.strictObject({
        sequence: z.int().min(1),
        rows: z.int().min(0).max(ROWS_MAX),
        events: z.array(GeofenceEvent.extend({ organizationId: Id })),
      }),
    )
    .min(1),
})
type Header = z.infer<typeof Header>

/** A message that is not taken: `reason` is for a metric, the message for people. */
export class BusMessageError extends Error {
  readonly reason: 'too-long' | 'not-ours' | 'malformed'
  override readonly name = 'BusMessageError'

  constructor(reason: BusMessageError['reason'], message: string) {
    super(message)
    this.reason = reason
  }
}

/**
 * @param key Of the fleet, {@link BUS_KEY_BYTES_MIN} bytes or more.
 * @throws BusMessageError `too-long`.
 */
export function encodeBusMessage({ batch: message, commits }: StoredMessage, key: Uint8Array): Buffer {
  const batch = message === null ? new PositionBatch(8) : PositionBatch.fromMessage(message)
  const { length, attributeCount } = batch
  const columns = [...COLUMNS].filter(([name, empty]) => !isEmpty(columnOf(batch, name), length, empty))
  const header: Header = {
    rows: length,
    attributes: attributeCount,
    columns: columns.map(([name]) => name),
    keys: batch.keys,
    texts: batch.texts,
    commits: commits.map(({ sequence, rows, events }) => ({
      sequence,
      rows: rows.length,
      events: events as LiveEvent[],
    })),
  }
  const head = Buffer.from(JSON.stringify(header))
  const parts = [
    head,
    ...columns.map(([name]) => bytesOf(columnOf(batch, name), length)),
    ...attributeColumns(batch).map((column) => bytesOf(column, attributeCount)),
    ...commits.map(({ rows }) => bytesOf(rows, rows.length)),
  ]
  const total = parts.reduce((sum, part) => sum + part.length, PREFIX_BYTES)
  if (total > BUS_MESSAGE_BYTES_MAX) {
    throw new BusMessageError('too-long', `${total} bytes: at most ${BUS_MESSAGE_BYTES_MAX} are sent`)
  }
  const bytes = Buffer.allocUnsafe(total)
  bytes.writeUInt32LE(MAGIC, SEAL_BYTES)
  bytes.writeUInt32LE(head.length, SEAL_BYTES + 4)
  let offset = PREFIX_BYTES
  for (const part of parts) {
    bytes.set(part, offset)
    offset += part.length
  }
  bytes.set(sealOf(bytes, key), 0)
  return bytes
}

/** @throws BusMessageError if it is not exactly what {@link encodeBusMessage} makes with this key. */
export function decodeBusMessage(bytes: Buffer, key: Uint8Array): StoredMessage {
  if (bytes.length > BUS_MESSAGE_BYTES_MAX) throw new BusMessageError('too-long', `${bytes.length} bytes`)
  if (bytes.length < PREFIX_BYTES || !timingSafeEqual(bytes.subarray(0, SEAL_BYTES), sealOf(bytes, key))) {
    throw new BusMessageError('not-ours', 'it is not sealed with the key of this fleet')
  }
  const magic = bytes.readUInt32LE(SEAL_BYTES)
  if (magic !== MAGIC) throw malformed(`it begins with ${magic.toString(16)}, of another version`)
  const end = PREFIX_BYTES + bytes.readUInt32LE(SEAL_BYTES + 4)
  if (end > bytes.length) throw malformed('it ends within its header')
  const header = readHeader(bytes.toString('utf8', PREFIX_BYTES, end))
  const { rows, attributes } = header
  const reader = new Reader(bytes, end)

  const batch = new PositionBatch(multipleOf8(rows), undefined, new ArrayBuffer(multipleOf8(attributes) * 16))
  batch.length = rows
  batch.attributeCount = attributes
  batch.keys = header.keys
  batch.texts = header.texts
  for (const name of header.columns) {
    if (!COLUMNS.has(name)) throw malformed(`there is no column ${JSON.stringify(name)}`)
    reader.fill(columnOf(batch, name), rows)
  }
  for (const column of attributeColumns(batch)) reader.fill(column, attributes)
  const commits = header.commits.map(({ sequence, rows, events }): Commit => {
    return { sequence, rows: reader.take(rows), events }
  })
  reader.end()
  checkOrder(commits, rows)
  checkRows(batch)
  checkAttributes(batch)
  return { type: 'stored', batch: rows === 0 ? null : batch.toMessage(), commits }
}

function readHeader(text: string): Header {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw malformed('its header is not JSON')
  }
  const header = Header.safeParse(json)
  if (!header.success) throw malformed(`its header is wrong at ${header.error.issues[0]?.path.join('.')}`)
  return header.data
}

/** Walks the binary part. */
class Reader {
  private readonly bytes: Buffer
  private offset: number

  constructor(bytes: Buffer, offset: number) {
    this.bytes = bytes
    this.offset = offset
  }

  /** Fills the first `count` elements of a column. */
  fill(column: Column, count: number): void {
    const part = this.next(count * column.BYTES_PER_ELEMENT)
    bytesOf(column, count).set(part)
  }

  take(count: number): Uint32Array {
    const numbers = new Uint32Array(count)
    new Uint8Array(numbers.buffer).set(this.next(count * 4))
    return numbers
  }

  end(): void {
    if (this.offset !== this.bytes.length) throw malformed('it is longer than its header says')
  }

  private next(byteCount: number): Uint8Array {
    const end = this.offset + byteCount
    if (end > this.bytes.length) throw malformed('it is shorter than its header says')
    const part = this.bytes.subarray(this.offset, end)
    this.offset = end
    return part
  }
}

function checkOrder(commits: readonly Commit[], rowCount: number): void {
  const seen = new Uint8Array(rowCount)
  let before = 0
  for (const { sequence, rows } of commits) {
    if (sequence <= before) throw malformed('its commits are not in their order')
    before = sequence
    for (const row of rows) {
      if (row >= rowCount || seen[row] === 1)
        throw malformed('its commits name a row twice, or one that is none')
      seen[row] = 1
    }
  }
}

/** Rows without doubts are made JSON without a further look. */
function checkRows(batch: PositionBatch): void {
  for (let row = 0; row < batch.length; row++) {
    if (batch.alarm[row]! > 0 && batch.alarm[row]! >= batch.texts.length)
      throw malformed('an alarm has no text')
    if (batch.quality[row] !== 0) continue
    const isShown =
      isTime(batch.fixTimeMs[row]!) &&
      isTime(batch.receivedMs[row]!) &&
      Math.abs(batch.latitudeDeg[row]!) <= 90 &&
      Math.abs(batch.longitudeDeg[row]!) <= 180
    if (!isShown) throw malformed('a row without doubts has no time or place')
  }
}

function checkAttributes(batch: PositionBatch): void {
  const { attributeCount, attributeFirst, attributeNext, attributeKey, attributeKind, attributeValue } = batch
  for (let row = 0; row < batch.length; row++) {
    if (attributeFirst[row]! >= attributeCount) throw malformed('an attribute is missing')
  }
  for (let i = 0; i < attributeCount; i++) {
    const next = attributeNext[i]!
    // Chains only lead forward, so that each has an end.
    if (next >= 0 && (next <= i || next >= attributeCount)) throw malformed('attributes are not a chain')
    if (attributeKey[i]! >= batch.keys.length) throw malformed('an attribute has no name')
    const kind = attributeKind[i]!
    if (kind > ATTRIBUTE_KIND.json) throw malformed('an attribute has no kind')
    if (kind >= ATTRIBUTE_KIND.text && batch.texts[attributeValue[i]!] === undefined) {
      throw malformed('an attribute has no text')
    }
  }
}

function sealOf(bytes: Buffer, key: Uint8Array): Buffer {
  return createHmac('sha256', key).update(bytes.subarray(SEAL_BYTES)).digest()
}

function attributeColumns(batch: PositionBatch): Column[] {
  return [batch.attributeValue, batch.attributeNext, batch.attributeKey, batch.attributeKind]
}

function columnOf(batch: PositionBatch, name: string): Column {
  return (batch as unknown as Record<string, Column>)[name]!
}

function isEmpty(column: Column, length: number, empty: number): boolean {
  for (let row = 0; row < length; row++) if (!Object.is(column[row], empty)) return false
  return true
}

function bytesOf(column: Column, length: number): Uint8Array {
  return new Uint8Array(column.buffer as ArrayBuffer, column.byteOffset, length * column.BYTES_PER_ELEMENT)
}

function isTime(ms: number): boolean {
  return Math.abs(ms) <= TIME_MS_MAX
}

function multipleOf8(count: number): number {
  return Math.max(8, Math.ceil(count / 8) * 8)
}

function malformed(message: string): BusMessageError {
  return new BusMessageError('malformed', message)
}
