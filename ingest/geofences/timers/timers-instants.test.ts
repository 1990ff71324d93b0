import type pg from 'pg'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { LiveEvent } from '../../../schemas/live-port.ts'
import { GeofenceTables } from '../../../test/geofence-tables.ts'
import { timerMetrics } from './timer-metrics.ts'
import { type TimerOptions, Timers } from './timers.ts'

/** A Saturday. */
const T0 = Date.UTC(2026, 10, 21, 8)
const MINUTE_MS = 60_000
const DAY_MS = 24 * 3600 * 1000
const NONE = Number.NaN
const INSIDE_BY = { insideBy: { time: '08:00', days: [1, 2, 3, 4, 5, 6, 7] } }

let tables: GeofenceTables
let pool: pg.Pool
let device: number
let nowMs: number
let published: LiveEvent[]

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

const at = (minutes: number) => T0 + minutes * MINUTE_MS

const addDevice = (name: string, ...fixesMs: number[]) =>
  tables.addReporting(name, tables.organization, T0 - DAY_MS, ...fixesMs)

async function addVisit(geofence: number, visitor: number, enteredMs: number, exitedMs: number) {
  const visit = { device: visitor, geofence, version: 1, enteredMs, exitedMs, dueMs: NONE }
  await tables.apply({ opened: [visit] }, nowMs)
}

const instantsFrom = (timeMs: number) =>
  pool.query('UPDATE geofence_instants SET done_until = $1', [new Date(timeMs)])

const timers = (more: Partial<TimerOptions> = {}) =>
  new Timers({
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

const events = async () =>
  (
    await pool.query(
      `SELECT type, event_time, device_id, revision, geofence_version FROM events
       WHERE NOT superseded AND NOT retracted ORDER BY event_time, device_id`,
    )
  ).rows.map((row) => [row.type, (row.event_time.getTime() - T0) / MINUTE_MS])

describe('a time of day', () => {
  it('makes an event for each device that has reported and is not inside', async () => {
    const fence = await tables.addFence([INSIDE_BY])
    const inside = await addDevice('inside')
    const left = await addDevice('left')
    // Reported first after it, before and after it, and never.
    await tables.addReporting('later', tables.organization, at(1))
    const both = await addDevice('both', at(1))
    await tables.addDevice('silent')
    await addVisit(fence, inside, at(-60), NONE)
    await addVisit(fence, left, at(-60), at(0))
    await instantsFrom(at(-60))
    const one = timers()
    nowMs = at(-1)
    await one.poll()
    expect((await pool.query('SELECT next_due FROM geofence_instants')).rows[0].next_due).toEqual(
      new Date(T0),
    )
    nowMs = at(2)
    await one.poll()
    await timers().poll()
    expect(published.map((event) => [event.type, event.device])).toEqual([
      ['missing', device],
      ['missing', left],
      ['missing', both],
    ])
    expect(await events()).toHaveLength(3)
  })

  it('that nobody looked at is made up for, each one, as far as the limit goes back', async () => {
    await tables.addFence([INSIDE_BY])
    await pool.query('DELETE FROM positions; DELETE FROM last_fixes')
    await tables.addFixes(device, T0 - 50 * DAY_MS, T0 + DAY_MS)
    await pool.query('INSERT INTO last_fixes VALUES ($1, $2, 0, 0)', [device, new Date(T0 + DAY_MS)])
    await instantsFrom(T0 - 30 * DAY_MS)
    nowMs = at(5)
    await Promise.all([timers(), timers()].map((one) => one.poll()))
    expect(await events()).toEqual(Array.from({ length: 8 }, (_, i) => ['missing', (i - 7) * 24 * 60]))
    expect(published).toHaveLength(8)
  })

  it('is for the devices of its rule only, and of its organisation', async () => {
    const group = await tables.addGroup('g')
    const member = await addDevice('member')
    await pool.query('INSERT INTO device_group_members VALUES ($1, $2, $3)', [
      tables.organization,
      group,
      member,
    ])
    await tables.addFence([{ group }, INSIDE_BY])
    await tables.addReporting('other', await tables.addOrganization('theirs'), at(-60))
    await instantsFrom(at(-60))
    await timers().poll()
    expect(published.map((event) => event.device)).toEqual([device])
  })

  it('waits for devices of which positions wait, and goes on behind them when they are stored', async () => {
    await tables.addFence([INSIDE_BY])
    const slow = await addDevice('slow')
    const last = await addDevice('last')
    await instantsFrom(at(-60))
    let storedUntilMs = T0
    const one = timers({ storedUntilMs: (id) => (id === slow ? storedUntilMs : Infinity) })
    nowMs = at(1)
    for (let i = 0; i < 2; i++) await one.poll()
    expect(published.map((event) => event.device)).toEqual([device])
    storedUntilMs = T0 + 1
    await one.poll()
    expect(published.map((event) => event.device)).toEqual([device, slow, last])
    expect(published.map(({ time }) => time)).toEqual(Array(3).fill(new Date(T0).toISOString()))
  })

  it('of a geofence that is made after it makes nothing of the day', async () => {
    nowMs = Date.now()
    const time = new Date(nowMs - 2 * MINUTE_MS).toISOString().slice(11, 16)
    await tables.addFence([{ insideBy: { time, days: [1, 2, 3, 4, 5, 6, 7] } }])
    await timers().poll()
    expect(published).toEqual([])
  })
})

describe('an edit of a geofence', () => {
  it('keeps the times of day that it leaves as they were', async () => {
    await tables.addFence([{ insideBy: { time: '08:00', days: [6] } }])
    const instants = async () =>
      (await pool.query('SELECT rule, done_until, next_due FROM geofence_instants ORDER BY rule')).rows
    const worked = new Date(at(0))
    await pool.query('UPDATE geofence_instants SET done_until = $1, next_due = $1', [worked])
    const eight = '{"insideBy":{"time":"08:00","days":[6]}}'
    await pool.query(`UPDATE geofences SET rules = '[${eight},{},{"insideBy":{"time":"09:00","days":[1]}}]'`)
    const [first, second] = await instants()
    expect(first).toEqual({ rule: 0, done_until: worked, next_due: -Infinity })
    expect(second).toMatchObject({ rule: 2, next_due: -Infinity })
    expect(second.done_until.getTime()).toBeGreaterThan(at(0))
    await pool.query(`UPDATE geofences SET time_zone = 'Europe/Berlin', rules = '[${eight}]'`)
    const [only, ...others] = await instants()
    expect(only.done_until.getTime()).toBeGreaterThan(at(0))
    expect(others).toEqual([])
    await pool.query(`UPDATE geofences SET rules = '[{"insideBy":null}]'`)
    expect(await instants()).toEqual([])
  })
})
