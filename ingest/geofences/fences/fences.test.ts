/** Geofences of a real database, as the shards have them. */
import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import pg from 'pg'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { fenceIds } from '../../../geofence/index/fence-ids.ts'
import { FenceMap, type FenceMapUpdate } from '../../../geofence/index/fence-map.ts'
import { type TestDatabase, takeAway, testDatabase } from '../../../test/database.ts'
import { NOTIFICATIONS_APPLICATION, Notifications } from '../../devices/notifications.ts'
import { LIMITS } from '../../limits.ts'
import { fenceMetrics } from './fence-metrics.ts'
import { Fences } from './fences.ts'

/** So many that a base of them takes seconds. */
const MANY = 50_000
/** Side of the square that has them, degrees; and from one to the next. */
const MANY_PER_ROW = 250
const STEP_DEG = 0.01
/** Ends what hangs: building a base of many takes some seconds where others leave the processors alone. */
const BUILD_TIMEOUT_MS = 60_000
vi.setConfig({ testTimeout: 2 * BUILD_TIMEOUT_MS, expect: { poll: { timeout: BUILD_TIMEOUT_MS } } })

let database: TestDatabase
let pool: pg.Pool
let organizationId: number
let running: Running[]

beforeEach(async () => {
  running = []
  database = await testDatabase()
  pool = new pg.Pool({ connectionString: database.url, max: 2 })
  const { rows } = await pool.query("INSERT INTO organizations (name) VALUES ('Test') RETURNING id")
  organizationId = rows[0].id
})
afterEach(async () => {
  await Promise.all(running.map((one) => one.close()))
  await pool.end()
  await database.drop()
})

/** What ingest has of geofences; the map stands for a shard's. */
class Running {
  readonly map = new FenceMap()
  readonly updates: FenceMapUpdate[] = []
  readonly logged: { geofence?: number; code?: string }[] = []
  readonly fences: Fences
  private readonly notifications: Notifications
  private readonly registry = new Registry()

  constructor(geofenceChangesMax: number = LIMITS.geofenceChangesMax) {
    running.push(this)
    const log = pino({ level: 'error' }, { write: (line) => this.logged.push(JSON.parse(line)) })
    this.notifications = new Notifications(database.url, pino({ level: 'silent' }))
    this.fences = new Fences({
      databaseUrl: database.url,
      notifications: this.notifications,
      post: (update) => {
        this.updates.push(update)
        this.map.apply(update)
      },
      limits: { geofenceChangesMax },
      limitMet: (limit) => this.limitsMet.push(limit),
      metrics: fenceMetrics(this.registry),
      log,
      onFailure: (error) => {
        throw error
      },
    })
  }

  readonly limitsMet: string[] = []

  /** Begins; the first update may come later. */
  async begin(): Promise<this> {
    await this.notifications.start()
    return this
  }

  /** @returns When the first update is there. */
  async start(): Promise<this> {
    await this.begin()
    await this.updated(1)
    return this
  }

  /** Waits until there are so many updates. */
  async updated(count: number): Promise<void> {
    await expect.poll(() => this.updates.length, { interval: 5 }).toBeGreaterThanOrEqual(count)
  }

  /** Updates that brought a base. */
  get bases(): number {
    return this.updates.filter(({ base }) => base !== undefined).length
  }

  versionOf(id: number): number | undefined {
    return this.map.find(id)?.version
  }

  /** Ids of the geofences at a place. */
  at(latitudeDeg: number, longitudeDeg: number): number[] {
    const into = fenceIds()
    this.map.inside(organizationId, latitudeDeg, longitudeDeg, into)
    return [...into.ids.subarray(0, into.length)]
  }

  async metric(name: string, labels: Record<string, string> = {}): Promise<number> {
    const { values } = await this.registry.getSingleMetric(name)!.get()
    return values
      .filter((value) => Object.entries(labels).every(([key, wanted]) => value.labels[key] === wanted))
      .reduce((sum, { value }) => sum + value, 0)
  }

  async close(): Promise<void> {
    await this.fences.close()
    await this.notifications.close()
  }
}

async function add(
  latitudeDeg: number,
  longitudeDeg: number,
  shape?: object,
  disabled = false,
): Promise<number> {
  const circle = { type: 'Circle', center: [longitudeDeg, latitudeDeg], radiusM: 200 }
  const { rows } = await pool.query(
    `INSERT INTO geofences (organization_id, name, shape, west, south, east, north, time_zone, rules, disabled)
     VALUES ($1, 'one', $2, 0, 0, 0, 0, 'UTC', '[{"dwellS": 60}]', $3) RETURNING id`,
    [organizationId, JSON.stringify(shape ?? circle), disabled],
  )
  return rows[0].id
}

/** Circles in rows from 10° north, 10° east on. @returns Id of the first; the others follow. */
async function addMany(count: number): Promise<number> {
  const { rows } = await pool.query(
    `INSERT INTO geofences (organization_id, name, shape, west, south, east, north, time_zone, rules)
     SELECT $1, 'one of many', json_build_object('type', 'Circle', 'radiusM', 200, 'center',
       json_build_array(10 + (n % $3) * $4::float8, 10 + (n / $3) * $4::float8)), 0, 0, 0, 0, 'UTC', '[{}]'
     FROM generate_series(0, $2::integer - 1) n ORDER BY n RETURNING id`,
    [organizationId, count, MANY_PER_ROW, STEP_DEG],
  )
  return rows[0].id
}

/** Place of a circle of {@link addMany}. */
function placeOf(n: number): [latitudeDeg: number, longitudeDeg: number] {
  return [10 + Math.floor(n / MANY_PER_ROW) * STEP_DEG, 10 + (n % MANY_PER_ROW) * STEP_DEG]
}

async function move(id: number, latitudeDeg: number, longitudeDeg: number): Promise<void> {
  const shape = { type: 'Circle', center: [longitudeDeg, latitudeDeg], radiusM: 200 }
  await pool.query('UPDATE geofences SET shape = $2 WHERE id = $1', [id, JSON.stringify(shape)])
}

/** Connections of threads that read geofences. */
async function builders(): Promise<number> {
  const { rows } = await pool.query(
    `SELECT count(*)::integer FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'fleetflow geofences'`,
  )
  return rows[0].count
}

test('without geofences the shards may begin at once, and nothing is built', async () => {
  const one = await new Running().begin()
  expect(one.updates).toHaveLength(1)
  expect(one.map.watches(organizationId)).toBe(false)
  expect(await one.metric('fleetflow_geofence_build_seconds')).toBe(0)
})

test('all that are enabled are there after the start, with their terms', async () => {
  const first = await addMany(300)
  const enabled = await add(1, 1)
  const disabled = await add(2, 2, undefined, true)
  const one = await new Running().start()
  expect(one.at(...placeOf(299))).toEqual([first + 299])
  expect(one.at(1, 1)).toEqual([enabled])
  expect(one.map.find(enabled)).toMatchObject({
    organizationId,
    version: 1,
    terms: { timeZone: 'UTC', rules: [{ dwellS: 60, enter: true, debounceFixes: 1 }] },
  })
  expect(one.versionOf(disabled)).toBeUndefined()
  expect(one.at(2, 2)).toEqual([])
  expect(await one.metric('fleetflow_geofences', { part: 'base' })).toBe(301)
})

test('the first one of all, and each change of it, is effective without a new base', async () => {
  const one = await new Running().start()
  const id = await add(1, 1)
  await expect.poll(() => one.at(1, 1)).toEqual([id])
  await move(id, 3, 3)
  await expect.poll(() => one.at(3, 3)).toEqual([id])
  expect(one.at(1, 1)).toEqual([])
  expect(one.versionOf(id)).toBe(2)
  await pool.query(`UPDATE geofences SET time_zone = 'Europe/Berlin' WHERE id = $1`, [id])
  await expect.poll(() => one.map.find(id)?.terms.timeZone).toBe('Europe/Berlin')
  await pool.query('UPDATE geofences SET disabled = true WHERE id = $1', [id])
  await expect.poll(() => one.versionOf(id)).toBeUndefined()
  await pool.query('UPDATE geofences SET disabled = false WHERE id = $1', [id])
  await expect.poll(() => one.versionOf(id)).toBe(5)
  await pool.query('DELETE FROM geofences WHERE id = $1', [id])
  await expect.poll(() => one.map.watches(organizationId)).toBe(false)
  expect(one.bases).toBe(0)
})

test('changes are effective while a base of many is being built, and stay when it comes', async () => {
  const first = await addMany(MANY)
  const one = await new Running().start()
  expect(one.bases).toBe(1)

  await pool.query(`SELECT pg_notify('geofences', '*')`)
  await expect.poll(builders).toBe(1)
  const added = await add(1, 1)
  await move(first, 2, 2)
  await pool.query('DELETE FROM geofences WHERE id = $1', [first + 1])
  await expect.poll(() => [one.at(1, 1), one.at(2, 2), one.at(...placeOf(1))]).toEqual([[added], [first], []])
  expect(one.at(...placeOf(0))).toEqual([])
  expect(one.bases).toBe(1)
  expect(await one.metric('fleetflow_geofences', { part: 'gone' })).toBe(3)

  await expect.poll(() => one.bases).toBe(2)
  expect([one.at(1, 1), one.at(2, 2), one.at(...placeOf(1))]).toEqual([[added], [first], []])
  expect(one.at(...placeOf(MANY - 1))).toEqual([first + MANY - 1])
})

test('what changed while the connection was lost is there once it is back', async () => {
  const id = await add(1, 1)
  const one = await new Running().start()
  const client = await pool.connect()
  await client.query('BEGIN')
  await client.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = $1`,
    [NOTIFICATIONS_APPLICATION],
  )
  await client.query('DELETE FROM geofences WHERE id = $1', [id])
  await client.query('COMMIT')
  client.release()
  const later = await add(2, 2)
  await expect.poll(() => [one.at(1, 1), one.at(2, 2)]).toEqual([[], [later]])
})

test('more changes at once than a notification can name are all read', async () => {
  const one = await new Running().start()
  const first = await addMany(600)
  await expect.poll(() => one.at(...placeOf(599))).toEqual([first + 599])
  expect(one.bases).toBe(1)
  await pool.query('DELETE FROM geofences')
  await expect.poll(() => one.map.watches(organizationId)).toBe(false)
})

test('more changes one by one than the delta is to hold make a new base', async () => {
  const one = await new Running(5).start()
  const ids: number[] = []
  for (let i = 0; i < 20; i++) ids.push(await add(1 + i / 10, 1))
  await expect.poll(() => ids.map((id) => one.versionOf(id))).toEqual(ids.map(() => 1))
  await expect.poll(() => one.bases).toBeGreaterThan(0)
  expect(one.limitsMet).toContain('geofenceChangesMax')
  await expect.poll(() => one.metric('fleetflow_geofence_change_age_seconds')).toBe(0)
  expect(ids.map((id, i) => one.at(1 + i / 10, 1)[0] === id)).not.toContain(false)
})

test('a broken one is logged once and left out, and the others are not', async () => {
  const broken = await add(1, 1, { type: 'Polygon', coordinates: [[]] })
  const nonsense = await add(1, 1, { type: 'Blob' })
  const whole = await add(1, 1)
  await pool.query(`UPDATE geofences SET rules = '[{"dwellS": "long"}]' WHERE id = $1`, [await add(4, 4)])
  await pool.query(`UPDATE geofences SET time_zone = 'Mars/Base' WHERE id = $1`, [await add(4, 4)])
  const one = await new Running().start()
  expect(one.at(1, 1)).toEqual([whole])
  expect(one.at(4, 4)).toEqual([])
  expect(await one.metric('fleetflow_geofences_refused')).toBe(4)
  const codes = () => one.logged.map(({ code }) => code)
  expect(codes()).toEqual(['shape-empty', 'unreadable', 'rules-invalid', 'time-zone-unknown'])

  const later = await add(5, 5)
  await pool.query('UPDATE geofences SET name = $2 WHERE id = $1', [nonsense, 'again'])
  await expect.poll(() => one.at(5, 5)).toEqual([later])
  await move(broken, 6, 6)
  await expect.poll(() => one.at(6, 6)).toEqual([broken])
  expect(codes()).toHaveLength(4)
})

test('the database may go away amid changes', async () => {
  const id = await add(1, 1)
  const one = await new Running().start()
  await move(id, 2, 2)
  // All that have a name: not those of the test itself.
  const giveBack = await takeAway(database.url, '_%')
  one.fences.told(String(id))
  await expect.poll(() => one.metric('fleetflow_geofence_build_failures_total')).toBeGreaterThan(0)
  expect(await one.metric('fleetflow_geofence_change_age_seconds')).toBeGreaterThan(0)
  await giveBack()
  await expect.poll(() => one.at(2, 2)).toEqual([id])
  await expect.poll(() => one.metric('fleetflow_geofence_change_age_seconds')).toBe(0)
})

test('ends in the middle of a build, and leaves no connection', async () => {
  await addMany(MANY)
  const one = await new Running().begin()
  await expect.poll(builders, { interval: 5 }).toBe(1)
  await one.close()
  expect(one.updates).toHaveLength(0)
  await expect.poll(builders).toBe(0)
})

test('bases that others have replaced are not kept, however many', async () => {
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  await addMany(500)
  const one = await new Running().start()
  const bases: WeakRef<object>[] = []
  for (let i = 0; i < 50; i++) {
    // What this test keeps itself.
    for (const { base } of one.updates.splice(0)) if (base !== undefined) bases.push(new WeakRef(base))
    one.fences.told('*')
    await expect.poll(() => one.bases, { interval: 5 }).toBe(1)
  }
  // References are held until the turn of the event loop in which they were made is over.
  await setImmediate()
  collectGarbage()
  expect(bases).toHaveLength(50)
  // The task that brought the last of them may not be forgotten yet.
  expect(bases.filter((base) => base.deref() !== undefined).length).toBeLessThanOrEqual(1)
})
