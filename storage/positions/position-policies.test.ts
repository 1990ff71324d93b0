import type pg from 'pg'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../test/database.ts'
import { createPool } from '../pools.ts'
import { PositionDays } from './position-days.ts'
import {
  applyPositionPolicies,
  DAY_TABLES,
  dropOldPositions,
  type PolicyState,
  type PositionPolicies,
  policyChanges,
  startPositionPolicies,
} from './position-policies.ts'

const DAY_MS = 24 * 3600 * 1000
const LOCK_NOT_AVAILABLE = '55P03'

describe('positions', () => {
  let database: TestDatabase
  let pool: pg.Pool
  let said: { msg: string }[]
  const log = pino({ base: null }, { write: (line: string) => said.push(JSON.parse(line)) })
  const today = Math.floor(Date.now() / DAY_MS) * DAY_MS

  beforeEach(async () => {
    said = []
    database = await testDatabase()
    pool = createPool(database.url, { max: 4, applicationName: 'position policies test' })
  })
  afterEach(async () => {
    await pool.end()
    await database.drop()
  })

  /** Rows at these times, as a writer stores them. */
  async function store(...timesMs: number[]): Promise<void> {
    const client = await pool.connect()
    try {
      await new PositionDays().ensure(client, Float64Array.from(timesMs), timesMs.length)
    } finally {
      client.release()
    }
    await pool.query(
      `INSERT INTO positions (fix_time, received_at, digest, device_id, quality, valid)
       SELECT t, now(), 0, 1, 0, true FROM unnest($1::timestamptz[]) AS t`,
      [timesMs.map((timeMs) => new Date(timeMs))],
    )
  }

  const stored = async (): Promise<number[]> =>
    (await pool.query('SELECT fix_time FROM positions ORDER BY fix_time')).rows.map((row) =>
      row.fix_time.getTime(),
    )

  it('are kept, however old, when no days to keep are given', async () => {
    const timesMs = [Date.UTC(1999, 0, 1), today - 400 * DAY_MS, today - 300 * DAY_MS, today]
    await store(...timesMs)
    const stop = await startPositionPolicies(pool, { compressAfterDays: 0, keepDays: 0 }, log)
    await stop()
    await dropOldPositions(pool, 0, log)
    expect(await stored()).toEqual(timesMs)
    expect(said).toEqual([])
  })

  it('are not compressed where that cannot be, which is said in one line', async () => {
    const storage = await applyPositionPolicies(pool, { compressAfterDays: 7, keepDays: 0 }, log)
    expect(said.map(({ msg }) => msg)).toEqual(
      storage === 'timescale-community' ? [] : [expect.stringContaining('does not compress positions')],
    )
  })

  it('go day by day when their day ended longer ago than is kept, those of wrong clocks too', async () => {
    const kept = [today - 30 * DAY_MS, today - 29 * DAY_MS, today, today + 20 * DAY_MS]
    const old = [Date.UTC(1999, 0, 1), today - 400 * DAY_MS, today - 32 * DAY_MS, today - 31 * DAY_MS - 1]
    await store(...kept, ...old)
    await dropOldPositions(pool, 30, log)
    expect(await stored()).toEqual(kept)
    expect(said).toHaveLength(1)
    await dropOldPositions(pool, 30, log)
    expect(await stored()).toEqual(kept)
    expect(said).toHaveLength(1)
    // A late row of a day that is gone finds a place, and goes with the next drop.
    await store(...old)
    expect(await stored()).toHaveLength(8)
    await dropOldPositions(pool, 30, log)
    expect(await stored()).toEqual(kept)
  })

  it('stay while their day is being read: everybody would wait behind the drop', async () => {
    await store(today - 40 * DAY_MS)
    const reader = await pool.connect()
    try {
      await reader.query('BEGIN')
      await reader.query('SELECT FROM positions')
      await expect(dropOldPositions(pool, 30, log)).rejects.toMatchObject({ code: LOCK_NOT_AVAILABLE })
      expect(await stored()).toHaveLength(1)
      // The engine starts all the same, and says why the day is still there.
      const stop = await startPositionPolicies(pool, { compressAfterDays: 0, keepDays: 30 }, log)
      await expect.poll(() => said).toMatchObject([{ msg: expect.stringContaining('could not be applied') }])
      await stop()
      await reader.query('COMMIT')
      await dropOldPositions(pool, 30, log)
      expect(await stored()).toEqual([])
    } finally {
      reader.release()
    }
  })

  it('take the events of their days with them', async () => {
    const kept = [today - 30 * DAY_MS, today]
    await store(...kept, today - 32 * DAY_MS)
    await pool.query(
      `INSERT INTO events (event_time, device_id, geofence_id, geofence_version, type)
       SELECT t, 1, 1, 1, 'enter' FROM unnest($1::timestamptz[]) AS t`,
      [
        [...kept, today - 31 * DAY_MS - 1, today - 32 * DAY_MS, Date.UTC(1999, 0, 1)].map(
          (ms) => new Date(ms),
        ),
      ],
    )
    await dropOldPositions(pool, 30, log)
    const { rows } = await pool.query('SELECT event_time FROM events ORDER BY event_time')
    expect(rows.map((row) => row.event_time.getTime())).toEqual(kept)
    expect(said.map(({ msg }) => msg)).toEqual(['old positions and events dropped'])
  })

  it('are dropped beside the work of the engine that started', async () => {
    await store(today - 40 * DAY_MS, today)
    const stop = await startPositionPolicies(pool, { compressAfterDays: 0, keepDays: 30 }, log)
    await expect.poll(stored).toEqual([today])
    await stop()
  })
})

describe.each(DAY_TABLES)('policyChanges of $name', (table) => {
  const nothing = { compressed: false, compressAfterDays: null, keepDays: null }
  const changes = (state: PolicyState, wanted: PositionPolicies) => policyChanges(table, state, wanted)
  const verbs = (state: PolicyState, wanted: PositionPolicies) =>
    changes(state, wanted).map((sql) => /^\w+( \w+)?/.exec(sql)![0])

  it('asks for nothing that is there already, and never for a drop that is not configured', () => {
    expect(changes(nothing, { compressAfterDays: 0, keepDays: 0 })).toEqual([])
    const set = { compressed: true, compressAfterDays: 7, keepDays: 90 }
    expect(changes(set, { compressAfterDays: 7, keepDays: 90 })).toEqual([])
    expect(changes(nothing, { compressAfterDays: 7, keepDays: 0 }).join()).not.toContain('retention')
  })

  it('sets up compression before its policy', () => {
    for (const sql of changes(nothing, { compressAfterDays: 7, keepDays: 0 }))
      expect(sql).toContain(table.name)
    expect(verbs(nothing, { compressAfterDays: 7, keepDays: 0 })).toEqual([
      'ALTER TABLE',
      'SELECT add_compression_policy',
    ])
  })

  it('replaces a policy of another age, and takes away one that is not wanted', () => {
    const set = { compressed: true, compressAfterDays: 7, keepDays: 90 }
    expect(verbs(set, { compressAfterDays: 14, keepDays: 0 })).toEqual([
      'SELECT remove_compression_policy',
      'SELECT add_compression_policy',
      'SELECT remove_retention_policy',
    ])
  })
})
