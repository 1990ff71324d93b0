import { setImmediate as turn } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { READINGS } from '../../schemas/attributes.ts'
import { positionOf } from '../../schemas/position.ts'
import { QUALITY } from '../../schemas/quality.ts'
import { streamRowOf } from '../../schemas/stream.ts'
import { type TestDatabase, testDatabase } from '../../test/database.ts'
import { shortestDecimal } from './copy-decoder.ts'
import { COPIED_COLUMNS, copyPositions } from './copy-reader.ts'
import { devicePositions } from './positions.ts'

const TIME_MS = Date.UTC(2026, 10, 21, 8, 30, 15, 250)

let database: TestDatabase
let client: pg.Client

beforeAll(async () => {
  database = await testDatabase()
  client = new pg.Client({ connectionString: database.url })
  await client.connect()
})
afterAll(async () => {
  await client.end()
  await database.drop()
})
beforeEach(() => client.query('TRUNCATE positions'))

async function readAll(query: string, rowsMax = 100, numberCount = 0) {
  const all = []
  for await (const rows of copyPositions(client, query, { rowsMax, numberCount })) all.push(rows)
  return all
}

/** Positions of devices 1 to `count`, a second apart. */
const insertRows = (count: number) =>
  client.query(
    `INSERT INTO positions (device_id, fix_time, received_at, digest, quality, valid, latitude, longitude, attributes)
     SELECT i, timestamptz 'epoch' + ($1::float8 + i * 1000) * interval '1 ms', timestamptz 'epoch' + $1::float8 * interval '1 ms',
       -i, 0, true, 30.25, -97.75, '{"io1":' || i || '}' FROM generate_series(1, $2::integer) i`,
    [TIME_MS, count],
  )

describe('what is read', () => {
  test('is every column that the stream shows, as the API shows it', async () => {
    const numbers = READINGS.filter(({ type }) => type === 'number')
    await client.query(
      `INSERT INTO positions (device_id, fix_time, received_at, digest, quality, valid, latitude, longitude,
         altitude_m, speed_kmh, course_deg, ${numbers.map(({ sql }) => sql)}, ignition, motion, alarm, attributes)
       VALUES (7, '2026-11-21T08:30:15.250125Z', '2026-11-21T08:30:16Z', -2401053088876216593, 0, true, -30.25, 97.75,
         -12.3, 67.8, 359.99, ${numbers.map((_, i) => i + 1)}, false, true, 'sos',
         '{"io5":0,"text":"Grüße \\"\\\\ 🚌","network":{"cellTowers":[{"mcc":310}]}}')`,
    )
    const [rows] = await readAll(`SELECT ${COPIED_COLUMNS} FROM positions`)
    await client.query("SELECT set_config('app.role', 'super-admin', false)")
    await client.query("INSERT INTO organizations (name) VALUES ('Red')")
    await client.query(
      "INSERT INTO devices (id, organization_id, unique_id, name) OVERRIDING SYSTEM VALUE VALUES (7, 1, '7', '7')",
    )
    const { positions } = await devicePositions(client, {
      device: 7,
      from: new Date(TIME_MS),
      to: new Date(TIME_MS + 1_000),
      limit: 10,
    })
    const { satellites, hdop, ...listed } = positions[0]!
    expect(streamRowOf(rows!.batch, 0)).toEqual({
      device: 7,
      fixTime: '2026-11-21T08:30:15.250Z',
      receivedAt: listed.receivedAt,
      latitude: listed.latitude,
      longitude: listed.longitude,
      altitude: listed.altitude,
      speed: listed.speed,
      course: listed.course,
      attributes: { ...listed.attributes, sat: satellites, hdop },
    })
    expect(listed.attributes).toMatchObject({ ignition: false, network: { cellTowers: [{ mcc: 310 }] } })
  })

  test('has the key to its last digit, and quality', async () => {
    await insertRows(1)
    await client.query(
      "UPDATE positions SET fix_time = '2026-11-21T08:30:15.250125Z', digest = -2401053088876216593, quality = 130",
    )
    const [rows] = await readAll(`SELECT ${COPIED_COLUMNS} FROM positions`)
    const { fixTimeMs, digestHigh, digestLow, quality } = rows!.batch
    expect(fixTimeMs[0]).toBe(TIME_MS + 0.125)
    expect(BigInt.asIntN(64, (BigInt(digestHigh[0]!) << 32n) | BigInt(digestLow[0]!))).toBe(
      -2401053088876216593n,
    )
    expect(quality[0]).toBe(130)
  })

  test('is "not reported" where the column is null', async () => {
    await client.query(
      `INSERT INTO positions (device_id, fix_time, received_at, digest, quality, valid)
       VALUES (1, to_timestamp(0), to_timestamp(1), 0, ${QUALITY.noPlace}, false)`,
    )
    const [rows] = await readAll(`SELECT ${COPIED_COLUMNS} FROM positions`)
    expect(positionOf(rows!.batch, 0)).toMatchObject({
      fixTime: '1970-01-01T00:00:00.000Z',
      receivedAt: '1970-01-01T00:00:01.000Z',
      latitude: null,
      longitude: null,
      altitude: null,
      speed: null,
      course: null,
      quality: ['noPlace'],
      attributes: {},
    })
  })

  test('comes in batches of the size that was asked for, in the order of the query', async () => {
    await insertRows(3_000)
    const all = await readAll(`SELECT ${COPIED_COLUMNS} FROM positions ORDER BY device_id DESC`, 1_400)
    expect(all.map(({ batch }) => batch.length)).toEqual([1_400, 1_400, 200])
    expect(all.flatMap(({ batch }) => [...batch.device.subarray(0, batch.length)])).toEqual(
      Array.from({ length: 3_000 }, (_, i) => 3_000 - i),
    )
    expect(streamRowOf(all[1]!.batch, 0).attributes).toEqual({ io1: 1_600 })
  })

  test('has further columns of bigint beside the batch', async () => {
    await insertRows(1_200)
    const [rows] = await readAll(
      `SELECT ${COPIED_COLUMNS}, device_id * 4000000000000, nullif(digest, -2)
       FROM positions ORDER BY device_id`,
      1_200,
      2,
    )
    const { numbers } = rows!
    expect([numbers[0]![0], numbers[0]![1_199]]).toEqual([4e12, 4.8e15])
    expect([...numbers[1]!.subarray(0, 3)]).toEqual([-1, Number.NaN, -3])
  })

  test('is nothing where there is nothing', async () => {
    expect(await readAll(`SELECT ${COPIED_COLUMNS} FROM positions`)).toEqual([])
  })
})

describe('the connection', () => {
  test('is not read while nobody takes what was read', async () => {
    await insertRows(20_000)
    const { stream } = (client as unknown as { connection: { stream: { bytesRead: number } } }).connection
    const reader = copyPositions(client, `SELECT ${COPIED_COLUMNS} FROM positions`, { rowsMax: 100 })
    const before = stream.bytesRead
    await reader.next()
    for (let i = 0; i < 1_000; i++) await turn()
    // 20,000 rows are more than 3 MB.
    expect(stream.bytesRead - before).toBeLessThan(200_000)
    let rest = 0
    for await (const { batch } of reader) rest += batch.length
    expect(rest).toBe(19_900)
  })

  test('can be used again when the caller ends the loop', async () => {
    await insertRows(20_000)
    for await (const { batch } of copyPositions(client, `SELECT ${COPIED_COLUMNS} FROM positions`, {
      rowsMax: 10,
    })) {
      expect(batch.length).toBe(10)
      break
    }
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
  })

  test('can be used again after a query that fails, at once or on its way', async () => {
    await insertRows(5_000)
    await expect(readAll('SELECT nothing')).rejects.toMatchObject({ code: '42703' })
    const failing = `SELECT ${COPIED_COLUMNS} FROM positions WHERE 1 / (device_id - 4000) IS NOT NULL`
    await expect(readAll(failing)).rejects.toMatchObject({ code: '22012' })
    await expect(readAll('SELECT 1 AS one')).rejects.toThrow('a row of 1 columns')
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
  })

  test('tells where it is lost on the way', async () => {
    await insertRows(20_000)
    const other = new pg.Client({ connectionString: database.url })
    other.on('error', () => undefined)
    await other.connect()
    const { rows } = await other.query('SELECT pg_backend_pid() AS pid')
    const reader = copyPositions(other, `SELECT ${COPIED_COLUMNS} FROM positions`, { rowsMax: 10 })
    await reader.next()
    await client.query('SELECT pg_terminate_backend($1)', [rows[0].pid])
    const rest = async () => {
      for await (const { batch } of reader) expect(batch.length).toBeLessThanOrEqual(10)
    }
    await expect(rest()).rejects.toThrow()
  })
})

describe('a float4', () => {
  /** As PostgreSQL shows them. */
  async function shown(values: readonly number[]): Promise<number[]> {
    const { rows } = await client.query<{ text: string }>(
      'SELECT value::real::text AS text FROM unnest($1::float8[]) AS value',
      [values],
    )
    return rows.map(({ text }) => Number(text))
  }

  /** Of the same numbers in every run. */
  function randomBits(count: number): Uint32Array {
    let state = 1
    return Uint32Array.from({ length: count }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return state
    })
  }

  test('becomes the decimal that PostgreSQL shows', async () => {
    const known = [0, 12.3, -12.3, 1234.5679, 0.1, 1e-7, 3.4e38, 16777216, 123456792, 33.0078125, -3916961.75]
    const random = Array.from(randomBits(2_000), (bits) => (bits / 2 ** 32) * 400 - 200)
    const values = [...known, ...random].map(Math.fround)
    expect(values.map(shortestDecimal)).toEqual(await shown(values))
  })

  test('is the same float4 again, whatever it is', () => {
    const values = [...new Float32Array(randomBits(4_000).buffer)].filter(Number.isFinite)
    expect(values.map((value) => Math.fround(shortestDecimal(value)))).toEqual(values)
  })
})
