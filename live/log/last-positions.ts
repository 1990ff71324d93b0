/**
 * Last position of every device, as a log: rows stand in the order in which they became last ones, and a row is
 * superseded when a newer one of its device is appended behind it. So "everything since row n" is a walk from n to
 * the end that passes over superseded rows: from 0 it is a snapshot, from the end of the former tick it is what is
 * live, and from where a slow client stopped it is the conflated rest. One cursor a subscription is all the state that
 * these three need.
 *
 * When the log is full it is written anew without superseded rows, and cursors into it are renumbered.
 *
 * Devices have slots, dense small numbers, so that what is known of a device stands in columns. A slot is not given
 * to another device: a list of slots that a subscription holds never comes to mean somebody else's device.
 */
import { PositionBatch, transferables } from '../../schemas/position-batch.ts'
import { type StreamRow, streamRowOf } from '../../schemas/stream.ts'
import { discard } from '../discard.ts'
import { STREAM_FORMATS, type StreamFormat } from '../format/stream-format.ts'

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
  /** By format and row: the row encoded, once somebody asked for it. */
  private encoded: (string | undefined)[][]

  private readonly slots = new Map<number, number>()
  private slotCount = 0
  /** By slot: row of the last position, or {@link NO_ROW}. */
  private rowOf = new Int32Array(SLOTS_MIN).fill(NO_ROW)
  /** By slot: organisation, negative while the device is disabled, {@link UNKNOWN_OWNER} until the registry tells. */
  private ownerOf = new Int32Array(SLOTS_MIN)
  /** By slot: fix time of the last position, ms UTC. */
  private newestMs = new Float64Array(SLOTS_MIN)
  /** By slot: row in the batch that is being appended, {@link NO_ROW} between batches. */
  private newestInBatch = new Int32Array(SLOTS_MIN).fill(NO_ROW)

  private readonly onRenumber: (newRow: (row: number) => number) => void

  /**
   * @param onRenumber Called when rows got other numbers; `newRow` also takes the end of the log.
   * @param rowsMin Room for rows at least, a multiple of 8.
   */
  constructor(onRenumber: (newRow: (row: number) => number) => void, rowsMin = ROWS_MIN) {
    this.onRenumber = onRenumber
    this.rowsMin = rowsMin
    this.log = new PositionBatch(rowsMin)
    this.slotOfRow = new Int32Array(rowsMin)
    this.encoded = encodedRows(rowsMin)
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
   * Appends of each device the newest row, if it is newer than the last one. Doubtful rows are not live state. Rows that
   * came late (the device was out of reach, and sends its memory) are stored and found in history, but are not last
   * positions, and so are not published; nor are rows that others of the same batch supersede.
   *
   * @param unknown Takes the ids of devices that the registry has not told of: their rows are kept, seen by nobody.
   */
  append(batch: PositionBatch, unknown: Set<number>): void {
    const slots = this.findNewest(batch, unknown)
    this.makeRoom(slots.length)
    const rows: number[] = []
    for (const slot of slots) {
      if (this.rowOf[slot] !== NO_ROW) this.forget(this.rowOf[slot]!)
      this.rowOf[slot] = this.log.length + rows.length
      this.slotOfRow[this.rowOf[slot]!] = slot
      rows.push(this.newestInBatch[slot]!)
      this.newestInBatch[slot] = NO_ROW
    }
    this.log.appendRows(batch, rows)
  }

  /**
   * Finds the rows that become last ones, and leaves them in `newestInBatch`.
   * @returns The slots that have one.
   */
  private findNewest(batch: PositionBatch, unknown: Set<number>): number[] {
    const slots: number[] = []
    for (let row = 0; row < batch.length; row++) {
      if (batch.quality[row] !== 0) continue
      const slot = this.slotOf(batch.device[row]!, unknown)
      const fixTimeMs = batch.fixTimeMs[row]!
      const before = this.newestInBatch[slot]!
      const last = before === NO_ROW ? this.rowOf[slot]! : before
      if (last !== NO_ROW) {
        const newestMs = this.newestMs[slot]!
        if (!(fixTimeMs >= newestMs)) continue
        const lastOf = before === NO_ROW ? this.log : batch
        if (fixTimeMs === newestMs && !digestIsGreater(batch, row, lastOf, last)) continue
      }
      if (before === NO_ROW) slots.push(slot)
      this.newestInBatch[slot] = row
      this.newestMs[slot] = fixTimeMs
    }
    return slots
  }

  /**
   * Takes what the registry says of a device. A position that comes into somebody's sight by this is appended anew.
   * @returns The move, if anybody sees the device now who did not, or the other way round.
   */
  setDevice({ id, organizationId, disabled }: LiveDevice): Move | undefined {
    const slot = this.slots.get(id) ?? this.addSlot(id)
    const from = seenBy(this.ownerOf[slot]!)
    this.ownerOf[slot] = disabled ? -organizationId : organizationId
    const to = seenBy(this.ownerOf[slot])
    if (from === to) return undefined
    if (to !== null && this.rowOf[slot] !== NO_ROW) {
      this.makeRoom(1)
      const row = this.rowOf[slot]!
      this.slotOfRow[this.log.length] = slot
      this.rowOf[slot] = this.log.length
      this.log.appendRows(this.log, [row])
      this.forget(row)
    }
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
    if (this.rowOf[slot] !== row) return false
    const owner = this.ownerOf[slot]!
    return organizationId === null ? owner > UNKNOWN_OWNER : owner === organizationId
  }

  /**
   * Slot of a device that something is told of, made where there is none.
   * @param unknown Takes the id if the registry has not told of the device.
   */
  slotOf(device: number, unknown: Set<number>): number {
    const slot = this.slots.get(device) ?? this.addSlot(device)
    if (this.ownerOf[slot] === UNKNOWN_OWNER) unknown.add(device)
    return slot
  }

  /** Whether the organisation sees the device in the slot, or it is not known yet whose that is. */
  mayBeSeenBy(organizationId: number, slot: number): boolean {
    const owner = this.ownerOf[slot]!
    return owner === organizationId || owner === UNKNOWN_OWNER
  }

  /** Row of the last position in the slot, −1 if it has none. */
  rowInSlot(slot: number): number {
    return this.rowOf[slot]!
  }

  /** Time of receipt, ms UTC. */
  receivedMs(row: number): number {
    return this.log.receivedMs[row]!
  }

  row(row: number): StreamRow {
    return streamRowOf(this.log, row)
  }

  /** The row in the given format, encoded when it is first asked for. */
  encodedRow(row: number, format: StreamFormat): string {
    const rows = this.encoded[format.index]!
    rows[row] ??= format.encodeRow(this.row(row))
    return rows[row]
  }

  private addSlot(device: number): number {
    const slot = this.slotCount++
    if (slot === this.rowOf.length) {
      this.rowOf = grown(this.rowOf, new Int32Array(slot * 2).fill(NO_ROW))
      this.ownerOf = grown(this.ownerOf, new Int32Array(slot * 2))
      this.newestMs = grown(this.newestMs, new Float64Array(slot * 2))
      this.newestInBatch = grown(this.newestInBatch, new Int32Array(slot * 2).fill(NO_ROW))
    }
    this.slots.set(device, slot)
    return slot
  }

  /** Frees what was encoded of a superseded row. */
  private forget(row: number): void {
    for (const rows of this.encoded) rows[row] = undefined
  }

  /** Writes the log anew without superseded rows, if `count` more do not fit. */
  private makeRoom(count: number): void {
    const from = this.log
    if (from.length + count <= from.capacity) return
    const kept: number[] = []
    const newRow = new Uint32Array(from.length + 1)
    for (let row = 0; row < from.length; row++) {
      newRow[row] = kept.length
      if (this.isLast(row)) kept.push(row)
    }
    newRow[from.length] = kept.length
    // As much again as is kept: so a row is copied once more on average, whatever the number of devices.
    const capacity = Math.max(this.rowsMin, Math.ceil((2 * (kept.length + count)) / 8) * 8)
    const to = new PositionBatch(capacity)
    to.appendRows(from, kept)
    const slotOfRow = new Int32Array(capacity)
    const encoded = encodedRows(capacity)
    for (let at = 0; at < kept.length; at++) {
      slotOfRow[at] = this.slotOfRow[kept[at]!]!
      for (let index = 0; index < encoded.length; index++) {
        encoded[index]![at] = this.encoded[index]![kept[at]!]
      }
    }
    for (let slot = 0; slot < this.slotCount; slot++) {
      if (this.rowOf[slot] !== NO_ROW) this.rowOf[slot] = newRow[this.rowOf[slot]!]!
    }
    this.log = to
    this.slotOfRow = slotOfRow
    this.encoded = encoded
    discard(transferables(from.toMessage()))
    this.onRenumber((row) => newRow[row]!)
  }

  private isLast(row: number): boolean {
    return this.rowOf[this.slotOfRow[row]!] === row
  }
}

/** Of full length from the start: V8 keeps an array that grows with gaps as a slow dictionary. */
function encodedRows(capacity: number): (string | undefined)[][] {
  return STREAM_FORMATS.map(() => new Array<string | undefined>(capacity))
}

function seenBy(owner: number): number | null {
  return owner > UNKNOWN_OWNER ? owner : null
}

/** Of two records of one moment the database, too, shows the one with the greater digest, a signed 64-bit number. */
function digestIsGreater(batch: PositionBatch, row: number, other: PositionBatch, last: number): boolean {
  const high = (batch.digestHigh[row]! | 0) - (other.digestHigh[last]! | 0)
  return high !== 0 ? high > 0 : batch.digestLow[row]! > other.digestLow[last]!
}

function grown<T extends Int32Array | Float64Array>(from: T, to: T): T {
  to.set(from)
  return to
}
