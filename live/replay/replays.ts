/**
 * All replays of a process: what they share, and how many there may be. They read by connections of their own, so that
 * nobody else waits for one, and none is held while a replay waits.
 */
import type pg from 'pg'
import type { Logger } from 'pino'
import type { Position } from '../../schemas/position.ts'
import { createPool } from '../../storage/pools.ts'
import {
  countDevices,
  nextReplayedUs,
  type ReplayScope,
  readReplayEvents,
  readReplayWindow,
  readsByTime,
} from '../../storage/positions/replay.ts'
import { positionsAt } from '../../storage/positions/snapshot.ts'
import { type Tenant, withTenant } from '../../storage/tenancy.ts'
import { CHUNK_BYTES, type LiveLimits } from '../options.ts'
import type { Feed, Outlet, Refusal } from '../subscriptions/feed.ts'
import type { ReplaySource } from './read-ahead.ts'
import { ReplayFeed, type ReplayRequest } from './replay-feed.ts'

/** Connections of all replays. */
const POOL_MAX = 4
/** Time of the thread that one replay may take at once, ms. */
const TURN_MS = 5
/** Which devices there are is asked for anew after it, ms. */
const DEVICES_MS = 10_000
/** Rows of one replay that wait in memory at most, however few replays there are. */
const ROWS_AHEAD_MAX = 40_000
const ROWS_AHEAD_MIN = 500

type ReplayLimits = Pick<LiveLimits, 'replaysMax' | 'delayedMax' | 'replaysPerSocketMax' | 'replayRowsAhead'>
/** Limits that forbid one more. */
type CountLimit = Exclude<keyof ReplayLimits, 'replayRowsAhead'>

export interface ReplaysOptions {
  /** Connection string of the owner of the schema. */
  readonly databaseUrl: string
  readonly limits: ReplayLimits
  readonly log: Logger
  /** Counts a limit that was met. */
  limitMet(limit: keyof ReplayLimits): void
  /** Time of the wall, ms since 1970; `Date.now` by default. */
  readonly nowMs?: () => number
}

export interface OpenReplay extends ReplayRequest {
  readonly tenant: Tenant
  /** Ids of the devices, as they are now; null = all that the tenant sees. Asked anew before each read. */
  devices(): readonly number[] | null
  /** The socket: replays of one are counted. */
  readonly socket: object
  /** See `ReplayParts`. */
  openLive(head: number): Promise<Feed | Refusal>
  /** It wants a tick every few milliseconds from now on, and does not any more. */
  onOpen(feed: Feed): void
  onClosed(feed: Feed): void
}

interface CountedDevices {
  readonly atMs: number
  readonly devices: ReturnType<typeof countDevices>
}

export class Replays {
  private readonly options: ReplaysOptions
  private readonly pool: pg.Pool
  private readonly nowMs: () => number
  private readonly open = new Map<ReplayFeed, object>()
  /** By organisation. */
  private readonly counted = new Map<number | null, CountedDevices>()

  constructor(options: ReplaysOptions) {
    this.options = options
    this.nowMs = options.nowMs ?? Date.now
    const { databaseUrl, log } = options
    this.pool = createPool(databaseUrl, { max: POOL_MAX, applicationName: 'fleetflow replay', log })
  }

  /** Replays that are open. */
  get count(): number {
    return this.open.size
  }

  /** Those for which storage is being asked. */
  get readingCount(): number {
    let count = 0
    for (const feed of this.open.keys()) if (feed.isReading) count++
    return count
  }

  /** Rows that all of them hold in memory. */
  get rows(): number {
    let rows = 0
    for (const feed of this.open.keys()) rows += feed.rows
    return rows
  }

  /** @returns The limit that forbids one more. */
  start(request: OpenReplay, outlet: Outlet): ReplayFeed | CountLimit {
    const { limits, log } = this.options
    // Counted apart: anybody may have a link, and must not take the replays of users.
    const ofAll = request.delayed ? 'delayedMax' : 'replaysMax'
    let ofSocket = 0
    let ofKind = 0
    for (const [feed, socket] of this.open) {
      if (socket === request.socket) ofSocket++
      if (feed.isDelayed === request.delayed) ofKind++
    }
    const met =
      ofSocket >= limits.replaysPerSocketMax
        ? 'replaysPerSocketMax'
        : ofKind >= limits[ofAll]
          ? ofAll
          : undefined
    if (met !== undefined) {
      this.options.limitMet(met)
      return met
    }
    const feed: ReplayFeed = new ReplayFeed(request, {
      outlet,
      source: this.sourceOf(request),
      nowMs: this.nowMs,
      rowsMax: () => this.rowsAhead,
      chunkBytes: CHUNK_BYTES,
      turnMs: TURN_MS,
      openLive: (head) => request.openLive(head),
      onError: (error) => log.warn({ err: error }, 'a replay could not be read, and tries again'),
      onClosed: () => {
        this.open.delete(feed)
        request.onClosed(feed)
      },
    })
    this.open.set(feed, request.socket)
    request.onOpen(feed)
    return feed
  }

  /** Where devices were at a time, for those who begin behind the present. */
  positionsAt(tenant: Tenant, at: Date, devices: readonly number[]): Promise<Position[]> {
    return withTenant(this.pool, tenant, (client) => positionsAt(client, at, devices, undefined))
  }

  async close(): Promise<void> {
    for (const feed of [...this.open.keys()]) feed.close()
    await this.pool.end()
  }

  /** All replays share what may be in memory. */
  private get rowsAhead(): number {
    const share = Math.floor(this.options.limits.replayRowsAhead / Math.max(1, this.open.size))
    return Math.max(ROWS_AHEAD_MIN, Math.min(ROWS_AHEAD_MAX, share))
  }

  private sourceOf(request: OpenReplay): ReplaySource {
    const { pool } = this
    return {
      scope: () => this.scopeOf(request),
      window: (scope, window, ordered) => readReplayWindow(pool, scope, window, ordered),
      events: (scope, window) => readReplayEvents(pool, scope, window),
      next: (scope, fromUs, toUs) => nextReplayedUs(pool, scope, fromUs, toUs),
    }
  }

  private async scopeOf({ tenant, devices }: OpenReplay): Promise<ReplayScope> {
    const { ids, all } = await this.countedOf(tenant)
    const asked = devices()
    return { tenant, devices: asked ?? (readsByTime(ids.length, all) ? null : ids) }
  }

  private countedOf(tenant: Tenant): ReturnType<typeof countDevices> {
    const { organizationId } = tenant
    const known = this.counted.get(organizationId)
    const nowMs = this.nowMs()
    if (known !== undefined && nowMs - known.atMs < DEVICES_MS) return known.devices
    const devices = countDevices(this.pool, tenant)
    this.counted.set(organizationId, { atMs: nowMs, devices })
    // What failed is asked for again.
    devices.catch(() => this.counted.delete(organizationId))
    return devices
  }
}
