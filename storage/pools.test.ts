import { afterAll, beforeAll, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '../test/database.ts'
import { createPool } from './pools.ts'

let database: TestDatabase

beforeAll(async () => {
  database = await testDatabase()
}, 30_000)
afterAll(() => database.drop())

test('a connection that is lost while it is in use, between two queries, fails with the next one', async () => {
  const pool = createPool(database.url, { max: 2, applicationName: 'pool test' })
  const client = await pool.connect()
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  const ended = new Promise((resolve) => client.once('end', resolve))
  await pool.query('SELECT pg_terminate_backend($1)', [rows[0]!.pid])
  await ended
  await expect(client.query('SELECT 1')).rejects.toThrow()
  client.release(true)
  expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
  await pool.end()
})
