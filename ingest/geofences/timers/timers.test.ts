import type pg from 'pg'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { noChanges } from '../../../geofence/visits/changes.ts'
import type { LiveEvent } from '../../../schemas/live-port.ts'
import { createPool } from '../../../storage/pools.ts'
import { GeofenceTables } from '../../../test/geofence-tables.ts'
import { applyChanges } from '../geofence-store.ts'
import { timerMetrics } from './timer-metrics.ts'
import { type TimerOptions, Timers } from './timers.ts'

/** A Saturday. */
const T0 = Date.UTC(2026, 10, 21, 8)
const MINUTE_MS = 60_000
const DAY_MS = 24 * 3600 * 1000
const NONE = Number.NaN

let tables: GeofenceTables
let pool: pg.Pool
let device: number
let nowMs: number
let published: LiveEvent[]
const started: Timers[] = []

beforeAll(async () => {
  tables = await GeofenceTables.make()
  pool = tables.pool
})
afterAll(() => tables.drop())
beforeEach(async () => {
  await tables.reset()
  device = await addDevice('d')
  published = []
  nowMs = T0
})
afterEach(async () => {
  await Promise.all(started.splice(0).map((timers) => timers.close()))
})

const at = (minutes: number) => T0 + minutes * MINUTE_MS

const addDevice = (name: string) => tables.addReporting(name, tables.organization, T0)

async function addVisit(
  geofence: number,
  enteredMs: number,
  exitedMs: number,
  dueMs: number,
  visitor = device,
): Promise<void> {
  const visit = { device: visitor, geofence, version: 1, enteredMs, exitedMs, dueMs }
  await tables.apply({ opened: [visit] }, nowMs)
}

function timers(more: Partial<TimerOptions> = {}): Timers {
  const one = new Timers({
    pool,
    storedUntilMs: () => Infinity,
    publish: ({ events }) => published.push(...events),
    limits: { geofenceTimersPerSecondMax: 20_000, geofenceTimerBackMs: 8 * DAY_MS },
    limitMet: () => {},
    metrics: timerMetrics(new Registry()),
    log: pino({ level: 'silent' }),
    now: () => nowMs,
    ...more,
  })
  started.push(one)
  return one
}

const events = async () =>
  (
    await pool.query(
      `SELECT type, event_time, device_id, revision, geofence_version FROM events
       WHERE NOT superseded AND NOT retracted ORDER BY event_time, device_id`,
    )
  ).rows.map((row) => [row.type, (row.event_time.getTime() - T0) / MINUTE_MS])

describe('a dwell', () => {
  it('of a silent device is made when it is due, once, and published when it is committed', async () => {
    const fence = await tables.addFence([{ dwellS: 600 }])
    await addVisit(fence, at(0), NONE, at(10))
    const one = timers()
    nowMs = at(10) - 1
    await one.poll()
    expect(await events()).toEqual([])
    nowMs = at(10)
    await one.poll()
    expect(await events()).toEqual([['dwell', 10]])
    expect(published).toMatchObject([
      {
        type: 'dwell',
        device,
        geofence: fence,
        geofenceVersion: 1,
        organizationId: tables.organization,
        time: new Date(at(10)).toISOString(),
        fixTime: null,
        latitude: null,
        revision: 0,
      },
    ])
    nowMs = at(1000)
    await one.poll()
    await timers().poll()
    expect(await events()).toHaveLength(1)
    expect(published).toHaveLength(1)
  })

  it('is made once by several processes that look at the same time, and by those that take over', async () => {
    const fence = await tables.addFence([{ dwellS: 600 }])
    for (let i = 0; i < 50; i++) await addVisit(fence, at(i), NONE, at(i + 10), await addDevice(`d${i}`))
    nowMs = at(100)
    // Killed after its events and before its commit.
    const killed = createPool(tables.database.url, { max: 1, applicationName: 'killed timers' })
    const dying = await killed.connect()
    dying.on('error', () => {})
    await dying.query(
      `BEGIN; UPDATE geofence_visits SET due_at = NULL WHERE entered_at < '${new Date(at(20)).toISOString()}';
       INSERT INTO events (event_time, device_id, geofence_id, geofence_version, type)
         SELECT due_at, device_id, geofence_id, 1, 'dwell' FROM geofence_visits WHERE due_at IS NOT NULL`,
    )
    const both = [timers(), timers()]
    const polls = both.map((one) => one.poll())
    await pool.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'killed timers'`,
    )
    await Promise.all(polls)
    await timers().poll()
    expect(await events()).toEqual(Array.from({ length: 50 }, (_, i) => ['dwell', i + 10]))
    expect(published).toHaveLength(50)
    dying.release(true)
    await killed.end()
  })

  it('waits while positions of the device wait to be stored, and others do not wait for it', async () => {
    const fence = await tables.addFence([{ dwellS: 600 }])
    const other = await addDevice('other')
    await addVisit(fence, at(0), NONE, at(10))
    await addVisit(fence, at(0), NONE, at(10), other)
    let storedUntilMs = at(10)
    const one = timers({
      storedUntilMs: (id) => (id === device ? storedUntilMs : Infinity),
      limits: { geofenceTimersPerSecondMax: 1, geofenceTimerBackMs: DAY_MS },
    })
    nowMs = at(11)
    for (let i = 0; i < 3; i++) await one.poll()
    expect(published.map((event) => event.device)).toEqual([other])
    storedUntilMs = at(10) + 1
    for (let i = 0; i < 2; i++) await one.poll()
    expect(published.map((event) => event.device)).toEqual([other, device])
  })

  it('is not made of a visit that a shard ends before it in the same moment', async () => {
    const fence = await tables.addFence([{ dwellS: 600 }])
    await addVisit(fence, at(0), NONE, at(10))
    nowMs = at(10)
    const client = await pool.connect()
    await client.query('BEGIN')
    const ended = { device, geofence: fence, version: 1, enteredMs: at(0), exitedMs: at(9), dueMs: NONE }
    await applyChanges(
      client,
      { ...noChanges(), changed: [ended] },
      { owner: tables.owner, losses: 0 },
      nowMs,
    )
    // The shard has the visit: the timer passes it over.
    await timers().poll()
    await client.query('COMMIT')
    client.release()
    await timers().poll()
    expect(await events()).toEqual([])
  })

  it('that was there and is retracted comes again as a further revision', async () => {
    const fence = await tables.addFence([{ dwellS: 600 }])
    await addVisit(fence, at(0), NONE, at(10))
    nowMs = at(10)
    await timers().poll()
    await pool.query(`
      UPDATE events SET superseded = true;
      INSERT INTO events (event_time, device_id, geofence_id, geofence_version, type, revision, retracted, replaces)
        SELECT event_time, device_id, geofence_id, 1, type, 1, true, id FROM events;
      UPDATE geofence_visits SET fired_at = NULL, due_at = '${new Date(at(10)).toISOString()}'`)
    await timers().poll()
    expect(published.map(({ revision }) => revision)).toEqual([0, 2])
    await pool.query(
      `UPDATE geofence_visits SET fired_at = NULL, due_at = '${new Date(at(10)).toISOString()}'`,
    )
    await timers().poll()
    expect(await events()).toEqual([['dwell', 10]])
  })

  it('follows an edit of the rule, and comes once whatever it becomes', async () => {
    const fence = await tables.addFence([{ dwellS: 600 }])
    await addVisit(fence, at(0), NONE, at(10))
    // The trigger has visits looked at from the database's now on.
    const look = async () => {
      await pool.query('UPDATE geofence_visits SET due_at = $1 WHERE due_at > $1', [new Date(nowMs)])
      await timers().poll()
    }
    await tables.editRules([{ dwellS: 1200 }])
    nowMs = at(10)
    await look()
    const due = async () => (await pool.query('SELECT due_at FROM geofence_visits')).rows[0].due_at
    expect([await events(), await due()]).toEqual([[], new Date(at(20))])
    await tables.editRules([{ dwellS: 300 }])
    await look()
    expect([await events(), await due()]).toEqual([[['dwell', 5]], null])
    expect(published).toMatchObject([{ geofenceVersion: 3 }])
    await tables.editRules([{ dwellS: 900 }])
    nowMs = at(30)
    await look()
    expect([await events(), await due()]).toEqual([[['dwell', 5]], null])
  })

  it('is not made outside of the windows, without a rule for the device, or of a disabled geofence', async () => {
    const window = { days: [6], from: '08:00', to: '08:05' }
    const fences = [
      await tables.addFence([{ dwellS: 600, windows: [window] }]),
      await tables.addFence([{ dwellS: 600, group: await tables.addGroup('none') }]),
      await tables.addFence([{ dwellS: 240, windows: [window] }]),
    ]
    for (const fence of fences) await addVisit(fence, at(0), NONE, at(4))
    nowMs = at(60)
    await timers().poll()
    expect(await events()).toEqual([['dwell', 4]])
    const { rows } = await pool.query('SELECT FROM geofence_visits WHERE due_at IS NOT NULL')
    expect(rows).toEqual([])
  })
})

describe('an absence', () => {
  it('is made when the device has not returned, and not after a return', async () => {
    const fence = await tables.addFence([{ dwellS: 120, absenceS: 600 }])
    const returning = await addDevice('returning')
    for (const one of [device, returning]) await addVisit(fence, at(0), at(5), at(15), one)
    await addVisit(fence, at(14), NONE, NONE, returning)
    nowMs = at(20)
    await timers().poll()
    expect(await events()).toEqual([['absence', 15]])
    expect(published.map((event) => event.device)).toEqual([device])
    await addVisit(fence, at(18), at(19), at(29))
    await timers().poll()
    expect(await events()).toEqual([['absence', 15]])
    nowMs = at(29)
    await timers().poll()
    expect(await events()).toEqual([
      ['absence', 15],
      ['absence', 29],
    ])
  })
})

describe('timers that run', () => {
  it('look every second, tell of a database that is away once, and go on when it is back', async () => {
    const fence = await tables.addFence([{ dwellS: 600 }])
    await addVisit(fence, at(0), NONE, at(10))
    nowMs = at(10)
    const said: unknown[] = []
    const log = pino({ base: null }, { write: (line: string) => said.push(JSON.parse(line)) })
    const away = createPool(tables.database.url.replace(/:\d+\//, ':1/'), { max: 1, applicationName: 'away' })
    let current = away
    const one = timers({ pool: { connect: () => current.connect() } as pg.Pool, log })
    one.start()
    await expect.poll(() => said).toHaveLength(1)
    current = pool
    await expect.poll(() => published).toHaveLength(1)
    await one.close()
    expect(said).toHaveLength(1)
    await away.end()
  })
})
