/**
 * Timers of geofences: dwell, absence, and times of day by which devices have to be inside. PostgreSQL is their queue, so
 * that they outlive the process, and of several processes one makes each event. A device that reports nothing is looked
 * at like any other. What is due while positions of the device wait to be stored waits for them: they may show that it
 * is not so.
 */
import type pg from 'pg'
import type { Logger } from 'pino'
import type { Commit } from '../../../schemas/live-port.ts'
import type { LimitName, Limits } from '../../limits.ts'
import type { TimerMetrics } from './timer-metrics.ts'
import { dueInstants, fireInstant, type HeldInstant } from './timers-instants.ts'
import { type DueCursor, dueVisits, fireVisits } from './timers-visits.ts'

const POLL_MS = 1_000
/** Visits or devices of one transaction. */
const PAGE_ROWS = 1_000
/** Rules with a time of day that are looked at in one poll. */
const INSTANTS_MAX = 1_000

export interface TimerOptions {
  readonly pool: pg.Pool
  /** All positions of a device that were received before it are stored; see `Store`. */
  readonly storedUntilMs: (device: number) => number
  /** Takes events that are committed. */
  readonly publish: (commit: Commit) => void
  readonly limits: Pick<Limits, 'geofenceTimersPerSecondMax' | 'geofenceTimerBackMs'>
  readonly limitMet: (limit: LimitName) => void
  readonly metrics: TimerMetrics
  readonly log: Logger
  /** ms UTC. */
  readonly now?: () => number
}

export class Timers {
  private readonly options: TimerOptions
  private readonly now: () => number
  /** What the last poll came to; undefined = it came to the end. */
  private cursor: DueCursor | undefined
  /** Rules whose moment waits for a device: the database is not asked about them meanwhile. */
  private heldInstants = new Map<string, HeldInstant>()
  private timer: NodeJS.Timeout | undefined
  private polling: Promise<void> = Promise.resolve()
  private closed = false
  private failing = false

  constructor(options: TimerOptions) {
    this.options = options
    this.now = options.now ?? Date.now
  }

  /** Looks every second from now on. */
  start(): void {
    const pollMs = performance.now()
    this.polling = this.pollSafely().then(() => {
      if (this.closed) return
      this.timer = setTimeout(() => this.start(), Math.max(0, pollMs + POLL_MS - performance.now()))
    })
  }

  /** Waits for the transaction under way. */
  async close(): Promise<void> {
    this.closed = true
    clearTimeout(this.timer)
    await this.polling
  }

  /**
   * Makes what is due now, as far as the limit allows.
   * @throws pg.DatabaseError; what is committed until then is published.
   */
  async poll(): Promise<void> {
    const { pool, limits, limitMet } = this.options
    const client = await pool.connect()
    let fault: Error | undefined
    try {
      let rest = limits.geofenceTimersPerSecondMax
      rest -= await this.pollInstants(client, rest)
      rest -= await this.pollVisits(client, rest)
      if (rest <= 0) limitMet('geofenceTimersPerSecondMax')
    } catch (error) {
      fault = error as Error
      throw error
    } finally {
      // Nobody knows in which state a failed one is.
      client.release(fault)
    }
  }

  private async pollSafely(): Promise<void> {
    try {
      await this.poll()
      this.failing = false
    } catch (error) {
      // The database is away or busy: what is due stays in it.
      if (!this.failing) this.options.log.warn({ err: error }, 'timers of geofences wait for the database')
      this.failing = true
    }
  }

  /** @returns How many were looked at. */
  private async pollVisits(client: pg.ClientBase, limit: number): Promise<number> {
    const { storedUntilMs, metrics } = this.options
    const nowMs = this.now()
    let looked = 0
    let held = 0
    while (looked < limit && !this.closed) {
      const rows = Math.min(PAGE_ROWS, limit - looked)
      const page = await dueVisits(client, nowMs, this.cursor, rows)
      looked += page.length
      this.cursor = page.length < rows ? undefined : page.at(-1)
      const ready = page.filter(({ device, dueMs }) => storedUntilMs(device) > dueMs)
      held += page.length - ready.length
      if (ready.length > 0) this.publish(await fireVisits(client, ready, nowMs))
      if (page.length < rows) break
    }
    metrics.held.set(held)
    return looked
  }

  private async pollInstants(client: pg.ClientBase, limit: number): Promise<number> {
    const { storedUntilMs, limits } = this.options
    const nowMs = this.now()
    let looked = 0
    const before = this.heldInstants
    this.heldInstants = new Map()
    for (const due of await dueInstants(client, nowMs, INSTANTS_MAX)) {
      const key = `${due.geofence}/${due.rule}`
      let held = before.get(key)
      if (held !== undefined && storedUntilMs(held.device) <= held.timeMs) {
        this.heldInstants.set(key, held)
        continue
      }
      for (let more = true; more && looked < limit && !this.closed; ) {
        const step = await fireInstant(client, due, {
          nowMs,
          backMs: limits.geofenceTimerBackMs,
          devices: PAGE_ROWS,
          storedUntilMs,
        })
        this.publish(step.commit)
        looked += step.devices
        more = step.more
        held = step.held
      }
      if (held !== undefined) this.heldInstants.set(key, held)
    }
    return looked
  }

  private publish(commit: Commit | undefined): void {
    if (commit === undefined) return
    for (const { type } of commit.events) this.options.metrics.events.inc({ type })
    this.options.publish(commit)
  }
}
