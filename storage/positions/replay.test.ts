import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { type TestDatabase, testDatabase } from '../../test/database.ts'
import { insertTenant, type TenantFixture } from '../../test/tenants.ts'
import { createPool } from '../pools.ts'
import type { Tenant } from '../tenancy.ts'
import {
  countDevices,
  nextReplayedUs,
  type ReplayScope,
  readReplayEvents,
  readReplayWindow,
  readsByTime,
} from './replay.ts'

/** µs since 1970. */
const T0 = Date.UTC(2026, 10, 20, 23, 59, 0) * 1000
const SECOND = 1_000_000
const DAY = 86_400 * SECOND
const ROWS_MAX = 1_000

let database: TestDatabase
let pool: pg.Pool
let mine: TenantFixture
let theirs: TenantFixture
/** Devices of mine: three that report each second for two minutes, over midnight. */
let devices: number[]

beforeAll(async () => {
  database = await testDatabase()
  pool = createPool(database.url, { max: 2, applicationName: 'replay test' })
  mine = await insertTenant(pool, 'mine')
  theirs = await insertTenant(pool, 'theirs')
  await pool.query("SELECT ensure_position_day('2026-11-20'), ensure_position_day('2026-11-21')")
  const { rows } = await pool.query<{ id: number }>(
    `INSERT INTO devices (organization_id, unique_id, name)
     SELECT $1, 'replayed ' || i, 'replayed' FROM generate_series(1, 3) i RETURNING id`,
    [mine.tenant.organizationId],
  )
  devices = rows.map(({ id }) => id)
  for (const device of [...devices, theirs.device]) await insertRows(device, T0, 120)
  // What is doubted, and what has no place, is in no replay.
  await insertRows(devices[0]!, T0 + SECOND / 2, 1, 4)
  await pool.query(
    `INSERT INTO positions (device_id, fix_time, received_at, digest, quality, valid) VALUES ($1, ${at(T0)}, now(), 9, 0, true)`,
    [devices[0]],
  )
})
afterAll(async () => {
  await pool.end()
  await database.drop()
})

const at = (us: number) => `timestamptz 'epoch' + ${us / 1000} * interval '1 ms'`

async function insertRows(device: number, fromUs: number, count: number, quality = 0): Promise<void> {
  await pool.query(
    `INSERT INTO positions (device_id, fix_time, received_at, digest, quality, valid, latitude, longitude)
     SELECT $1, ${at(fromUs)} + i * interval '1 s', now(), -$1::integer, $3, true, 1, 2 FROM generate_series(0, $2::integer - 1) i`,
    [device, count, quality],
  )
}

const scopes = (tenant: Tenant, few: readonly number[]): ReplayScope[] => [
  { tenant, devices: few },
  { tenant, devices: null },
]

/** Device and second of each row. */
function keys(batch: PositionBatch | undefined): [number, number][] {
  return Array.from({ length: batch?.length ?? 0 }, (_, row): [number, number] => [
    batch!.device[row]!,
    (batch!.fixTimeMs[row]! * 1000 - T0) / SECOND,
  ])
}
const sorted = (rows: [number, number][]) => rows.sort((a, b) => a[1] - b[1] || a[0] - b[0])

function expected(of: readonly number[], from: number, to: number): [number, number][] {
  const rows: [number, number][] = []
  for (let second = from; second < to; second++) for (const device of of) rows.push([device, second])
  return rows
}

const window = (from: number, to: number, rowsMax = ROWS_MAX) => ({
  fromUs: T0 + from * SECOND,
  toUs: T0 + to * SECOND,
  rowsMax,
})

describe('a window', () => {
  test('holds the undoubted rows of its time, of the devices that the tenant sees', async () => {
    for (const scope of scopes(mine.tenant, [...devices, theirs.device])) {
      const { batch } = await readReplayWindow(pool, scope, window(50, 70), false)
      expect(sorted(keys(batch))).toEqual(expected(devices, 50, 70))
    }
    for (const scope of scopes(theirs.tenant, [theirs.device])) {
      const { batch } = await readReplayWindow(pool, scope, window(0, 1), false)
      expect(keys(batch)).toEqual(expected([theirs.device], 0, 1))
    }
  })

  test('of a super admin has the rows of every organisation', async () => {
    const tenant: Tenant = { userId: 1, organizationId: null, role: 'super-admin' }
    const all = [...devices, theirs.device].sort((a, b) => a - b)
    for (const scope of scopes(tenant, all)) {
      const { batch } = await readReplayWindow(pool, scope, window(10, 12), false)
      expect(sorted(keys(batch))).toEqual(expected(all, 10, 12))
    }
  })

  test('is read in order, piece by piece, where it has more rows than are taken', async () => {
    for (const scope of scopes(mine.tenant, devices)) {
      const rows: [number, number][] = []
      let after: Parameters<typeof readReplayWindow>[2]['after']
      for (;;) {
        const { batch } = await readReplayWindow(pool, scope, { ...window(58, 63, 4), after }, true)
        rows.push(...keys(batch))
        if (batch === undefined || batch.length < 4) break
        after = {
          fixTimeUs: batch.fixTimeMs[3]! * 1000,
          device: batch.device[3]!,
          digestHigh: batch.digestHigh[3]!,
          digestLow: batch.digestLow[3]!,
        }
      }
      expect(rows).toEqual(expected(devices, 58, 63))
    }
  })

  test('says up to which commit it sees everything', async () => {
    const [scope] = scopes(mine.tenant, devices)
    const before = await readReplayWindow(pool, scope!, window(0, 1), false)
    const { rows } = await pool.query<{ sequence: number }>(
      "SELECT commit_batch(1, 0, '{}', '{}', '{}') AS sequence",
    )
    const after = await readReplayWindow(pool, scope!, window(0, 1), false)
    expect([before.head < after.head, after.head]).toEqual([true, rows[0]!.sequence])
  })
})

test('the next row is found over a gap, of the devices that the tenant sees', async () => {
  await insertRows(devices[1]!, T0 + 40 * DAY, 1)
  await insertRows(theirs.device, T0 + 20 * DAY, 1)
  const end = T0 + 100 * DAY
  for (const scope of scopes(mine.tenant, devices)) {
    expect(await nextReplayedUs(pool, scope, T0, end)).toBe(T0)
    expect(await nextReplayedUs(pool, scope, T0 + SECOND + 1, end)).toBe(T0 + 2 * SECOND)
    expect(await nextReplayedUs(pool, scope, T0 + DAY, end)).toBe(T0 + 40 * DAY)
    expect(await nextReplayedUs(pool, scope, T0 + DAY, T0 + 40 * DAY)).toBeUndefined()
    expect(await nextReplayedUs(pool, scope, T0 + 41 * DAY, end)).toBeUndefined()
  }
})

test('events come in order, current ones of the organisation and devices only', async () => {
  const insert = (device: number, organization: number, seconds: number, further: string) =>
    pool.query(
      `INSERT INTO events (event_time, device_id, geofence_id, geofence_version, organization_id, type, revision, superseded, retracted)
       VALUES (${at(T0 + seconds * SECOND)} + interval '7 us', $1, 1, 1, $2, ${further})`,
      [device, organization],
    )
  const { organizationId } = mine.tenant
  await insert(devices[1]!, organizationId!, 2, "'exit', 0, false, false")
  await insert(devices[0]!, organizationId!, 1, "'enter', 0, false, false")
  await insert(devices[0]!, organizationId!, 1, "'dwell', 0, true, false")
  await insert(devices[0]!, organizationId!, 1, "'dwell', 1, false, true")
  await insert(devices[2]!, organizationId!, 3, "'enter', 0, false, false")
  await insert(theirs.device, theirs.tenant.organizationId!, 1, "'enter', 0, false, false")
  const [few, all] = scopes(mine.tenant, devices.slice(0, 2))
  const read = async (scope: ReplayScope, after?: { timeUs: number; id: number }) =>
    readReplayEvents(pool, scope, { ...window(0, 3), after })
  const events = await read(few!)
  expect(events.map(({ event, timeUs }) => [event.device, event.type, timeUs - T0])).toEqual([
    [devices[0], 'enter', SECOND + 7],
    [devices[1], 'exit', 2 * SECOND + 7],
  ])
  expect(await read(all!)).toEqual(events)
  const { timeUs, event } = events[0]!
  expect(await read(few!, { timeUs, id: event.id })).toEqual(events.slice(1))
  const withRows = await readReplayWindow(pool, few!, { ...window(0, 3), events: window(0, 3) }, false)
  expect(withRows.events).toEqual(events)
})

test('devices are counted: those of the tenant, and all', async () => {
  const counted = await countDevices(pool, mine.tenant)
  expect(counted).toEqual({ ids: [mine.device, ...devices].sort((a, b) => a - b), all: devices.length + 2 })
})

test('few devices of many are read by their keys, many by time', () => {
  expect(readsByTime(10, 1_000)).toBe(false)
  expect(readsByTime(3_000, 100_000)).toBe(false)
  expect(readsByTime(1_000, 1_000)).toBe(true)
  expect(readsByTime(8_000, 10_000)).toBe(true)
})
