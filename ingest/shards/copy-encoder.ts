/**
 * Column batch to the bytes of a binary COPY into `positions`.
 *
 * PostgreSQL, "COPY, Binary Format": signature, flags i32, extension length i32; a row is its field count i16, then
 * for each field its length i32 (−1 = null) and bytes, big endian; the end is a field count of −1. Timestamps are
 * µs since 2000-01-01. The stream is framed as one CopyData message ("Frontend/Backend Protocol, Message Formats").
 */
import { READINGS } from '../../schemas/attributes.ts'
import { ATTRIBUTE_KIND, BOOLEAN_UNKNOWN, type PositionBatch } from '../../schemas/position-batch.ts'

/** Columns of `positions` in the order in which a row is written. */
export const COPY_COLUMNS = [
  'fix_time',
  'received_at',
  'device_time',
  'latitude',
  'longitude',
  'digest',
  'device_id',
  'altitude_m',
  'speed_kmh',
  'course_deg',
  'accuracy_m',
  'decoder',
  'quality',
  'valid',
  ...READINGS.map((reading) => reading.sql),
  'attributes',
  'batch',
] as const

type NumberType = 'int2' | 'int4' | 'float4' | 'float8'

/** How a reading's column is written; other number columns are float4. */
const READING_TYPES: Readonly<Record<string, NumberType>> = {
  satellites: 'int2',
  event: 'int4',
  odometer_m: 'float8',
  engine_hours_ms: 'float8',
}

const NUMBER_READINGS = READINGS.filter((reading) => reading.type === 'number')
const NUMBER_TYPES = NUMBER_READINGS.map((reading) => READING_TYPES[reading.sql] ?? 'float4')
const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1')
const COPY_DATA = 'd'.charCodeAt(0)
const COPY_DONE = 'c'.charCodeAt(0)
const EPOCH_2000_MS = Date.UTC(2000, 0, 1)
const TRUE = Buffer.from('true')
const FALSE = Buffer.from('false')
const FLOAT4_MAX = 3.4e38
const TWO_32 = 4_294_967_296

/** Most bytes of a row without alarm and attributes: each field at 12 bytes. */
const ROW_BYTES_MAX = 2 + COPY_COLUMNS.length * 12
/** Most bytes of a number as JSON text, such as -2.2250738585072014e-308, and a comma. */
const NUMBER_BYTES_MAX = 26
/** UTF-8 and JSON escapes make at most this many bytes of one UTF-16 unit. */
const TEXT_BYTES_MAX = 6
/** Names of attributes, encoded once: `"key":`. */
const KEY_CACHE_MAX = 4096

export class CopyEncoder {
  private bytes: Buffer
  private view: DataView
  private at = 0
  private readonly keyBytes = new Map<string, Buffer>()

  constructor(initialBytes = 1 << 16) {
    this.bytes = Buffer.allocUnsafeSlow(initialBytes)
    this.view = new DataView(this.bytes.buffer)
  }

  /**
   * Encodes the rows `order[0..]` of `batch` as one CopyData message and a CopyDone.
   * @param number Of the batch in the database; undefined = none.
   * @returns A view of the encoder's own buffer, good until the next call.
   */
  encode(batch: PositionBatch, order: ArrayLike<number>, number?: number): Buffer {
    const count = order.length
    this.at = 0
    this.room(5 + SIGNATURE.length)
    this.at = 5
    this.at += SIGNATURE.copy(this.bytes, this.at)
    const keys = batch.keys.map((key) => this.key(key))
    // Looked up by name once and not in every row: that halves the cost of a row without attributes.
    const readings = NUMBER_READINGS.map(({ column }) => batch[column])
    for (let i = 0; i < count; i++) {
      const row = order[i]!
      this.room(ROW_BYTES_MAX + attributesBytesMax(batch, row, keys))
      this.row(batch, row, readings, keys)
      if (number === undefined) this.null()
      else this.int8(number)
    }
    this.room(2 + 5)
    this.view.setInt16(this.at, -1)
    this.at += 2
    this.bytes[0] = COPY_DATA
    this.view.setInt32(1, this.at - 1)
    this.bytes[this.at] = COPY_DONE
    this.view.setInt32(this.at + 1, 4)
    return this.bytes.subarray(0, this.at + 5)
  }

  private row(
    batch: PositionBatch,
    row: number,
    readings: readonly Float64Array[],
    keys: readonly Buffer[],
  ): void {
    const { view } = this
    view.setInt16(this.at, COPY_COLUMNS.length)
    this.at += 2
    this.timestamp(batch.fixTimeMs[row]!)
    this.timestamp(batch.receivedMs[row]!)
    this.timestamp(batch.deviceTimeMs[row]!)
    this.float8(batch.latitudeDeg[row]!)
    this.float8(batch.longitudeDeg[row]!)
    view.setInt32(this.at, 8)
    view.setUint32(this.at + 4, batch.digestHigh[row]!)
    view.setUint32(this.at + 8, batch.digestLow[row]!)
    this.at += 12
    this.int4(batch.device[row]!)
    this.float4(batch.altitudeM[row]!)
    this.float4(batch.speedKmh[row]!)
    this.float4(batch.courseDeg[row]!)
    this.float4(batch.accuracyM[row]!)
    if (batch.decoder[row] === 0) this.null()
    else this.int2(batch.decoder[row]!)
    this.int2(batch.quality[row]!)
    this.boolean(batch.valid[row]!)
    for (let i = 0; i < readings.length; i++) this.number(readings[i]![row]!, NUMBER_TYPES[i]!)
    this.boolean(batch.ignition[row]!)
    this.boolean(batch.motion[row]!)
    if (batch.alarm[row] === 0) this.null()
    else {
      const start = this.at
      this.at += 4
      this.at += this.bytes.write(storable(batch.texts[batch.alarm[row]!]!), this.at)
      view.setInt32(start, this.at - start - 4)
    }
    this.attributes(batch, row, keys)
  }

  private attributes(batch: PositionBatch, row: number, keys: readonly Buffer[]): void {
    let i = batch.attributeFirst[row]!
    if (i < 0) {
      this.null()
      return
    }
    const { bytes } = this
    const start = this.at
    let at = start + 4
    bytes[at++] = 0x7b // {
    for (; i >= 0; i = batch.attributeNext[i]!) {
      if (batch.attributeKind[i] === ATTRIBUTE_KIND.object) {
        const json = storableJson(batch.texts[batch.attributeValue[i]!]!)
        at += bytes.write(`${json.slice(1, -1)},`, at)
        continue
      }
      at = copyShort(keys[batch.attributeKey[i]!]!, bytes, at)
      const value = batch.attributeValue[i]!
      switch (batch.attributeKind[i]) {
        case ATTRIBUTE_KIND.number:
          at = writeNumber(bytes, at, value)
          break
        case ATTRIBUTE_KIND.boolean:
          at = copyShort(value === 1 ? TRUE : FALSE, bytes, at)
          break
        case ATTRIBUTE_KIND.text:
          at += bytes.write(JSON.stringify(storable(batch.texts[value]!)), at)
          break
        default:
          at += bytes.write(storableJson(batch.texts[value]!), at)
      }
      bytes[at++] = 0x2c // ,
    }
    bytes[at - 1] = 0x7d // }
    this.view.setInt32(start, at - start - 4)
    this.at = at
  }

  private number(value: number, type: NumberType): void {
    if (type === 'float4') this.float4(value)
    else if (type === 'float8') this.float8(value)
    else if (type === 'int2') Number.isNaN(value) ? this.null() : this.int2(clamp(value, 32_767))
    else Number.isNaN(value) ? this.null() : this.int4(clamp(value, 2_147_483_647))
  }

  private timestamp(timeMs: number): void {
    if (Number.isNaN(timeMs)) {
      this.null()
      return
    }
    this.view.setInt32(this.at, 8)
    writeTimestamp(this.view, this.at + 4, timeMs)
    this.at += 12
  }

  private float8(value: number): void {
    if (Number.isNaN(value)) {
      this.null()
      return
    }
    this.view.setInt32(this.at, 8)
    this.view.setFloat64(this.at + 4, value)
    this.at += 12
  }

  private float4(value: number): void {
    // Beyond float4 a value would become infinity.
    if (!(Math.abs(value) <= FLOAT4_MAX)) {
      this.null()
      return
    }
    this.view.setInt32(this.at, 4)
    this.view.setFloat32(this.at + 4, value)
    this.at += 8
  }

  /** @param value Whole number, from 0 to below 2^53. */
  private int8(value: number): void {
    this.view.setInt32(this.at, 8)
    this.view.setUint32(this.at + 4, Math.floor(value / TWO_32))
    this.view.setUint32(this.at + 8, value >>> 0)
    this.at += 12
  }

  private int4(value: number): void {
    this.view.setInt32(this.at, 4)
    this.view.setInt32(this.at + 4, value)
    this.at += 8
  }

  private int2(value: number): void {
    this.view.setInt32(this.at, 2)
    this.view.setInt16(this.at + 4, value)
    this.at += 6
  }

  private boolean(value: number): void {
    if (value === BOOLEAN_UNKNOWN) {
      this.null()
      return
    }
    this.view.setInt32(this.at, 1)
    this.bytes[this.at + 4] = value
    this.at += 5
  }

  private null(): void {
    this.view.setInt32(this.at, -1)
    this.at += 4
  }

  private key(key: string): Buffer {
    let bytes = this.keyBytes.get(key)
    if (bytes === undefined) {
      bytes = Buffer.from(`${JSON.stringify(storable(key))}:`)
      // Names may come from outside: the cache starts anew rather than grow.
      if (this.keyBytes.size === KEY_CACHE_MAX) this.keyBytes.clear()
      this.keyBytes.set(key, bytes)
    }
    return bytes
  }

  private room(bytes: number): void {
    if (this.at + bytes <= this.bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.at + bytes))
    this.bytes.copy(grown, 0, 0, this.at)
    this.bytes = grown
    this.view = new DataView(grown.buffer)
  }
}

/** A time as PostgreSQL stores it: µs since 2000. */
export function timestampUs(timeMs: number): number {
  return Math.round((timeMs - EPOCH_2000_MS) * 1000)
}

/** Writes the 8 bytes of a timestamptz. */
export function writeTimestamp(view: DataView, at: number, timeMs: number): void {
  const us = timestampUs(timeMs)
  // Two halves: a BigInt costs many times more.
  view.setInt32(at, Math.floor(us / TWO_32))
  view.setUint32(at + 4, us >>> 0)
}

function attributesBytesMax(batch: PositionBatch, row: number, keys: readonly Buffer[]): number {
  let bytes = 2 + TEXT_BYTES_MAX * batch.texts[batch.alarm[row]!]!.length
  for (let i = batch.attributeFirst[row]!; i >= 0; i = batch.attributeNext[i]!) {
    bytes += keys[batch.attributeKey[i]!]!.length + NUMBER_BYTES_MAX
    if (batch.attributeKind[i]! >= ATTRIBUTE_KIND.text) {
      bytes += TEXT_BYTES_MAX * batch.texts[batch.attributeValue[i]!]!.length
    }
  }
  return bytes
}

/** Text that PostgreSQL takes: without NUL and unpaired surrogates. */
function storable(text: string): string {
  return text.includes('\0') || !text.isWellFormed() ? text.toWellFormed().replaceAll('\0', '') : text
}

/** JSON text whose strings PostgreSQL takes: its json types refuse an escaped NUL. */
function storableJson(json: string): string {
  // An even number of backslashes before it is text, not part of the escape.
  return storable(json.includes('\\u0000') ? json.replace(/(?<!\\)((?:\\\\)*)\\u0000/g, '$1') : json)
}

/** By hand: Buffer.copy and Buffer.write cost more than the ten bytes of a name. */
function copyShort(from: Buffer, to: Buffer, at: number): number {
  for (let i = 0; i < from.length; i++) to[at++] = from[i]!
  return at
}

/**
 * Writes a number as JSON; returns the position after it. Digits of small numbers with up to three decimals by hand:
 * 4 times faster than a string.
 */
function writeNumber(bytes: Buffer, at: number, value: number): number {
  const magnitude = Math.abs(value)
  const thousandths = Math.round(magnitude * 1000)
  if (!(magnitude < 1e9 && thousandths / 1000 === magnitude)) {
    return at + bytes.write(String(value), at, 'latin1')
  }
  if (value < 0) bytes[at++] = 0x2d // -
  const whole = Math.trunc(magnitude)
  at = writeDigits(bytes, at, whole)
  let decimals = thousandths - whole * 1000
  if (decimals === 0) return at
  bytes[at++] = 0x2e // .
  for (let unit = 100; decimals > 0; unit /= 10) {
    const digit = (decimals / unit) | 0
    bytes[at++] = 48 + digit
    decimals -= digit * unit
  }
  return at
}

function writeDigits(bytes: Buffer, at: number, value: number): number {
  let rest = value | 0
  let digits = 1
  for (let bound = 10; rest >= bound; bound *= 10) digits++
  for (let i = at + digits - 1; i >= at; i--) {
    const next = (rest / 10) | 0
    bytes[i] = 48 + rest - next * 10
    rest = next
  }
  return at + digits
}

function clamp(value: number, limit: number): number {
  return Math.max(-limit, Math.min(limit, Math.round(value)))
}
