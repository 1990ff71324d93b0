/**
 * The columns of a batch of positions and where they lie in memory: the row columns in one ArrayBuffer, the sparse
 * attributes in another. What is written into them is the business of position-batch.ts.
 */

/** In `ignition` and `motion`: not reported. */
export const BOOLEAN_UNKNOWN = 255

/** Columns of 8 bytes; the first nine are written by `add` or the engine, the others are NaN until set. */
export const F64_COLUMNS = [
  'fixTimeMs',
  'deviceTimeMs',
  'receivedMs',
  'latitudeDeg',
  'longitudeDeg',
  'altitudeM',
  'speedKmh',
  'courseDeg',
  'accuracyM',
  'satellites',
  'hdop',
  'odometerM',
  'engineHoursMs',
  'powerV',
  'batteryV',
  'batteryPercent',
  'fuelL',
  'rssi',
  'event',
] as const
export const U32_COLUMNS = ['device', 'digestHigh', 'digestLow', 'recordStart', 'recordEnd', 'alarm'] as const
const I32_COLUMNS = ['attributeFirst', 'attributeLast'] as const
export const U16_COLUMNS = ['decoder'] as const
export const U8_COLUMNS = ['quality', 'valid', 'ignition', 'motion'] as const

const COLUMNS = [...F64_COLUMNS, ...U32_COLUMNS, ...I32_COLUMNS, ...U16_COLUMNS, ...U8_COLUMNS]

/** Most rows of one batch. */
export const ROWS_MAX = 65_536

/** Bytes of one row over all row columns. */
const ROW_BYTES =
  F64_COLUMNS.length * 8 +
  (U32_COLUMNS.length + I32_COLUMNS.length) * 4 +
  U16_COLUMNS.length * 2 +
  U8_COLUMNS.length

/** Bytes of one sparse attribute: value f64, next i32, key u16, kind u8, padded to 16. */
const ATTRIBUTE_BYTES = 16

/**
 * What `attributeValue` holds: a number, 0 or 1, or the index of a string or of JSON text in `texts`. An `object` has no
 * key: each member of its JSON is an attribute.
 */
export const ATTRIBUTE_KIND = { number: 0, boolean: 1, text: 2, json: 3, object: 4 } as const

export abstract class PositionColumns {
  /** Rows in use, 0..capacity. */
  length = 0
  /** Rows before the columns grow. Growth makes new views: do not hold a column across `add`. */
  capacity: number

  /** Time of the GNSS fix as the device gives it, ms since 1970-01-01T00:00Z; NaN until the engine fills it, see `addWithoutFix`. */
  readonly fixTimeMs!: Float64Array
  /** Clock of the device when it made the message, ms UTC; NaN if not reported. */
  readonly deviceTimeMs!: Float64Array
  /** Clock of the server when the frame came in, ms UTC; written by the engine. */
  readonly receivedMs!: Float64Array
  /** WGS-84 latitude, −90..90, north positive; NaN in a row without a place. */
  readonly latitudeDeg!: Float64Array
  /** WGS-84 longitude, −180..180, east positive; NaN in a row without a place. */
  readonly longitudeDeg!: Float64Array
  /** Metres above mean sea level; NaN if not reported. */
  readonly altitudeM!: Float64Array
  /** Speed over ground; NaN if not reported. */
  readonly speedKmh!: Float64Array
  /** Course over ground, clockwise from true north, 0..360; NaN if not reported. */
  readonly courseDeg!: Float64Array
  /** Radius of the estimated error, metres; NaN if not reported. */
  readonly accuracyM!: Float64Array
  /** Satellites used in the fix; NaN if not reported. Set by `set(row, 'sat', …)`, as are all columns below. */
  readonly satellites!: Float64Array
  readonly hdop!: Float64Array
  readonly odometerM!: Float64Array
  readonly engineHoursMs!: Float64Array
  readonly powerV!: Float64Array
  readonly batteryV!: Float64Array
  readonly batteryPercent!: Float64Array
  readonly fuelL!: Float64Array
  readonly rssi!: Float64Array
  readonly event!: Float64Array
  /** 0, 1, or {@link BOOLEAN_UNKNOWN}. */
  readonly ignition!: Uint8Array
  /** 0, 1, or {@link BOOLEAN_UNKNOWN}. */
  readonly motion!: Uint8Array
  /** Index in `texts`; 0 if there is none. */
  readonly alarm!: Uint32Array
  /** `devices.id`; written by the engine, never by an adapter. */
  readonly device!: Uint32Array
  /** 64-bit digest of the record's bytes, which with device and fix time is the key of the row; written by the engine. */
  readonly digestHigh!: Uint32Array
  readonly digestLow!: Uint32Array
  /** Bytes `[recordStart, recordEnd)` of the frame that this position was read from; 0, 0 = the whole frame. */
  readonly recordStart!: Uint32Array
  readonly recordEnd!: Uint32Array
  /** `decoders.id` of the version of the adapter that made the row; 0 = not known. Written by the engine. */
  readonly decoder!: Uint16Array
  /** Bits of {@link QUALITY}. */
  readonly quality!: Uint8Array
  /** 1 if the receiver declared the fix valid (NMEA status A), else 0. */
  readonly valid!: Uint8Array

  /** Sparse attributes of a row are a chain: `attributeFirst[row]`, then `attributeNext[i]`, until −1. */
  readonly attributeFirst!: Int32Array
  readonly attributeLast!: Int32Array
  attributeNext!: Int32Array
  /** Index in `keys`. */
  attributeKey!: Uint16Array
  /** One of {@link ATTRIBUTE_KIND}. */
  attributeKind!: Uint8Array
  attributeValue!: Float64Array
  /** Sparse attributes in use. */
  attributeCount = 0

  protected rows: ArrayBuffer
  protected attributes!: ArrayBuffer
  /** The columns of {@link F64_COLUMNS} and {@link U8_COLUMNS} in their order. */
  protected f64!: Float64Array[]
  protected u8!: Uint8Array[]

  /** @param capacity Rows before the columns grow; a multiple of 8 keeps every column aligned. */
  constructor(capacity: number, rows?: ArrayBuffer, attributes?: ArrayBuffer) {
    if (capacity % 8 !== 0) throw new RangeError(`capacity must be a multiple of 8, got ${capacity}`)
    this.capacity = capacity
    this.rows = rows ?? new ArrayBuffer(capacity * ROW_BYTES)
    this.layRows()
    this.useAttributes(attributes ?? new ArrayBuffer(capacity * 8 * ATTRIBUTE_BYTES))
    if (rows === undefined) this.clearColumns(0, capacity)
  }

  /** Doubles the room for rows. @throws RangeError beyond {@link ROWS_MAX}. */
  protected growRows(): void {
    const capacity = this.capacity * 2
    if (capacity > ROWS_MAX) throw new RangeError(`more than ${ROWS_MAX} rows in a batch`)
    const columns = this as unknown as Record<string, Float64Array>
    const before = COLUMNS.map((name) => columns[name]!)
    this.capacity = capacity
    this.rows = new ArrayBuffer(capacity * ROW_BYTES)
    this.layRows()
    for (let i = 0; i < COLUMNS.length; i++) columns[COLUMNS[i]!]!.set(before[i]!)
    this.clearColumns(this.length, capacity)
  }

  private layRows(): void {
    const columns = this as unknown as Record<string, unknown>
    let offset = 0
    const lay = <Column>(names: readonly string[], View: ViewConstructor<Column>): Column[] =>
      names.map((name) => {
        const column = new View(this.rows, offset, this.capacity)
        columns[name] = column
        offset += this.capacity * View.BYTES_PER_ELEMENT
        return column
      })
    // Widest columns first, so that each column starts at a multiple of its element size.
    this.f64 = lay(F64_COLUMNS, Float64Array)
    lay(U32_COLUMNS, Uint32Array)
    lay(I32_COLUMNS, Int32Array)
    lay(U16_COLUMNS, Uint16Array)
    this.u8 = lay(U8_COLUMNS, Uint8Array)
  }

  /** Doubles the room for sparse attributes. */
  protected growAttributes(): void {
    const { attributeValue, attributeNext, attributeKey, attributeKind } = this
    this.useAttributes(new ArrayBuffer(this.attributes.byteLength * 2))
    this.attributeValue.set(attributeValue)
    this.attributeNext.set(attributeNext)
    this.attributeKey.set(attributeKey)
    this.attributeKind.set(attributeKind)
  }

  private useAttributes(buffer: ArrayBuffer): void {
    const capacity = buffer.byteLength / ATTRIBUTE_BYTES
    this.attributes = buffer
    this.attributeValue = new Float64Array(buffer, 0, capacity)
    this.attributeNext = new Int32Array(buffer, capacity * 8, capacity)
    this.attributeKey = new Uint16Array(buffer, capacity * 12, capacity)
    this.attributeKind = new Uint8Array(buffer, capacity * 14, capacity)
  }

  /** Sets rows `[start, end)` to "not reported". */
  protected clearColumns(start: number, end: number): void {
    const columns = this as unknown as Record<string, Float64Array>
    for (const name of F64_COLUMNS) columns[name]!.fill(Number.NaN, start, end)
    for (const name of U32_COLUMNS) columns[name]!.fill(0, start, end)
    for (const name of I32_COLUMNS) columns[name]!.fill(-1, start, end)
    this.decoder.fill(0, start, end)
    this.quality.fill(0, start, end)
    this.valid.fill(0, start, end)
    this.ignition.fill(BOOLEAN_UNKNOWN, start, end)
    this.motion.fill(BOOLEAN_UNKNOWN, start, end)
  }
}

type ViewConstructor<Column> = {
  new (buffer: ArrayBuffer, byteOffset: number, length: number): Column
  readonly BYTES_PER_ELEMENT: number
}
