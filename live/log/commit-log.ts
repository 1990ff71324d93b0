/**
 * The newest commits in memory: a ring of segments, of which the oldest goes when a newer one needs its room. Items have
 * numbers that only grow; where a subscription stands is the number of the item that it gets next. What is no longer kept
 * is read from storage, by its cursor.
 */

import { discard } from '../../schemas/discard.ts'
import type { LiveEvent } from '../../schemas/live-port.ts'
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { transferables } from '../../schemas/position-batch.ts'
import type { Encoding } from '../format/encoding.ts'
import { type LogCursor, wholeCommit } from './cursor.ts'
import { LogSegment } from './segment.ts'

/** Items of a segment, but for the last commit in it: the grain in which the log forgets. */
const SEGMENT_ITEMS_MAX = 8_192
const SEGMENT_ITEMS_MIN = 64
/** Segments that keep what was encoded: nearly all that is sent is new, or is soon sent to others who resume as well. */
const SEGMENTS_ENCODED = 2

/** New items of the log. */
export interface Grown {
  readonly segment: LogSegment
  /** Their places in it. */
  readonly from: number
  readonly to: number
  /** Number of the item in place 0 of the segment. */
  readonly base: number
}

/** Items of one segment. */
export interface Span {
  readonly segment: LogSegment
  /** Number of the item in its place 0. */
  readonly base: number
  /** Places `[first, end)`. */
  readonly first: number
  readonly end: number
}

export class CommitLog {
  private readonly rowsKept: number
  private readonly segmentItems: number
  private readonly onForget: () => void
  private segments: LogSegment[]
  /** By segment: number of its first item. */
  private bases: number[]
  /** Sequence of the last commit: of what comes next. */
  private newest: number
  /** All commits behind this one are here, whole. */
  private before: number

  /**
   * @param rowsKept Rows and events kept at most, unless one commit has more.
   * @param onForget Called before items go.
   */
  constructor(rowsKept: number, onForget: () => void) {
    this.rowsKept = rowsKept
    this.segmentItems = Math.min(
      SEGMENT_ITEMS_MAX,
      Math.max(SEGMENT_ITEMS_MIN, Math.ceil(rowsKept / 32 / 8) * 8),
    )
    this.onForget = onForget
    this.segments = [new LogSegment(this.segmentItems)]
    this.bases = [0]
    this.newest = 0
    this.before = 0
  }

  /** Number of the first item that is kept. */
  get first(): number {
    return this.bases[0]!
  }

  /** Number that the next item gets. */
  get end(): number {
    return this.bases.at(-1)! + this.segments.at(-1)!.length
  }

  /** Sequence of the last commit. */
  get sequence(): number {
    return this.newest
  }

  /** Cursor behind all there is. */
  get cursor(): LogCursor {
    return wholeCommit(this.newest)
  }

  append(
    sequence: number,
    batch: PositionBatch | null,
    rows: ArrayLike<number>,
    events: readonly LiveEvent[],
    slotOf: (device: number) => number,
  ): Grown {
    return this.add(sequence, batch, rows, events, slotOf, false)
  }

  /** Appends a row that is of no new commit: that of a device that has come into somebody's sight. */
  showAgain(batch: PositionBatch, row: number, slot: number): Grown {
    return this.add(this.newest, batch, [row], [], () => slot, true)
  }

  /** Forgets everything: what follows is behind the sequence, and its items are `skipped` numbers further on. */
  restart(sequence: number, skipped: number): void {
    const end = this.end + skipped
    this.segments = [new LogSegment(this.segmentItems)]
    this.bases = [end]
    this.newest = sequence
    this.before = sequence
  }

  /** Number of the first item behind the cursor; undefined if that, or what would be before it, is not in memory. */
  locate(cursor: LogCursor): number | undefined {
    const { sequence } = cursor
    if (sequence > this.newest || sequence < this.before) return undefined
    if (sequence === this.before) return cursor.row || cursor.event ? undefined : this.first
    for (let i = 0; i < this.segments.length; i++) {
      const segment = this.segments[i]!
      if ((segment.sequences.at(-1) ?? 0) >= sequence) return this.bases[i]! + segment.locate(cursor)
    }
    return this.end
  }

  segmentOf(item: number): LogSegment {
    return this.segments[this.placeOf(item)]!
  }

  /** Place of an item within its segment. */
  indexOf(item: number): number {
    return item - this.bases[this.placeOf(item)]!
  }

  isEvent(item: number): boolean {
    const place = this.placeOf(item)
    return this.segments[place]!.isEvent(item - this.bases[place]!)
  }

  /** Slot of its device. */
  slotOf(item: number): number {
    const place = this.placeOf(item)
    return this.segments[place]!.slots[item - this.bases[place]!]!
  }

  text(item: number, encoding: Encoding): string {
    const place = this.placeOf(item)
    return this.segments[place]!.text(item - this.bases[place]!, encoding)
  }

  cursorBehind(item: number): LogCursor {
    const place = this.placeOf(item)
    return this.segments[place]!.cursorBehind(item - this.bases[place]!)
  }

  /** The segments that have the items of a range, as far as they are kept. */
  *spans(from: number, to: number): Iterable<Span> {
    for (let place = from < this.first ? 0 : this.placeOf(from); place < this.segments.length; place++) {
      const segment = this.segments[place]!
      const base = this.bases[place]!
      if (base >= to) return
      yield { segment, base, first: Math.max(0, from - base), end: Math.min(segment.length, to - base) }
    }
  }

  /** Events from an item on. */
  *events(from: number): Iterable<number> {
    for (let i = 0; i < this.segments.length; i++) {
      const base = this.bases[i]!
      for (const index of this.segments[i]!.eventIndexes()) if (base + index >= from) yield base + index
    }
  }

  private add(
    sequence: number,
    batch: PositionBatch | null,
    rows: ArrayLike<number>,
    events: readonly LiveEvent[],
    slotOf: (device: number) => number,
    again: boolean,
  ): Grown {
    this.makeRoom(rows.length + events.length)
    const segment = this.segments.at(-1)!
    const from = segment.length
    segment.append(sequence, batch, rows, events, slotOf, again)
    this.newest = sequence
    return { segment, from, to: segment.length, base: this.bases.at(-1)! }
  }

  private makeRoom(count: number): void {
    const last = this.segments.at(-1)!
    if (last.length > 0 && last.length + count > this.segmentItems) {
      this.bases.push(this.end)
      this.segments.push(new LogSegment(this.segmentItems))
      this.segments.at(-1 - SEGMENTS_ENCODED)?.forgetTexts()
    }
    while (this.segments.length > 1 && this.end + count - this.first > this.rowsKept) {
      this.onForget()
      const segment = this.segments.shift()!
      this.bases.shift()
      this.before = segment.sequences.at(-1)!
      discard(transferables(segment.batch.toMessage()))
    }
  }

  private placeOf(item: number): number {
    const { bases } = this
    // Nearly all that is asked for is new.
    for (let place = bases.length - 1; place >= 0; place--) if (item >= bases[place]!) return place
    throw new RangeError(`item ${item} is no longer kept`)
  }
}
