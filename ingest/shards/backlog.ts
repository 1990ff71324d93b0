/**
 * What of one shard's records is in the journal only: ranges that its thread has to drain, the last of them still
 * growing while the shard is behind.
 */
import type { JournalPosition } from '../journal/journal.ts'
import type { JournalRange } from './shard-messages.ts'

/** More ranges become one, which holds also what was stored between them: storing it again changes nothing. */
const RANGES_MAX = 64

interface Range {
  readonly number: number
  from: JournalPosition
  to: JournalPosition
  /** When the record at `from` came in, ms UTC; NaN until it is read. */
  receivedMs: number
  /** The thread was told. */
  told: boolean
}

export class Backlog {
  private readonly ranges: Range[] = []
  private nextNumber = 1
  /** Whether the last range grows. */
  private growing = false

  /** Oldest record that is not stored; undefined if there is none. */
  get oldest(): { readonly position: JournalPosition; readonly receivedMs: number } | undefined {
    const [first] = this.ranges
    return first === undefined ? undefined : { position: first.from, receivedMs: first.receivedMs }
  }

  /** A record is left to the journal. */
  skip(position: JournalPosition, receivedMs: number): void {
    if (this.growing) this.ranges.at(-1)!.to = position + 1
    else this.add({ from: position, to: position + 1 }, receivedMs)
    this.growing = true
  }

  /** No more records are skipped for now: what was, is to be drained. */
  close(): void {
    this.growing = false
  }

  /** Adds a range that is known from before, as after a restart. */
  add({ from, to }: JournalRange, receivedMs = Number.NaN): void {
    const last = this.ranges.at(-1)
    if (this.ranges.length >= RANGES_MAX && !last!.told) last!.to = to
    else this.ranges.push({ number: this.nextNumber++, from, to, receivedMs, told: false })
  }

  /**
   * The range that the thread is to drain now: one at a time, and only what is durable and does not grow.
   * @returns undefined if there is none, or it has one.
   */
  next(durable: JournalPosition): { readonly number: number; readonly range: JournalRange } | undefined {
    const [first] = this.ranges
    if (first === undefined || first.told || first.to > durable) return undefined
    if (this.growing && this.ranges.length === 1) return undefined
    first.told = true
    return { number: first.number, range: { from: first.from, to: first.to } }
  }

  /** All of the range before `next` is stored. */
  drained(number: number, next: JournalPosition, receivedMs: number): void {
    const at = this.ranges.findIndex((range) => range.number === number)
    const range = this.ranges[at]
    if (range === undefined) return
    range.from = next
    range.receivedMs = receivedMs
    if (next >= range.to) this.ranges.splice(at, 1)
  }
}
