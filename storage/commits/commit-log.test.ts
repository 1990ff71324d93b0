import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Commit } from '../../schemas/live-port.ts'
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { type TestDatabase, testDatabase } from '../../test/database.ts'
import { readCommits, readHead } from './commit-log.ts'

const DAY = '2026-11-21'

let database: TestDatabase
let client: pg.Client

beforeAll(async () => {
  database = await testDatabase()
  client = new pg.Client({ connectionString: database.url })
  await client.connect()
  await client.query('SELECT ensure_position_day(day) FROM unnest($1::date[]) AS day', [
    ['2026-11-20', DAY, '2026-11-22'],
  ])
})
afterAll(async () => {
  await client.end()
  await database.drop()
})
beforeEach(() =>
  client.query('TRUNCATE positions, batches, batch_events; ALTER SEQUENCE batch_sequence RESTART'),
)

/** [device, time of day, digest] of each row. */
type Row = readonly [device: number, time: string, digest?: string]

/** Stores rows as one commit. @returns Its place in the order. */
async function commit(batch: number, rows: readonly Row[], events: readonly object[] = []): Promise<number> {
  const times = rows.map(([, time]) => (time.includes('-') ? time : `${DAY}T${time}Z`))
  await client.query('BEGIN')
  await client.query(
    `INSERT INTO positions (device_id, fix_time, received_at, digest, quality, valid, latitude, longitude, batch)
     SELECT device, time, time, digest, 0, true, 30.25, -97.75, $4
     FROM unnest($1::integer[], $2::timestamptz[], $3::bigint[]) AS row (device, time, digest)`,
    [rows.map(([device]) => device), times, rows.map(([, , digest = '1']) => digest), batch],
  )
  await client.query('SELECT keep_batch_events($1, $2)', [batch, JSON.stringify(events)])
  const { rows: answer } = await client.query(
    `SELECT commit_batch($1, $2, array_agg(s.device), array_agg(s.us), array_agg(s.us)) AS sequence
     FROM (SELECT DISTINCT device, span_us(time) AS us
       FROM unnest($3::integer[], $4::timestamptz[]) AS r (device, time)) AS s`,
    [batch, rows.length, rows.map(([device]) => device), times],
  )
  await client.query('COMMIT')
  return Number(answer[0].sequence)
}

const event = (id: number) => ({
  id,
  organizationId: 3,
  device: 7,
  geofence: 2,
  geofenceVersion: 1,
  type: 'enter',
  timeMs: Date.UTC(2026, 10, 21, 8),
  fixTimeMs: null,
  latitude: null,
  longitude: null,
  speed: null,
  crossing: false,
  revision: 0,
  replaces: null,
  retracted: false,
  current: true,
  recordedAtMs: Date.UTC(2026, 10, 21, 8),
})

/** `device/time of day` of the rows of each commit. */
function shown({ batch, commits }: { batch: PositionBatch | null; commits: readonly Commit[] }) {
  return commits.map(({ sequence, rows }) => [
    sequence,
    ...Array.from(rows, (row) => {
      const time = new Date(batch!.fixTimeMs[row]!).toISOString()
      return `${batch!.device[row]} ${time.slice(0, 10) === DAY ? time.slice(11, 19) : time.slice(0, 10)}`
    }),
  ])
}

describe('the head', () => {
  test('is 0 before the first commit', async () => {
    expect(await readHead(client)).toEqual({ last: 0, first: 0 })
    expect(await readCommits(client, 0, { rowsMax: 10 })).toEqual({ batch: null, commits: [] })
  })

  test('is the last commit, and the first one that is kept', async () => {
    for (let i = 1; i <= 5; i++) await commit(i * 64, [[i, '08:00:00']])
    expect(await readHead(client)).toEqual({ last: 5, first: 1 })
    await client.query("SELECT forget_batches(now() + interval '1 hour', 3)")
    expect(await readHead(client)).toEqual({ last: 5, first: 4 })
  })

  test('is kept when all is old, with its events', async () => {
    await commit(64, [[1, '08:00:00']], [event(1)])
    await commit(65, [[1, '08:00:01']], [event(2)])
    const forget = "SELECT forget_batches(now() + interval '1 hour', 100) AS count"
    expect((await client.query(forget)).rows).toEqual([{ count: 1 }])
    expect((await client.query(forget)).rows).toEqual([{ count: 0 }])
    expect(await readHead(client)).toEqual({ last: 2, first: 2 })
    expect((await client.query('SELECT batch FROM batch_events')).rows).toEqual([{ batch: '65' }])
  })

  test('forgets nothing that is not old', async () => {
    await commit(64, [[1, '08:00:00']])
    await commit(65, [[1, '08:00:01']])
    await client.query("SELECT forget_batches(now() - interval '1 hour', 100)")
    expect(await readHead(client)).toEqual({ last: 2, first: 1 })
  })
})

describe('commits', () => {
  test('follow a place in their order, whatever the numbers of their batches', async () => {
    await commit(130, [[1, '08:00:00']])
    await commit(2, [
      [2, '08:00:00'],
      [3, '07:00:00'],
    ])
    await commit(131, [[1, '08:00:01']])
    expect(shown(await readCommits(client, 1, { rowsMax: 100 }))).toEqual([
      [2, '2 08:00:00', '3 07:00:00'],
      [3, '1 08:00:01'],
    ])
  })

  test('come as many as there is room for, and one at least', async () => {
    await commit(1, [[1, '08:00:00']])
    await commit(2, [[2, '08:00:00']], [event(1)])
    await commit(
      3,
      [3, 4, 5, 6].map((device) => [device, '08:00:00'] as const),
    )
    const places = async (after: number, rowsMax: number) =>
      (await readCommits(client, after, { rowsMax })).commits.map(({ sequence }) => sequence)
    expect(await places(0, 2)).toEqual([1])
    expect(await places(0, 3)).toEqual([1, 2])
    expect(await places(2, 3)).toEqual([3])
    expect(await places(0, 7)).toEqual([1, 2, 3])
    expect(await places(3, 7)).toEqual([])
  })

  test('have their rows in the order of device, fix time and signed digest, over days', async () => {
    await commit(1, [
      [2, '08:00:00', '5'],
      [2, '08:00:00', '-5'],
      [2, '08:00:00', '9223372036854775807'],
      [2, '08:00:00', '4294967301'],
      [2, '2026-11-20T08:00Z'],
      [1, '2026-11-22T08:00Z'],
      [3, '1999-01-01T08:00Z'],
    ])
    const { batch, commits } = await readCommits(client, 0, { rowsMax: 100 })
    expect(
      Array.from(commits[0]!.rows, (row) => [
        batch!.device[row],
        (BigInt(batch!.digestHigh[row]! | 0) << 32n) | BigInt(batch!.digestLow[row]!),
      ]),
    ).toEqual([
      [1, 1n],
      [2, 1n],
      [2, -5n],
      [2, 5n],
      [2, 4294967301n],
      [2, 9223372036854775807n],
      [3, 1n],
    ])
  })

  test('have their events, also those without rows', async () => {
    await commit(1, [[1, '08:00:00']], [event(5), event(6)])
    await commit(2, [], [event(7)])
    const { commits } = await readCommits(client, 0, { rowsMax: 100 })
    expect(commits.map(({ events }) => events.map(({ id }) => id))).toEqual([[5, 6], [7]])
    expect(commits[1]!.events[0]).toMatchObject({
      organizationId: 3,
      time: '2026-11-21T08:00:00.000Z',
      fixTime: null,
      current: true,
    })
  })

  test('are without what was deleted since', async () => {
    await commit(1, [
      [1, '08:00:00'],
      [2, '08:00:00'],
    ])
    await commit(2, [[3, '08:00:00']])
    await client.query('DELETE FROM positions WHERE device_id IN (1, 3)')
    expect(shown(await readCommits(client, 0, { rowsMax: 100 }))).toEqual([[1, '2 08:00:00'], [2]])
  })

  test('are read without the rows of others, also where nothing is analysed', async () => {
    for (let batch = 1; batch <= 40; batch++) {
      await commit(
        batch,
        Array.from({ length: 200 }, (_, i) => [i, `08:00:${String(batch).padStart(2, '0')}`] as const),
      )
    }
    const touched = async () => {
      await client.query('SELECT pg_stat_force_next_flush()')
      const { rows } = await client.query(
        'SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::integer AS rows FROM pg_stat_user_tables',
      )
      return rows[0].rows as number
    }
    const before = await touched()
    const { commits } = await readCommits(client, 20, { rowsMax: 2_000 })
    expect(commits.reduce((sum, { rows }) => sum + rows.length, 0)).toBe(2_000)
    expect((await touched()) - before).toBeLessThan(2_200)
  })

  test('are read again after a failure, on the same connection', async () => {
    await commit(1, [[1, '08:00:00']])
    await client.query("ALTER TABLE batches RENAME TO away; SELECT set_config('x.y', '', false)")
    await expect(readCommits(client, 0, { rowsMax: 10 })).rejects.toMatchObject({ code: '42P01' })
    await client.query('ALTER TABLE away RENAME TO batches')
    expect(shown(await readCommits(client, 0, { rowsMax: 10 }))).toEqual([[1, '1 08:00:00']])
  })
})
