/** What the engine does to stored positions by their age. */
import pg from 'pg'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from './database.ts'
import { startTestEngine } from './engine.ts'

let database: TestDatabase
let client: pg.Client

beforeEach(async () => {
  database = await testDatabase()
  client = new pg.Client({ connectionString: database.url })
  await client.connect()
  await client.query(
    `INSERT INTO positions (fix_time, received_at, digest, device_id, quality, valid)
     SELECT t, now(), 0, 1, 0, true FROM unnest(ARRAY['1999-01-01', now() - interval '40 days', now()]) AS t`,
  )
})
afterEach(async () => {
  await client.end()
  await database.drop()
})

const stored = async () => (await client.query('SELECT FROM positions')).rowCount

it('keeps all positions by default', async () => {
  const engine = await startTestEngine({ DATABASE_URL: database.url })
  await engine.stop()
  expect(await stored()).toBe(3)
})

it('drops those that are older than POSITIONS_KEEP_DAYS', async () => {
  const engine = await startTestEngine({ DATABASE_URL: database.url, POSITIONS_KEEP_DAYS: '30' })
  await expect.poll(stored).toBe(1)
  await engine.stop()
})
