import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../test/database.ts'
import { PARTITION_DAYS_AHEAD, PARTITION_DAYS_BACK, PositionDays } from './position-days.ts'

const DAY_MS = 24 * 3600 * 1000

describe('PositionDays', () => {
  let database: TestDatabase
  let clients: pg.Client[]
  let partitioned: boolean
  const today = Math.floor(Date.now() / DAY_MS) * DAY_MS

  beforeEach(async () => {
    database = await testDatabase()
    clients = []
    const found = await (await connect()).query("SELECT to_regclass('positions_default') AS name")
    partitioned = found.rows[0].name !== null
  })
  afterEach(async () => {
    await Promise.all(clients.map((client) => client.end()))
    await database.drop()
  })

  async function connect(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: database.url })
    await client.connect()
    clients.push(client)
    return client
  }

  async function store(client: pg.Client, fixTimeMs: number, deviceId = 1): Promise<void> {
    await client.query(
      'INSERT INTO positions (fix_time, received_at, digest, device_id, quality, valid) VALUES ($1, now(), 0, $2, 0, true)',
      [new Date(fixTimeMs), deviceId],
    )
  }

  async function partitionsOf(client: pg.Client): Promise<Record<string, number>> {
    const { rows } = await client.query(
      'SELECT tableoid::regclass::text AS name, count(*)::integer AS count FROM positions GROUP BY 1',
    )
    return Object.fromEntries(rows.map((row) => [row.name, row.count]))
  }

  const nameOf = (timeMs: number) =>
    `positions_${new Date(timeMs).toISOString().slice(0, 10).replaceAll('-', '')}`

  it('makes the days that are needed, asking once for all and never again', async () => {
    const client = await connect()
    const days = new PositionDays()
    const queries: string[] = []
    const query = client.query.bind(client)
    client.query = ((text: string, values: unknown[]) => {
      queries.push(text)
      return query(text, values)
    }) as typeof client.query
    // The last value lies beyond the length in use.
    const times = Float64Array.of(today, today + 1, today - DAY_MS, today - 1, today + DAY_MS)
    await days.ensure(client, times, 4)
    await days.ensure(client, times, 4)
    expect(queries).toHaveLength(1)
    await store(client, today)
    await store(client, today - 1)
    if (partitioned)
      expect(await partitionsOf(client)).toEqual({ [nameOf(today)]: 1, [nameOf(today - 1)]: 1 })
    days.forget()
    await days.ensure(client, times, 4)
    expect(queries.filter((text) => text.includes('ensure_position_day'))).toHaveLength(2)
  })

  it('leaves times that are far off, or none, to the default partition', async () => {
    const client = await connect()
    const far = Float64Array.of(
      0,
      Number.NaN,
      today - (PARTITION_DAYS_BACK + 1) * DAY_MS,
      today + (PARTITION_DAYS_AHEAD + 1) * DAY_MS,
    )
    await new PositionDays().ensure(client, far, far.length)
    await store(client, 0)
    await store(client, far[3]!)
    if (partitioned) expect(await partitionsOf(client)).toEqual({ positions_default: 2 })
  })

  it('moves rows that came before their day from the default partition', async () => {
    const client = await connect()
    await store(client, today)
    await store(client, today + DAY_MS - 1)
    await store(client, today + DAY_MS)
    await new PositionDays().ensure(client, Float64Array.of(today), 1)
    if (partitioned) expect(await partitionsOf(client)).toEqual({ [nameOf(today)]: 2, positions_default: 1 })
    expect((await client.query('SELECT FROM positions')).rowCount).toBe(3)
  })

  it('makes a day while other transactions write and read', async () => {
    const maker = await connect()
    const writer = await connect()
    const reader = await connect()
    await new PositionDays().ensure(maker, Float64Array.of(today), 1)
    await store(maker, today)
    await writer.query('BEGIN')
    await store(writer, today, 2)
    await reader.query('BEGIN')
    await reader.query('SELECT FROM positions WHERE fix_time >= $1 AND fix_time < $2', [
      new Date(today),
      new Date(today + DAY_MS),
    ])
    // Both transactions are open still: had it to wait for them, this would not end.
    await new PositionDays().ensure(maker, Float64Array.of(today - DAY_MS), 1)
    await store(maker, today - DAY_MS)
    await writer.query('COMMIT')
    await reader.query('COMMIT')
  })

  it('turns away a row that was on its way to the default partition, for its writer to send again', async (context) => {
    if (!partitioned) return context.skip()
    const day = today + 9 * DAY_MS
    const [first, second, maker] = await Promise.all([connect(), connect(), connect()])
    await first.query('BEGIN')
    await store(first, day, 1)
    // The maker waits for the first row, and the second row for the maker.
    const made = maker.query('SELECT ensure_position_day($1)', [new Date(day).toISOString().slice(0, 10)])
    await waitingFor(1)
    const stored = store(second, day, 2).then(
      () => 'stored',
      ({ code, constraint }) => ({ code, constraint }),
    )
    await waitingFor(2)
    await first.query('COMMIT')
    await made
    expect(await stored).toEqual({ code: '23514', constraint: undefined })
    await store(second, day, 2)
    expect(await partitionsOf(first)).toEqual({ [nameOf(day)]: 2 })
  })

  async function waitingFor(count: number): Promise<void> {
    const waiting = `SELECT FROM pg_locks WHERE NOT granted AND relation = 'positions_default'::regclass`
    while ((await clients[0]!.query(waiting)).rowCount !== count);
  }

  it('holds when many connections make the same days and write into them', async () => {
    const writers = await Promise.all(Array.from({ length: 8 }, connect))
    const dayCount = 12
    await Promise.all(
      writers.map(async (client, deviceId) => {
        const days = new PositionDays()
        for (let i = 0; i < dayCount; i++) {
          // Half go forwards and half backwards, which is how locks would be taken in opposite orders.
          const day = today - (deviceId % 2 === 0 ? i : dayCount - 1 - i) * DAY_MS
          await days.ensure(client, Float64Array.of(day, day - 100 * DAY_MS), 2)
          await store(client, day, deviceId)
          await store(client, day - 100 * DAY_MS, deviceId)
          // Beyond the days that are made: this writes to the default partition.
          await store(client, today + (5 + i) * DAY_MS, deviceId)
        }
      }),
    )
    const stored = await partitionsOf(clients[0]!)
    expect(Object.values(stored).reduce((sum, count) => sum + count)).toBe(8 * dayCount * 3)
    if (partitioned) expect(Object.keys(stored)).toHaveLength(2 * dayCount + 1)
  })
})
