import type pg from 'pg'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '../../test/database.ts'
import { createPool } from '../pools.ts'
import { pruneCommits, startCommitPruning } from './commit-pruning.ts'

let database: TestDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await testDatabase()
  pool = createPool(database.url, { max: 2, applicationName: 'commit pruning test' })
})
afterAll(async () => {
  await pool.end()
  await database.drop()
})
beforeEach(() => pool.query('TRUNCATE batches, batch_events'))

/** Commits 1, 2, … of these ages, each with an event. */
async function store(...agesHours: number[]): Promise<void> {
  await pool.query(
    `INSERT INTO batches SELECT place, place + 100, now() - make_interval(hours => age), 0, 1, NULL, NULL, '{}', '{}', '{}'
     FROM unnest($1::integer[]) WITH ORDINALITY AS a (age, place)`,
    [agesHours],
  )
  await pool.query(`INSERT INTO batch_events SELECT batch, 1, '[{}]' FROM batches`)
}

const kept = async () => ({
  commits: (await pool.query('SELECT sequence FROM batches ORDER BY 1')).rows.map(({ sequence }) => sequence),
  events: (await pool.query('SELECT batch FROM batch_events ORDER BY 1')).rows.map(({ batch }) => batch),
})

test('forgets commits and their events that are older than asked for', async () => {
  await store(30, 26, 20, 1)
  expect(await pruneCommits(pool, 24)).toBe(2)
  expect(await kept()).toEqual({ commits: [3, 4], events: [103, 104] })
})

test('forgets many, in parts, and keeps the last one', async () => {
  await store(...Array.from({ length: 25_000 }, () => 40))
  expect(await pruneCommits(pool, 24)).toBe(24_999)
  expect(await kept()).toEqual({ commits: [25_000], events: [25_100] })
})

test('goes on when a clock that ran ahead was set back', async () => {
  await store(-2, 30, 30, 1)
  expect(await pruneCommits(pool, 24)).toBe(3)
})

test('is begun at once, and ended', async () => {
  await store(30, 1)
  const stop = startCommitPruning(pool, 24, pino({ level: 'silent' }))
  await expect.poll(async () => (await kept()).commits).toEqual([2])
  await stop()
})
