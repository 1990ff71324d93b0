/**
 * Quarantine: what unknown devices sent and what could not be read, counted, with the last frame of each, for an
 * operator to look at and claim. Bounded in memory and in the database, whatever is thrown at it.
 */
import type pg from 'pg'
import type { Logger } from 'pino'
import type { Limits } from './limits.ts'
import type { IngestMetrics } from './metrics.ts'

const WRITE_EVERY_MS = 1_000
/** Characters kept of a detail. */
const DETAIL_LENGTH_MAX = 500

export interface QuarantinedFrame {
  readonly protocol: string
  /** '' if the frame names no device. */
  readonly uniqueId: string
  /** `unknown-device`, `undetected`, or the code of the decode error. */
  readonly reason: string
  /** The reason in words; '' where it says all. */
  readonly detail?: string
  readonly frame: Buffer
  readonly address: string
}

interface Entry extends QuarantinedFrame {
  readonly firstSeenMs: number
  lastSeenMs: number
  count: number
  frame: Buffer
  address: string
  detail: string
}

export class Quarantine {
  private readonly pool: pg.Pool
  private readonly limits: Limits
  private readonly metrics: IngestMetrics
  private readonly log: Logger
  private entries = new Map<string, Entry>()
  private timer: NodeJS.Timeout | undefined
  private writing: Promise<void> | undefined

  constructor(pool: pg.Pool, limits: Limits, metrics: IngestMetrics, log: Logger) {
    this.pool = pool
    this.limits = limits
    this.metrics = metrics
    this.log = log
  }

  /** Keeps a frame; it is in the table within a second. */
  add(quarantined: QuarantinedFrame): void {
    const { protocol, uniqueId, reason } = quarantined
    const key = `${protocol}\n${reason}\n${uniqueId}`
    const nowMs = Date.now()
    if (quarantined.frame.length > this.limits.quarantineFrameBytesMax) {
      this.metrics.limitMet('quarantineFrameBytesMax')
    }
    // A copy: the frame is a piece of a larger buffer that would live as long.
    const frame = Buffer.from(quarantined.frame.subarray(0, this.limits.quarantineFrameBytesMax))
    // PostgreSQL takes no U+0000, and no half of a pair of UTF-16.
    const detail = (quarantined.detail ?? '').slice(0, DETAIL_LENGTH_MAX).toWellFormed().replaceAll('\0', '')
    const entry = this.entries.get(key)
    if (entry !== undefined) {
      entry.count++
      entry.lastSeenMs = nowMs
      entry.frame = frame
      entry.address = quarantined.address
      entry.detail = detail
    } else if (this.entries.size >= this.limits.quarantinePendingMax) {
      this.metrics.quarantineDropped.inc()
      this.metrics.limitMet('quarantinePendingMax')
    } else {
      this.entries.set(key, {
        ...quarantined,
        frame,
        detail,
        firstSeenMs: nowMs,
        lastSeenMs: nowMs,
        count: 1,
      })
    }
    this.plan()
  }

  /** Writes what is pending. */
  async close(): Promise<void> {
    await this.writing
    await this.write()
    clearTimeout(this.timer)
  }

  private plan(): void {
    // One write at a time: while the database is slow, entries wait where they are counted against their limit.
    if (this.writing === undefined) this.timer ??= setTimeout(() => void this.write(), WRITE_EVERY_MS)
  }

  private async write(): Promise<void> {
    clearTimeout(this.timer)
    this.timer = undefined
    this.writing = this.writeEntries()
    await this.writing
    this.writing = undefined
    if (this.entries.size > 0) this.plan()
  }

  private async writeEntries(): Promise<void> {
    const entries = [...this.entries.values()]
    this.entries = new Map()
    if (entries.length === 0) return
    const column = <Value>(value: (entry: Entry) => Value) => entries.map(value)
    try {
      await this.pool.query(
        `INSERT INTO quarantine AS q
           (protocol, unique_id, reason, first_seen, last_seen, frame_count, last_frame, last_address, detail)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[],
                              $6::bigint[], $7::bytea[], $8::text[], $9::text[])
         ON CONFLICT (protocol, unique_id, reason) DO UPDATE SET last_seen = excluded.last_seen,
           frame_count = q.frame_count + excluded.frame_count,
           last_frame = excluded.last_frame, last_address = excluded.last_address,
           detail = excluded.detail`,
        [
          column((entry) => entry.protocol),
          column((entry) => entry.uniqueId),
          column((entry) => entry.reason),
          column((entry) => new Date(entry.firstSeenMs)),
          column((entry) => new Date(entry.lastSeenMs)),
          column((entry) => entry.count),
          column((entry) => entry.frame),
          column((entry) => entry.address),
          column((entry) => entry.detail),
        ],
      )
      const { rowCount } = await this.pool.query(
        `DELETE FROM quarantine WHERE (protocol, unique_id, reason) IN (
           SELECT protocol, unique_id, reason FROM quarantine ORDER BY last_seen DESC OFFSET $1)`,
        [this.limits.quarantineRowsMax],
      )
      if (rowCount !== 0) this.metrics.limitMet('quarantineRowsMax')
    } catch (error) {
      this.metrics.quarantineDropped.inc(entries.length)
      this.log.warn({ err: error, entries: entries.length }, 'quarantine entries could not be written')
    }
  }
}
