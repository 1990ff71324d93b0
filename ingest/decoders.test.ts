import { readFile } from 'node:fs/promises'
import type pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadAdapters } from '../device-adapters/registry.ts'
import { createPool } from '../storage/pools.ts'
import { PositionDays } from '../storage/positions/position-days.ts'
import { projectRoot } from '../storage/project-root.ts'
import { emptyDatabase, type TestDatabase, testDatabase } from '../test/database.ts'
import { loadDecoders } from './decoders.ts'

let database: TestDatabase
let pool: pg.Pool

const open = async (made: Promise<TestDatabase>) => {
  database = await made
  pool = createPool(database.url, { max: 4, applicationName: 'test decoders' })
}
beforeEach(() => open(testDatabase()))
afterEach(async () => {
  await pool.end()
  await database.drop()
})

const versions = (of: Readonly<Record<string, number>>) =>
  new Map(Object.entries(of).map(([id, version]) => [id, { id, version }]))

test('every version of an adapter has an id of its own, and keeps it', async () => {
  const first = await loadDecoders(pool, versions({ gt06: 1, h02: 1 }))
  const raised = await loadDecoders(pool, versions({ gt06: 2, h02: 1 }))
  expect(raised.get('h02')).toBe(first.get('h02'))
  expect(new Set([...first.values(), ...raised.values()]).size).toBe(3)
  const { rows } = await pool.query('SELECT adapter, version, id FROM decoders ORDER BY 1, 2')
  expect(rows).toEqual([
    { adapter: 'gt06', version: 1, id: first.get('gt06') },
    { adapter: 'gt06', version: 2, id: raised.get('gt06') },
    { adapter: 'h02', version: 1, id: first.get('h02') },
  ])
})

test('processes that start at once agree, and starting uses up no ids', async () => {
  const adapters = await loadAdapters()
  const loaded = await Promise.all(Array.from({ length: 4 }, () => loadDecoders(pool, adapters)))
  for (const decoders of loaded) expect(decoders).toEqual(loaded[0])
  expect([...loaded[0]!.keys()].sort()).toEqual([...adapters.keys()])
  const last = Math.max(...loaded[0]!.values())
  for (let start = 0; start < 3; start++) await loadDecoders(pool, adapters)
  const next = await loadDecoders(pool, versions({ gt06: 2 }))
  // Only those that raced for the same ids used up some.
  expect(next.get('gt06')).toBeLessThanOrEqual(Math.max(last, 4 * adapters.size) + 1)
})

test('rows from before have no decoder, and days made before and after take both', async () => {
  await pool.end()
  await database.drop()
  await open(emptyDatabase())
  const migration = async (name: string) =>
    pool.query(await readFile(new URL(`migrations/${name}.sql`, projectRoot), 'utf8'))
  const client = await pool.connect()
  const now = Date.now()
  const ahead = now + 40 * 24 * 3600 * 1000
  const store = (timeMs: number, device: number) =>
    pool.query(
      'INSERT INTO positions (fix_time, received_at, digest, device_id, quality, valid) VALUES ($1, now(), 0, $2, 0, true)',
      [new Date(timeMs), device],
    )
  try {
    await migration('0001-first-light')
    await new PositionDays().ensure(client, Float64Array.of(now), 1)
    await store(now, 1)
    // Beyond the days that are made: it waits in the default partition.
    await store(ahead, 1)
    await migration('0002-decoders')
    await pool.query('UPDATE positions SET decoder = 7 WHERE fix_time > $1', [new Date(now + 1)])
    await pool.query('SELECT ensure_position_day($1)', [new Date(ahead).toISOString().slice(0, 10)])
    await store(ahead, 2)
    const { rows } = await pool.query('SELECT device_id, decoder FROM positions ORDER BY fix_time, device_id')
    expect(rows).toEqual([
      { device_id: 1, decoder: null },
      { device_id: 1, decoder: 7 },
      { device_id: 2, decoder: null },
    ])
    await client.query(`SELECT set_config('app.role', 'super-admin', false)`)
    for (const read of [
      'last_positions(null)',
      "device_positions(1, '-infinity', 'infinity', null, null, 9)",
    ]) {
      await client.query(`SELECT decoder FROM ${read}`)
    }
  } finally {
    client.release()
  }
})
