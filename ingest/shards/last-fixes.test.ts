import type pg from 'pg'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { createPool } from '../../storage/pools.ts'
import { type TestDatabase, testDatabase } from '../../test/database.ts'
import { insertTenant } from '../../test/tenants.ts'
import { LastFixes } from './last-fixes.ts'
import { startLastFixesRepair } from './last-fixes-repair.ts'
import { PositionWriter } from './writer.ts'

const TIME_MS = Date.UTC(2026, 10, 21, 8, 30, 15, 250)
/** Of the server, when it ends a connection. */
const APPLICATION = 'test last fixes'

let database: TestDatabase
let pool: pg.Pool
let writer: PositionWriter
let lastFixes: LastFixes
let devices: number[]

beforeAll(async () => {
  database = await testDatabase()
  pool = createPool(database.url, { max: 2, applicationName: 'last fixes test' })
  const { tenant, device } = await insertTenant(pool, 'fleet')
  const { rows } = await pool.query(
    `INSERT INTO devices (organization_id, unique_id, name) SELECT $1, 'x' || i, 'x' FROM generate_series(1, 3) i
     RETURNING id`,
    [tenant.organizationId],
  )
  devices = [device, ...rows.map(({ id }) => id)]
})
beforeEach(async () => {
  await pool.query('TRUNCATE last_fixes, positions')
  writer = new PositionWriter(database.url, APPLICATION, { onDatabase: () => undefined })
  lastFixes = new LastFixes((work) => writer.between(work))
  return async () => {
    await lastFixes.close()
    await writer.close()
  }
})
afterAll(async () => {
  await pool.end()
  await database.drop()
})

type Row = readonly [device: number, offsetMs: number, latitude: number, doubtful?: 'doubtful']

function batchOf(...rows: Row[]): PositionBatch {
  const batch = new PositionBatch(8)
  rows.forEach(([device, offsetMs, latitude, doubtful], digest) => {
    const row = batch.add(TIME_MS + offsetMs, latitude, -97.75)
    batch.receivedMs[row] = TIME_MS
    batch.device[row] = device
    batch.digestLow[row] = digest
    if (doubtful !== undefined) batch.quality[row] = 64
  })
  return batch
}

const stored = async (): Promise<[number, number, number, number][]> =>
  (await pool.query('SELECT * FROM last_fixes ORDER BY device_id')).rows.map((row) => [
    row.device_id,
    row.fix_time.getTime() - TIME_MS,
    row.latitude,
    row.longitude,
  ])

test('the newest undoubted fix of each device is written, whatever the order in which fixes come', async () => {
  const [a, b, c] = devices as [number, number, number]
  lastFixes.note(
    batchOf([a, 0, 1], [a, 2000, 2], [a, 1000, 3], [b, 0, 4], [b, 500, 5, 'doubtful'], [a, 1500, 6]),
  )
  lastFixes.note(batchOf([a, 1999, 7], [c, 0, 8, 'doubtful'], [b, 250, 9]))
  await lastFixes.close()
  expect(await stored()).toEqual([
    [a, 2000, 2, -97.75],
    [b, 250, 9, -97.75],
  ])
})

test('a fix that is older than what is written changes nothing', async () => {
  const [a, b] = devices as [number, number]
  await pool.query(`INSERT INTO last_fixes VALUES ($1, $2, 10, 20), ($3, $2, 10, 20)`, [
    a,
    new Date(TIME_MS),
    b,
  ])
  lastFixes.note(batchOf([a, -1, 1], [b, 1, 2]))
  await lastFixes.close()
  expect(await stored()).toEqual([
    [a, 0, 10, 20],
    [b, 1, 2, -97.75],
  ])
})

test('fixes are written by themselves, also those of a device whose neighbour is gone', async () => {
  const [a] = devices as [number]
  lastFixes.note(batchOf([a, 0, 1], [2_000_000, 0, 1]))
  await expect.poll(stored).toEqual([[a, 0, 1, -97.75]])
})

test('fixes of more devices than a statement takes are written when the thread stops', async () => {
  const { rows } = await pool.query(
    `INSERT INTO devices (organization_id, unique_id, name)
     SELECT organization_id, 'many' || i, 'x' FROM devices, generate_series(1, 2500) i WHERE id = $1 RETURNING id`,
    [devices[0]],
  )
  for (const { id } of rows) lastFixes.note(batchOf([id, 0, 1]))
  const closed = lastFixes.close()
  await writer.close()
  await closed
  expect(await stored()).toHaveLength(2500)
  await pool.query("DELETE FROM devices WHERE unique_id LIKE 'many%'")
})

test('what could not be written because the connection broke is written later', async () => {
  const [a, b] = devices as [number, number]
  await writer.write(batchOf([a, 0, 1]))
  const lock = await pool.connect()
  try {
    // The statement waits for the table until its connection is ended.
    await lock.query('BEGIN; LOCK TABLE last_fixes')
    lastFixes.note(batchOf([a, 0, 1], [b, 0, 1]))
    const waiting =
      "SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'"
    await expect.poll(async () => (await lock.query(waiting, [APPLICATION])).rowCount).toBe(1)
    await lock.query(`SELECT pg_terminate_backend(pid) FROM (${waiting})`, [APPLICATION])
    lastFixes.note(batchOf([a, 1000, 2]))
  } finally {
    await lock.query('COMMIT')
    lock.release()
  }
  await expect.poll(stored).toEqual([
    [a, 1000, 2, -97.75],
    [b, 0, 1, -97.75],
  ])
})

test('rows that are behind what is stored are put right when the engine starts', async () => {
  const [a, b, c, d] = devices as [number, number, number, number]
  await writer.write(
    batchOf([a, 0, 1], [a, 1000, 2], [a, 2000, 3, 'doubtful'], [b, 0, 4], [c, -90 * 24 * 3600_000, 5]),
  )
  await pool.query(`INSERT INTO last_fixes VALUES ($1, $2, 1, 2), ($3, $2, 10, 20), ($4, $2, 30, 40)`, [
    a,
    new Date(TIME_MS),
    b,
    d,
  ])
  const lines: string[] = []
  const end = startLastFixesRepair(
    pool,
    pino({ level: 'info' }, { write: (line: string) => lines.push(line) }),
  )
  await expect.poll(() => lines.length).toBe(1)
  await end()
  expect(JSON.parse(lines[0]!)).toMatchObject({ devices: 2 })
  expect(await stored()).toEqual([
    [a, 1000, 2, -97.75],
    // As they were: of the same time, and with no position any more.
    [b, 0, 10, 20],
    [c, -90 * 24 * 3600_000, 5, -97.75],
    [d, 0, 30, 40],
  ])
})
