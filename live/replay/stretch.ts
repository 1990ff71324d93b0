/** A stretch of a replay in memory: rows and events of a time, put in order, and how far it has been sent. */
import type { PositionBatch } from '../../schemas/position-batch.ts'
import type { ReplayEvent } from '../../storage/positions/replay.ts'
import { fixTimeUs } from './replay-cursor.ts'

export class Stretch {
  readonly batch: PositionBatch | undefined
  readonly events: readonly ReplayEvent[]
  /** Everything before it is in this stretch or in those before, µs since 1970. */
  readonly endUs: number
  /** Of the last stretch before live: place in the order of commits that live goes on behind. */
  readonly head: number | undefined
  private readonly order: Uint32Array
  private rowsTaken = 0
  private eventsTaken = 0

  /** @param batch Rows in any order. */
  constructor(
    batch: PositionBatch | undefined,
    events: readonly ReplayEvent[],
    endUs: number,
    head: number | undefined,
  ) {
    this.batch = batch
    this.events = events
    this.endUs = endUs
    this.head = head
    this.order = batch === undefined ? new Uint32Array(0) : orderOf(batch)
  }

  get rowsLeft(): number {
    return this.order.length - this.rowsTaken
  }

  get isEmpty(): boolean {
    return this.rowsLeft === 0 && this.eventsTaken === this.events.length
  }

  /** Row of {@link batch} that comes next, if a row comes next; −1 if an event does, or nothing. */
  get nextRow(): number {
    if (this.rowsLeft === 0) return -1
    const row = this.order[this.rowsTaken]!
    const event = this.events[this.eventsTaken]
    return event === undefined || fixTimeUs(this.batch!, row) <= event.timeUs ? row : -1
  }

  /** The event that comes next, if an event does. */
  get nextEvent(): ReplayEvent | undefined {
    return this.nextRow >= 0 ? undefined : this.events[this.eventsTaken]
  }

  /** Time of what comes next, µs since 1970; the end where nothing does. */
  get nextUs(): number {
    const row = this.nextRow
    if (row >= 0) return fixTimeUs(this.batch!, row)
    return this.nextEvent?.timeUs ?? this.endUs
  }

  takeRow(): void {
    this.rowsTaken++
  }

  takeEvent(): void {
    this.eventsTaken++
  }

  /** The last row in order; −1 if there is none. */
  get lastRow(): number {
    return this.order.at(-1) ?? -1
  }
}

/** Rows by fix time, device and digest, as the database has them: a digest is a signed number. */
function orderOf(batch: PositionBatch): Uint32Array {
  const { fixTimeMs, device, digestHigh, digestLow } = batch
  const order = new Uint32Array(batch.length)
  for (let row = 0; row < order.length; row++) order[row] = row
  return order.sort(
    (a, b) =>
      fixTimeMs[a]! - fixTimeMs[b]! ||
      device[a]! - device[b]! ||
      (digestHigh[a]! | 0) - (digestHigh[b]! | 0) ||
      digestLow[a]! - digestLow[b]!,
  )
}
