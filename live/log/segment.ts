/**
 * Some commits in the order in which they were stored: their undoubted rows, each followed by its events, as _items_.
 * The log in memory is a list of these, and a page that is read from storage is one.
 *
 * Items count from 0 within the segment. Within a commit rows stand in the order of their keys (device, fix time,
 * digest), and events behind them by their ids, here as in storage: so the last item that was sent says what follows,
 * whoever goes on with it.
 */
import type { GeofenceEvent } from '../../schemas/geofence-event.ts'
import type { LiveEvent } from '../../schemas/live-port.ts'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { ENCODINGS, type Encoding } from '../format/encoding.ts'
import { behindItem, compareKey, type LogCursor, wholeCommit } from './cursor.ts'

interface HeldEvent {
  /** Of the geofence. */
  readonly organizationId: number
  readonly event: GeofenceEvent
}

export class LogSegment {
  /** A row for each item; that of an event is empty. */
  readonly batch: PositionBatch
  /** By item: slot of its device. */
  slots: Int32Array
  /** By commit: its sequence, first item, and whether it shows rows again that are of other commits. */
  readonly sequences: number[] = []
  readonly starts: number[] = []
  private readonly again: boolean[] = []
  private readonly events = new Map<number, HeldEvent>()
  /** By encoding and item: what was encoded, once somebody asked for it. */
  private encoded: (string[] | undefined)[] = ENCODINGS.map(() => undefined)

  /** @param capacity Items that it has room for at first: a multiple of 8. */
  constructor(capacity: number) {
    this.batch = new PositionBatch(capacity)
    this.slots = new Int32Array(capacity)
  }

  /** Items. */
  get length(): number {
    return this.batch.length
  }

  /**
   * Appends a commit.
   * @param rows Of the batch, in the order of their keys; doubtful ones are left out.
   * @param slotOf Slot of a device.
   */
  append(
    sequence: number,
    batch: PositionBatch | null,
    rows: ArrayLike<number>,
    events: readonly LiveEvent[],
    slotOf: (device: number) => number,
    again = false,
  ): void {
    this.sequences.push(sequence)
    this.starts.push(this.length)
    this.again.push(again)
    if (batch !== null) {
      const undoubted: number[] = []
      for (let i = 0; i < rows.length; i++) if (batch.quality[rows[i]!] === 0) undoubted.push(rows[i]!)
      const first = this.length
      this.batch.appendRows(batch, undoubted)
      this.makeRoom()
      for (let i = first; i < this.length; i++) this.slots[i] = slotOf(this.batch.device[i]!)
    }
    for (const { organizationId, ...event } of events) {
      const index = this.batch.addWithoutFix()
      this.makeRoom()
      this.slots[index] = slotOf(event.device)
      this.events.set(index, { organizationId, event })
    }
  }

  /** Undefined = the item is a row. */
  eventAt(index: number): HeldEvent | undefined {
    return this.events.get(index)
  }

  isEvent(index: number): boolean {
    return this.events.size > 0 && this.events.has(index)
  }

  /** The item in the given encoding, encoded when it is first asked for. */
  text(index: number, encoding: Encoding): string {
    this.encoded[encoding.index] ??= []
    const texts = this.encoded[encoding.index]!
    let text = texts[index]
    if (text === undefined) {
      const held = this.eventAt(index)
      text =
        held === undefined ? encoding.encodePosition(this.batch, index) : encoding.encodeEvent(held.event)
      // V8 keeps an array that grows with gaps as a slow dictionary.
      while (texts.length < index) texts.push(undefined as never)
      texts[index] = text
    }
    return text
  }

  /** Frees what was encoded. */
  forgetTexts(): void {
    this.encoded = ENCODINGS.map(() => undefined)
  }

  /** Place among the commits of the one that has the item. */
  commitOf(index: number): number {
    let from = 0
    let to = this.starts.length
    while (to - from > 1) {
      const middle = (from + to) >>> 1
      if (this.starts[middle]! <= index) from = middle
      else to = middle
    }
    // Commits without items begin where the next one does: it is the last of these.
    return from
  }

  /** Item behind the last of a commit. */
  endOf(commit: number): number {
    return this.starts[commit + 1] ?? this.length
  }

  /** First item behind the cursor, which lies within the commits of the segment, or before them. */
  locate({ sequence, row, event }: LogCursor): number {
    const { sequences } = this
    let commit = 0
    while (commit < sequences.length && sequences[commit]! < sequence) commit++
    if (sequences[commit] !== sequence) return this.starts[commit] ?? this.length
    const end = this.endOf(commit)
    if (row === undefined && event === undefined) return end
    let index = this.starts[commit]!
    for (; index < end; index++) {
      const held = this.eventAt(index)
      if (held === undefined ? row && compareKey(this.batch, index, row) > 0 : held.event.id > (event ?? 0))
        break
    }
    return index
  }

  /** Items that are events. */
  eventIndexes(): Iterable<number> {
    return this.events.keys()
  }

  /** Cursor of a message whose last row is the item. */
  cursorBehind(index: number): LogCursor {
    const commit = this.commitOf(index)
    const sequence = this.sequences[commit]!
    if (index + 1 === this.endOf(commit) || this.again[commit]!) return wholeCommit(sequence)
    return behindItem(sequence, this.batch, index, this.eventAt(index)?.event.id)
  }

  private makeRoom(): void {
    if (this.slots.length >= this.batch.capacity) return
    const slots = new Int32Array(this.batch.capacity)
    slots.set(this.slots)
    this.slots = slots
  }
}
