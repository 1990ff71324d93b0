/**
 * Column batch of positions: the one shape in which positions cross every boundary of the engine.
 *
 * The row columns share one ArrayBuffer and the sparse attributes another, so a thread hands a batch over by
 * transfer (no copy, no clone of objects) and a reader walks a column without touching objects. Row `i` of
 * every column is the same position. Units are in the column names.
 */
import type { AttributeValue, BooleanReadingColumn, NumberReadingColumn } from './attributes.ts'
import { READINGS } from './attributes.ts'
import { QUALITY } from './quality.ts'

/** In `ignition` and `motion`: not reported. */
export const BOOLEAN_UNKNOWN = 255

/** Columns of 8 bytes; the first nine are written by `add` or the engine, the others are NaN until set. */
const F64_COLUMNS = [
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
const U32_COLUMNS = ['device', 'digestHigh', 'digestLow', 'recordStart', 'recordEnd', 'alarm'] as const
const I32_COLUMNS = ['attributeFirst', 'attributeLast'] as const
const U8_COLUMNS = ['quality', 'valid', 'ignition', 'motion'] as const

const COLUMNS = [...F64_COLUMNS, ...U32_COLUMNS, ...I32_COLUMNS, ...U8_COLUMNS]

/** Most rows of one batch. */
export const ROWS_MAX = 65_536

/** Bytes of one row over all row columns. */
const ROW_BYTES = F64_COLUMNS.length * 8 + (U32_COLUMNS.length + I32_COLUMNS.length) * 4 + U8_COLUMNS.length

/** Bytes of one sparse attribute: value f64, next i32, key u16, kind u8, padded to 16. */
const ATTRIBUTE_BYTES = 16

/** What `attributeValue` holds: a number, 0 or 1, or the index of a string or of JSON text in `texts`. */
export const ATTRIBUTE_KIND = { number: 0, boolean: 1, text: 2, json: 3 } as const

/** Reading keys come first in the key table, so that one look-up tells column from sparse attribute. */
const READING_ID: ReadonlyMap<string, number> = new Map(READINGS.map((reading, id) => [reading.key, id]))
const NO_TEXT = 0

/** A batch as it crosses threads: post it with `transfer` as the transfer list. */
export interface PositionBatchMessage {
  readonly capacity: number
  readonly length: number
  readonly rows: ArrayBuffer
  readonly attributes: ArrayBuffer
  readonly attributeCount: number
  readonly keys: string[]
  readonly texts: string[]
}

/** See {@link PositionBatch.mark}. */
export interface PositionBatchMark {
  readonly rows: number
  readonly attributes: number
  readonly keys: number
  readonly texts: number
}

export class PositionBatch {
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
  /** Names of the sparse attributes that this batch holds. */
  keys: string[] = []
  /** Strings of this batch; the first is empty and stands for "none". */
  texts: string[] = ['']

  private readonly keyIds = new Map<string, number>()
  private rows: ArrayBuffer
  private attributes!: ArrayBuffer
  /** Devices of rows that do not belong to the session's device (gateways): row to unique id. */
  private uniqueIds: Map<number, string> | undefined

  /** @param capacity Rows before the columns grow; a multiple of 8 keeps every column aligned. */
  constructor(capacity: number, rows?: ArrayBuffer, attributes?: ArrayBuffer) {
    if (capacity % 8 !== 0) throw new RangeError(`capacity must be a multiple of 8, got ${capacity}`)
    this.capacity = capacity
    this.rows = rows ?? new ArrayBuffer(capacity * ROW_BYTES)
    this.layRows()
    this.useAttributes(attributes ?? new ArrayBuffer(capacity * 8 * ATTRIBUTE_BYTES))
    if (rows === undefined) this.clear(0, capacity)
  }

  /**
   * Appends a position whose other columns are all "not reported"; set those by row. A time that is no time or a
   * place off the globe is not kept: the row is marked with {@link QUALITY} instead, since one bad record must not
   * cost its neighbours in a frame.
   *
   * @param fixTimeMs Time of the fix, ms UTC, also taken as the device's time.
   * @returns Row of the new position.
   * @throws RangeError beyond {@link ROWS_MAX}.
   */
  add(fixTimeMs: number, latitudeDeg: number, longitudeDeg: number): number {
    const row = this.addWithoutFix(fixTimeMs)
    // Written so that NaN fails too.
    if (latitudeDeg >= -90 && latitudeDeg <= 90 && longitudeDeg >= -180 && longitudeDeg <= 180) {
      this.latitudeDeg[row] = latitudeDeg
      this.longitudeDeg[row] = longitudeDeg
      this.fixTimeMs[row] = this.deviceTimeMs[row]!
      this.valid[row] = 1
      this.quality[row]! &= ~QUALITY.noPlace
    }
    return row
  }

  /**
   * Appends a message without a place (status, cell towers only). The engine gives it the device's time, or else
   * the time of receipt, as its `fixTimeMs`.
   *
   * @param deviceTimeMs Clock of the device, ms UTC; NaN if the message has none.
   * @throws RangeError beyond {@link ROWS_MAX}.
   */
  addWithoutFix(deviceTimeMs = Number.NaN): number {
    const row = this.length
    if (row === this.capacity) this.growRows()
    this.length = row + 1
    this.quality[row] = QUALITY.noPlace
    // Beyond ±8.64e15 ms there is no Date; before 1970 and after 2106 there is no tracker.
    if (deviceTimeMs >= 0 && deviceTimeMs < 4_294_967_296_000) this.deviceTimeMs[row] = deviceTimeMs
    return row
  }

  /** Whether a row from `start` on belongs to another device than the session's. */
  namesDevices(start: number): boolean {
    if (this.uniqueIds === undefined || this.uniqueIds.size === 0) return false
    for (const row of this.uniqueIds.keys()) if (row >= start) return true
    return false
  }

  /** Marks the receiver's own verdict on the fix. */
  setValid(row: number, valid: boolean): void {
    this.valid[row] = valid ? 1 : 0
    if (valid) this.quality[row]! &= ~QUALITY.invalidFix
    else if ((this.quality[row]! & QUALITY.noPlace) === 0) this.quality[row]! |= QUALITY.invalidFix
  }

  /** Says which bytes of the frame the row was read from, for frames with several records. */
  setRecord(row: number, start: number, end: number): void {
    this.recordStart[row] = start
    this.recordEnd[row] = end
  }

  /** Says that the row belongs to another device than the session's (a gateway reports for many). */
  setUniqueId(row: number, uniqueId: string): void {
    this.uniqueIds ??= new Map()
    this.uniqueIds.set(row, uniqueId)
  }

  /** Device of the row where {@link setUniqueId} named one. */
  uniqueIdOf(row: number): string | undefined {
    return this.uniqueIds?.get(row)
  }

  /**
   * Sets an attribute under a key of `vectors` (see schemas/attributes.ts). Readings go to their column.
   * `undefined`, NaN and infinities are "not reported" and are left out.
   */
  set(row: number, key: string, value: AttributeValue | undefined): void {
    switch (typeof value) {
      case 'number': {
        if (!Number.isFinite(value)) return
        const reading = READING_ID.get(key)
        if (reading !== undefined && READINGS[reading]!.type === 'number') {
          this[READINGS[reading]!.column as NumberReadingColumn][row] = value
        } else this.append(row, key, ATTRIBUTE_KIND.number, value)
        return
      }
      case 'boolean': {
        const reading = READING_ID.get(key)
        if (reading !== undefined && READINGS[reading]!.type === 'boolean') {
          this[READINGS[reading]!.column as BooleanReadingColumn][row] = value ? 1 : 0
        } else this.append(row, key, ATTRIBUTE_KIND.boolean, value ? 1 : 0)
        return
      }
      case 'string':
        if (key === 'alarm') this.addAlarm(row, value)
        else this.append(row, key, ATTRIBUTE_KIND.text, this.addText(value))
    }
  }

  /** Sets an attribute whose value is an object or array, given as JSON text. */
  setJson(row: number, key: string, value: object): void {
    this.append(row, key, ATTRIBUTE_KIND.json, this.addText(JSON.stringify(value)))
  }

  /** Where the batch stands now, to take back what a frame appends after it. */
  mark(): PositionBatchMark {
    return {
      rows: this.length,
      attributes: this.attributeCount,
      keys: this.keys.length,
      texts: this.texts.length,
    }
  }

  /** Takes back every row, attribute and string appended since `mark`. */
  rollback(mark: PositionBatchMark): void {
    this.clear(mark.rows, this.length)
    this.length = mark.rows
    this.attributeCount = mark.attributes
    this.texts.length = mark.texts
    for (const key of this.keys.splice(mark.keys)) this.keyIds.delete(key)
  }

  /** Empties the batch for reuse. */
  reset(): void {
    this.rollback({ rows: 0, attributes: 0, keys: 0, texts: 1 })
  }

  /**
   * Appends the rows `[start, end)` of another batch with their attributes.
   * @throws RangeError beyond {@link ROWS_MAX}.
   */
  appendFrom(from: PositionBatch, start: number, end: number): void {
    while (this.length + end - start > this.capacity) this.growRows()
    const mine = this as unknown as Record<string, Float64Array>
    const theirs = from as unknown as Record<string, Float64Array>
    for (const name of COPIED_COLUMNS) {
      const to = mine[name]!
      const source = theirs[name]!
      for (let row = start, at = this.length; row < end; row++, at++) to[at] = source[row]!
    }
    for (let row = start; row < end; row++) {
      const at = this.length++
      const uniqueId = from.uniqueIdOf(row)
      if (uniqueId !== undefined) this.setUniqueId(at, uniqueId)
      if (from.alarm[row] !== NO_TEXT) this.alarm[at] = this.addText(from.texts[from.alarm[row]!]!)
      for (let i = from.attributeFirst[row]!; i >= 0; i = from.attributeNext[i]!) {
        const kind = from.attributeKind[i]!
        const value = from.attributeValue[i]!
        this.append(
          at,
          from.keys[from.attributeKey[i]!]!,
          kind,
          kind >= ATTRIBUTE_KIND.text ? this.addText(from.texts[value]!) : value,
        )
      }
    }
  }

  /** The batch for another thread. It must not be used here afterwards; see {@link transferables}. */
  toMessage(): PositionBatchMessage {
    return {
      capacity: this.capacity,
      length: this.length,
      rows: this.rows,
      attributes: this.attributes,
      attributeCount: this.attributeCount,
      keys: this.keys,
      texts: this.texts,
    }
  }

  static fromMessage(message: PositionBatchMessage): PositionBatch {
    const batch = new PositionBatch(message.capacity, message.rows, message.attributes)
    batch.length = message.length
    batch.attributeCount = message.attributeCount
    batch.keys = message.keys
    batch.texts = message.texts
    message.keys.forEach((key, id) => {
      batch.keyIds.set(key, id)
    })
    return batch
  }

  private addAlarm(row: number, alarm: string): void {
    const before = this.alarm[row]!
    // Several alarms of one message are one text, comma-separated.
    this.alarm[row] = this.addText(before === NO_TEXT ? alarm : `${this.texts[before]},${alarm}`)
  }

  private addText(text: string): number {
    return this.texts.push(text) - 1
  }

  private append(row: number, key: string, kind: number, value: number): void {
    let id = this.keyIds.get(key)
    if (id === undefined) {
      id = this.keys.length
      if (id === 65_536) throw new RangeError('more than 65,536 attribute names in a batch')
      this.keys.push(key)
      this.keyIds.set(key, id)
    }
    const i = this.attributeCount
    if (i === this.attributeValue.length) this.growAttributes()
    this.attributeCount = i + 1
    this.attributeKey[i] = id
    this.attributeKind[i] = kind
    this.attributeValue[i] = value
    this.attributeNext[i] = -1
    const last = this.attributeLast[row]!
    if (last < 0) this.attributeFirst[row] = i
    else this.attributeNext[last] = i
    this.attributeLast[row] = i
  }

  private growRows(): void {
    const capacity = this.capacity * 2
    if (capacity > ROWS_MAX) throw new RangeError(`more than ${ROWS_MAX} rows in a batch`)
    const columns = this as unknown as Record<string, Float64Array>
    const before = COLUMNS.map((name) => columns[name]!)
    this.capacity = capacity
    this.rows = new ArrayBuffer(capacity * ROW_BYTES)
    this.layRows()
    for (let i = 0; i < COLUMNS.length; i++) columns[COLUMNS[i]!]!.set(before[i]!)
    this.clear(this.length, capacity)
  }

  private layRows(): void {
    const columns = this as unknown as Record<string, unknown>
    let offset = 0
    const lay = (names: readonly string[], View: ViewConstructor) => {
      for (const name of names) {
        columns[name] = new View(this.rows, offset, this.capacity)
        offset += this.capacity * View.BYTES_PER_ELEMENT
      }
    }
    // Widest columns first, so that each column starts at a multiple of its element size.
    lay(F64_COLUMNS, Float64Array)
    lay(U32_COLUMNS, Uint32Array)
    lay(I32_COLUMNS, Int32Array)
    lay(U8_COLUMNS, Uint8Array)
  }

  private growAttributes(): void {
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
  private clear(start: number, end: number): void {
    const columns = this as unknown as Record<string, Float64Array>
    for (const name of F64_COLUMNS) columns[name]!.fill(Number.NaN, start, end)
    for (const name of U32_COLUMNS) columns[name]!.fill(0, start, end)
    for (const name of I32_COLUMNS) columns[name]!.fill(-1, start, end)
    this.quality.fill(0, start, end)
    this.valid.fill(0, start, end)
    this.ignition.fill(BOOLEAN_UNKNOWN, start, end)
    this.motion.fill(BOOLEAN_UNKNOWN, start, end)
    if (this.uniqueIds !== undefined) for (let row = start; row < end; row++) this.uniqueIds.delete(row)
  }
}

/** Transfer list of {@link PositionBatch.toMessage}. */
export function transferables(message: PositionBatchMessage): ArrayBuffer[] {
  return [message.rows, message.attributes]
}

type ViewConstructor = {
  new (buffer: ArrayBuffer, byteOffset: number, length: number): unknown
  readonly BYTES_PER_ELEMENT: number
}

/** Columns that `appendFrom` copies as they are. */
const COPIED_COLUMNS = [
  ...F64_COLUMNS,
  'device',
  'digestHigh',
  'digestLow',
  'recordStart',
  'recordEnd',
  ...U8_COLUMNS,
] as const
