import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { noChanges, type Visit } from '../../geofence/visits/changes.ts'
import { dayMs, GeofenceTables } from '../../test/geofence-tables.ts'
import { applyChanges, DEVICES_LOST, lostDevices, newOwner } from './geofence-store.ts'
import { claimDevices, loadDevices } from './geofence-store-devices.ts'
import { StoredHistory } from './geofence-store-history.ts'

const T0 = Date.UTC(2026, 10, 21, 8)
const NONE = Number.NaN

let tables: GeofenceTables
let pool: pg.Pool
let client: pg.PoolClient
let device: number
let fence: number

beforeAll(async () => {
  tables = await GeofenceTables.make()
  pool = tables.pool
  client = await pool.connect()
})
afterAll(async () => {
  client.release()
  await tables.drop()
})
beforeEach(async () => {
  await tables.reset()
  tables.owner = await newOwner(pool)
  device = await tables.addDevice('d')
  fence = await tables.addFence([{}])
})

const at = (minutes: number) => T0 + minutes * 60_000

const visit = (enteredMs: number, exitedMs = NONE, geofence = fence): Visit => ({
  device,
  geofence,
  version: 1,
  enteredMs,
  exitedMs,
  dueMs: NONE,
})

describe('owners of devices', () => {
  it('are told of the devices that another claimed before they store anything', async () => {
    const { owner } = tables
    const other = await newOwner(pool)
    expect(other).not.toBe(owner)
    await claimDevices(client, owner, [device])
    expect(await lostDevices(client, owner, [device])).toEqual({ devices: [], losses: 0 })
    await claimDevices(client, other, [device, 999_999])
    await expect(tables.apply({ opened: [visit(at(0))] })).rejects.toMatchObject({ code: DEVICES_LOST })
    const { devices, losses } = await lostDevices(client, owner, [device])
    expect(devices).toEqual([device])
    await tables.apply({ opened: [visit(at(0))] }, at(0), losses)
    // Nobody loses what they have.
    await claimDevices(client, other, [device])
    await applyChanges(client, noChanges(), { owner: other, losses: 0 }, 0)
  })

  it('have stored what is on its way when a claim returns, and nothing after it', async () => {
    const { owner } = tables
    const other = await newOwner(pool)
    await claimDevices(client, owner, [device])
    await client.query('BEGIN')
    await applyChanges(client, { ...noChanges(), opened: [visit(at(0))] }, { owner, losses: 0 }, at(0))
    const second = await pool.connect()
    let claimed = false
    const claim = claimDevices(second, other, [device]).then(() => {
      claimed = true
    })
    const waiting = `SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
      WHERE NOT granted AND d.datname = current_database()`
    await expect.poll(async () => (await pool.query(waiting)).rowCount).toBe(1)
    expect(claimed).toBe(false)
    await client.query('COMMIT')
    await claim
    second.release()
    expect((await pool.query('SELECT FROM geofence_visits')).rowCount).toBe(1)
    const ended = { changed: [visit(at(0), at(1))] }
    await expect(tables.apply(ended)).rejects.toMatchObject({ code: DEVICES_LOST })
  })

  it('that claim the same devices at the same time do not deadlock, and each device has one', async () => {
    const ids = Array.from({ length: 40 }, (_, i) => i)
    const { rows } = await pool.query(
      `INSERT INTO devices (organization_id, unique_id, name)
       SELECT (SELECT id FROM organizations), 'x' || i, 'x' FROM unnest($1::int[]) AS i RETURNING id`,
      [ids],
    )
    const devices = rows.map(({ id }) => id)
    const owners = await Promise.all([newOwner(pool), newOwner(pool), newOwner(pool)])
    const clients = await Promise.all(owners.map(() => pool.connect()))
    for (let round = 0; round < 10; round++) {
      await Promise.all(
        clients.map((one, i) =>
          claimDevices(
            one,
            owners[i]!,
            devices.toSorted(() => Math.random() - 0.5),
          ),
        ),
      )
    }
    for (const one of clients) one.release()
    const lost = await Promise.all(owners.map((one) => lostDevices(pool, one, devices)))
    expect(lost.map((one) => one.devices.length).toSorted((a, b) => a - b)).toEqual([0, 40, 40])
  })
})

describe('a device that is loaded', () => {
  const load = (fixes: number, seconds: number, ...devices: number[]) =>
    loadDevices(client, tables.owner, devices, { fixes, seconds })

  it('comes with its organisation, groups and open visits, in the order that is asked for', async () => {
    const other = await tables.addDevice('other')
    const groups = [await tables.addGroup('a'), await tables.addGroup('b')]
    for (const group of groups.toReversed()) {
      await pool.query('INSERT INTO device_group_members VALUES ($1, $2, $3)', [
        tables.organization,
        group,
        device,
      ])
    }
    await tables.apply({ opened: [visit(at(0), at(1)), { ...visit(at(2)), dueMs: at(9) }] })
    expect(await load(1, 0, other, 999_999, device)).toEqual([
      { device: other, organizationId: tables.organization, groups: [], visits: [], fixes: [] },
      {
        device,
        organizationId: tables.organization,
        groups,
        visits: [{ geofence: fence, version: 1, enteredMs: at(2), exitedMs: NONE, dueMs: at(9) }],
        fixes: [],
      },
    ])
    expect(await lostDevices(client, tables.owner, [device, other])).toEqual({ devices: [], losses: 0 })
  })

  it('comes with its last fixes, as many and as old as is asked for, however long ago they are', async () => {
    const offsets = [-400, -40, -4, 0]
    await tables.addFixes(device, ...offsets.map((days) => T0 + dayMs(days)), T0 + 60_000, T0 + 120_000)
    const times = async (fixes: number, seconds: number) =>
      (await load(fixes, seconds, device))[0]!.fixes.map(({ timeMs }) => timeMs - T0)
    expect(await times(1, 0)).toEqual([120_000])
    expect(await times(1, 60)).toEqual([60_000, 120_000])
    expect(await times(1, 119)).toEqual([60_000, 120_000])
    expect(await times(2, 120)).toEqual([0, 60_000, 120_000])
    expect(await times(5, 60)).toEqual([-40, -4].map(dayMs).concat([0, 60_000, 120_000]))
    expect(await times(20, 0)).toEqual([-400, -40, -4].map(dayMs).concat([0, 60_000, 120_000]))
    const [loaded] = await load(1, 0, device)
    expect(loaded!.fixes).toEqual([
      { timeMs: T0 + 120_000, digestHigh: 0, digestLow: 6, latitudeDeg: 0.5, longitudeDeg: 6, speedKmh: 6 },
    ])
  })

  it('has its fixes of one time by their digests, which are unsigned, and none that is doubted', async () => {
    const digests = ['0', '5000000000', '-1', '-9223372036854775808']
    await pool.query(
      `INSERT INTO positions (fix_time, received_at, digest, device_id, quality, valid, latitude, longitude, speed_kmh)
       SELECT $1, $1, digest, $2, CASE WHEN digest = 7 THEN 1 ELSE 0 END, true, 0, 0, CASE WHEN digest = 0 THEN 67.2 END
       FROM unnest($3::bigint[]) AS digest`,
      [new Date(T0), device, [...digests, '7']],
    )
    const expected = [
      [0, 0],
      [1, 705_032_704],
      [0x80000000, 0],
      [0xffffffff, 0xffffffff],
    ]
    const pairs = (fixes: readonly { digestHigh: number; digestLow: number }[]) =>
      fixes.map(({ digestHigh, digestLow }) => [digestHigh, digestLow])
    const [{ fixes } = { fixes: [] }] = await load(3, 0, device)
    expect(pairs(fixes)).toEqual(expected.slice(0, 3))
    const history = new StoredHistory(client, device)
    const all = await history.fixesFrom(T0, 10)
    expect(pairs(all)).toEqual(expected)
    expect(all.map(({ speedKmh }) => speedKmh)).toEqual([Math.fround(67.2), NONE, NONE, NONE])
    expect(pairs(await history.fixesFrom(T0, 2))).toEqual(expected.slice(0, 2))
    expect(pairs(await history.fixesBefore(T0 + 1, 2))).toEqual(expected.slice(2))
    expect(await history.fixesBefore(T0, 2)).toEqual([])
  })
})

describe('the history of a device', () => {
  it('has fixes from a time on and back from it, in pages that reach over any gap', async () => {
    const days = [-500, -100, -9, -8, -1, 0, 1, 8, 9, 100, 500]
    await tables.addFixes(device, ...days.map((day) => T0 + dayMs(day)))
    const history = new StoredHistory(client, device)
    const times = (fixes: readonly { timeMs: number }[]) =>
      fixes.map(({ timeMs }) => (timeMs - T0) / dayMs(1))
    for (let limit = 1; limit < 8; limit++) {
      expect(times(await history.fixesFrom(T0, limit))).toEqual(days.slice(5).slice(0, limit))
      expect(times(await history.fixesBefore(T0, limit))).toEqual(days.slice(0, 5).slice(-limit))
    }
  })

  it('has the visits of a span, and those beside it', async () => {
    const other = await tables.addFence([{}])
    await tables.apply({
      opened: [
        visit(at(0), at(5)),
        visit(at(10), at(15)),
        visit(at(20), at(25)),
        visit(at(30)),
        visit(at(12), at(14), other),
      ],
    })
    const history = new StoredHistory(client, device)
    const entered = (list: readonly { enteredMs: number; geofence: number }[]) =>
      list.map(({ enteredMs, geofence }) => [geofence, (enteredMs - T0) / 60_000])
    expect(entered(await history.visits(at(15), at(20)))).toEqual([
      [fence, 10],
      [fence, 20],
    ])
    expect(entered(await history.visits(at(14), Infinity))).toEqual([
      [fence, 10],
      [fence, 20],
      [fence, 30],
      [other, 12],
    ])
    expect(entered(await history.neighbours([fence, other], at(15), at(20)))).toEqual([
      [fence, 0],
      [fence, 30],
      [other, 12],
    ])
    expect(entered(await history.neighbours([fence], at(40), Infinity))).toEqual([[fence, 20]])
  })

  it('has all events of a span, superseded ones and those without a place, too', async () => {
    await pool.query(
      `INSERT INTO events (event_time, fix_time, latitude, longitude, speed_kmh, device_id, geofence_id,
         geofence_version, type, revision, superseded, crossing)
       VALUES ($1, $1, 1.5, 2.5, 67.2, $3, $4, 1, 'enter', 0, true, true), ($1, $1, 1, 2, NULL, $3, $4, 1, 'enter', 1, false, false),
         ($2, NULL, NULL, NULL, NULL, $3, $4, 1, 'dwell', 0, false, false)`,
      [new Date(at(0)), new Date(at(10)), device, fence],
    )
    const history = new StoredHistory(client, device)
    const events = await history.events([fence, 7], at(0), Infinity)
    expect(events).toMatchObject([
      { type: 'enter', timeMs: at(0), fixTimeMs: at(0), revision: 0, current: false, crossing: true },
      { type: 'enter', timeMs: at(0), revision: 1, current: true, speedKmh: NONE },
      {
        type: 'dwell',
        timeMs: at(10),
        fixTimeMs: NONE,
        latitudeDeg: NONE,
        longitudeDeg: NONE,
        current: true,
      },
    ])
    expect(events[0]).toMatchObject({ latitudeDeg: 1.5, longitudeDeg: 2.5, speedKmh: Math.fround(67.2) })
    expect(events.every(({ id }) => typeof id === 'number')).toBe(true)
    expect(await history.events([fence], at(0), at(9))).toHaveLength(2)
    expect(await history.events([fence + 1], at(0), at(10))).toEqual([])
  })
})
