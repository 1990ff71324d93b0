import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { createPool } from '../../storage/pools.ts'
import { type TestDatabase, testDatabase } from '../../test/database.ts'
import { notStored, orderByKey } from './position-keys.ts'
import { PositionWriter } from './writer.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const MIDNIGHT_MS = Math.floor(Date.now() / DAY_MS) * DAY_MS

type Key = readonly [device: number, timeMs: number, digest: number]

function batchOf(keys: readonly Key[]): PositionBatch {
  const batch = new PositionBatch(8)
  for (const [device, timeMs, digest] of keys) {
    const row = batch.add(timeMs, 30, -97)
    batch.receivedMs[row] = MIDNIGHT_MS
    batch.device[row] = device
    batch.digestHigh[row] = 0x80000000 + digest
    batch.digestLow[row] = digest
  }
  return batch
}

describe('rows in the order of their keys', () => {
  test('go by day, device, time and digest', () => {
    const keys: Key[] = []
    for (const timeMs of [0, MIDNIGHT_MS - 1, MIDNIGHT_MS, MIDNIGHT_MS + 1, MIDNIGHT_MS + DAY_MS])
      for (const device of [1, 9, 10, 2 ** 31 - 1])
        for (const digest of [0, 5, 2 ** 31 - 1]) keys.push([device, timeMs, digest])
    const dayOf = ([, timeMs]: Key) => Math.floor(timeMs / DAY_MS)
    const expected = keys.toSorted((a, b) => dayOf(a) - dayOf(b) || a[0] - b[0] || a[1] - b[1] || a[2] - b[2])
    // 37 and the number of keys have no common divisor.
    const mixed = keys.map((_, i) => keys[(i * 37) % keys.length]!)
    const { order, twins } = orderByKey(batchOf(mixed))
    expect([...order].map((row) => mixed[row])).toEqual(expected)
    expect(twins.size).toBe(0)
  })

  test('hold each key once', () => {
    const batch = batchOf([
      [2, 5, 1],
      [1, 5, 1],
      [2, 5, 1],
      [2, 5, 2],
      [2, 5, 1],
    ])
    const { order, twins } = orderByKey(batch)
    expect([...order]).toEqual([1, 0, 3])
    expect([...twins]).toEqual([
      [2, 0],
      [4, 0],
    ])
  })

  test('may be of more days than a year has', () => {
    const keys = Array.from({ length: 1000 }, (_, i): Key => [i % 3, ((i * 7) % 1000) * DAY_MS, 0])
    const { order } = orderByKey(batchOf(keys))
    expect([...order].sort((a, b) => a - b)).toEqual(keys.map((_, row) => row))
  })
})

describe('in a database', () => {
  let database: TestDatabase
  let pool: pg.Pool
  let writers: PositionWriter[]
  const databaseStates: boolean[] = []

  beforeAll(async () => {
    database = await testDatabase()
    pool = createPool(database.url, { max: 2, applicationName: 'test keys' })
    writers = ['one', 'two'].map(
      (name) => new PositionWriter(database.url, name, { onDatabase: (up) => databaseStates.push(up) }),
    )
  })
  afterAll(async () => {
    await Promise.all(writers.map((writer) => writer.close()))
    await pool.end()
    await database.drop()
  })

  test('the keys that are stored are found, also in parts of days and far off', async () => {
    const days = Array.from({ length: 70 }, (_, i) => i * 30 * DAY_MS)
    const times = [...days, MIDNIGHT_MS - 1, MIDNIGHT_MS + 0.125, MIDNIGHT_MS + HOUR_MS, Date.UTC(2105, 0, 1)]
    const keys = times.flatMap((timeMs) => [1, 2].map((device): Key => [device, timeMs, 7]))
    await writers[0]!.write(batchOf(keys.filter((_, i) => i % 3 === 0)))
    const client = await pool.connect()
    const all = Uint32Array.from(keys, (_, row) => row)
    const left = await notStored(client, batchOf(keys), all)
    expect([...left]).toEqual([...all].filter((row) => row % 3 !== 0))
    expect([...(await notStored(client, batchOf(keys), left))]).toEqual([...left])
    expect(await notStored(client, batchOf(keys), new Uint32Array(0))).toHaveLength(0)
    client.release()
    await pool.query('TRUNCATE positions')
  })

  test('a threefold, shuffled replay over two connections leaves each row once, without a deadlock', async () => {
    const keys = Array.from(
      { length: 50_000 },
      // Few devices, so that they meet in one another's way; around midnight, so that there are two partitions.
      (_, i): Key => [1 + (i % 5), MIDNIGHT_MS + (Math.floor(i / 5) - 5_000) * 100, i],
    )
    const copies = shuffled([...keys, ...keys, ...keys])
    const written = []
    for (let at = 0; at < copies.length; at += 4096) {
      written.push(writers[written.length % 2]!.write(batchOf(copies.slice(at, at + 4096))))
    }
    let inserted = 0
    for (const { rows, duplicates, refused } of await Promise.all(written)) {
      inserted += rows - duplicates
      expect(refused).toEqual([])
    }
    expect(inserted).toBe(keys.length)
    const { rows } = await pool.query(
      'SELECT count(*)::int, count(DISTINCT (device_id, fix_time, digest))::int AS keys, min(fix_time), max(fix_time) FROM positions',
    )
    expect(rows).toEqual([
      {
        count: keys.length,
        keys: keys.length,
        min: new Date(MIDNIGHT_MS - 500_000),
        max: new Date(MIDNIGHT_MS + 499_900),
      },
    ])
    // Connections give their counts to the server when they end, at the latest.
    await Promise.all(writers.map((writer) => writer.close()))
    const { rows: met } = await pool.query(
      'SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()',
    )
    expect(met).toEqual([{ deadlocks: 0 }])
    expect(databaseStates).not.toContain(false)
  }, 60_000)
})

/** The same for the same input. */
function shuffled<Value>(values: Value[]): Value[] {
  let state = 1
  for (let i = values.length - 1; i > 0; i--) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    const other = state % (i + 1)
    ;[values[i], values[other]] = [values[other]!, values[i]!]
  }
  return values
}
