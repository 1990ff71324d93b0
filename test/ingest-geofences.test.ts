/** Geofences of the database and the positions that an engine stores by them, from its first moment on. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Ingest } from '../ingest/engine.ts'
import { IngestHarness, login, packet } from './ingest-harness.ts'

const IMEI = '350000000000001'
/** So many that it takes a while until they are read. */
const MANY = 15_000
/** Ends what hangs: reading them takes a second where others leave the processors alone. */
const READ_TIMEOUT_MS = 60_000
vi.setConfig({ testTimeout: 2 * READ_TIMEOUT_MS, expect: { poll: { timeout: READ_TIMEOUT_MS } } })

let harness: IngestHarness
let journalFolder: string
const others: Ingest[] = []

beforeEach(async () => {
  journalFolder = await mkdtemp(join(tmpdir(), 'fleetflow-journal-'))
})
afterEach(async () => {
  for (const ingest of others.splice(0)) await ingest.close()
  await harness.stop()
  await rm(journalFolder, { recursive: true })
})

/** An engine in place of the one before, with the same database and journal. */
async function another(): Promise<Ingest> {
  await Promise.all([harness.ingest, ...others].map((ingest) => ingest.close()))
  const ingest = await harness.another({ journalFolder })
  others.push(ingest)
  return ingest
}

/** A circle round the place that `packet` reports. @returns `geofences.id`. */
async function addHere(rules: object[]): Promise<number> {
  const shape = { type: 'Circle', center: [-97.74, 30.27], radiusM: 500 }
  const { rows } = await harness.pool.query(
    `INSERT INTO geofences (organization_id, name, shape, west, south, east, north, time_zone, rules)
     VALUES ($1, 'here', $2, 0, 0, 0, 0, 'UTC', $3) RETURNING id`,
    [harness.organizationId, JSON.stringify(shape), JSON.stringify(rules)],
  )
  return rows[0].id
}

async function addManyElsewhere(): Promise<void> {
  await harness.pool.query(
    `INSERT INTO geofences (organization_id, name, shape, west, south, east, north, time_zone, rules)
     SELECT $1, 'elsewhere', json_build_object('type', 'Circle', 'radiusM', 200, 'center',
       json_build_array(10 + (n % 250) * 0.01, 10 + (n / 250) * 0.01)), 0, 0, 0, 0, 'UTC', '[{}]'
     FROM generate_series(1, $2::integer) n`,
    [harness.organizationId, MANY],
  )
}

/** Sends one position. @returns When it is acknowledged. */
async function report(ingest: Ingest, timeMs: number): Promise<void> {
  const device = harness.device(harness.portOf('teltonika', 'tcp', ingest))
  device.send(login(IMEI))
  expect(await device.reply(1)).toBe('01')
  device.send(packet(1, timeMs))
  expect(await device.reply(4)).toBe('00000001')
}

async function eventsOf(geofence: number): Promise<{ type: string; timeMs: number }[]> {
  const { rows } = await harness.pool.query(
    'SELECT type, event_time FROM events WHERE geofence_id = $1 ORDER BY event_time',
    [geofence],
  )
  return rows.map(({ type, event_time }) => ({ type, timeMs: event_time.getTime() }))
}

test.each(['journal', 'database'] as const)(
  'a position that comes before the geofences are read has its event, acknowledged after the %s',
  async (ackAfter) => {
    harness = await IngestHarness.start({ ackAfter })
    await harness.register(IMEI)
    await addManyElsewhere()
    const geofence = await addHere([{}])
    const timeMs = Date.now() - 60_000
    await report(await another(), timeMs)
    await expect.poll(() => eventsOf(geofence)).toEqual([{ type: 'enter', timeMs }])
  },
)

test('an engine that ends before the geofences are read leaves its positions to the next one', async () => {
  harness = await IngestHarness.start()
  const id = await harness.register(IMEI)
  await addManyElsewhere()
  const geofence = await addHere([{}])
  const timeMs = Date.now() - 60_000
  await report(await another(), timeMs)
  await another()
  await expect.poll(() => harness.storedOf(id)).toBe(1)
  expect(await eventsOf(geofence)).toEqual([{ type: 'enter', timeMs }])
})

test('a device counts for the rules of a group from its next position on', async () => {
  harness = await IngestHarness.start()
  const id = await harness.register(IMEI)
  const { pool, organizationId } = harness
  const { rows } = await pool.query(
    "INSERT INTO device_groups (organization_id, name) VALUES ($1, 'day') RETURNING id",
    [organizationId],
  )
  const group = rows[0].id
  const geofence = await addHere([{ group }])
  await expect.poll(() => harness.metric('fleetflow_geofences', { part: 'delta' })).toBe(1)
  const startMs = Date.now() - 60_000
  await report(harness.ingest, startMs)
  await expect.poll(() => harness.storedOf(id)).toBe(1)
  await pool.query('INSERT INTO device_group_members VALUES ($1, $2, $3)', [organizationId, group, id])
  // Each position comes later than the one before; the first that is evaluated by the group enters.
  let reported = 0
  await expect
    .poll(async () => {
      await report(harness.ingest, startMs + ++reported * 1000)
      return (await eventsOf(geofence)).map(({ type }) => type)
    })
    .toEqual(['enter'])
  expect((await eventsOf(geofence))[0]!.timeMs).toBeGreaterThan(startMs)
})
