/**
 * Column batch of positions: the one shape in which positions cross every boundary of the engine.
 *
 * The row columns share one ArrayBuffer and the sparse attributes another, so a thread hands a batch over by
 * transfer (no copy, no clone of objects) and a reader walks a column without touching objects. Row `i` of
 * every column is the same position. Units are in the column names.
 */
import type { AttributeValue } from './attributes.ts'
import { READINGS } from './attributes.ts'
import {
  ATTRIBUTE_KIND,
  F64_COLUMNS,
  PositionColumns,
  U8_COLUMNS,
  U16_COLUMNS,
  U32_COLUMNS,
} from './position-columns.ts'
import { QUALITY } from './quality.ts'

export { ATTRIBUTE_KIND, BOOLEAN_UNKNOWN, ROWS_MAX } from './position-columns.ts'

/** Readings by their key: place of their column among those of its type. */
const NUMBER_READINGS = readings('number', F64_COLUMNS)
const BOOLEAN_READINGS = readings('boolean', U8_COLUMNS)
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

export class PositionBatch extends PositionColumns {
  /** Names of the sparse attributes that this batch holds. */
  keys: string[] = []
  /** Strings of this batch; the first is empty and stands for "none". */
  texts: string[] = ['']

  private readonly keyIds = new Map<string, number>()
  /** Devices of rows that do not belong to the session's device (gateways): row to unique id. */
  private uniqueIds: Map<number, string> | undefined
  /** Last of these rows; −1 if there is none. */
  private lastNamedRow = -1

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
    return this.lastNamedRow >= start
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
    this.lastNamedRow = Math.max(this.lastNamedRow, row)
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
        const column = NUMBER_READINGS.get(key)
        // By its number, not its name: so a record of Teltonika decodes in 0.42 µs instead of 0.61.
        if (column !== undefined) this.f64[column]![row] = value
        else this.append(row, key, ATTRIBUTE_KIND.number, value)
        return
      }
      case 'boolean': {
        const column = BOOLEAN_READINGS.get(key)
        if (column !== undefined) this.u8[column]![row] = value ? 1 : 0
        else this.append(row, key, ATTRIBUTE_KIND.boolean, value ? 1 : 0)
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

  /**
   * Sets all sparse attributes of a row at once, as they are stored: JSON text of an object, which is parsed only where
   * somebody looks at it.
   */
  setObject(row: number, json: string): void {
    this.append(row, '', ATTRIBUTE_KIND.object, this.addText(json))
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
    this.clearColumns(mark.rows, this.length)
    while (this.lastNamedRow >= mark.rows) {
      this.uniqueIds!.delete(this.lastNamedRow)
      do this.lastNamedRow--
      while (this.lastNamedRow >= 0 && !this.uniqueIds!.has(this.lastNamedRow))
    }
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
    const rows: number[] = []
    for (let row = start; row < end; row++) rows.push(row)
    this.appendRows(from, rows)
  }

  /**
   * Appends the given rows of another batch with their attributes.
   * @throws RangeError beyond {@link ROWS_MAX}.
   */
  appendRows(from: PositionBatch, rows: readonly number[]): void {
    const start = this.length
    while (start + rows.length > this.capacity) this.growRows()
    // A loop for each type: one that meets several types of array takes 12 % longer.
    for (const name of F64_COLUMNS) {
      const to = this[name]
      const source = from[name]
      for (let i = 0; i < rows.length; i++) to[start + i] = source[rows[i]!]!
    }
    for (const name of U32_COLUMNS) {
      const to = this[name]
      const source = from[name]
      for (let i = 0; i < rows.length; i++) to[start + i] = source[rows[i]!]!
    }
    for (const name of U16_COLUMNS) {
      const to = this[name]
      const source = from[name]
      for (let i = 0; i < rows.length; i++) to[start + i] = source[rows[i]!]!
    }
    for (const name of U8_COLUMNS) {
      const to = this[name]
      const source = from[name]
      for (let i = 0; i < rows.length; i++) to[start + i] = source[rows[i]!]!
    }
    for (const row of rows) {
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
    const before = this.texts[this.alarm[row]!]!
    // Several alarms of one message are one text, comma-separated, and each of them once: a frame has room for
    // thousands, and every text that one of them made longer would cross to the shard.
    if (before === '') this.alarm[row] = this.addText(alarm)
    else if (!before.split(',').includes(alarm)) this.alarm[row] = this.addText(`${before},${alarm}`)
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
}

/** Transfer list of {@link PositionBatch.toMessage}. */
export function transferables(message: PositionBatchMessage): ArrayBuffer[] {
  return [message.rows, message.attributes]
}

function readings(type: 'number' | 'boolean', columns: readonly string[]): ReadonlyMap<string, number> {
  const ofType = READINGS.filter((reading) => reading.type === type)
  return new Map(ofType.map(({ key, column }) => [key, columns.indexOf(column)]))
}
