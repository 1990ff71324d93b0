/**
 * Geofences on their way from the database to the shards. A base of all of them is built in a thread of its own, which
 * takes a while where there are many; what has changed since that began is the delta, which is small and built anew at
 * each change. Both are indexes in shared memory: evaluation goes on while they are built, and by them from the moment
 * at which they are posted.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import type { Logger } from 'pino'
import type { FenceMapUpdate } from '../../../geofence/index/fence-map.ts'
import type { Channel, Notifications } from '../../devices/notifications.ts'
import type { LimitName, Limits } from '../../limits.ts'
import type { BuiltFences } from './build-messages.ts'
import { ChangeClock } from './change-clock.ts'
import { FenceBuilds, type FencePart } from './fence-builds.ts'
import type { FenceMetrics } from './fence-metrics.ts'

/** Payload that says that more geofences have changed than it can name. */
const MANY = '*'
/** Pause after a build that failed, ms. */
const RETRY_MS = 1_000
/** Longest pause between two builds of the delta, ms: as long as the last one took, so that half a processor is free. */
const DELTA_PAUSE_MS_MAX = 250
/** How often the log tells how far a base is, ms. */
const PROGRESS_EVERY_MS = 5_000
/** Geofences of which is remembered that the log has them as broken. */
const LOGGED_MAX = 10_000

export interface FencesOptions {
  readonly databaseUrl: string
  /** The channel is read when they start. */
  readonly notifications: Notifications
  /** Has all shards evaluate by this from now on. */
  readonly post: (update: FenceMapUpdate) => void
  readonly limits: Pick<Limits, 'geofenceChangesMax'>
  readonly limitMet: (limit: LimitName) => void
  readonly metrics: FenceMetrics
  readonly log: Logger
  /** No build is possible any more. */
  readonly onFailure: (error: Error) => void
}

/** A base that is built and not posted yet; without one there are no geofences. */
interface NextBase {
  readonly built: BuiltFences | undefined
  /** See ChangeClock. */
  readonly effective: (effective: boolean) => void
}

export class Fences implements Channel {
  readonly name = 'geofences'
  private readonly options: FencesOptions
  private readonly builds: FenceBuilds
  private readonly closing = new AbortController()
  /** Ids that are perhaps not in the newest base as they are now: those of the delta. */
  private changed = new Set<number>()
  /** While a base is built: what changed since that began. `many`: not all of it is known one by one. */
  private building: { readonly changed: Set<number>; many: boolean } | undefined
  /** Built, and not posted yet. */
  private nextBase: NextBase | undefined
  /** How many terms the base has that was posted; undefined = none was. */
  private baseTerms: number | undefined
  private baseFences = 0
  private baseWanted = false
  private deltaWanted = false
  private basesRun = false
  private deltasRun = false
  private bases: Promise<void> | undefined
  private deltas: Promise<void> | undefined
  private readonly failing = new Set<FencePart>()
  private readonly refused = { base: 0, delta: 0 }
  /** `id version` of refused geofences. */
  private readonly logged = new Set<string>()
  /** Of changes that are known one by one, and of others. */
  private readonly changeClock = new ChangeClock()
  private readonly manyClock = new ChangeClock()

  constructor(options: FencesOptions) {
    this.options = options
    this.builds = new FenceBuilds(options.databaseUrl, options.onFailure)
    options.notifications.add(this)
    options.metrics.watchAge(() => Math.max(this.changeClock.ageS, this.manyClock.ageS))
  }

  /** Ends what is being built. */
  async close(): Promise<void> {
    this.closing.abort()
    await this.builds.close()
    await Promise.all([this.bases, this.deltas])
  }

  async read(client: pg.ClientBase): Promise<void> {
    const { rows } = await client.query<{ any: boolean }>(
      'SELECT EXISTS (SELECT FROM geofences WHERE NOT disabled) AS any',
    )
    if (rows[0]!.any || this.holdsAny) this.manyChanged()
    else if (this.baseTerms === undefined) {
      this.nextBase = { built: undefined, effective: () => undefined }
      this.wantDelta()
    }
  }

  told(payload: string): void {
    if (payload === MANY) {
      this.manyChanged()
      return
    }
    for (const id of payload.split(',').map(Number)) {
      this.changed.add(id)
      this.building?.changed.add(id)
    }
    this.changeClock.told()
    this.wantDelta()
  }

  /** It is not known which: only a new base has them all as they are. */
  private manyChanged(): void {
    this.manyClock.told()
    if (this.building !== undefined) this.building.many = true
    this.wantBase()
  }

  private wantBase(): void {
    this.baseWanted = true
    if (!this.basesRun) this.bases = this.buildBases()
  }

  private wantDelta(): void {
    this.deltaWanted = true
    if (!this.deltasRun) this.deltas = this.buildDeltas()
  }

  private async buildBases(): Promise<void> {
    const { signal } = this.closing
    this.basesRun = true
    while (this.baseWanted && !signal.aborted) {
      this.baseWanted = false
      const building = { changed: new Set<number>(), many: false }
      this.building = building
      const effective = this.manyClock.begin()
      try {
        const built = await this.build('base', undefined, 0).finally(() => {
          this.building = undefined
        })
        this.nextBase = { built, effective }
        // Otherwise the delta keeps them all: what it has of them may be newer than this base.
        if (!building.many) this.changed = building.changed
        this.wantDelta()
      } catch (error) {
        effective(false)
        this.baseWanted = true
        await this.failed('base', error)
      }
    }
    this.basesRun = false
  }

  private async buildDeltas(): Promise<void> {
    const { signal } = this.closing
    this.deltasRun = true
    while (this.deltaWanted && !signal.aborted) {
      this.deltaWanted = false
      const base = this.nextBase
      // By a delta alone, the shards would store positions as if there were no other geofences.
      if (base === undefined && this.baseTerms === undefined) break
      this.checkChanges()
      const ids = [...this.changed]
      const termsFrom = base === undefined ? this.baseTerms! : (base.built?.terms.length ?? 0)
      const effective = this.changeClock.begin()
      const startMs = performance.now()
      try {
        const delta = ids.length === 0 ? undefined : await this.build('delta', ids, termsFrom)
        this.post(base, delta, ids, termsFrom)
        effective(true)
      } catch (error) {
        effective(false)
        this.deltaWanted = true
        await this.failed('delta', error)
        continue
      }
      await this.pause(Math.min(DELTA_PAUSE_MS_MAX, performance.now() - startMs))
    }
    this.deltasRun = false
  }

  /** Has a base built where the delta gets too large, unless one is on its way. */
  private checkChanges(): void {
    if (this.changed.size <= this.options.limits.geofenceChangesMax) return
    if (this.building !== undefined || this.baseWanted) return
    this.options.limitMet('geofenceChangesMax')
    this.wantBase()
  }

  private post(
    base: NextBase | undefined,
    delta: BuiltFences | undefined,
    ids: readonly number[],
    termsFrom: number,
  ): void {
    const { post, metrics } = this.options
    const ofDelta = delta?.fences ?? 0
    post({
      ...(base?.built === undefined ? {} : { base: base.built.index }),
      delta: ofDelta === 0 ? null : delta!.index,
      gone: Int32Array.from(ids),
      termsFrom: base === undefined ? termsFrom : 0,
      terms: [...(base?.built?.terms ?? []), ...(delta?.terms ?? [])],
    })
    if (base !== undefined) {
      this.baseTerms = termsFrom
      this.baseFences = base.built?.fences ?? 0
      base.effective(true)
      // Another one may have been built meanwhile.
      if (this.nextBase === base) this.nextBase = undefined
    }
    metrics.fences.set({ part: 'base' }, this.baseFences)
    metrics.fences.set({ part: 'delta' }, ofDelta)
    metrics.fences.set({ part: 'gone' }, ids.length)
  }

  /** Whether the shards may have geofences, or soon. */
  private get holdsAny(): boolean {
    const { baseFences, changed, nextBase, basesRun } = this
    return basesRun || nextBase !== undefined || baseFences + changed.size > 0
  }

  /** @throws Error of the build. */
  private async build(
    part: FencePart,
    ids: readonly number[] | undefined,
    termsFrom: number,
  ): Promise<BuiltFences> {
    const { metrics, log } = this.options
    const startMs = performance.now()
    const progress = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
    const tell = setInterval(
      () => log.info({ part, read: progress[0] }, 'geofences are being read'),
      PROGRESS_EVERY_MS,
    )
    try {
      const built = await this.builds.build(part, { ids, termsFrom, progress })
      const seconds = (performance.now() - startMs) / 1000
      metrics.buildSeconds.observe({ part }, seconds)
      if (part === 'base') log.info({ geofences: built.fences, seconds }, 'geofences are read')
      this.refused[part] = built.refusedCount
      metrics.refused.set(this.refused.base + this.refused.delta)
      this.logRefused(built)
      this.failing.delete(part)
      return built
    } finally {
      clearInterval(tell)
    }
  }

  /** Each once. */
  private logRefused({ refused }: BuiltFences): void {
    for (const { id, version, code, message } of refused) {
      const key = `${id} ${version}`
      if (this.logged.has(key) || this.logged.size >= LOGGED_MAX) continue
      this.logged.add(key)
      this.options.log.error({ geofence: id, version, code, message }, 'a geofence cannot be evaluated')
    }
  }

  private async failed(part: FencePart, error: unknown): Promise<void> {
    if (this.closing.signal.aborted) return
    const { metrics, log } = this.options
    metrics.failures.inc({ part })
    // Not each time: while the database is away, it is tried every second.
    if (!this.failing.has(part)) log.warn({ err: error, part }, 'geofences could not be read: tried again')
    this.failing.add(part)
    await this.pause(RETRY_MS)
  }

  /** @returns When the time is over, or this is closed. */
  private async pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.closing.signal }).catch(() => undefined)
  }
}
