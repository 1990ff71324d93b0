/**
 * Reads a replay ahead of its clock, stretch by stretch. How long a stretch is follows from the rows that the one before
 * had; the first is short, so that a replay begins at once. Where there is nothing, the next row is looked for by an
 * index. At most so many rows wait here, and no connection is held between two reads.
 */
import type { PositionBatch } from '../../schemas/position-batch.ts'
import type {
  ReplayEvent,
  ReplayEventKey,
  ReplayRowKey,
  ReplayScope,
  ReplayStretch,
} from '../../storage/positions/replay.ts'
import { placeUs, type ReplayPlace, rowKeyOf } from './replay-cursor.ts'
import { Stretch } from './stretch.ts'

/** Storage as a replay reads it: see storage/positions/replay.ts. */
export interface ReplaySource {
  scope(): Promise<ReplayScope>
  window(
    scope: ReplayScope,
    window: {
      fromUs: number
      toUs: number
      after: ReplayRowKey | undefined
      rowsMax: number
      events: { fromUs: number; toUs: number; after: ReplayEventKey | undefined } | undefined
    },
    ordered: boolean,
  ): Promise<ReplayStretch>
  events(
    scope: ReplayScope,
    window: { fromUs: number; toUs: number; after: ReplayEventKey | undefined },
  ): Promise<ReplayEvent[]>
  next(scope: ReplayScope, fromUs: number, toUs: number): Promise<number | undefined>
}

export interface ReadAheadOptions {
  readonly source: ReplaySource
  readonly events: boolean
  /** Rows that may wait here, at this moment; a stretch is to have half of them. */
  rowsMax(): number
  /** Time of the wall, ms. */
  nowMs(): number
  /** Something was read, or reading has failed for so long, ms, and is tried again. */
  onRead(failedMs: number, error: Error | undefined): void
}

/** Length of the first stretch, µs, and limits of that of all others. */
const FIRST_LENGTH_US = 1_000_000
const LENGTH_US_MIN = 1_000
const LENGTH_US_MAX = 86_400_000_000
/** A stretch is so many times as long as the one before at most. */
const GROWTH_MAX = 8
/** Rows of a read at most: what a batch holds, and not much more than is wanted. */
const READ_ROWS_MAX = 65_536
/** A read that fails is tried again after it, ms. */
const RETRY_MS = 500
/** Fix times are not so far in the future: such rows are doubted. */
const FUTURE_US = 86_400_000_000

export class ReadAhead {
  private readonly options: ReadAheadOptions
  /** What was read and is not sent; the first is under way. */
  private readonly queue: Stretch[] = []
  /** Where the next read begins: rows from a time on, or those of a key's time and later that are after it; events alike. */
  private fromUs = 0
  private after: ReplayRowKey | undefined
  private eventsFromUs = 0
  private eventsAfter: ReplayEventKey | undefined
  private lengthUs = FIRST_LENGTH_US
  /** Whether the last read found nothing: what follows is looked for, which takes longer where many devices report. */
  private looksForNext = false
  /** The last stretch was read, behind which live goes on. */
  private complete = false
  private reading = false
  /** What was asked for before the last {@link moveTo} is of no interest when it comes. */
  private generation = 0
  private failedSinceMs: number | undefined
  private retryAtMs = 0

  constructor(options: ReadAheadOptions) {
    this.options = options
  }

  /** Everything before it has been read, µs since 1970. */
  get readUs(): number {
    return this.fromUs
  }

  /** Whether storage is being asked. */
  get isReading(): boolean {
    return this.reading
  }

  /** Rows that wait. */
  get rows(): number {
    let rows = 0
    for (const stretch of this.queue) rows += stretch.rowsLeft
    return rows
  }

  /** The stretch that holds what comes next; empty ones are passed over. */
  get first(): Stretch | undefined {
    while (this.queue.length > 0 && this.queue[0]!.isEmpty) {
      const [stretch] = this.queue
      if (stretch!.head !== undefined) return stretch
      this.queue.shift()
    }
    return this.queue[0]
  }

  /** Drops what was read, and goes on behind a place. */
  moveTo(place: ReplayPlace): void {
    this.generation++
    this.queue.length = 0
    this.complete = false
    this.looksForNext = false
    this.lengthUs = FIRST_LENGTH_US
    this.eventsFromUs = placeUs(place)
    this.after = 'row' in place ? place.row : undefined
    this.eventsAfter = 'event' in place ? place.event : undefined
    // All rows of the moment of an event come before it.
    this.fromUs = placeUs(place) + ('event' in place ? 1 : 0)
  }

  /** Stops reading for good. */
  close(): void {
    this.generation++
    this.queue.length = 0
    this.complete = true
  }

  /**
   * Reads on, unless enough waits.
   * @param untilUs Time before which rows are wanted now.
   * @param toLive Whether that is the end of what is stored, and the stretch that holds it is to be the last.
   */
  fill(untilUs: number, toLive: boolean): void {
    if (this.reading || this.complete || this.options.nowMs() < this.retryAtMs) return
    if (this.rows > this.options.rowsMax() / 2) return
    if (this.fromUs >= untilUs && !toLive) return
    void this.read(untilUs, toLive)
  }

  private async read(untilUs: number, toLive: boolean): Promise<void> {
    this.reading = true
    const { generation } = this
    const isStale = () => generation !== this.generation
    let error: Error | undefined
    try {
      await this.readStretch(untilUs, toLive, isStale)
      this.failedSinceMs = undefined
    } catch (thrown) {
      error = thrown as Error
      this.failedSinceMs ??= this.options.nowMs()
      this.retryAtMs = this.options.nowMs() + RETRY_MS
    }
    this.reading = false
    const failedMs = this.failedSinceMs === undefined ? 0 : this.options.nowMs() - this.failedSinceMs
    this.options.onRead(failedMs, isStale() ? undefined : error)
  }

  private async readStretch(untilUs: number, toLive: boolean, isStale: () => boolean): Promise<void> {
    const { source } = this.options
    const scope = await source.scope()
    if (isStale()) return
    if (this.looksForNext && this.after === undefined && !(toLive && this.fromUs >= untilUs)) {
      const next = (await source.next(scope, this.fromUs, untilUs)) ?? untilUs
      if (isStale()) return
      // Events may lie in the gap, timers make them.
      if (next > this.fromUs && !(await this.readGap(scope, next, isStale))) return
      this.looksForNext = false
      if (next >= untilUs) return
    }
    const rowsWanted = Math.max(1, Math.floor(this.options.rowsMax() / 2))
    const rowsMax = Math.min(2 * rowsWanted + 1, READ_ROWS_MAX)
    const last = toLive && this.fromUs + this.lengthUs >= untilUs
    const { fromUs, after } = this
    const toUs = last ? untilUs + FUTURE_US : Math.min(fromUs + this.lengthUs, untilUs)
    const read = (ordered: boolean) =>
      source.window(
        scope,
        { fromUs, toUs, after, rowsMax, events: this.eventWindow(toUs) },
        ordered || after !== undefined,
      )
    let stretch = await read(false)
    if (isStale()) return
    // More than is taken, in no order: the first of them are asked for.
    if (stretch.batch?.length === rowsMax && after === undefined) stretch = await read(true)
    if (isStale()) return
    this.take(stretch, { toUs, full: stretch.batch?.length === rowsMax, last })
    this.adapt(stretch.batch?.length ?? 0, rowsWanted, toUs - fromUs)
  }

  /** Reads the events of a time without rows. @returns Whether that is still wanted. */
  private async readGap(scope: ReplayScope, toUs: number, isStale: () => boolean): Promise<boolean> {
    const window = this.eventWindow(toUs)
    const events = window === undefined ? [] : await this.options.source.events(scope, window)
    if (isStale()) return false
    this.push(undefined, events, toUs, undefined)
    this.fromUs = toUs
    return true
  }

  private eventWindow(toUs: number) {
    if (!this.options.events) return undefined
    return { fromUs: this.eventsFromUs, toUs, after: this.eventsAfter }
  }

  private take(
    { batch, events, head }: ReplayStretch,
    { toUs, full, last }: { toUs: number; full: boolean; last: boolean },
  ): void {
    if (!full) {
      this.complete = last
      this.push(batch, events, toUs, last ? head : undefined)
      this.fromUs = toUs
      this.after = undefined
      return
    }
    // Further rows of the moment of the last one may follow; events of that moment come behind all of them.
    const stretch = new Stretch(batch, [], toUs, undefined)
    const key = rowKeyOf(batch!, stretch.lastRow)
    const before = events.filter(({ timeUs }) => timeUs < key.fixTimeUs)
    this.push(batch, before, key.fixTimeUs, undefined)
    this.fromUs = key.fixTimeUs
    this.after = key
  }

  private push(
    batch: PositionBatch | undefined,
    events: readonly ReplayEvent[],
    endUs: number,
    head: number | undefined,
  ): void {
    this.eventsFromUs = endUs
    this.eventsAfter = undefined
    if (batch === undefined && events.length === 0 && head === undefined) return
    this.queue.push(new Stretch(batch, events, endUs, head))
  }

  private adapt(rows: number, rowsWanted: number, lengthUs: number): void {
    this.looksForNext = rows === 0
    const factor = rows === 0 ? GROWTH_MAX : Math.min(GROWTH_MAX, rowsWanted / rows)
    this.lengthUs = Math.min(LENGTH_US_MAX, Math.max(LENGTH_US_MIN, Math.ceil(lengthUs * factor)))
  }
}
