/**
 * The bytes of a binary COPY of `positions` to column batches: what ingest/shards/copy-encoder.ts writes, read back.
 *
 * PostgreSQL, "COPY, Binary Format": signature, flags i32, extension length i32 and so many bytes; a row is its field
 * count i16, then for each field its length i32 (−1 = null) and bytes, big endian; the end is a field count of −1.
 * Timestamps are µs since 2000-01-01. A server sends whole rows in a message ("Frontend/Backend Protocol, COPY").
 */
import { PositionBatch, ROWS_MAX } from '../../schemas/position-batch.ts'

/** Columns of `positions` that are read: those that the stream shows, the key and `quality`. */
const COLUMNS = [
  'device_id',
  'fix_time',
  'digest',
  'received_at',
  'quality',
  'latitude',
  'longitude',
  'altitude_m',
  'speed_kmh',
  'course_deg',
  'satellites',
  'hdop',
  'odometer_m',
  'engine_hours_ms',
  'power_v',
  'battery_v',
  'battery_percent',
  'fuel_l',
  'rssi',
  'event',
  'ignition',
  'motion',
  'alarm',
  'attributes',
]

/** The select list of what {@link CopyDecoder} reads, without further columns. */
export const COPIED_COLUMNS = COLUMNS.join(', ')

export interface CopiedRows {
  /** Other columns than those of {@link COPIED_COLUMNS} are "not reported"; attributes are one object. */
  readonly batch: PositionBatch
  /** The columns behind those of {@link COPIED_COLUMNS}, by row; null is NaN. */
  readonly numbers: readonly Float64Array[]
}

const SIGNATURE_BYTES = 11
const EPOCH_2000_US = Date.UTC(2000, 0, 1) * 1000
const TWO_32 = 4_294_967_296
/** Above it, the shortest decimal of a float4 may end in zeros that its value has not. */
const FLOAT4_EXACT_MAX = 2 ** 24
const FLOAT4_DIGITS_MAX = 9
/** Rows of a batch before it grows. */
const ROWS_AT_FIRST = 1_024

export class CopyDecoder {
  private readonly rowsMax: number
  private readonly numberCount: number
  private batch: PositionBatch
  private numbers: Float64Array[]
  private view = new DataView<ArrayBufferLike>(new ArrayBuffer(0))
  private bytes: Buffer = Buffer.alloc(0)
  private at = 0
  private begun = false

  /**
   * @param rowsMax Rows of a batch at most, up to {@link ROWS_MAX}.
   * @param numberCount Columns of type bigint, below 2^53, that follow {@link COPIED_COLUMNS}.
   */
  constructor(rowsMax: number, numberCount: number) {
    this.rowsMax = Math.min(rowsMax, ROWS_MAX)
    this.numberCount = numberCount
    this.batch = this.newBatch()
    this.numbers = this.newNumbers()
  }

  /**
   * Reads the data of one CopyData message.
   * @returns Whether the batch is full: it is to be taken before the next message is read.
   * @throws RangeError where the columns are others.
   */
  read(data: Buffer): boolean {
    // Most messages lie in one buffer, as the socket filled it.
    if (data.buffer !== this.view.buffer) this.view = new DataView(data.buffer)
    this.bytes = data
    this.at = data.byteOffset
    if (!this.begun) {
      this.begun = true
      this.at += SIGNATURE_BYTES + 4
      this.at += 4 + this.view.getInt32(this.at)
    }
    const end = data.byteOffset + data.length
    while (this.at < end) {
      const fields = this.view.getInt16(this.at)
      this.at += 2
      if (fields < 0) break
      if (fields !== COLUMNS.length + this.numberCount) throw new RangeError(`a row of ${fields} columns`)
      this.row()
    }
    return this.batch.length >= this.rowsMax
  }

  /** Hands over the rows since the last call; undefined = there are none. */
  take(): CopiedRows | undefined {
    const { batch, numbers } = this
    if (batch.length === 0) return undefined
    this.batch = this.newBatch()
    this.numbers = this.newNumbers()
    return { batch, numbers }
  }

  private newBatch(): PositionBatch {
    return new PositionBatch(Math.ceil(Math.min(this.rowsMax, ROWS_AT_FIRST) / 8) * 8)
  }

  private newNumbers(): Float64Array[] {
    return Array.from({ length: this.numberCount }, () => new Float64Array(this.batch.capacity))
  }

  private row(): void {
    const { batch } = this
    const row = batch.addWithoutFix()
    batch.device[row] = this.int4()
    batch.fixTimeMs[row] = this.timeMs()
    batch.digestHigh[row] = this.view.getUint32(this.at + 4)
    batch.digestLow[row] = this.view.getUint32(this.at + 8)
    this.at += 12
    batch.receivedMs[row] = this.timeMs()
    batch.quality[row] = this.int2()
    batch.latitudeDeg[row] = this.float8()
    batch.longitudeDeg[row] = this.float8()
    batch.altitudeM[row] = this.float4()
    batch.speedKmh[row] = this.float4()
    batch.courseDeg[row] = this.float4()
    batch.satellites[row] = this.int2()
    batch.hdop[row] = this.float4()
    batch.odometerM[row] = this.float8()
    batch.engineHoursMs[row] = this.float8()
    batch.powerV[row] = this.float4()
    batch.batteryV[row] = this.float4()
    batch.batteryPercent[row] = this.float4()
    batch.fuelL[row] = this.float4()
    batch.rssi[row] = this.float4()
    batch.event[row] = this.int4()
    this.boolean(batch.ignition, row)
    this.boolean(batch.motion, row)
    const alarm = this.text()
    if (alarm !== undefined) batch.set(row, 'alarm', alarm)
    const attributes = this.text()
    if (attributes !== undefined) batch.setObject(row, attributes)
    for (let i = 0; i < this.numberCount; i++) this.number(i, row)
  }

  /** @returns Whether the field is null; it is passed over then. */
  private isNull(): boolean {
    // A length is never negative otherwise, and its bytes are positive then.
    if (this.view.getInt8(this.at) >= 0) return false
    this.at += 4
    return true
  }

  private timeMs(): number {
    const { view, at } = this
    this.at += 12
    // Two halves: a BigInt costs many times more. The sum is exact, so that the quotient is the nearest number.
    return (view.getInt32(at + 4) * TWO_32 + view.getUint32(at + 8) + EPOCH_2000_US) / 1000
  }

  private float8(): number {
    if (this.isNull()) return Number.NaN
    this.at += 12
    return this.view.getFloat64(this.at - 8)
  }

  private float4(): number {
    if (this.isNull()) return Number.NaN
    this.at += 8
    return shortestDecimal(this.view.getFloat32(this.at - 4))
  }

  private int4(): number {
    if (this.isNull()) return Number.NaN
    this.at += 8
    return this.view.getInt32(this.at - 4)
  }

  private int2(): number {
    if (this.isNull()) return Number.NaN
    this.at += 6
    return this.view.getInt16(this.at - 2)
  }

  /** The column holds "not reported" already. */
  private boolean(column: Uint8Array, row: number): void {
    if (this.isNull()) return
    this.at += 5
    column[row] = this.view.getUint8(this.at - 1)
  }

  private text(): string | undefined {
    if (this.isNull()) return undefined
    const length = this.view.getInt32(this.at)
    const start = this.at + 4 - this.bytes.byteOffset
    this.at += 4 + length
    return this.bytes.toString('utf8', start, start + length)
  }

  private number(column: number, row: number): void {
    let values = this.numbers[column]!
    if (row >= values.length) {
      values = new Float64Array(this.batch.capacity)
      values.set(this.numbers[column]!)
      this.numbers[column] = values
    }
    if (this.isNull()) {
      values[row] = Number.NaN
      return
    }
    values[row] = this.view.getInt32(this.at + 4) * TWO_32 + this.view.getUint32(this.at + 8)
    this.at += 12
  }
}

/**
 * The decimal of the fewest digits that is the same float4, as PostgreSQL shows it: 12.3 is stored as
 * 12.300000190734863, and was never measured so.
 */
export function shortestDecimal(float4: number): number {
  const magnitude = Math.abs(float4)
  if (magnitude <= FLOAT4_EXACT_MAX && magnitude >= 1e-6) {
    // The product is exact, and a quotient of whole numbers is what the decimal is read as.
    for (let scale = 1; scale <= 1e9; scale *= 10) {
      const scaled = float4 * scale
      let whole = Math.round(scaled)
      if (whole - scaled === 0.5 && whole % 2 !== 0) whole--
      const decimal = whole / scale
      if (Math.fround(decimal) === float4) return decimal
    }
  }
  for (let digits = 1; digits < FLOAT4_DIGITS_MAX; digits++) {
    const decimal = Number(float4.toPrecision(digits))
    if (Math.fround(decimal) === float4) return decimal
  }
  return Number(float4.toPrecision(FLOAT4_DIGITS_MAX))
}
