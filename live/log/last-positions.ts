/**
 * Last position of every device, as a log: rows stand in the order in which they became last ones, and a row is
 * superseded when a newer one of its device is appended behind it. So "everything since" is a walk to the end that passes
 * over superseded rows: from the start it is a snapshot, and from where a slow client stopped it is the conflated rest.
 *
 * A row has the number that it has as an item of the commit log, greater than those of all rows before it: where a walk
 * stands is said by such a number. When the log is full it is written anew without superseded rows.
 *
 * Devices have slots, dense small numbers, so that what is known of a device stands in columns. A slot is not given
 * to another device: a list of slots that a subscription holds never comes to mean somebody else's device.
 */

import { discard } from '../../schemas/discard.ts'
import { PositionBatch, transferables } from '../../schemas/position-batch.ts'
import type { Encoding } from '../format/encoding.ts'
import { behindItem, type LogCursor, wholeCommit } from './cursor.ts'

/** Rows that the log has room for at least: a few batches, so that it is not written anew for each. */
const ROWS_MIN = 16_384
const SLOTS_MIN = 1_024
const NO_ROW = -1
const UNKNOWN_OWNER = 0

/** Whom a device belongs to, as the registry has it. */
export interface LiveDevice {
  readonly id: number
  readonly organizationId: number
  /** Nothing of a disabled device is shown. */
  readonly disabled: boolean
}

/** A device that came into or went out of sight: organisation before and after, null = none sees it. */
export interface Move {
  readonly device: number
  readonly slot: number
  readonly from: number | null
  readonly to: number | null
}

export class LastPositions {
  private readonly rowsMin: number
  private log: PositionBatch
  /** By row. */
  private slotOfRow: Int32Array
  /** By row: its number among the items of the commit log, ascending. */
  private itemOfRow: Float64Array
  /** By row: sequence of its commit; NaN where it was read at the start. Negative where it was shown again behind that. */
  private sequenceOfRow: Float64Array
  /** By encoding and row: the row encoded, once somebody asked for it. */
  private encoded: ((string | undefined)[] | undefined)[] = []

  private readonly slots = new Map<number, number>()
  private slotCount = 0
  /** By slot. */
  private deviceOf = new Uint32Array(SLOTS_MIN)
  /** By slot: row of the last position, or {@link NO_ROW}. */
  private rowOf = new Int32Array(SLOTS_MIN).fill(NO_ROW)
  /** By slot: organisation, negative while the device is disabled, {@link UNKNOWN_OWNER} until the registry tells. */
  private ownerOf = new Int32Array(SLOTS_MIN)
  /** By slot: fix time of the last position, ms UTC. */
  private newestMs = new Float64Array(SLOTS_MIN)
  /** By slot: row in the batch that is being appended, {@link NO_ROW} between batches. */
  private newestInBatch = new Int32Array(SLOTS_MIN).fill(NO_ROW)

  /** @param rowsMin Room for rows at least, a multiple of 8. */
  constructor(rowsMin = ROWS_MIN) {
    this.rowsMin = rowsMin
    this.log = new PositionBatch(rowsMin)
    this.slotOfRow = new Int32Array(rowsMin)
    this.itemOfRow = new Float64Array(rowsMin)
    this.sequenceOfRow = new Float64Array(rowsMin)
  }

  /** End of the log: the number that the next row gets. */
  get end(): number {
    return this.log.length
  }

  /** Devices known, with or without a position. */
  get deviceCount(): number {
    return this.slots.size
  }

  /**
   * Appends of each device the newest row, if it is newer than the last one. Doubtful rows are not live state.
   * @param slots By row of the batch.
   * @param firstItem Number of row 0 of the batch among the items of the log.
   * @param sequence Of the commit; NaN where the rows were read at the start.
   */
  append(
    batch: PositionBatch,
    slots: Int32Array,
    from: number,
    to: number,
    firstItem: number,
    sequence: number,
  ): void {
    const found = this.findNewest(batch, slots, from, to)
    this.makeRoom(found.length)
    const rows: number[] = []
    for (const slot of found) {
      const row = this.newestInBatch[slot]!
      this.newestInBatch[slot] = NO_ROW
      this.place(slot, this.log.length + rows.length, firstItem + row, sequence)
      rows.push(row)
    }
    this.log.appendRows(batch, rows)
  }

  /** The last position in the slot is shown again, under the number of an item that is the newest. */
  showAgain(slot: number, item: number, sequence: number): void {
    this.makeRoom(1)
    const row = this.rowOf[slot]!
    this.place(slot, this.log.length, item, -sequence)
    this.log.appendRows(this.log, [row])
  }

  private place(slot: number, row: number, item: number, sequence: number): void {
    if (this.rowOf[slot] !== NO_ROW) this.forget(this.rowOf[slot]!)
    this.rowOf[slot] = row
    this.slotOfRow[row] = slot
    this.itemOfRow[row] = item
    this.sequenceOfRow[row] = sequence
  }

  /**
   * Finds the rows that become last ones, and leaves them in `newestInBatch`.
   * @returns The slots that have one, in the order of these rows.
   */
  private findNewest(batch: PositionBatch, slots: Int32Array, from: number, to: number): number[] {
    const found: number[] = []
    for (let row = from; row < to; row++) {
      if (batch.quality[row] !== 0) continue
      const slot = slots[row]!
      const fixTimeMs = batch.fixTimeMs[row]!
      const before = this.newestInBatch[slot]!
      const last = before === NO_ROW ? this.rowOf[slot]! : before
      if (last !== NO_ROW) {
        const newestMs = this.newestMs[slot]!
        if (!(fixTimeMs >= newestMs)) continue
        const lastOf = before === NO_ROW ? this.log : batch
        if (fixTimeMs === newestMs && !digestIsGreater(batch, row, lastOf, last)) continue
      }
      if (before === NO_ROW) found.push(slot)
      this.newestInBatch[slot] = row
      this.newestMs[slot] = fixTimeMs
    }
    return found.sort((a, b) => this.newestInBatch[a]! - this.newestInBatch[b]!)
  }

  /**
   * Takes what the registry says of a device.
   * @returns The move, if anybody sees the device now who did not, or the other way round.
   */
  setDevice({ id, organizationId, disabled }: LiveDevice): Move | undefined {
    const slot = this.slots.get(id) ?? this.addSlot(id)
    const from = seenBy(this.ownerOf[slot]!)
    this.ownerOf[slot] = disabled ? -organizationId : organizationId
    const to = seenBy(this.ownerOf[slot])
    if (from === to) return undefined
    return { device: id, slot, from, to }
  }

  /** Takes a device out that is deleted. */
  removeDevice(device: number): Move | undefined {
    const slot = this.slots.get(device)
    if (slot === undefined) return undefined
    this.slots.delete(device)
    const from = seenBy(this.ownerOf[slot]!)
    this.ownerOf[slot] = UNKNOWN_OWNER
    if (this.rowOf[slot] !== NO_ROW) this.forget(this.rowOf[slot]!)
    this.rowOf[slot] = NO_ROW
    return from === null ? undefined : { device, slot, from, to: null }
  }

  devices(): IterableIterator<number> {
    return this.slots.keys()
  }

  /**
   * Slot of a device that belongs to the organisation, also while it is disabled; null = to any.
   * @returns undefined if there is no such device.
   */
  slotIn(organizationId: number | null, device: number): number | undefined {
    const slot = this.slots.get(device)
    if (slot === undefined) return undefined
    const owner = Math.abs(this.ownerOf[slot]!)
    if (owner === UNKNOWN_OWNER) return undefined
    return organizationId === null || owner === organizationId ? slot : undefined
  }

  /** Whether the row is the last of its device, and the organisation sees the device; null = sees all. */
  isSeen(row: number, organizationId: number | null): boolean {
    const slot = this.slotOfRow[row]!
    return this.rowOf[slot] === row && this.sees(organizationId, slot)
  }

  /** Whether the organisation sees the device in the slot; null = sees all that belong to one. */
  sees(organizationId: number | null, slot: number): boolean {
    const owner = this.ownerOf[slot]!
    return organizationId === null ? owner > UNKNOWN_OWNER : owner === organizationId
  }

  /** Slots of all devices that the organisation sees. */
  *slotsSeenBy(organizationId: number | null): Iterable<number> {
    for (const slot of this.slots.values()) if (this.sees(organizationId, slot)) yield slot
  }

  /** Organisation that sees the device in the slot; 0 or less = none. */
  ownerIn(slot: number): number {
    return this.ownerOf[slot]!
  }

  /** Whether the item of the log is the last position in the slot. */
  isNewest(slot: number, item: number): boolean {
    const row = this.rowOf[slot]!
    return row !== NO_ROW && this.itemOfRow[row] === item
  }

  /** Places of all last positions, degrees. */
  *places(): Iterable<readonly [slot: number, latitudeDeg: number, longitudeDeg: number]> {
    for (let slot = 0; slot < this.slotCount; slot++) {
      const row = this.rowOf[slot]!
      if (row !== NO_ROW) yield [slot, this.log.latitudeDeg[row]!, this.log.longitudeDeg[row]!]
    }
  }

  /** Whether the registry has told of the device. */
  isKnown(device: number): boolean {
    const slot = this.slots.get(device)
    return slot !== undefined && this.ownerOf[slot] !== UNKNOWN_OWNER
  }

  /** Slot of a device that something is told of, made where there is none. */
  slotOf(device: number): number {
    return this.slots.get(device) ?? this.addSlot(device)
  }

  /** Device in the slot, also of one that is gone. */
  deviceIn(slot: number): number {
    return this.deviceOf[slot]!
  }

  /** Row of the last position in the slot, −1 if it has none. */
  rowInSlot(slot: number): number {
    return this.rowOf[slot]!
  }

  /** Slot of the device whose row has that number as an item. */
  slotOfItem(item: number): number {
    return this.slotOfRow[this.rowFrom(item)]!
  }

  /** Number of the row as an item of the commit log. */
  itemOf(row: number): number {
    return this.itemOfRow[row]!
  }

  /** First row whose item has that number or a greater one. */
  rowFrom(item: number): number {
    let from = 0
    let to = this.log.length
    while (from < to) {
      const middle = (from + to) >>> 1
      if (this.itemOfRow[middle]! < item) from = middle + 1
      else to = middle
    }
    return from
  }

  /** Columns of the rows; they move when the log is written anew. */
  get batch(): PositionBatch {
    return this.log
  }

  /** Cursor of a message that ends with the row; undefined where its commit is not known. */
  cursorBehind(row: number): LogCursor | undefined {
    const sequence = this.sequenceOfRow[row]!
    if (Number.isNaN(sequence)) return undefined
    return sequence <= 0 ? wholeCommit(-sequence) : behindItem(sequence, this.log, row)
  }

  /** The row in the given encoding, encoded when it is first asked for. */
  text(row: number, encoding: Encoding): string {
    // Of full length from the start: V8 keeps an array that grows with gaps as a slow dictionary.
    this.encoded[encoding.index] ??= new Array<string | undefined>(this.log.capacity)
    const rows = this.encoded[encoding.index]!
    rows[row] ??= encoding.encodePosition(this.log, row)
    return rows[row]
  }

  private addSlot(device: number): number {
    const slot = this.slotCount++
    if (slot === this.rowOf.length) {
      this.deviceOf = grown(this.deviceOf, new Uint32Array(slot * 2))
      this.rowOf = grown(this.rowOf, new Int32Array(slot * 2).fill(NO_ROW))
      this.ownerOf = grown(this.ownerOf, new Int32Array(slot * 2))
      this.newestMs = grown(this.newestMs, new Float64Array(slot * 2))
      this.newestInBatch = grown(this.newestInBatch, new Int32Array(slot * 2).fill(NO_ROW))
    }
    this.slots.set(device, slot)
    this.deviceOf[slot] = device
    return slot
  }

  /** Frees what was encoded of a superseded row. */
  private forget(row: number): void {
    for (const rows of this.encoded) if (rows !== undefined) rows[row] = undefined
  }

  /** Writes the log anew without superseded rows, if `count` more do not fit. */
  private makeRoom(count: number): void {
    const from = this.log
    if (from.length + count <= from.capacity) return
    const kept: number[] = []
    for (let row = 0; row < from.length; row++) if (this.isLast(row)) kept.push(row)
    // As much again as is kept: so a row is copied once more on average, whatever the number of devices.
    const capacity = Math.max(this.rowsMin, Math.ceil((2 * (kept.length + count)) / 8) * 8)
    const to = new PositionBatch(capacity)
    to.appendRows(from, kept)
    const slotOfRow = new Int32Array(capacity)
    const itemOfRow = new Float64Array(capacity)
    const sequenceOfRow = new Float64Array(capacity)
    const encoded = this.encoded.map((rows) => rows && new Array<string | undefined>(capacity))
    for (let at = 0; at < kept.length; at++) {
      const row = kept[at]!
      slotOfRow[at] = this.slotOfRow[row]!
      itemOfRow[at] = this.itemOfRow[row]!
      sequenceOfRow[at] = this.sequenceOfRow[row]!
      encoded.forEach((rows, index) => {
        if (rows !== undefined) rows[at] = this.encoded[index]![row]
      })
      this.rowOf[slotOfRow[at]!] = at
    }
    this.log = to
    this.slotOfRow = slotOfRow
    this.itemOfRow = itemOfRow
    this.sequenceOfRow = sequenceOfRow
    this.encoded = encoded
    discard(transferables(from.toMessage()))
  }

  private isLast(row: number): boolean {
    return this.rowOf[this.slotOfRow[row]!] === row
  }
}

function seenBy(owner: number): number | null {
  return owner > UNKNOWN_OWNER ? owner : null
}

/** Of two records of one moment the database, too, shows the one with the greater digest, a signed 64-bit number. */
function digestIsGreater(batch: PositionBatch, row: number, other: PositionBatch, last: number): boolean {
  const high = (batch.digestHigh[row]! | 0) - (other.digestHigh[last]! | 0)
  return high !== 0 ? high > 0 : batch.digestLow[row]! > other.digestLow[last]!
}

function grown<T extends Int32Array | Uint32Array | Float64Array>(from: T, to: T): T {
  to.set(from)
  return to
}
