/** What only holds for TimescaleDB. */
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPool } from '../../storage/pools.ts'
import { DAY_TABLES, policyChanges, policyState } from '../../storage/positions/position-policies.ts'
import { type TestDatabase, testDatabase } from '../database.ts'

let database: TestDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await testDatabase()
  pool = createPool(database.url, { max: 2, applicationName: 'timescale test' })
})
afterAll(async () => {
  await pool.end()
  await database.drop()
})

describe.each(DAY_TABLES)('$name', ({ name, timeColumn }) => {
  it('are a hypertable with a chunk a day, and no partitions', async () => {
    const { rows } = await pool.query(
      `SELECT column_name, time_interval::text, to_regclass($1 || '_default') AS default_partition
       FROM timescaledb_information.dimensions WHERE hypertable_name = $1`,
      [name],
    )
    expect(rows).toEqual([{ column_name: timeColumn, time_interval: '1 day', default_partition: null }])
  })
})

describe.each(DAY_TABLES)('the policies of $name', (table) => {
  const FEATURE_NOT_SUPPORTED = '0A000'

  it('are read', async () => {
    expect(await policyState(pool, table)).toEqual({
      compressed: false,
      compressAfterDays: null,
      keepDays: null,
    })
  })

  it('are asked for in words that this version knows, though its licence forbids them', async () => {
    const old = { compressed: false, compressAfterDays: 1, keepDays: 1 }
    const changes = policyChanges(table, old, { compressAfterDays: 7, keepDays: 90 })
    expect(changes).toHaveLength(5)
    for (const sql of changes) {
      await expect(pool.query(sql), sql).rejects.toMatchObject({
        code: FEATURE_NOT_SUPPORTED,
        message: expect.stringContaining('"apache" license'),
      })
    }
  })
})
