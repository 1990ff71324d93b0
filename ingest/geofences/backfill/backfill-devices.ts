/**
 * Runs a geofence over the history of devices, beside shards that evaluate the same devices. Most devices were never near
 * the geofence: their history is read without a word to anybody. Only where something changes a device is claimed from
 * its shard, read once more, and stored on the condition that it was not claimed back meanwhile. The shard loads it anew
 * with its next position, and so has what the backfill found.
 *
 * Each claim makes a shard evaluate its batch once more, so devices are claimed some at a time.
 */
import pg from 'pg'
import { type GeofenceChanges, noChanges } from '../../../geofence/visits/changes.ts'
import { backfill, type History } from '../../../geofence/visits/revision.ts'
import { type LookBack, lookBackOf } from '../../../geofence/visits/rules.ts'
import type { WatchedDevice } from '../../../geofence/visits/visits-state.ts'
import type { LiveEvent } from '../../../schemas/live-port.ts'
import {
  applyChanges,
  CONTRADICTION,
  contradictedUntilMs,
  DEVICES_LOST,
  lostDevices,
} from '../geofence-store.ts'
import { loadDevices } from '../geofence-store-devices.ts'
import type { BackfillFence } from './backfill-fence.ts'

/** Claims of many devices at once, which shards may take back at any time; then they have to wait for each. */
const FREE_CLAIMS = 3
/** All claims of a device: what others do between two statements can hardly hit so often. */
const CLAIMS_MAX = 20
/** SQLSTATE of what is tried again: what was read is no longer so, or two waited for each other. */
const AGAIN: ReadonlySet<string> = new Set([DEVICES_LOST, CONTRADICTION, '23505', '40001', '40P01'])

export interface DevicesBackfillOptions {
  readonly client: pg.ClientBase
  /** Of `newOwner`, for this run alone. */
  readonly owner: number
  readonly fence: BackfillFence
  readonly span: { readonly fromMs: number; readonly toMs: number }
  /** What is stored of a device; `claimed` = its shard may wait for it. */
  readonly history: (device: number, claimed: boolean) => History
  /** A device is done; stored again it would make no events. */
  readonly onDone: (device: number, events: readonly LiveEvent[]) => void
}

export class DevicesBackfill {
  private readonly options: DevicesBackfillOptions
  private readonly lookBack: LookBack
  /** Times that devices were claimed back, as far as it is known. */
  private losses = 0
  /** As far as timers are known to have come, ms UTC. */
  private timersMs = 0

  constructor(options: DevicesBackfillOptions) {
    this.options = options
    this.lookBack = lookBackOf([options.fence.terms])
  }

  /** @throws pg.DatabaseError, and what the history throws; what is done stays done. */
  async run(devices: readonly WatchedDevice[]): Promise<void> {
    let left: number[] = []
    for (const device of devices) {
      if (isEmpty(await this.look(device))) this.options.onDone(device.device, [])
      else left.push(device.device)
    }
    for (let claims = 1; left.length > 0; claims++) left = await this.claimAndStore(left, claims)
  }

  /** What would be changed, all read as of one moment: others may change it meanwhile. */
  private async look(device: WatchedDevice): Promise<GeofenceChanges> {
    const { client } = this.options
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    try {
      return await this.evaluate(device, false, Date.now())
    } finally {
      await client.query('ROLLBACK')
    }
  }

  /** @returns Those that are to be claimed once more. */
  private async claimAndStore(ids: readonly number[], claims: number): Promise<number[]> {
    if (claims > FREE_CLAIMS) return this.storeAlone(ids, claims)
    const { client, owner, onDone } = this.options
    // Before the claim: what is lost after it is one more.
    this.losses = (await lostDevices(client, owner, [])).losses
    // What shards had on their way is stored now, and what they store later they first claim back.
    const loaded = await loadDevices(client, owner, ids, { fixes: 1, seconds: 0 })
    const again: number[] = []
    const lost = new Set<number>()
    for (const device of loaded) {
      if (lost.has(device.device)) {
        again.push(device.device)
        continue
      }
      try {
        onDone(device.device, await this.store(device))
      } catch (error) {
        if (!isTriedAgain(error)) throw error
        again.push(device.device)
        if (error.code === CONTRADICTION) this.timersMs = contradictedUntilMs(error)
        if (error.code !== DEVICES_LOST) continue
        const all = await lostDevices(client, owner, ids)
        for (const id of all.devices) lost.add(id)
        this.losses = all.losses
      }
    }
    return again
  }

  /** Fails with {@link DEVICES_LOST} where devices were claimed back meanwhile. */
  private async store(device: WatchedDevice): Promise<LiveEvent[]> {
    const { client, owner } = this.options
    const nowMs = Math.max(Date.now(), this.timersMs)
    const changes = await this.evaluate(device, true, nowMs)
    return isEmpty(changes) ? [] : applyChanges(client, changes, { owner, losses: this.losses }, nowMs)
  }

  /**
   * The same one by one, each claimed in the transaction that stores it: where devices report all the time, of many that
   * are claimed at once one is claimed back before anything can be stored. Its shard waits meanwhile.
   */
  private async storeAlone(ids: readonly number[], claims: number): Promise<number[]> {
    const { client, onDone } = this.options
    const again: number[] = []
    for (const id of ids) {
      await client.query('BEGIN')
      try {
        const events = await this.claimAndStoreOne(id)
        await client.query('COMMIT')
        if (events !== undefined) onDone(id, events)
      } catch (error) {
        await client.query('ROLLBACK')
        if (!isTriedAgain(error) || claims === CLAIMS_MAX) throw error
        if (error.code === CONTRADICTION) this.timersMs = contradictedUntilMs(error)
        again.push(id)
      }
    }
    return again
  }

  /** @returns undefined where the device is gone. */
  private async claimAndStoreOne(id: number): Promise<LiveEvent[] | undefined> {
    const { client, owner } = this.options
    const [device] = await loadDevices(client, owner, [id], { fixes: 1, seconds: 0 })
    // Until the end of the transaction none of the others is lost either, which would fail the guard.
    await client.query('SELECT pg_advisory_xact_lock_shared(geofence_owner_lock(), $1)', [owner])
    this.losses = (await lostDevices(client, owner, [])).losses
    return device && this.store(device)
  }

  private async evaluate(device: WatchedDevice, claimed: boolean, nowMs: number): Promise<GeofenceChanges> {
    const { fence, span, history } = this.options
    const changes = noChanges()
    await backfill(
      device,
      fence.id,
      span,
      { fences: fence, history: history(device.device, claimed), lookBack: this.lookBack, nowMs },
      changes,
    )
    return changes
  }
}

function isTriedAgain(error: unknown): error is pg.DatabaseError {
  return error instanceof pg.DatabaseError && AGAIN.has(error.code ?? '')
}

function isEmpty({ opened, changed, removed, events }: GeofenceChanges): boolean {
  return opened.length + changed.length + removed.length + events.length === 0
}
