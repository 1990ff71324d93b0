import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Position } from '../../schemas/position.ts'
import { QUALITY } from '../../schemas/quality.ts'
import { type TestDatabase, testDatabase } from '../../test/database.ts'
import { createPool } from '../pools.ts'
import { type Tenant, withTenant } from '../tenancy.ts'
import { CursorError, devicePositions, lastPositions } from './positions.ts'

const DAY_MS = 24 * 3600 * 1000

describe('positions', () => {
  let database: TestDatabase
  let pool: pg.Pool
  let tenant: Tenant
  let device: number
  let silentDevice: number
  const start = new Date('2024-03-09T12:00:00.000Z')
  const end = new Date('2024-03-12T00:00:00.000Z')

  beforeAll(async () => {
    database = await testDatabase()
    pool = createPool(database.url, { max: 2, applicationName: 'positions test' })
    const organization = await pool.query("INSERT INTO organizations (name) VALUES ('a') RETURNING id")
    tenant = { userId: 1, organizationId: organization.rows[0].id, role: 'viewer' }
    const devices = await pool.query(
      `INSERT INTO devices (organization_id, unique_id, name) VALUES ($1, 'a1', 'a1'), ($1, 'a2', 'a2') RETURNING id`,
      [tenant.organizationId],
    )
    ;[device, silentDevice] = devices.rows.map((row) => row.id)
  })
  afterAll(async () => {
    await pool.end()
    await database.drop()
  })

  async function store(row: Record<string, unknown>): Promise<void> {
    const full = { device_id: device, received_at: start, digest: 0, quality: 0, valid: true, ...row }
    const names = Object.keys(full)
    await pool.query(
      `INSERT INTO positions (${names}) VALUES (${names.map((_, index) => `$${index + 1}`)})`,
      Object.values(full),
    )
  }

  it('shows a row with all that the device reported', async () => {
    await store({
      fix_time: start,
      device_time: new Date(start.getTime() - 1500),
      received_at: new Date(start.getTime() + 2250),
      latitude: 48.137154,
      longitude: -11.576124,
      altitude_m: 519.3,
      speed_kmh: 72.4,
      course_deg: 181.2,
      accuracy_m: 4.7,
      hdop: 0.9,
      satellites: 11,
      odometer_m: 123456789.5,
      engine_hours_ms: 7_200_000_123,
      power_v: 12.34,
      battery_v: 4.1,
      battery_percent: 87.5,
      fuel_l: 33.3,
      rssi: -71,
      event: 239,
      ignition: true,
      motion: false,
      alarm: 'sos,powerCut',
      attributes: '{"temp1":-4.25,"driverUniqueId":"Ä1","__proto__":{"x":1}}',
      digest: '-9223372036854775808',
      quality: QUALITY.jump,
      valid: false,
    })
    const { positions, next } = await withTenant(pool, tenant, (client) =>
      devicePositions(client, { device, from: start, to: new Date(start.getTime() + 1), limit: 1 }),
    )
    expect(next).toBeNull()
    const position = positions[0]!
    expect(Position.parse(position)).toBeDefined()
    expect(JSON.parse(JSON.stringify(position))).toEqual({
      device,
      fixTime: '2024-03-09T12:00:00.000Z',
      deviceTime: '2024-03-09T11:59:58.500Z',
      receivedAt: '2024-03-09T12:00:02.250Z',
      latitude: 48.137154,
      longitude: -11.576124,
      altitude: 519.3,
      speed: 72.4,
      course: 181.2,
      accuracy: 4.7,
      hdop: 0.9,
      satellites: 11,
      valid: false,
      quality: ['jump'],
      attributes: {
        odometer: 123456789.5,
        hours: 7_200_000_123,
        power: 12.34,
        battery: 4.1,
        batteryLevel: 87.5,
        fuel: 33.3,
        rssi: -71,
        event: 239,
        ignition: true,
        motion: false,
        alarm: 'sos,powerCut',
        temp1: -4.25,
        driverUniqueId: 'Ä1',
        ...JSON.parse('{"__proto__":{"x":1}}'),
      },
    })
  })

  it('shows null, and no attribute, for what was not reported', async () => {
    const fixTime = new Date('2024-03-09T13:00:00.000Z')
    await store({ fix_time: fixTime, quality: QUALITY.noPlace, valid: false })
    const { positions } = await withTenant(pool, tenant, (client) =>
      devicePositions(client, { device, from: fixTime, to: end, limit: 1 }),
    )
    expect(positions[0]).toMatchObject({
      latitude: null,
      longitude: null,
      altitude: null,
      deviceTime: null,
      satellites: null,
      quality: ['noPlace'],
      attributes: {},
    })
  })

  it('pages through positions without a gap or a repeat, also of one moment and beyond milliseconds', async () => {
    const day = new Date('2024-03-10T00:00:00.000Z')
    await pool.query(
      `INSERT INTO positions (fix_time, received_at, digest, device_id, quality, valid)
       SELECT $2::timestamptz + i / 4 * interval '0.000501 s', now(), i % 4 - 2, $1, 0, true
       FROM generate_series(0, 99) i`,
      [device, day],
    )
    const seen: string[] = []
    let after: string | undefined
    for (let page = 1; ; page++) {
      const answer = await withTenant(pool, tenant, (client) =>
        devicePositions(client, { device, from: day, to: end, after, limit: 7 }),
      )
      seen.push(...answer.positions.map((position) => position.fixTime))
      expect(answer.positions).toHaveLength(page === 15 ? 2 : 7)
      if (answer.next === null) break
      after = answer.next
    }
    expect(seen).toHaveLength(100)
    expect(seen).toEqual(seen.toSorted())
  })

  it('refuses a cursor that it did not give', async () => {
    const forged = ['', 'x', '1.1', '9'.repeat(16), `1.${'9'.repeat(19)}`, '1.1;DROP', '1'.repeat(500)]
    for (const text of forged) {
      for (const after of [text, Buffer.from(text).toString('base64url')]) {
        if (after === Buffer.from('1.1').toString('base64url')) continue
        const asked = withTenant(pool, tenant, (client) =>
          devicePositions(client, { device, from: start, to: end, after, limit: 1 }),
        )
        await expect(asked).rejects.toThrow(CursorError)
      }
    }
  })

  it('gives the last undoubted position of each device, however long ago', async () => {
    const last = async (ids: number[] | null) =>
      await withTenant(pool, tenant, (client) => lastPositions(client, ids))
    await store({ fix_time: new Date('2024-03-11T12:00:00.000Z'), digest: 1, speed_kmh: 5 })
    await store({ fix_time: new Date('2024-03-11T13:00:00.000Z'), quality: QUALITY.invalidFix })
    expect(await last(null)).toMatchObject([{ device, fixTime: '2024-03-11T12:00:00.000Z', speed: 5 }])
    expect(await last([silentDevice])).toEqual([])
    for (const daysAgo of [70, 9, 2, 0]) {
      const fixTime = new Date(Date.now() - daysAgo * DAY_MS - 1000)
      await store({ fix_time: fixTime })
      expect(await last([device, silentDevice])).toMatchObject([{ device, fixTime: fixTime.toISOString() }])
    }
  })
})
