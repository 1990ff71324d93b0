import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { type TestDatabase, testDatabase } from '../../test/database.ts'
import { PositionWriter } from './writer.ts'

const TIME_MS = Date.UTC(2026, 10, 21, 8, 30, 15, 250)

let database: TestDatabase
let pool: pg.Pool
let writer: PositionWriter
const databaseStates: boolean[] = []

beforeAll(async () => {
  database = await testDatabase()
  pool = new pg.Pool({ connectionString: database.url, max: 2 })
  writer = new PositionWriter(database.url, 'test writer', { onDatabase: (up) => databaseStates.push(up) })
})
afterAll(async () => {
  await writer.close()
  await pool.end()
  await database.drop()
})
beforeEach(async () => {
  await pool.query('TRUNCATE positions')
})

/** A position of `device` at TIME_MS + `offsetMs`, with `digest` as the digest of its record. */
function add(batch: PositionBatch, device: number, offsetMs = 0, digest = 1): number {
  const row = batch.add(TIME_MS + offsetMs, 30.25, -97.75)
  batch.receivedMs[row] = TIME_MS + offsetMs + 500
  batch.device[row] = device
  batch.digestHigh[row] = 0x80000000
  batch.digestLow[row] = digest
  return row
}

function batchOf(...devices: number[]): PositionBatch {
  const batch = new PositionBatch(8)
  for (const device of devices) add(batch, device)
  return batch
}

const stored = async () =>
  (await pool.query('SELECT * FROM positions ORDER BY device_id, fix_time, digest')).rows

describe('what is stored', () => {
  test('is what the batch holds, in every column', async () => {
    const batch = new PositionBatch(8)
    const row = add(batch, 7, 0, 0xdeadbeef)
    batch.deviceTimeMs[row] = TIME_MS - 1000
    batch.altitudeM[row] = -12.5
    batch.speedKmh[row] = 67.25
    batch.courseDeg[row] = 359.5
    batch.accuracyM[row] = 4.5
    batch.decoder[row] = 300
    batch.set(row, 'sat', 11)
    batch.set(row, 'hdop', 0.75)
    batch.set(row, 'odometer', 123_456_789_012)
    batch.set(row, 'hours', 3_600_000)
    batch.set(row, 'power', 12.5)
    batch.set(row, 'battery', 4.25)
    batch.set(row, 'batteryLevel', 88)
    batch.set(row, 'fuel', 40.5)
    batch.set(row, 'rssi', -71)
    batch.set(row, 'event', 239)
    batch.set(row, 'ignition', true)
    batch.set(row, 'motion', false)
    batch.set(row, 'alarm', 'sos')
    batch.set(row, 'io5', 0)
    batch.set(row, 'io6', 1234567890)
    batch.set(row, 'io7', -3.25)
    batch.set(row, 'io8', 1e21)
    batch.set(row, 'charge', false)
    batch.set(row, 'text', 'Grüße "\\ \u{1f68c}')
    batch.setJson(row, 'network', { cellTowers: [{ mcc: 310 }] })
    await writer.write(batch)
    const [position] = await stored()
    expect(position).toMatchObject({
      fix_time: new Date(TIME_MS),
      received_at: new Date(TIME_MS + 500),
      device_time: new Date(TIME_MS - 1000),
      latitude: 30.25,
      longitude: -97.75,
      digest: String(BigInt.asIntN(64, 0x80000000deadbeefn)),
      device_id: 7,
      altitude_m: -12.5,
      speed_kmh: 67.25,
      course_deg: 359.5,
      accuracy_m: 4.5,
      decoder: 300,
      satellites: 11,
      hdop: 0.75,
      odometer_m: 123_456_789_012,
      engine_hours_ms: 3_600_000,
      power_v: 12.5,
      battery_v: 4.25,
      battery_percent: 88,
      fuel_l: 40.5,
      rssi: -71,
      event: 239,
      ignition: true,
      motion: false,
      alarm: 'sos',
      quality: 0,
      valid: true,
    })
    expect(JSON.parse(position.attributes)).toEqual({
      io5: 0,
      io6: 1234567890,
      io7: -3.25,
      io8: 1e21,
      charge: false,
      text: 'Grüße "\\ \u{1f68c}',
      network: { cellTowers: [{ mcc: 310 }] },
    })
  })

  test('is null where nothing was reported', async () => {
    const batch = new PositionBatch(8)
    const row = batch.addWithoutFix()
    batch.fixTimeMs[row] = TIME_MS
    batch.receivedMs[row] = TIME_MS
    batch.device[row] = 1
    await writer.write(batch)
    const [{ fix_time, received_at, device_id, digest, quality, valid, batch: number, ...others }] =
      await stored()
    expect(new Set(Object.values(others))).toEqual(new Set([null]))
    expect(Number(number)).toBeGreaterThan(0)
    expect({ device_id, digest, quality, valid }).toEqual({
      device_id: 1,
      digest: '0',
      quality: 1,
      valid: false,
    })
  })

  test('is taken by PostgreSQL whatever a device sends as text or number', async () => {
    const batch = new PositionBatch(8)
    const row = add(batch, 1)
    batch.set(row, 'a\0b', 'nul \0 and half a pair \ud800')
    batch.set(row, 'alarm', 'nul \0')
    batch.setJson(row, 'json', { nul: 'a\0b', escaped: '\\u0000' })
    batch.set(row, 'event', 1e12)
    batch.set(row, 'sat', 1e6)
    batch.set(row, 'power', 1e300)
    await writer.write(batch)
    const { rows } = await pool.query(
      'SELECT attributes::jsonb AS attributes, alarm, event, satellites, power_v FROM positions',
    )
    expect(rows).toEqual([
      {
        attributes: { ab: 'nul  and half a pair \ufffd', json: { nul: 'ab', escaped: '\\u0000' } },
        alarm: 'nul ',
        event: 2_147_483_647,
        satellites: 32_767,
        power_v: null,
      },
    ])
  })

  test('keeps rows of days without a partition of their own', async () => {
    const batch = new PositionBatch(8)
    for (const timeMs of [0, Date.UTC(2004, 0, 1), TIME_MS, Date.UTC(2105, 0, 1)])
      add(batch, 1, timeMs - TIME_MS)
    await writer.write(batch)
    expect(await stored()).toHaveLength(4)
  })
})

test('batches that wait for one another keep their bytes apart', async () => {
  const lock = await pool.connect()
  await lock.query('BEGIN; LOCK positions')
  const devices = [1, 2, 3, 4]
  const written = devices.map((device) => {
    const batch = new PositionBatch(2048)
    // More than a socket takes at once.
    for (let i = 0; i < 2_000; i++) batch.set(add(batch, device, i), 'text', String(device).repeat(5_000))
    return writer.write(batch)
  })
  await lock.query('COMMIT')
  lock.release()
  expect(await Promise.all(written)).toMatchObject(
    devices.map(() => ({ rows: 2_000, duplicates: 0, refused: [] })),
  )
  const { rows } = await pool.query(`
    SELECT device_id, count(*)::int AS rows FROM positions
    WHERE attributes = '{"text":"' || repeat(device_id::text, 5000) || '"}' GROUP BY 1 ORDER BY 1`)
  expect(rows).toEqual(devices.map((device) => ({ device_id: device, rows: 2_000 })))
}, 20_000)

describe('a row that is there already', () => {
  test('is not stored again, nor does it keep its neighbours out', async () => {
    expect(await writer.write(batchOf(1, 2, 3))).toMatchObject({ rows: 3, duplicates: 0, refused: [] })
    expect(await writer.write(batchOf(3, 4, 1, 5))).toMatchObject({ rows: 4, duplicates: 2, refused: [] })
    expect((await stored()).map((row) => row.device_id)).toEqual([1, 2, 3, 4, 5])
  })

  test('may be twice in one batch', async () => {
    expect(await writer.write(batchOf(1, 1, 2))).toMatchObject({ rows: 3, duplicates: 1, refused: [] })
    expect(await stored()).toHaveLength(2)
  })

  test('is another one when its record differs', async () => {
    const batch = new PositionBatch(8)
    add(batch, 1, 0, 1)
    add(batch, 1, 0, 2)
    expect(await writer.write(batch)).toMatchObject({ rows: 2, duplicates: 0, refused: [] })
    expect(await stored()).toHaveLength(2)
  })
})

describe('a database that goes away', () => {
  test('gets the batch again when it is back', async () => {
    await writer.write(batchOf(1))
    databaseStates.length = 0
    const terminate = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test writer'`
    // Before and while it is written.
    await pool.query(terminate)
    const written = [writer.write(batchOf(2)), writer.write(batchOf(3))]
    await pool.query(terminate)
    await Promise.all(written)
    expect((await stored()).map((row) => row.device_id)).toEqual([1, 2, 3])
    expect(databaseStates).toContain(false)
    expect(databaseStates.at(-1)).toBe(true)
  })

  test('is asked ever less often while it answers with errors', async () => {
    await pool.query(`
      CREATE FUNCTION fill_disk() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
      CREATE TRIGGER full_disk BEFORE INSERT ON positions FOR EACH ROW EXECUTE FUNCTION fill_disk()`)
    databaseStates.length = 0
    const written = writer.write(batchOf(1))
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    await pool.query('DROP FUNCTION fill_disk CASCADE')
    expect(await written).toMatchObject({ rows: 1, duplicates: 0, refused: [] })
    // After 0, 100, 300 and 700 ms.
    expect(databaseStates.filter((up) => !up).length).toBeLessThanOrEqual(4)
  })

  test('is taken for lost when it falls silent', async () => {
    const { hostname, port } = new URL(database.url)
    const sockets: Socket[] = []
    // Between the writer and the database, a host that dies without a word.
    const proxy = createServer((socket) => {
      const server = connect(Number(port), hostname)
      sockets.push(socket, server)
      for (const end of [socket, server]) end.on('error', () => undefined)
      socket.pipe(server).pipe(socket)
    }).listen(0, '127.0.0.1')
    await once(proxy, 'listening')
    const url = new URL(database.url)
    url.port = String((proxy.address() as AddressInfo).port)
    const states: string[] = []
    const onDatabase = (up: boolean, error?: Error) => states.push(up ? 'up' : error!.message)
    const behind = new PositionWriter(url.href, 'test behind', { onDatabase }, undefined, 300)
    await behind.write(batchOf(1))
    for (const socket of sockets) socket.unpipe().pause()
    expect(await behind.write(batchOf(2))).toMatchObject({ rows: 1, duplicates: 0, refused: [] })
    expect(states).toEqual(['up', 'no answer within 300 ms', 'up'])
    await behind.close()
    for (const socket of sockets) socket.destroy()
    proxy.close()
  })
})

describe('a row that the database refuses', () => {
  /** Devices whose rows a trigger refuses, by the SQLSTATE it gives. */
  const REFUSED: Readonly<Record<string, number>> = {
    P0001: 1001,
    '22003': 1022,
    '23503': 1023,
    '54000': 1054,
  }
  /** The trigger that meets the first for the third time ends the connection; the second is a deadlock two times. */
  const LOSES_CONNECTION = 500
  const DEADLOCKS = 501

  beforeAll(async () => {
    await pool.query(`
      CREATE SEQUENCE met;
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
      DECLARE
        refused jsonb := '${JSON.stringify(REFUSED)}';
        state text := (SELECT key FROM jsonb_each(refused) WHERE value::int = NEW.device_id);
      BEGIN
        IF state IS NOT NULL THEN RAISE EXCEPTION 'not %', NEW.device_id USING ERRCODE = state; END IF;
        IF NEW.device_id = ${LOSES_CONNECTION} AND nextval('met') = 3 THEN
          PERFORM pg_terminate_backend(pg_backend_pid());
        END IF;
        IF NEW.device_id = ${DEADLOCKS} AND nextval('met') < 3 THEN
          RAISE EXCEPTION 'deadlock detected' USING ERRCODE = 'deadlock_detected';
        END IF;
        RETURN NEW;
      END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON positions FOR EACH ROW EXECUTE FUNCTION refuse()`)
  })
  beforeEach(() => pool.query(`ALTER SEQUENCE met RESTART`))
  afterAll(() => pool.query('DROP FUNCTION refuse CASCADE'))

  const refusal = (batch: PositionBatch, row: number) => {
    const device = batch.device[row]!
    const [code] = Object.entries(REFUSED).find(([, refused]) => refused === device)!
    return { row, code, message: `not ${device}` }
  }

  test('is told of with its reason, and its neighbours are stored', async () => {
    const devices = Array.from({ length: 500 }, (_, i) => i + 1)
    const refused = [3, 4, 250, 499]
    Object.values(REFUSED).forEach((device, i) => {
      devices[refused[i]!] = device
    })
    const batch = batchOf(...devices)
    const written = writer.write(batch)
    const next = writer.write(batchOf(600))
    const result = await written
    expect(result).toMatchObject({ rows: 500, duplicates: 0 })
    expect(result.refused.toSorted((a, b) => a.row - b.row)).toEqual(
      refused.map((row) => refusal(batch, row)),
    )
    expect(await next).toMatchObject({ rows: 1, duplicates: 0, refused: [] })
    const kept = devices.filter((_, row) => !refused.includes(row))
    expect((await stored()).map((row) => row.device_id)).toEqual([...kept, 600])
  })

  test('may be any row of the batch, and all of them', async () => {
    const batch = batchOf(...Array.from({ length: 33 }, () => REFUSED.P0001!))
    for (let row = 0; row < batch.length; row++) batch.digestLow[row] = row
    const { refused } = await writer.write(batch)
    expect(refused.map(({ row }) => row).sort((a, b) => a - b)).toEqual([...Array(33).keys()])
    expect(await stored()).toEqual([])
    for (let row = 0; row < 5; row++) {
      const devices = [1, 2, 3, 4, 5].with(row, REFUSED.P0001!)
      const other = batchOf(...devices)
      expect(await writer.write(other)).toMatchObject({ rows: 5, refused: [refusal(other, row)] })
    }
    expect((await stored()).map((row) => row.device_id)).toEqual([1, 2, 3, 4, 5])
  })

  test('may be twice in the batch, among rows that are stored already', async () => {
    await writer.write(batchOf(1, 2, 3))
    const batch = batchOf(3, 1001, 4, 1001, 1, 5)
    for (const pass of ['first', 'again']) {
      const result = await writer.write(batch)
      expect(result).toMatchObject({ rows: 6, duplicates: pass === 'first' ? 2 : 4 })
      expect(result.refused).toEqual([refusal(batch, 1), refusal(batch, 3)])
      expect((await stored()).map((row) => row.device_id)).toEqual([1, 2, 3, 4, 5])
    }
  })

  test('is found also when the connection is lost while it is looked for', async () => {
    const batch = batchOf(1, 2, 1001, 3, LOSES_CONNECTION, 4, 1022)
    databaseStates.length = 0
    const { duplicates, refused } = await writer.write(batch)
    expect(databaseStates).toEqual([false, true])
    expect(duplicates).toBe(0)
    expect(refused).toEqual([refusal(batch, 2), refusal(batch, 6)])
    expect((await stored()).map((row) => row.device_id)).toEqual([1, 2, 3, 4, LOSES_CONNECTION])
  })

  test('is not one that met a deadlock: it is sent again at once', async () => {
    databaseStates.length = 0
    expect(await writer.write(batchOf(1, DEADLOCKS))).toMatchObject({ rows: 2, duplicates: 0, refused: [] })
    expect(databaseStates).toEqual([])
    expect(await stored()).toHaveLength(2)
  })

  test('may be one that meets another key than that of the table', async () => {
    await pool.query('CREATE UNIQUE INDEX one_place ON positions (fix_time, latitude)')
    try {
      const { refused } = await writer.write(batchOf(1, 2))
      expect(refused).toMatchObject([{ row: 1, code: '23505' }])
      expect((await stored()).map((row) => row.device_id)).toEqual([1])
    } finally {
      await pool.query('DROP INDEX one_place')
    }
  })
})
