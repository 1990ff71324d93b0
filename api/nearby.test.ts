import { distance } from '@turf/turf'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { compileShape } from '../geofence/shapes/shape.ts'
import type { GeofenceShape } from '../schemas/geofence.ts'
import { type Answer, type ApiFixture, apiFixture, type Call, refusedUnread } from './api-fixture.ts'

const HOUR_MS = 3600_000
const NEAREST = '/api/v1/devices/nearest'
const WITHIN = '/api/v1/devices/within'
const startMs = Math.floor(Date.now() / 1000) * 1000 - 10 * 24 * HOUR_MS
const at = (hours: number) => new Date(startMs + hours * HOUR_MS).toISOString()

let api: ApiFixture
let viewer: Call

beforeAll(async () => {
  api = await apiFixture()
  viewer = api.north.as.viewer
  // Numbers that are the same in each run.
  await api.pool.query('SELECT setseed(0.25)')
})
afterAll(() => api.close())
beforeEach(async () => {
  await api.pool.query('DELETE FROM devices; DELETE FROM positions')
})

let added = 0

/** A device with its last fix there. */
async function addDevice(longitude: number, latitude: number, organization = api.north.id): Promise<number> {
  const id = await api.addDevice(organization, `near ${++added}`)
  await api.pool.query('INSERT INTO last_fixes VALUES ($1, $2, $3, $4)', [id, at(0), latitude, longitude])
  return id
}

type Fix = readonly [hours: number, longitude: number, latitude: number, quality?: number]

async function addFixes(device: number, ...fixes: Fix[]): Promise<void> {
  await api.pool.query(
    `INSERT INTO positions (device_id, fix_time, received_at, digest, longitude, latitude, quality, valid)
     SELECT $1, t, t, number, longitude, latitude, quality, true
     FROM unnest($2::timestamptz[], $3::float8[], $4::float8[], $5::integer[])
       WITH ORDINALITY AS fix (t, longitude, latitude, quality, number)`,
    [
      device,
      fixes.map(([hours]) => at(hours)),
      fixes.map(([, longitude]) => longitude),
      fixes.map(([, , latitude]) => latitude),
      fixes.map(([, , , quality]) => quality ?? 0),
    ],
  )
}

const devicesOf = ({ status, body }: Answer): number[] => {
  expect(status, JSON.stringify(body)).toBe(200)
  return body.items.map(({ device }: { device: number }) => device)
}

const rectangle = (west: number, south: number, east: number, north: number): GeofenceShape => ({
  type: 'Polygon',
  coordinates: [
    [
      [west, south],
      [east, south],
      [east, north],
      [west, north],
      [west, south],
    ],
  ],
})

describe('the nearest devices', () => {
  it('are those by the great circle, also across the antimeridian and near a pole', async () => {
    const { rows } = await api.pool.query(
      `WITH made AS (
         INSERT INTO devices (organization_id, unique_id, name)
         SELECT $1, 'random ' || i, 'x' FROM generate_series(1, 500) i RETURNING id)
       INSERT INTO last_fixes SELECT id, now(), degrees(asin(2 * random() - 1)), 360 * random() - 180 FROM made
       RETURNING device_id AS device, latitude, longitude`,
      [api.north.id],
    )
    for (const [longitude, latitude] of [
      [0, 0],
      [179.9, 10],
      [-180, -45],
      [30, 89.5],
      [-97.7, 30.3],
    ] as const) {
      const expected = rows
        .map((row) => ({
          device: row.device,
          distanceM: distance([longitude, latitude], [row.longitude, row.latitude], { units: 'meters' }),
        }))
        .sort((a, b) => a.distanceM - b.distanceM)
      const answer = await viewer('GET', `${NEAREST}?latitude=${latitude}&longitude=${longitude}&k=100`)
      expect(devicesOf(answer)).toEqual(expected.slice(0, 100).map(({ device }) => device))
      for (const [i, { distanceM }] of answer.body.items.entries()) {
        expect(distanceM).toBeCloseTo(expected[i]!.distanceM, 3)
      }
      const maxDistanceM = Math.ceil(expected[7]!.distanceM)
      const near = await viewer(
        'GET',
        `${NEAREST}?latitude=${latitude}&longitude=${longitude}&maxDistanceM=${maxDistanceM}&k=100`,
      )
      expect(devicesOf(near)).toEqual(
        expected.filter(({ distanceM }) => distanceM <= maxDistanceM).map(({ device }) => device),
      )
    }
  })

  it('tell when and where they were, ten unless more are asked for', async () => {
    const [first] = [await addDevice(10, 50), await addDevice(10, 51)]
    for (let i = 0; i < 10; i++) await addDevice(-100, -50)
    const { body } = await viewer('GET', `${NEAREST}?latitude=50&longitude=10`)
    expect(body.items).toHaveLength(10)
    expect(body.items[0]).toEqual({
      device: first,
      fixTime: at(0),
      latitude: 50,
      longitude: 10,
      distanceM: 0,
    })
    expect(devicesOf(await viewer('GET', `${NEAREST}?latitude=50&longitude=10&k=1`))).toEqual([first])
    expect(devicesOf(await viewer('GET', `${NEAREST}?latitude=50&longitude=10&maxDistanceM=0`))).toEqual([
      first,
    ])
  })

  it('are refused for what is no place', async () => {
    for (const query of [
      '',
      'latitude=1',
      'latitude=91&longitude=0',
      'latitude=0&longitude=181',
      'latitude=NaN&longitude=0',
      'latitude=Infinity&longitude=0',
      'latitude=1e1&longitude=0',
      'latitude=0&longitude=0&k=0',
      'latitude=0&longitude=0&k=101',
      'latitude=0&longitude=0&maxDistanceM=-1',
    ]) {
      expect((await viewer('GET', `${NEAREST}?${query}`)).status, query).toBe(400)
    }
  })
})

describe('devices inside a shape now', () => {
  it('are those whose last fix lies inside, in pages', async () => {
    const inside = [await addDevice(10, 50), await addDevice(10.5, 50.1)]
    await addDevice(10.9, 50.9)
    await addDevice(20, 50)
    const triangle = { type: 'Polygon', coordinates: [[[9.5, 49.5], [11, 49.5], [9.5, 51.5], [9.5, 49.5]]] } // biome-ignore format: one line
    expect(devicesOf(await viewer('POST', WITHIN, { shape: triangle }))).toEqual(inside)
    const first = await viewer('POST', `${WITHIN}?limit=1`, { shape: triangle })
    expect(first.body.items).toEqual([{ device: inside[0], fixTime: at(0), latitude: 50, longitude: 10 }])
    const second = await viewer('POST', `${WITHIN}?limit=1&cursor=${first.body.next}`, { shape: triangle })
    expect(devicesOf(second)).toEqual([inside[1]])
    expect(second.body.next).toBeNull()
  })

  it('are found across the antimeridian and in all the world', async () => {
    const west = await addDevice(-179.9, 10)
    const east = await addDevice(179.9, 10)
    const far = await addDevice(0, 10)
    const circle = { type: 'Circle', center: [180, 10], radiusM: 20_000 }
    expect(devicesOf(await viewer('POST', WITHIN, { shape: circle }))).toEqual([west, east])
    const band = { type: 'Corridor', coordinates: [[179, 10], [-179, 10]], halfWidthM: 5000 } // biome-ignore format: one line
    expect(devicesOf(await viewer('POST', WITHIN, { shape: band }))).toEqual([west, east])
    const world: GeofenceShape = { type: 'Polygon', coordinates: [[[-180, -90], [0, -90], [180, -90], [180, 90], [0, 90], [-180, 90], [-180, -90]]] } // biome-ignore format: one line
    expect(devicesOf(await viewer('POST', WITHIN, { shape: world }))).toEqual([west, east, far])
  })

  it('are found among more candidates than one statement has', async () => {
    await api.pool.query(
      `WITH made AS (
         INSERT INTO devices (organization_id, unique_id, name)
         SELECT $1, 'crowd ' || i, 'x' FROM generate_series(1, 2500) i RETURNING id)
       INSERT INTO last_fixes SELECT id, now(), 50 + (id % 7) * 0.1, 10.95 FROM made`,
      [api.north.id],
    )
    const shape: GeofenceShape = { type: 'Polygon', coordinates: [[[10, 50], [11, 50], [11, 50.4], [10, 50]]] } // biome-ignore format: one line
    const test = compileShape(shape)
    const { rows } = await api.pool.query('SELECT * FROM last_fixes ORDER BY device_id')
    const expected = rows
      .filter((row) => test.contains(row.latitude, row.longitude))
      .map((row) => row.device_id)
    expect(expected.length).toBeGreaterThan(1000)
    expect(expected.length).toBeLessThan(2500)
    const found: number[] = []
    for (let next = ''; next !== null; ) {
      const answer = await viewer('POST', `${WITHIN}?limit=100${next && `&cursor=${next}`}`, { shape })
      found.push(...devicesOf(answer))
      next = answer.body.next
    }
    expect(found).toEqual(expected)
  })
})

describe('devices inside a shape during a window', () => {
  const shape = rectangle(10, 50, 11, 51)

  it('are those with a fix inside, each with the first one', async () => {
    const passing = await addDevice(0, 0)
    await addFixes(passing, [0, 9, 50.5], [1, 10.5, 50.5], [2, 10.6, 50.5], [3, 12, 50.5])
    const before = await addDevice(0, 0)
    await addFixes(before, [-5, 10.5, 50.5], [1, 9, 50])
    const doubtful = await addDevice(0, 0)
    await addFixes(doubtful, [1, 10.5, 50.5, 64])
    const edge = await addDevice(0, 0)
    await addFixes(edge, [0, 10, 50])
    const window = { from: at(0), to: at(3) }
    const { body } = await viewer('POST', WITHIN, { shape, ...window })
    expect(body).toEqual({
      items: [
        { device: passing, fixTime: at(1), latitude: 50.5, longitude: 10.5 },
        { device: edge, fixTime: at(0), latitude: 50, longitude: 10 },
      ],
      next: null,
    })
    expect(devicesOf(await viewer('POST', WITHIN, { shape, from: at(-6), to: at(-4) }))).toEqual([before])
    expect(devicesOf(await viewer('POST', WITHIN, { shape, from: at(-5), to: at(-4) }))).toEqual([before])
    expect(devicesOf(await viewer('POST', WITHIN, { shape, from: at(-6), to: at(-5) }))).toEqual([])
    const first = await viewer('POST', `${WITHIN}?limit=1`, { shape, ...window })
    expect(devicesOf(first)).toEqual([passing])
    const rest = await viewer('POST', `${WITHIN}?limit=1&cursor=${first.body.next}`, { shape, ...window })
    expect([devicesOf(rest), rest.body.next]).toEqual([[edge], null])
  })

  it('are found behind thousands of fixes in the box that are not inside', async () => {
    const hole: GeofenceShape = { type: 'Polygon', coordinates: [[[10, 50], [11, 50], [11, 51], [10, 50]]] } // biome-ignore format: one line
    const waiting = await addDevice(0, 0)
    const many = Array.from({ length: 6000 }, (_, i): Fix => [i / 1000, 10.2, 50.8])
    await addFixes(waiting, ...many, [6, 10.9, 50.1], [7, 10.9, 50.1])
    const never = await addDevice(0, 0)
    await addFixes(never, ...many)
    const { body } = await viewer('POST', WITHIN, { shape: hole, from: at(0), to: at(24) })
    expect(body).toEqual({
      items: [{ device: waiting, fixTime: at(6), latitude: 50.1, longitude: 10.9 }],
      next: null,
    })
  })

  it('are refused for a window that is none, or too long', async () => {
    for (const window of [
      { to: at(1) },
      { from: at(1), to: at(1) },
      { from: at(0), to: at(31 * 24 + 1) },
      { from: 'x' },
      { from: 5 },
    ]) {
      expect((await viewer('POST', WITHIN, { shape, ...window })).status, JSON.stringify(window)).toBe(400)
    }
  })
})

describe('a search by hostile shapes', () => {
  it('is refused with the reason', async () => {
    const points = Array.from({ length: 100_000 }, (_, i) => [i / 1000, i / 2000])
    for (const [shape, status, code] of [
      [rectangle(30, -9, 30, -9), 422, 'shape-zero-area'],
      [{ type: 'Circle', center: [30, -97], radiusM: 10 }, 422, 'shape-coordinates-swapped'],
      [{ type: 'Circle', center: ['NaN', 0], radiusM: 10 }, 400, 'invalid-request'],
      [{ type: 'Corridor', coordinates: [[0, 0]], halfWidthM: 10 }, 422, 'shape-line-short'],
      [null, 400, 'invalid-request'],
    ] as const) {
      const { status: answered, body } = await viewer('POST', WITHIN, { shape })
      expect([answered, body.code], JSON.stringify(shape)).toEqual([status, code])
    }
    const length = JSON.stringify({ shape: { type: 'Polygon', coordinates: [points] } }).length
    expect(await refusedUnread(api, WITHIN, length)).toBe(413)
  })
})

describe('devices inside a geofence', () => {
  it('are those with a visit that is open, since when', async () => {
    const devices = [await addDevice(0, 0), await addDevice(0, 0), await addDevice(0, 0)]
    const created = await api.north.as.dispatcher('POST', '/api/v1/geofences', {
      name: 'yard',
      shape: rectangle(0, 0, 1, 1),
    })
    const path = `/api/v1/geofences/${created.body.id}/devices`
    await api.pool.query(
      `INSERT INTO geofence_visits (device_id, geofence_id, entered_at, exited_at, version)
       VALUES ($2, $1, $5, NULL, 1), ($3, $1, $5, $6, 1), ($3, $1, $6, NULL, 1), ($4, $1, $5, $6, 1)`,
      [created.body.id, ...devices, at(0), at(1)],
    )
    const { body } = await viewer('GET', path)
    expect(body).toEqual({
      items: [
        { device: devices[0], enteredAt: at(0), geofenceVersion: 1 },
        { device: devices[1], enteredAt: at(1), geofenceVersion: 1 },
      ],
      next: null,
    })
    const first = await viewer('GET', `${path}?limit=1`)
    expect(devicesOf(await viewer('GET', `${path}?limit=1&cursor=${first.body.next}`))).toEqual([devices[1]])
    expect((await viewer('GET', '/api/v1/geofences/2000000/devices')).status).toBe(404)
    expect((await api.south.as.admin('GET', path)).status).toBe(404)
    expect((await api.north.as.driver('GET', path)).status).toBe(403)
  })
})

describe('tenants', () => {
  it('find their own devices only', async () => {
    const mine = await addDevice(10.5, 50.5)
    const theirs = await addDevice(10.5, 50.5, api.south.id)
    await addFixes(mine, [1, 10.5, 50.5])
    await addFixes(theirs, [1, 10.5, 50.5])
    const shape = rectangle(10, 50, 11, 51)
    for (const [call, expected] of [
      [viewer, [mine]],
      [api.south.as.viewer, [theirs]],
      [api.north.as['super-admin'], [mine, theirs]],
    ] as const) {
      expect(devicesOf(await call('GET', `${NEAREST}?latitude=50.5&longitude=10.5`))).toEqual(expected)
      expect(devicesOf(await call('POST', WITHIN, { shape }))).toEqual(expected)
      expect(devicesOf(await call('POST', WITHIN, { shape, from: at(0), to: at(2) }))).toEqual(expected)
    }
    for (const call of [api.north.as.driver, api.nobody]) {
      expect((await call('GET', `${NEAREST}?latitude=50.5&longitude=10.5`)).status).toBeGreaterThanOrEqual(
        401,
      )
      expect((await call('POST', WITHIN, { shape })).status).toBeGreaterThanOrEqual(401)
    }
  })
})
