/**
 * Backfills on the main thread: hears of runs that are queued and cancelled, and has them done in a thread, one at a
 * time. Every process of ingest may take any run; what it has not finished when it dies, another goes on with.
 *
 * Events of a backfill are in the table, and are not sent to live: they are history, and would come as thousands.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import type { Logger } from 'pino'
import { Piscina } from 'piscina'
import { Counter, type Registry } from 'prom-client'
import { threadUrl } from '../../../storage/project-root.ts'
import type { Channel, Notifications } from '../../devices/notifications.ts'
import type { Limits } from '../../limits.ts'
import type { IngestMetrics } from '../../metrics.ts'
import {
  type BackfillResult,
  type BackfillTask,
  type BackfillThreadOptions,
  WISH,
} from './backfill-messages.ts'
import { type BackfillRun, claimRun, endCancelled, isCancelAsked } from './backfill-runs.ts'

/** How often it is looked for runs whose process has died, ms. */
const LOOK_EVERY_MS = 5_000
/** Time without a run after which the thread ends, ms. */
const THREAD_IDLE_MS = 1_000

export interface BackfillsOptions {
  readonly databaseUrl: string
  readonly pool: pg.Pool
  readonly notifications: Notifications
  readonly limits: Limits
  readonly metrics: IngestMetrics
  readonly registry: Registry
  readonly log: Logger
}

interface CurrentRun {
  readonly id: number
  /** One of {@link WISH}, heeded by the thread. */
  readonly wish: Int32Array
}

export class Backfills implements Channel {
  readonly name = 'geofence_backfills'
  private readonly options: BackfillsOptions
  private readonly threads: Piscina<BackfillTask, BackfillResult>
  private readonly ended: Counter<'state'>
  private timer: NodeJS.Timeout | undefined
  private current: CurrentRun | undefined
  private working: Promise<void> | undefined
  /** Something was told while a run was under way. */
  private again = false
  private closed = false

  constructor(options: BackfillsOptions) {
    this.options = options
    const workerData: BackfillThreadOptions = { databaseUrl: options.databaseUrl }
    this.threads = new Piscina({
      filename: threadUrl('ingest/geofences/backfill/backfill-thread').href,
      name: 'backfill',
      workerData,
      minThreads: 0,
      maxThreads: 1,
      idleTimeout: THREAD_IDLE_MS,
    })
    this.ended = new Counter({
      name: 'fleetflow_geofence_backfills_total',
      help: 'Backfills of geofences that ended here, by how.',
      labelNames: ['state'],
      registers: [options.registry],
    })
    options.notifications.add(this)
  }

  /** Begins to look for runs that others have left. */
  start(): void {
    this.timer = setInterval(() => this.look(), LOOK_EVERY_MS)
    this.look()
  }

  async read(): Promise<void> {
    this.look()
  }

  told(payload: string): void {
    const { current } = this
    if (current !== undefined && Number(payload) === current.id) {
      this.heed(current).catch(this.onError)
      return
    }
    this.look()
    // What is queued is not looked at before the run under way has ended.
    if (this.current !== undefined) endCancelled(this.options.pool).catch(this.onError)
  }

  /** What is told of a run under way may be that it was queued: it is taken as soon as it is there. */
  private async heed({ id, wish }: CurrentRun): Promise<void> {
    if (await isCancelAsked(this.options.pool, id)) Atomics.store(wish, 0, WISH.cancel)
  }

  /** Puts the run under way back, for another process or the next start; takes no longer than `stopTimeoutMs`. */
  async close(): Promise<void> {
    this.closed = true
    clearInterval(this.timer)
    if (this.current !== undefined) Atomics.store(this.current.wish, 0, WISH.giveBack)
    const timeout = delay(this.options.limits.stopTimeoutMs, undefined, { ref: false })
    await Promise.race([this.working, timeout])
    await this.threads.destroy()
  }

  /** Does what is queued, unless that is under way. */
  private look(): void {
    if (this.timer === undefined || this.closed) return
    if (this.working !== undefined) {
      this.again = true
      return
    }
    this.working = this.work()
      .catch(this.onError)
      .finally(() => {
        this.working = undefined
      })
  }

  private readonly onError = (error: unknown) => {
    if (!this.closed) this.options.log.warn({ err: error }, 'backfills of geofences wait: it is tried again')
  }

  private async work(): Promise<void> {
    const { pool } = this.options
    do {
      this.again = false
      await endCancelled(pool)
      for (;;) {
        if (this.closed) return
        const run = await claimRun(pool)
        if (run === undefined) break
        await this.do(run)
      }
    } while (this.again)
  }

  private async do(run: BackfillRun): Promise<void> {
    const { log, limits, metrics } = this.options
    const wish = new Int32Array(new SharedArrayBuffer(4))
    this.current = { id: run.id, wish }
    if (this.closed) Atomics.store(wish, 0, WISH.giveBack)
    try {
      const { backfillFixesPerSecondMax: fixesPerSecondMax } = limits
      const result = await this.threads.run({ run, fixesPerSecondMax, wish })
      if (result.held) metrics.limitMet('backfillFixesPerSecondMax')
      this.ended.inc({ state: result.end })
      const told = { backfill: run.id, geofence: run.geofenceId, ...result }
      if (result.end === 'failed') log.error(told, 'a backfill failed')
      else log.info(told, 'a backfill has ended')
    } finally {
      this.current = undefined
    }
  }
}
