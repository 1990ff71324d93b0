/**
 * Runs a geofence over the history of one device, beside shards that evaluate the same device. Most devices were never
 * near the geofence: their history is read without a word to anybody. Only where something changes is the device claimed
 * from its shard, read once more, and stored on the condition that it was not claimed back meanwhile. The shard loads it
 * anew with its next position, and so has what the backfill found.
 */
import pg from 'pg'
import { type GeofenceChanges, noChanges } from '../../geofence/changes.ts'
import { backfill, type History } from '../../geofence/revision.ts'
import { type LookBack, lookBackOf } from '../../geofence/rules.ts'
import type { WatchedDevice } from '../../geofence/visits-state.ts'
import type { LiveEvent } from '../../schemas/live-port.ts'
import type { BackfillFence } from './backfill-fence.ts'
import { applyChanges, CONTRADICTION, DEVICES_LOST, lostDevices } from './geofence-store.ts'
import { loadDevices } from './geofence-store-devices.ts'

/** Tries while positions of the device may be stored; then they have to wait for one more. */
const FREE_TRIES = 3
/** All tries: what others do between two statements can hardly hit so often. */
const TRIES_MAX = 10
/** SQLSTATE of what is tried again: what was read is no longer so, or two waited for each other. */
const AGAIN: ReadonlySet<string> = new Set([DEVICES_LOST, CONTRADICTION, '23505', '40001', '40P01'])

export interface DeviceBackfillOptions {
  readonly client: pg.ClientBase
  /** Of `newOwner`, for this run alone. */
  readonly owner: number
  readonly fence: BackfillFence
  readonly span: { readonly fromMs: number; readonly toMs: number }
  /** What is stored of a device; `claimed` = its shard may wait for it. */
  readonly history: (device: number, claimed: boolean) => History
}

export class DeviceBackfill {
  private readonly options: DeviceBackfillOptions
  private readonly lookBack: LookBack
  private losses = 0

  constructor(options: DeviceBackfillOptions) {
    this.options = options
    this.lookBack = lookBackOf([options.fence.terms])
  }

  /**
   * @returns Events that were stored; stored again they would be none.
   * @throws pg.DatabaseError, and what the history throws; nothing of the device is stored then.
   */
  async run(device: WatchedDevice): Promise<LiveEvent[]> {
    if (isEmpty(await this.look(device))) return []
    for (let tries = 1; ; tries++) {
      try {
        return await this.claimAndStore(device.device, tries > FREE_TRIES)
      } catch (error) {
        if (!(error instanceof pg.DatabaseError) || !AGAIN.has(error.code ?? '') || tries === TRIES_MAX)
          throw error
      }
    }
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

  /**
   * @param alone Whether a shard that wants the device back waits until this is stored. Without it, this fails with
   *   {@link DEVICES_LOST} then.
   */
  private async claimAndStore(id: number, alone: boolean): Promise<LiveEvent[]> {
    const { client, owner } = this.options
    // Before the claim: what is lost after it is one more.
    this.losses = (await lostDevices(client, owner, [])).losses
    // What the shard had on its way is stored now, and what it stores later it first claims back.
    const [device] = await loadDevices(client, owner, [id], { fixes: 1, seconds: 0 })
    if (device === undefined) return []
    if (!alone) return this.evaluateAndStore(device)
    await client.query('BEGIN')
    try {
      // Whoever claims the device waits for this lock, which lasts to the end of the transaction.
      await client.query('SELECT geofence_guard($1, $2)', [owner, this.losses])
      const events = await this.evaluateAndStore(device)
      await client.query('COMMIT')
      return events
    } catch (error) {
      await client.query('ROLLBACK')
      throw error
    }
  }

  private async evaluateAndStore(device: WatchedDevice): Promise<LiveEvent[]> {
    const { client, owner } = this.options
    const nowMs = Date.now()
    const changes = await this.evaluate(device, true, nowMs)
    return isEmpty(changes) ? [] : applyChanges(client, changes, { owner, losses: this.losses }, nowMs)
  }

  private async evaluate(device: WatchedDevice, claimed: boolean, nowMs: number): Promise<GeofenceChanges> {
    const { fence, span, history } = this.options
    const changes = noChanges()
    await backfill(
      device,
      fence.id,
      span,
      {
        fences: fence,
        history: history(device.device, claimed),
        lookBack: this.lookBack,
        nowMs,
      },
      changes,
    )
    return changes
  }
}

function isEmpty({ opened, changed, removed, events }: GeofenceChanges): boolean {
  return opened.length + changed.length + removed.length + events.length === 0
}
