/** A fleet for tests of those who watch it: what is stored comes in by hand, and where every device is is known. */
import { Registry } from 'prom-client'
import { compileShape } from '../../geofence/shapes/shape.ts'
import type { GeofenceShape } from '../../schemas/geofence.ts'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { seededRandom } from '../../test/seeded-random.ts'
import type { CommitReader } from '../log/stored-commits.ts'
import { StreamLog } from '../log/stream-log.ts'
import { liveMetrics } from '../metrics.ts'
import { LIVE_LIMITS } from '../options.ts'
import { Chunks } from '../subscriptions/chunks.ts'
import { CommitPages } from '../subscriptions/commit-pages.ts'
import { GrantedScopes } from '../subscriptions/granted-scopes.ts'
import type { Hub } from '../subscriptions/hub.ts'
import { EVERYTHING, type ScopeFilter } from '../subscriptions/scope-filter.ts'
import { SlotFilter, SlotIndex } from '../subscriptions/slot-filter.ts'
import { type Area, areaOf, areaOfBox, areaOfPolygon } from './area.ts'
import { AreaScopes } from './area-scopes.ts'
import type { AreaReader, StoredGeofence } from './area-storage.ts'
import { GeofenceAreas } from './geofence-areas.ts'
import { GroupScopes } from './group-scopes.ts'

const START_MS = Date.UTC(2026, 0, 1)
/** Fewer than are stored, so that who comes back after a while goes on from storage. */
const ROWS_KEPT = 256

export const ORGANIZATIONS = [1, 2] as const
export const GROUPS = [1, 2, 3] as const
/** Id of the one geofence. */
export const GEOFENCE = 7

export interface Device {
  readonly id: number
  organizationId: number
  disabled: boolean
  groups: readonly number[]
  /** Newest undoubted one. */
  last: { readonly timeMs: number; readonly latitude: number; readonly longitude: number } | undefined
}

/** Something to watch, and what that should show. */
export interface TestScope {
  readonly text: string
  /** Whether somebody may change what it means. */
  readonly changes: boolean
  open(organizationId: number | null): ScopeFilter
  has(device: Device): boolean
}

interface Stored {
  readonly batch: PositionBatch
  readonly sequence: number
  readonly rows: Uint32Array
}

export class World implements CommitReader, AreaReader {
  readonly stream = new StreamLog(ROWS_KEPT, () => this.tick())
  readonly hub: Hub
  readonly devices = new Map<number, Device>()
  /** Ids are not given again. */
  nextDevice = 1
  readonly areas: AreaScopes
  readonly groups: GroupScopes
  readonly random: () => number
  geofenceShape: GeofenceShape = { type: 'Circle', center: [5, 5], radiusM: 200_000 }
  private readonly stored: Stored[] = []
  private timeMs = START_MS
  /** Devices and times of all fixes. */
  private readonly times = new Set<string>()

  constructor(seed: number) {
    this.random = seededRandom(seed)
    const { stream } = this
    const slots = new SlotIndex()
    this.areas = new AreaScopes(stream.positions)
    this.groups = new GroupScopes(slots)
    stream.dispatchers.push(slots, this.areas)
    const metrics = liveMetrics(new Registry())
    this.hub = {
      stream,
      chunks: new Chunks(stream),
      pages: new CommitPages(this, LIVE_LIMITS, metrics, (device) => stream.positions.slotOf(device)),
      slots,
      granted: new GrantedScopes(stream.positions, slots),
      groups: this.groups,
      areas: this.areas,
      geofences: new GeofenceAreas({
        scopes: this.areas,
        reader: this,
        onChanged: () => this.tick(),
        onUnread: (error) => {
          throw error
        },
      }),
      areaReader: this,
      logFeeds: new Set(),
      clocked: new Set(),
      limits: LIVE_LIMITS,
      metrics,
    }
    stream.restart(0, [])
  }

  /** 0 to `end` − 1. */
  int(end: number): number {
    return Math.floor(this.random() * end)
  }

  any<Item>(items: readonly Item[]): Item {
    return items[this.int(items.length)]!
  }

  // ── what the database says

  async head(): Promise<{ newest: number; oldest: number }> {
    return { newest: this.stored.length, oldest: 1 }
  }

  async commits(after: number) {
    const next = this.stored[after]
    if (next === undefined) return { batch: null, commits: [] }
    const { batch, sequence, rows } = next
    return { batch, commits: [{ sequence, rows, events: [] }] }
  }

  async geofences(): Promise<StoredGeofence[]> {
    return [{ id: GEOFENCE, organizationId: ORGANIZATIONS[0], shape: this.geofenceShape }]
  }

  async missingGroups(): Promise<number[]> {
    return []
  }

  async rowsBehind(): Promise<number> {
    throw new Error('nobody is that far behind')
  }

  // ── what happens

  setDevice(device: Device): void {
    this.devices.set(device.id, device)
    const moves = this.stream.setDevices([device])
    this.groups.setGroups(this.stream.positions.slotOf(device.id), device.groups)
    this.hub.chunks.changed()
    for (const feed of this.hub.logFeeds) feed.moved(moves)
  }

  removeDevice({ id }: Device): void {
    this.devices.delete(id)
    this.groups.setGroups(this.stream.positions.slotOf(id), [])
    const moves = this.stream.removeDevices([id])
    this.hub.chunks.changed()
    for (const feed of this.hub.logFeeds) feed.moved(moves)
  }

  async setGeofence(): Promise<void> {
    this.geofenceShape = {
      type: 'Circle',
      center: [this.random() * 10, this.random() * 10],
      radiusM: 200_000,
    }
    this.hub.geofences.told(String(GEOFENCE))
    // It has been read when this and what it waits for has been done.
    await new Promise((resolve) => setImmediate(resolve))
  }

  /** Some devices report: most where they are now, some what they had kept for a while. */
  commit(): void {
    const batch = new PositionBatch(64)
    const devices = [...this.devices.values()].sort((a, b) => a.id - b.id)
    for (const device of devices) {
      if (batch.length > 60 || this.random() < 0.7) continue
      const times = Array.from({ length: 1 + this.int(3) }, () => this.fixTime(device)).sort((a, b) => a - b)
      for (const timeMs of times) this.addRow(batch, device, timeMs)
    }
    const rows = Uint32Array.from({ length: batch.length }, (_, row) => row)
    const sequence = this.stored.length + 1
    this.stored.push({ batch, sequence, rows })
    this.stream.append(batch, { sequence, rows, events: [] })
    this.hub.chunks.changed()
  }

  tick(): void {
    for (const feed of this.hub.logFeeds) feed.tick()
  }

  // ── what is watched

  scope(): TestScope {
    const kind = this.int(8)
    if (kind === 0) return { text: 'all', changes: false, open: () => EVERYTHING, has: () => true }
    if (kind === 1) return this.devicesScope()
    if (kind === 2) return this.groupsScope()
    if (kind === 3) {
      return {
        text: 'geofence',
        changes: true,
        open: (organizationId) => this.areas.filter(this.geofenceArea, organizationId, GEOFENCE),
        has: (device) => isIn(this.geofenceArea, device),
      }
    }
    const area = kind === 4 ? this.triangle() : areaOfBox(this.box())
    return {
      text: 'area',
      changes: false,
      open: (organizationId) => this.areas.filter(area, organizationId),
      has: (device) => isIn(area, device),
    }
  }

  private get geofenceArea(): Area {
    return areaOf(compileShape(this.geofenceShape))
  }

  box(): [number, number, number, number] {
    const [west, south] = [this.random() * 8, this.random() * 8]
    return [west, south, west + 0.5 + this.random() * 3, south + 0.5 + this.random() * 3]
  }

  triangle(): Area {
    const [west, south, east, north] = this.box()
    return areaOfPolygon([
      [
        [west, south],
        [east, south],
        [west, north],
        [west, south],
      ],
    ])
  }

  private devicesScope(): TestScope {
    const ids = [...this.devices.keys()].filter(() => this.random() < 0.3)
    const { positions } = this.stream
    const slots = ids.map((id) => positions.slotOf(id))
    return {
      text: 'devices',
      changes: false,
      open: () => new SlotFilter(this.hub.slots, slots, slots.length),
      has: ({ id }) => ids.includes(id),
    }
  }

  private groupsScope(): TestScope {
    const groups = GROUPS.filter(() => this.random() < 0.5)
    return {
      text: 'groups',
      changes: true,
      open: () => this.groups.filter(groups),
      has: (device) => groups.some((group) => device.groups.includes(group)),
    }
  }

  /** Of a new fix, or of one that was before the last and is heard of only now. */
  private fixTime({ last }: Device): number {
    if (last === undefined || this.random() < 0.7) return this.nextTime()
    return last.timeMs - 10 * this.int(20) + 1 + this.int(9)
  }

  private nextTime(): number {
    this.timeMs += 10
    return this.timeMs
  }

  private addRow(batch: PositionBatch, device: Device, timeMs: number): void {
    // Of two fixes of one time the greater digest counts, which a viewer does not know.
    const key = `${device.id}/${timeMs}`
    if (this.times.has(key)) return
    this.times.add(key)
    const { last } = device
    const jump = last === undefined || this.random() < 0.2
    const near = (degrees: number) => Math.max(0, Math.min(10, degrees + this.random() - 0.5))
    const latitude = jump ? this.random() * 10 : near(last.latitude)
    const longitude = jump ? this.random() * 10 : near(last.longitude)
    const row = batch.add(timeMs, latitude, longitude)
    batch.device[row] = device.id
    batch.receivedMs[row] = timeMs
    batch.digestHigh[row] = this.int(2 ** 32)
    if (this.random() < 0.05) batch.quality[row] = 1
    else if (last === undefined || timeMs > last.timeMs) device.last = { timeMs, latitude, longitude }
  }
}

function isIn(area: Area, { last }: Device): boolean {
  return last !== undefined && area.contains(last.latitude, last.longitude)
}
