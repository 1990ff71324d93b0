import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiFixture, apiFixture, type Call } from './api-fixture.ts'

let api: ApiFixture
let admin: Call
let driver: Call
/** Path of the driver's devices. */
let path: string
let mine: number
let other: number
let foreign: number

beforeAll(async () => {
  api = await apiFixture()
  admin = api.north.as.admin
  driver = api.north.as.driver
  path = `/api/v1/users/${api.north.userIds.driver}/devices`
  mine = await api.addDevice(api.north.id, 'mine')
  other = await api.addDevice(api.north.id, 'other')
  foreign = await api.addDevice(api.south.id, 'foreign')
  await api.pool.query(
    `INSERT INTO positions (device_id, fix_time, received_at, latitude, longitude, digest, quality, valid)
     SELECT id, now() - interval '1 minute', now(), 1, 2, 1, 0, true FROM devices`,
  )
  await api.pool.query(
    'INSERT INTO last_fixes SELECT device_id, fix_time, latitude, longitude FROM positions',
  )
})
afterAll(() => api.close())

describe('devices of a driver', () => {
  it('are set as a whole, and listed', async () => {
    expect((await admin('GET', path)).body).toEqual({ devices: [] })
    const { status, body } = await admin('PUT', path, { devices: [other, mine, mine] })
    expect([status, body]).toEqual([200, { devices: [mine, other] }])
    expect((await admin('PUT', path, { devices: [mine] })).body).toEqual({ devices: [mine] })
    expect((await admin('GET', path)).body).toEqual({ devices: [mine] })
  })

  it('are none of another organisation, and none that are not there', async () => {
    for (const devices of [[foreign], [mine, foreign], [2_147_483_647]]) {
      expect((await admin('PUT', path, { devices })).status).toBe(404)
      // A super admin sees both organisations, and may not mix them.
      expect((await api.north.as['super-admin']('PUT', path, { devices })).status).toBe(404)
    }
    expect((await admin('GET', path)).body).toEqual({ devices: [mine] })
    const foreignUser = `/api/v1/users/${api.south.userIds.driver}/devices`
    expect((await admin('PUT', foreignUser, { devices: [] })).status).toBe(404)
  })

  it('are of drivers only', async () => {
    const { status, body } = await admin('PUT', `/api/v1/users/${api.north.userIds.viewer}/devices`, {
      devices: [mine],
    })
    expect([status, body.code]).toEqual([409, 'not-a-driver'])
  })

  it('can not be of another organisation in the database either', async () => {
    await expect(
      api.pool.query('INSERT INTO driver_devices VALUES ($1, $2, $3)', [
        api.north.id,
        api.north.userIds.driver,
        foreign,
      ]),
    ).rejects.toMatchObject({ code: '23503' })
  })
})

describe('a driver', () => {
  const range = 'from=2020-01-01T00:00:00Z'

  it('sees the own devices only, and their positions', async () => {
    await admin('PUT', path, { devices: [mine] })
    const devicesOf = (body: { items: { id?: number; device?: number }[] }) =>
      body.items.map(({ id, device }) => id ?? device)
    for (const list of ['devices', 'positions', 'snapshot?at=2100-01-01T00:00:00Z']) {
      const { status, body } = await driver('GET', `/api/v1/${list}`)
      expect([list, status, devicesOf(body)]).toEqual([list, 200, [mine]])
    }
    for (const of of ['positions', 'track', 'track.gpx', 'track.kml', 'track.geojson', 'track.csv']) {
      expect((await driver('GET', `/api/v1/devices/${mine}/${of}?${range}`)).status, of).toBe(200)
      for (const hidden of [other, foreign]) {
        expect((await driver('GET', `/api/v1/devices/${hidden}/${of}?${range}`)).status, of).toBe(404)
      }
    }
    expect((await driver('GET', `/api/v1/devices/${other}`)).status).toBe(404)
    expect((await driver('GET', `/api/v1/positions?device=${other}`)).body.items).toEqual([])
    expect(
      (await driver('GET', `/api/v1/snapshot?at=2100-01-01T00:00:00Z&devices=${other}`)).body.items,
    ).toEqual([])
  })

  it('sees nothing of a device any more that was taken away', async () => {
    await admin('PUT', path, { devices: [] })
    expect((await driver('GET', '/api/v1/devices')).body.items).toEqual([])
    expect((await driver('GET', `/api/v1/devices/${mine}/track?${range}`)).status).toBe(404)
  })

  it('sees only that through the doors of the database, and writes nothing', async () => {
    await admin('PUT', path, { devices: [mine] })
    const client = await api.pool.connect()
    try {
      await client.query(
        `BEGIN; SET LOCAL ROLE fleetflow_api;
         SELECT set_config('app.role', 'driver', true), set_config('app.organization_id', '${api.north.id}', true),
           set_config('app.user_id', '${api.north.userIds.driver}', true)`,
      )
      const rows = async (sql: string) =>
        (await client.query(`SELECT count(*)::integer AS n FROM ${sql}`)).rows[0].n
      expect(await rows('devices')).toBe(1)
      expect(await rows('last_positions(NULL)')).toBe(1)
      expect(await rows(`positions_at('infinity', ARRAY[${mine}, ${other}, ${foreign}])`)).toBe(1)
      for (const [device, count] of [
        [mine, 1],
        [other, 0],
      ]) {
        expect(await rows(`device_positions(${device}, '-infinity', 'infinity', NULL, NULL, 10)`)).toBe(count)
        expect(await rows(`device_track(${device}, '-infinity', 'infinity', NULL, NULL, 10)`)).toBe(count)
      }
      expect(await rows('nearest_devices(1, 2, NULL, 10)')).toBe(0)
      expect(await rows('last_fixes_in_box(-180, -90, 180, 90, 0, 10)')).toBe(0)
      expect((await client.query('DELETE FROM devices WHERE id <> $1', [mine])).rowCount).toBe(0)
      await expect(
        client.query('INSERT INTO driver_devices VALUES ($1, $2, $3)', [
          api.north.id,
          api.north.userIds.driver,
          other,
        ]),
      ).rejects.toMatchObject({ code: '42501' })
    } finally {
      await client.query('ROLLBACK')
      client.release()
    }
  })
})
