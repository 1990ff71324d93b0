import pg from 'pg'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '../../test/database.ts'
import { LIMITS, type Limits } from '../limits.ts'
import { ingestMetrics } from '../metrics.ts'
import { DeviceRegistry } from './devices.ts'
import { NOTIFICATIONS_APPLICATION, Notifications } from './notifications.ts'

let database: TestDatabase
let pool: pg.Pool
let organizationId: number
let registry: DeviceRegistry
let notifications: Notifications
let metrics: Registry
const logged: string[] = []
/** What was told of changed devices; undefined = that any may have. */
const told: (readonly number[] | undefined)[] = []

beforeAll(async () => {
  database = await testDatabase()
  pool = new pg.Pool({ connectionString: database.url, max: 4 })
  const { rows } = await pool.query("INSERT INTO organizations (name) VALUES ('Test') RETURNING id")
  organizationId = rows[0].id
})
afterEach(() => notifications.close())
afterAll(async () => {
  await pool.end()
  await database.drop()
})

async function start(limits: Partial<Limits> = {}): Promise<void> {
  await pool.query('TRUNCATE devices RESTART IDENTITY CASCADE')
  metrics = new Registry()
  const log = pino({ level: 'error' }, { write: (line) => logged.push(line) })
  notifications = new Notifications(database.url, log)
  registry = new DeviceRegistry({
    notifications,
    pool,
    log,
    registerInto: organizationId,
    limits: { ...LIMITS, ...limits },
    metrics: ingestMetrics(metrics, LIMITS),
    onChanged: (devices) => told.push(devices),
  })
  await notifications.start()
}

async function add(uniqueId: string): Promise<number> {
  const device = await registry.register(uniqueId, uniqueId)
  return device!.id
}

async function limitMet(limit: string): Promise<number> {
  const { values } = await metrics.getSingleMetric('fleetflow_limits_total')!.get()
  return values.find(({ labels }) => labels.limit === limit)?.value ?? 0
}

test('a name that goes from one device to another is found, in whatever order it is heard', async () => {
  await start()
  const [first, second] = [await add('alpha'), await add('beta')]
  const client = await pool.connect()
  await client.query('BEGIN')
  // The first change of a device in a transaction decides when it is told.
  await client.query("UPDATE devices SET model = 'new' WHERE id = $1", [second])
  await client.query("UPDATE devices SET unique_id = 'gamma' WHERE id = $1", [first])
  await client.query("UPDATE devices SET unique_id = 'alpha' WHERE id = $1", [second])
  await client.query('COMMIT')
  client.release()
  await expect.poll(() => registry.find('gamma')?.id).toBe(first)
  expect(registry.find('alpha')?.id).toBe(second)
  expect(registry.find('beta')).toBeUndefined()
})

test('a device that is disabled is not found, and does not use up the registrations of others', async () => {
  await start({ registrationsPerMinuteMax: 2 })
  const id = await add('disabled')
  await pool.query('UPDATE devices SET disabled = true WHERE id = $1', [id])
  await expect.poll(() => registry.find('disabled')).toBeUndefined()
  for (let i = 0; i < 5; i++) expect(await registry.register('disabled', '')).toBeUndefined()
  expect(await add('other')).toBeGreaterThan(id)
  await pool.query('UPDATE devices SET disabled = false WHERE id = $1', [id])
  await expect.poll(() => registry.find('disabled')?.id).toBe(id)
})

test('limits of registration are kept, and counted', async () => {
  await start({ registrationsPerMinuteMax: 3, registeringDevicesMax: 4 })
  const registered = await Promise.all(['a', 'b', 'c', 'd'].map((id) => registry.register(id, id)))
  expect(registered.map((device) => device?.uniqueId)).toEqual(['a', 'b', 'c', undefined])
  expect(await limitMet('registrationsPerMinuteMax')).toBe(1)
  await pool.query("INSERT INTO devices (organization_id, unique_id, name) VALUES ($1, 'e', 'e')", [
    organizationId,
  ])
  await expect.poll(() => registry.size).toBe(4)
  expect(await registry.register('f', 'f')).toBeUndefined()
  expect(await limitMet('registeringDevicesMax')).toBe(1)
})

test('a database that can not register is told of once, not for each device', async () => {
  await start()
  logged.length = 0
  await pool.query('ALTER TABLE devices RENAME TO devices_away')
  try {
    for (const id of ['a', 'b', 'c']) expect(await registry.register(id, id)).toBeUndefined()
  } finally {
    await pool.query('ALTER TABLE devices_away RENAME TO devices')
  }
  expect(logged).toHaveLength(1)
  expect((await registry.register('a', 'a'))?.uniqueId).toBe('a')
})

test('what changed while the connection was lost is known once it is back', async () => {
  await start()
  const [stays, goes] = [await add('stays'), await add('goes')]
  // All at once, so that whoever connects anew reads what has changed.
  await pool.query(`
    BEGIN;
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '${NOTIFICATIONS_APPLICATION}';
    ALTER TABLE devices DISABLE TRIGGER devices_notify;
    DELETE FROM devices WHERE id = ${goes};
    UPDATE devices SET unique_id = 'renamed' WHERE id = ${stays};
    ALTER TABLE devices ENABLE TRIGGER devices_notify;
    COMMIT`)
  await expect.poll(() => registry.find('renamed')?.id).toBe(stays)
  expect(registry.find('stays')).toBeUndefined()
  expect(registry.find('goes')).toBeUndefined()
})

test('whoever keeps something of a device is told of its changes, also of its groups', async () => {
  await start()
  const id = await add('member')
  await expect.poll(() => told.at(-1)).toEqual([id])
  const changed = async (sql: string) => {
    told.length = 0
    await pool.query(sql)
    await expect.poll(() => told).toEqual([[id]])
  }
  await changed(`UPDATE devices SET model = 'new' WHERE id = ${id}`)
  await pool.query(`INSERT INTO device_groups (organization_id, name) VALUES (${organizationId}, 'all')`)
  await changed(`INSERT INTO device_group_members SELECT organization_id, id, ${id} FROM device_groups`)
  await changed('DELETE FROM device_groups')
  await changed(`DELETE FROM devices WHERE id = ${id}`)
  told.length = 0
  await notifications.reconnect()
  await expect.poll(() => told).toEqual([undefined])
})
