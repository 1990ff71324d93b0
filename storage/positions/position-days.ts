/** Partitions of `positions`, one a UTC day: the writer sees to it that they are there before it copies rows. */
import type pg from 'pg'

const DAY_MS = 24 * 3600 * 1000

/**
 * Days for which partitions are made, counted from today. Times further off are mostly those of broken clocks, each
 * of which would make a table; their rows go to the default partition, and from there to that of their day when it
 * is made.
 */
export const PARTITION_DAYS_BACK = 366
export const PARTITION_DAYS_AHEAD = 2

export class PositionDays {
  /** Days since 1970-01-01 that have their partition. */
  private readonly known = new Set<number>()

  /**
   * Makes the partitions that rows with these times need; asks the database only when there is a new day among
   * them, once for all. Not inside a transaction that has read or written positions: it waits for those.
   *
   * @param fixTimesMs Times of the rows, ms UTC.
   * @param length How many of them are in use.
   */
  async ensure(client: pg.ClientBase, fixTimesMs: Float64Array, length: number): Promise<void> {
    const days = this.unknownDays(fixTimesMs, length)
    if (days.length === 0) return
    const dates = days.map((day) => new Date(day * DAY_MS).toISOString().slice(0, 10))
    await client.query('SELECT ensure_position_day(day) FROM unnest($1::date[]) AS day', [dates])
    for (const day of days) this.known.add(day)
  }

  /** Forgets which days are there, for a new connection: it may lead to another database. */
  forget(): void {
    this.known.clear()
  }

  private unknownDays(fixTimesMs: Float64Array, length: number): number[] {
    const today = Math.floor(Date.now() / DAY_MS)
    const first = today - PARTITION_DAYS_BACK
    const last = today + PARTITION_DAYS_AHEAD
    const unknown = new Set<number>()
    let before = Number.NaN
    for (let row = 0; row < length; row++) {
      const day = Math.floor(fixTimesMs[row]! / DAY_MS)
      // Rows of a batch are mostly of one day.
      if (day === before) continue
      before = day
      if (day >= first && day <= last && !this.known.has(day)) unknown.add(day)
    }
    return [...unknown].sort((a, b) => a - b)
  }
}
