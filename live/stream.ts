/**
 * The stream without its sockets: commits come in from shards and, where they are lost on the way, from storage; devices
 * from the registry. What has come goes into the log at once; a tick later every subscription gets what it has not got of
 * it yet. Between ticks nothing is sent except to one that begins, or whose socket has drained.
 */
import type { MessagePort } from 'node:worker_threads'
import type { Logger } from 'pino'
import type { Commit, ShardToLive } from '../schemas/live-port.ts'
import { PositionBatch } from '../schemas/position-batch.ts'
import { createPool } from '../storage/pools.ts'
import { AreaScopes } from './areas/area-scopes.ts'
import { AreaStorage } from './areas/area-storage.ts'
import { GeofenceAreas } from './areas/geofence-areas.ts'
import { GroupScopes } from './areas/group-scopes.ts'
import { DeviceFeed } from './log/device-feed.ts'
import type { Move } from './log/last-positions.ts'
import { Sequencer } from './log/sequencer.ts'
import { CommitStorage } from './log/stored-commits.ts'
import { StreamLog } from './log/stream-log.ts'
import type { LiveMetrics } from './metrics.ts'
import { CLOCK_MS, type LiveLimits, type LiveOptions, TICK_MS } from './options.ts'
import { Replays } from './replay/replays.ts'
import type { GrantChange } from './sockets/grants.ts'
import { Chunks } from './subscriptions/chunks.ts'
import { CommitPages } from './subscriptions/commit-pages.ts'
import { GrantedScopes } from './subscriptions/granted-scopes.ts'
import type { Hub } from './subscriptions/hub.ts'
import { SlotIndex } from './subscriptions/slot-filter.ts'

/** Connections that read commits: those of clients that come back leave one for the stream itself. */
const POOL_MAX = 3
/** Positions of a tick whose latency is observed, at most: one observation costs as much as encoding. */
const LATENCY_SAMPLES_MAX = 100

export interface StreamOptions {
  readonly options: LiveOptions
  readonly limits: LiveLimits
  readonly metrics: LiveMetrics
  readonly log: Logger
  /** Devices, or their groups, have changed. */
  onDevices(): void
}

export class Stream {
  readonly hub: Hub
  private readonly metrics: LiveMetrics
  private readonly log: Logger
  private readonly tickMs: number
  private readonly pool: ReturnType<typeof createPool>
  private readonly storage: CommitStorage
  private readonly devices: DeviceFeed
  private readonly limits: LiveLimits
  private readonly clock: NodeJS.Timeout
  private readonly ports: MessagePort[] = []
  private sequencer: Sequencer | undefined
  /** Item up to which ticks have come. */
  private published = 0
  private timer: NodeJS.Timeout | undefined
  private soon: NodeJS.Immediate | undefined
  private lastTickMs = 0
  /** Devices that have been asked for, since the next commit has something of them. */
  private asked = new Set<number>()

  constructor({ options, limits, metrics, log, onDevices }: StreamOptions) {
    this.metrics = metrics
    this.log = log
    this.limits = limits
    this.tickMs = options.tickMs ?? TICK_MS
    this.pool = createPool(options.databaseUrl, {
      max: POOL_MAX,
      applicationName: 'fleetflow live log',
      log,
    })
    this.storage = new CommitStorage(this.pool, limits.resumePageRows)
    const stream = new StreamLog(limits.rowsKept, () => this.tick())
    const slots = new SlotIndex()
    const areas = new AreaScopes(stream.positions)
    const areaReader = new AreaStorage(this.pool)
    stream.dispatchers.push(slots, areas)
    this.hub = {
      stream,
      chunks: new Chunks(stream),
      pages: new CommitPages(this.storage, limits, metrics, (device) => stream.positions.slotOf(device)),
      slots,
      granted: new GrantedScopes(stream.positions, slots),
      groups: new GroupScopes(slots),
      areas,
      geofences: new GeofenceAreas({
        scopes: areas,
        reader: areaReader,
        onChanged: () => this.tick(),
        onUnread: (error) =>
          log.warn({ err: error }, 'changed geofences could not be read: it is tried again'),
      }),
      areaReader,
      logFeeds: new Set(),
      clocked: new Set(),
      history: {
        replays: new Replays({
          databaseUrl: options.databaseUrl,
          limits,
          log,
          limitMet: (limit) => metrics.limitMet(limit),
        }),
        log,
      },
      limits,
      metrics,
    }
    this.devices = new DeviceFeed({
      databaseUrl: options.databaseUrl,
      log,
      onDevices: (devices) => {
        this.moved(stream.setDevices(devices))
        this.setGroups(devices.map(({ id, groups }) => [stream.positions.slotOf(id), groups]))
        onDevices()
      },
      onGone: (ids) => {
        const known = ids.filter((id) => stream.positions.isKnown(id))
        this.setGroups(known.map((id) => [stream.positions.slotOf(id), []]))
        this.moved(stream.removeDevices(ids))
        onDevices()
      },
      onAll: (ids) => {
        const { positions } = stream
        const gone = [...positions.devices()].filter((id) => !ids.has(id) && positions.isKnown(id))
        this.setGroups(gone.map((id) => [positions.slotOf(id), []]))
        this.moved(stream.removeDevices(gone))
      },
      onGeofences: (payload) => this.hub.geofences.told(payload),
      onUp: (up) => metrics.databaseUp.set(up ? 1 : 0),
    })
    this.clock = setInterval(() => {
      for (const feed of this.hub.clocked) feed.tick()
    }, CLOCK_MS)
  }

  /** @throws Error if the database can not be read. */
  async start(): Promise<void> {
    await this.devices.start()
    const { sequence, batches } = await this.storage.snapshot()
    this.hub.stream.restart(sequence, batches)
    this.published = this.hub.stream.commits.end
    this.sequencer = new Sequencer({
      sequence,
      reader: this.storage,
      log: this.log,
      waitingRowsMax: this.limits.waitingRowsMax,
      catchUpRowsMax: this.limits.rowsKept,
      deliver: (batch, commit) => this.deliver(batch, commit),
      jump: () => this.jump(),
      onLeftOut: () => this.metrics.limitMet('waitingRowsMax'),
      onLookedUp: (commits) => this.metrics.lookedUp.inc(commits),
    })
  }

  /** Takes what a shard tells. */
  listen(port: MessagePort): void {
    let untaken: Int32Array | undefined
    this.ports.push(port)
    port.on('message', (message: ShardToLive) => {
      if (message.type === 'count') untaken = message.untaken
      else {
        this.receive(message.batch && PositionBatch.fromMessage(message.batch), message.commits)
        if (untaken !== undefined) Atomics.sub(untaken, 0, 1)
      }
    })
  }

  /** Takes commits from wherever they come, in any order. The batch is not the caller's afterwards. */
  receive(batch: PositionBatch | null, commits: readonly Commit[]): void {
    this.sequencer!.receive(batch, commits)
  }

  /** Devices have been granted to users, or are not any more: their subscriptions follow. */
  grantsChanged(changes: readonly GrantChange[]): void {
    if (this.hub.granted.changed(changes)) this.tick()
  }

  /** Devices are in other groups, or in none: subscriptions to these follow. */
  private setGroups(devices: readonly (readonly [slot: number, groups: readonly number[]])[]): void {
    let isWatched = false
    for (const [slot, groups] of devices) isWatched = this.hub.groups.setGroups(slot, groups) || isWatched
    if (isWatched) this.tick()
  }

  /** Reads from storage what has been stored and was not told; resolves when it is delivered. */
  async catchUp(): Promise<void> {
    await this.sequencer?.poll()
    await this.sequencer?.caughtUp()
  }

  async close(): Promise<void> {
    clearInterval(this.clock)
    clearTimeout(this.timer)
    clearImmediate(this.soon)
    for (const port of this.ports) port.close()
    this.hub.pages.close()
    this.hub.geofences.close()
    await this.hub.history?.replays.close()
    await this.devices.close()
    await this.sequencer?.close()
    await this.pool.end()
  }

  private deliver(batch: PositionBatch | null, commit: Commit): boolean {
    const { stream } = this.hub
    const unknown = stream.unknownDevices(batch, commit)
    if (unknown.size > 0) {
      const asked = [...unknown].filter((device) => !this.asked.has(device))
      for (const device of asked) this.asked.add(device)
      this.devices.check(asked)
      return false
    }
    this.asked.clear()
    stream.append(batch, commit)
    this.changed()
    return true
  }

  private async jump(): Promise<number> {
    const { sequence, batches } = await this.storage.snapshot()
    this.tick()
    for (const feed of this.hub.logFeeds) feed.jump()
    this.hub.stream.restart(sequence, batches)
    this.metrics.jumps.inc()
    this.log.warn({ sequence }, 'live was too far behind: it goes on with last positions')
    this.changed()
    this.tick()
    return sequence
  }

  private moved(moves: readonly Move[]): void {
    if (moves.length > 0) {
      this.hub.chunks.changed()
      for (const feed of this.hub.logFeeds) feed.moved(moves)
      this.changed()
    }
    this.sequencer?.resume()
  }

  /** To be called when the log has grown, or who sees what has changed. */
  private changed(): void {
    this.hub.chunks.changed()
    if (this.hub.stream.commits.end === this.published || this.timer !== undefined || this.soon !== undefined)
      return
    const waitMs = this.lastTickMs + this.tickMs - performance.now()
    // At once after a pause, but with all that this turn of the event loop brings: where a tick takes longer than its
    // interval, one for each batch would fall further and further behind.
    if (waitMs <= 0) this.soon = setImmediate(() => this.tick())
    else this.timer = setTimeout(() => this.tick(), waitMs)
  }

  private tick(): void {
    clearTimeout(this.timer)
    clearImmediate(this.soon)
    this.timer = undefined
    this.soon = undefined
    this.lastTickMs = performance.now()
    this.observeLatency()
    this.published = this.hub.stream.commits.end
    for (const feed of this.hub.logFeeds) feed.tick()
  }

  private observeLatency(): void {
    const nowMs = Date.now()
    const { commits } = this.hub.stream
    const step = Math.ceil((commits.end - this.published) / LATENCY_SAMPLES_MAX)
    for (let item = Math.max(this.published, commits.first); item < commits.end; item += step) {
      if (commits.isEvent(item)) continue
      const receivedMs = commits.segmentOf(item).batch.receivedMs[commits.indexOf(item)]!
      this.metrics.latencySeconds.observe(Math.max(0, nowMs - receivedMs) / 1_000)
    }
  }
}
