/**
 * Thread of backfills: one run at a time, device by device in the order of their ids, with connections of its own. It may
 * be killed anywhere: what is stored of a device is stored whole, and whoever takes the run over finds the same.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { workerData } from 'node:worker_threads'
import pg from 'pg'
import type { History } from '../../../geofence/visits/revision.ts'
import type { WatchedDevice } from '../../../geofence/visits/visits-state.ts'
import type { LiveEvent } from '../../../schemas/live-port.ts'
import { ID_MAX } from '../../../schemas/text.ts'
import { newOwner } from '../geofence-store.ts'
import { StoredHistory } from '../geofence-store-history.ts'
import { DevicesBackfill } from './backfill-devices.ts'
import { BackfillFence, BackfillFenceError } from './backfill-fence.ts'
import {
  type BackfillResult,
  type BackfillTask,
  type BackfillThreadOptions,
  WISH,
} from './backfill-messages.ts'
import { type BackfillProgress, type BackfillRun, RunRecord } from './backfill-runs.ts'

const CONNECT_TIMEOUT_MS = 10_000
/** A server that does not answer for so long is taken for lost. */
const ANSWER_TIMEOUT_MS = 60_000
/** How often the run says how far it is, ms. */
const HEAR_EVERY_MS = 1_000
/** How often a run that pauses looks whether it is to go on, ms. */
const WISH_EVERY_MS = 100
/** Devices read, and claimed, at once. */
const DEVICES_PAGE = 50
/**
 * How long after its last change a geofence is taken for known to all shards, ms: they have it within a second. Before,
 * a shard that loads a device would not know the geofence that the device is inside of.
 */
const KNOWN_AFTER_MS = 5_000

/** Why a run does not go on; not an error. */
class Stopped {
  readonly end: 'cancelled' | 'given back' | 'lost'

  constructor(end: Stopped['end']) {
    this.end = end
  }
}

/** @throws Error of the connection: the run is taken over later, by this process or another. */
export async function backfill(task: BackfillTask): Promise<BackfillResult> {
  const { databaseUrl } = workerData as BackfillThreadOptions
  const clients: pg.Client[] = []
  const connect = async () => {
    const client = new pg.Client({
      connectionString: databaseUrl,
      application_name: 'fleetflow backfill',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: ANSWER_TIMEOUT_MS,
      keepAlive: true,
    })
    // The statement under way fails then, and tells it.
    client.on('error', () => undefined)
    clients.push(client)
    await client.connect()
    return client
  }
  try {
    return await new Backfill(task, await connect(), await connect()).run()
  } finally {
    await Promise.all(clients.map((client) => client.end().catch(() => undefined)))
  }
}

class Backfill {
  private readonly task: BackfillTask
  private readonly row: BackfillRun
  private readonly client: pg.ClientBase
  private readonly record: RunRecord
  private progress: BackfillProgress
  private devicesTotal: number | null = null
  private stopped: Stopped | undefined
  private failure: unknown
  private hearing: Promise<void> | undefined
  private readonly startMs = performance.now()
  private fixes = 0
  private held = false

  /** @param control Tells how far the run is, while the other one is busy. */
  constructor(task: BackfillTask, client: pg.ClientBase, control: pg.ClientBase) {
    this.task = task
    this.row = task.run
    this.client = client
    this.record = new RunRecord(control, task.run)
    this.progress = task.run.progress
  }

  async run(): Promise<BackfillResult> {
    const timer = setInterval(() => this.hear(), HEAR_EVERY_MS)
    let failure: string | undefined
    try {
      while (!(await this.runVersion()));
    } catch (error) {
      if (error instanceof Stopped) this.stopped = error
      else if (isFinal(error)) failure = error.message
      else throw error
    } finally {
      clearInterval(timer)
      await this.hearing
    }
    return this.end(failure)
  }

  private async end(failure: string | undefined): Promise<BackfillResult> {
    const { record, progress, fixes, held } = this
    const result = { ...progress, fixes, held }
    if (this.stopped?.end === 'lost' || (await record.hear(progress, this.devicesTotal)) === 'lost') {
      return { ...result, end: 'lost' }
    }
    if (failure !== undefined) {
      await record.end({ state: 'failed', failure })
      return { ...result, end: 'failed', failure }
    }
    const end = this.stopped?.end ?? 'done'
    if (end === 'given back') await record.giveBack()
    else await record.end({ state: end })
    return { ...result, end }
  }

  /** @returns false where the geofence was changed meanwhile: all has to be done once more. */
  private async runVersion(): Promise<boolean> {
    const { client, row } = this
    await this.untilKnown()
    const fence = await BackfillFence.read(client, row.geofenceId)
    const groups = fence.terms.rules.map(({ group }) => group)
    this.devicesTotal = await countDevices(client, row.organizationId, groups)
    const devicesDone = await countDevices(client, row.organizationId, groups, this.progress.lastDevice)
    this.progress = { ...this.progress, devicesDone }
    const backfill = new DevicesBackfill({
      client,
      owner: await newOwner(client),
      fence,
      span: row,
      history: (device, claimed) => this.watched(new StoredHistory(client, device), claimed),
      onDone: (_, events) => this.done(events),
    })
    for (;;) {
      this.check()
      const page = await this.nextDevices(fence, groups)
      const seen = page.filter((device) => device.seen)
      for (let unseen = page.length - seen.length; unseen > 0; unseen--) this.done([])
      await backfill.run(seen)
      if ((await versionOf(client, fence.id)) !== fence.version) {
        this.progress = { ...this.progress, lastDevice: 0 }
        return false
      }
      const last = page.at(-1)
      if (last !== undefined) this.progress = { ...this.progress, lastDevice: last.device }
      if (page.length < DEVICES_PAGE) return true
    }
  }

  /** Counts a device. Where the run is gone on with later is said only when all devices before are done. */
  private done(events: readonly LiveEvent[]): void {
    const { lastDevice, devicesDone, eventsAdded, eventsRetracted } = this.progress
    const retracted = events.filter((event) => event.retracted).length
    this.progress = {
      lastDevice,
      devicesDone: devicesDone + 1,
      eventsAdded: eventsAdded + events.length - retracted,
      eventsRetracted: eventsRetracted + retracted,
    }
  }

  private async untilKnown(): Promise<void> {
    for (;;) {
      const { rows } = await this.client.query<{ age_ms: number }>(
        'SELECT extract(epoch FROM now() - updated_at)::float8 * 1000 AS age_ms FROM geofences WHERE id = $1',
        [this.row.geofenceId],
      )
      const leftMs = KNOWN_AFTER_MS - (rows[0]?.age_ms ?? Infinity)
      if (leftMs <= 0) return
      await this.pause(leftMs)
    }
  }

  /** @returns `seen` = it is worth a look: there are positions of it in the window, or it may be missing in it. */
  private async nextDevices(
    fence: BackfillFence,
    groups: readonly (number | null)[],
  ): Promise<(WatchedDevice & { seen: boolean })[]> {
    const { organizationId, fromMs, toMs } = this.row
    const { rows } = await this.client.query<WatchedDevice & { seen: boolean }>(
      `SELECT d.id AS device, d.organization_id AS "organizationId",
         ARRAY(SELECT group_id FROM device_group_members m WHERE m.device_id = d.id ORDER BY 1) AS groups,
         $6 OR EXISTS (SELECT FROM positions p WHERE p.device_id = d.id AND p.quality = 0 AND p.fix_time >= $4
           AND p.fix_time < $5) AS seen
       FROM devices d WHERE ${WATCHED} AND d.id > $3 ORDER BY d.id LIMIT ${DEVICES_PAGE}`,
      [
        organizationId,
        groups,
        this.progress.lastDevice,
        new Date(fromMs),
        new Date(toMs),
        fence.terms.rules.some(({ insideBy }) => insideBy !== null),
      ],
    )
    return rows
  }

  /** The history with a look at the wishes between its pages, and at the rate while nobody waits for the device. */
  private watched(history: History, claimed: boolean): History {
    const page = async <Row>(read: Promise<readonly Row[]>): Promise<readonly Row[]> => {
      const rows = await read
      this.fixes += rows.length
      this.check()
      if (!claimed) await this.slowDown()
      return rows
    }
    return {
      fixesBefore: (timeMs, limit) => page(history.fixesBefore(timeMs, limit)),
      fixesFrom: (timeMs, limit) => page(history.fixesFrom(timeMs, limit)),
      visits: (...asked) => history.visits(...asked),
      neighbours: (...asked) => history.neighbours(...asked),
      events: (...asked) => history.events(...asked),
    }
  }

  /** Waits as long as more was read than the rate allows. */
  private async slowDown(): Promise<void> {
    const dueMs = (this.fixes / this.task.fixesPerSecondMax) * 1_000
    const leftMs = dueMs - (performance.now() - this.startMs)
    if (leftMs <= 0) return
    this.held = true
    await this.pause(leftMs)
  }

  private async pause(ms: number): Promise<void> {
    for (let leftMs = ms; leftMs > 0; leftMs -= WISH_EVERY_MS) {
      this.check()
      await delay(Math.min(leftMs, WISH_EVERY_MS))
    }
  }

  /** @throws Stopped if the run is not to go on; Error if the database does not hear of it any more. */
  private check(): void {
    const wish = Atomics.load(this.task.wish, 0)
    if (wish === WISH.cancel) throw new Stopped('cancelled')
    if (wish === WISH.giveBack) throw new Stopped('given back')
    if (this.failure !== undefined) throw this.failure
    if (this.stopped !== undefined) throw this.stopped
  }

  private hear(): void {
    this.hearing ??= this.record
      .hear(this.progress, this.devicesTotal)
      .then((answer) => {
        if (answer === 'cancel') this.stopped = new Stopped('cancelled')
        else if (answer === 'lost') this.stopped = new Stopped('lost')
      })
      .catch((error: unknown) => {
        this.failure = error
      })
      .finally(() => {
        this.hearing = undefined
      })
  }
}

/** Whether another try would meet the same; a lost connection does not end a run. */
function isFinal(error: unknown): error is Error {
  // Classes of SQLSTATE: connection, resources, intervention, system.
  if (error instanceof pg.DatabaseError) return !/^(?:08|53|57|58)/.test(error.code ?? '08')
  return error instanceof BackfillFenceError || error instanceof TypeError || error instanceof RangeError
}

/** Devices that a rule may be for: $1 = organisation, $2 = groups of the rules, among them null for every device. */
const WATCHED = `d.organization_id = $1 AND (array_position($2::integer[], NULL) IS NOT NULL OR EXISTS (
  SELECT FROM device_group_members m WHERE m.device_id = d.id AND m.group_id = ANY ($2)))`

async function countDevices(
  client: pg.ClientBase,
  organizationId: number,
  groups: readonly (number | null)[],
  lastDevice = ID_MAX,
): Promise<number> {
  const { rows } = await client.query<{ count: number }>(
    `SELECT count(*)::integer AS count FROM devices d WHERE ${WATCHED} AND d.id <= $3`,
    [organizationId, groups, lastDevice],
  )
  return rows[0]!.count
}

/** @returns undefined where it is gone or disabled: the next read says so. */
async function versionOf(client: pg.ClientBase, geofence: number): Promise<number | undefined> {
  const { rows } = await client.query<{ version: number }>(
    'SELECT version FROM geofences WHERE id = $1 AND NOT disabled',
    [geofence],
  )
  return rows[0]?.version
}
