import pg from 'pg'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createPool } from '../../../storage/pools.ts'
import { type TestDatabase, testDatabase } from '../../../test/database.ts'
import { BACKFILL_UNHEARD_MS, claimRun, endCancelled, RunRecord } from './backfill-runs.ts'

const FROM_MS = Date.UTC(2026, 0, 2)
const TO_MS = Date.UTC(2026, 0, 3)

let database: TestDatabase
let pool: pg.Pool
let client: pg.Client
let organizationId: number
let geofenceId: number

beforeAll(async () => {
  database = await testDatabase()
  pool = createPool(database.url, { max: 3, applicationName: 'backfill test' })
  client = new pg.Client(database.url)
  await client.connect()
  organizationId = await inserted("organizations (name) VALUES ('Test')")
  geofenceId = await inserted(
    `geofences (organization_id, name, shape, west, south, east, north, time_zone, rules)
     VALUES (${organizationId}, 'Depot', '{}', 0, 0, 0, 0, 'UTC', '[]')`,
  )
})
afterAll(async () => {
  await client.end()
  await pool.end()
  await database.drop()
})
beforeEach(async () => {
  await client.query('DELETE FROM geofence_backfills')
})

async function inserted(what: string): Promise<number> {
  return (await client.query(`INSERT INTO ${what} RETURNING id`)).rows[0].id
}

function queue(): Promise<number> {
  return inserted(
    `geofence_backfills (organization_id, geofence_id, from_time, to_time, created_by)
     VALUES (${organizationId}, ${geofenceId}, '${new Date(FROM_MS).toISOString()}', '${new Date(TO_MS).toISOString()}', 1)`,
  )
}

async function rowOf(id: number): Promise<Record<string, unknown>> {
  return (await client.query('SELECT * FROM geofence_backfills WHERE id = $1', [id])).rows[0]
}

/** As if nothing had been heard of it for a while. */
async function grownOld(id: number, ms: number): Promise<void> {
  await client.query(
    `UPDATE geofence_backfills SET heard_at = heard_at - $2 * interval '1 ms' WHERE id = $1`,
    [id, ms],
  )
}

const NOTHING = { lastDevice: 0, devicesDone: 0, eventsAdded: 0, eventsRetracted: 0 }

test('runs are taken in their order, each once', async () => {
  const [first, second] = [await queue(), await queue()]
  const claimed = await Promise.all([claimRun(pool), claimRun(pool), claimRun(pool)])
  expect(claimed.map((run) => run?.id).sort()).toEqual([first, second, undefined])
  expect(claimed.find((run) => run?.id === first)).toMatchObject({
    geofenceId,
    organizationId,
    fromMs: FROM_MS,
    toMs: TO_MS,
    progress: NOTHING,
  })
  expect(await rowOf(first)).toMatchObject({ state: 'running', started_at: expect.any(Date) })
})

test('a run that nothing is heard of is taken over where it was, and the former one is told', async () => {
  const id = await queue()
  const record = new RunRecord(client, (await claimRun(pool))!)
  const progress = { lastDevice: 7, devicesDone: 3, eventsAdded: 2, eventsRetracted: 1 }
  expect(await record.hear(progress, 5)).toBe('go')
  await grownOld(id, BACKFILL_UNHEARD_MS - 2_000)
  expect(await claimRun(pool)).toBeUndefined()
  await grownOld(id, 2_000)
  const taken = (await claimRun(pool))!
  expect(taken).toMatchObject({ id, progress })

  expect(await record.hear({ ...progress, devicesDone: 4 }, null)).toBe('lost')
  await record.end({ state: 'done' })
  await record.giveBack()
  expect(await rowOf(id)).toMatchObject({
    state: 'running',
    devices_total: 5,
    devices_done: 3,
    ended_at: null,
  })
  const heir = new RunRecord(client, taken)
  expect(await heir.hear({ ...progress, devicesDone: 5 }, null)).toBe('go')
  await heir.end({ state: 'done' })
  expect(await rowOf(id)).toMatchObject({
    state: 'done',
    devices_total: 5,
    devices_done: 5,
    last_device_id: 7,
  })
  expect(await claimRun(pool)).toBeUndefined()
})

test('a run whose geofence was edited is begun anew by who takes it over', async () => {
  await queue()
  const record = new RunRecord(client, (await claimRun(pool))!)
  await record.hear({ ...NOTHING, lastDevice: 7, eventsAdded: 2 }, null)
  await client.query("UPDATE geofences SET time_zone = 'Europe/Berlin'")
  await record.giveBack()
  expect(await claimRun(pool)).toMatchObject({ progress: { lastDevice: 0, eventsAdded: 2 } })
})

test('a run that is put back is taken at once', async () => {
  const id = await queue()
  const record = new RunRecord(client, (await claimRun(pool))!)
  await record.giveBack()
  expect(await rowOf(id)).toMatchObject({ state: 'queued', heard_at: null })
  expect((await claimRun(pool))?.id).toBe(id)
})

test('a cancelled run is ended before it begins, or told when it is next heard of', async () => {
  const [running, waiting] = [await queue(), await queue()]
  const record = new RunRecord(client, (await claimRun(pool))!)
  await client.query('UPDATE geofence_backfills SET cancel_asked = true')
  expect(await claimRun(pool)).toBeUndefined()
  await endCancelled(pool)
  expect(await rowOf(waiting)).toMatchObject({ state: 'cancelled', ended_at: expect.any(Date) })
  expect(await record.hear(NOTHING, 1)).toBe('cancel')
  await record.end({ state: 'cancelled' })
  expect(await rowOf(running)).toMatchObject({ state: 'cancelled', failure: null })
})

test('a run says why it failed, and is lost when its geofence is deleted', async () => {
  const id = await queue()
  const record = new RunRecord(client, (await claimRun(pool))!)
  await record.end({ state: 'failed', failure: 'the geofence is disabled' })
  expect(await rowOf(id)).toMatchObject({ state: 'failed', failure: 'the geofence is disabled' })
  await queue()
  const other = new RunRecord(client, (await claimRun(pool))!)
  await client.query('DELETE FROM geofence_backfills')
  expect(await other.hear(NOTHING, null)).toBe('lost')
})
