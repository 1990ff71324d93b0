import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Position } from '../schemas/position.ts'
import { type ApiFixture, apiFixture, type Call } from './api-fixture.ts'

let api: ApiFixture
let viewer: Call
let first: number
let second: number
let silent: number
let foreign: number

const DAY = '2026-01-02T'

/** Positions from `start` on, three to each second. */
async function addTrack(device: number, count: number, quality = 0, start = `${DAY}00:00:00Z`) {
  await api.pool.query(
    `INSERT INTO positions (device_id, fix_time, received_at, digest, latitude, longitude, speed_kmh, odometer_m,
       ignition, quality, valid, attributes)
     SELECT $1, $3::timestamptz + (i / 3) * interval '1 s', $3::timestamptz + i * interval '1 s', i - $2 / 2,
       48 + i / 1000.0, 11, 12.3, 1000 + i, true, $4, true, '{"io240":1}'
     FROM generate_series(0, $2::integer - 1) i`,
    [device, count, start, quality],
  )
}

beforeAll(async () => {
  api = await apiFixture()
  viewer = api.north.as.viewer
  first = await api.addDevice(api.north.id, 'first')
  silent = await api.addDevice(api.north.id, 'silent')
  second = await api.addDevice(api.north.id, 'second')
  foreign = await api.addDevice(api.south.id, 'foreign')
  await addTrack(first, 250)
  await addTrack(first, 1, 2, '2026-01-03T00:00:00Z')
  await addTrack(second, 3)
  await addTrack(foreign, 3)
})
afterAll(() => api.close())

describe('last positions', () => {
  it('are one for each device of the organisation that has an undoubted one', async () => {
    const { status, body } = await viewer('GET', '/api/v1/positions')
    expect(status).toBe(200)
    expect(body.items.map(({ device }: Position) => device)).toEqual([first, second])
    expect(body.items[0]).toMatchObject({
      fixTime: `${DAY}00:01:23.000Z`,
      longitude: 11,
      speed: 12.3,
      quality: [],
      attributes: { odometer: 1249, ignition: true, io240: 1 },
    })
    for (const item of body.items) Position.parse(item)
    const all = await api.north.as['super-admin']('GET', '/api/v1/positions')
    expect(all.body.items.map(({ device }: Position) => device)).toEqual([first, second, foreign])
  })

  it('are asked for by device, and not for devices of others', async () => {
    const devices = async (query: string) =>
      (await viewer('GET', `/api/v1/positions?${query}`)).body.items.map(({ device }: Position) => device)
    expect(await devices(`device=${second}`)).toEqual([second])
    expect(await devices(`device=${second}&device=${first}&device=${silent}`)).toEqual([first, second])
    expect(await devices(`device=${foreign}`)).toEqual([])
  })

  it('come in pages of devices', async () => {
    const seen: number[] = []
    let cursor = ''
    do {
      const { body } = await viewer('GET', `/api/v1/positions?limit=1${cursor}`)
      seen.push(...body.items.map(({ device }: Position) => device))
      cursor = body.next === null ? '' : `&cursor=${body.next}`
    } while (cursor !== '')
    expect(seen).toEqual([first, second])
  })

  it.each(['device=x', 'device=1&device=x', 'device=', 'limit=1001', 'cursor=0'])(
    'are refused with %s',
    async (query) => {
      const { status, body } = await viewer('GET', `/api/v1/positions?${query}`)
      expect([status, body.code]).toEqual([400, 'invalid-request'])
      expect(query).toContain(body.errors[0].field.split('.')[0])
    },
  )

  it('are not for more devices than may be named', async () => {
    const query = Array.from({ length: 1001 }, (_, i) => `device=${i + 1}`).join('&')
    expect((await viewer('GET', `/api/v1/positions?${query}`)).status).toBe(400)
  })
})

describe('track', () => {
  const track = (query: string, device = first) =>
    viewer('GET', `/api/v1/devices/${device}/positions?${query}`)

  it('comes in pages without gaps or doubles, three positions to each second', async () => {
    const seen: number[] = []
    let cursor = ''
    do {
      const { status, body } = await track(`from=${DAY}00:00:00Z&to=2026-01-03T00:00:00Z${cursor}`)
      expect(status).toBe(200)
      expect(body.items.length).toBeLessThanOrEqual(100)
      seen.push(...body.items.map(({ attributes }: Position) => attributes.odometer))
      cursor = body.next === null ? '' : `&cursor=${body.next}`
    } while (cursor !== '')
    expect(seen).toEqual(Array.from({ length: 250 }, (_, i) => 1000 + i))
  })

  it('begins with `from` and ends before `to`, doubtful positions among them', async () => {
    const times = async (query: string) =>
      (await track(query)).body.items.map(({ fixTime }: Position) => fixTime)
    expect(await times(`from=${DAY}00:00:01Z&to=${DAY}00:00:02Z`)).toEqual(
      Array(3).fill(`${DAY}00:00:01.000Z`),
    )
    expect(await times(`from=${DAY}01:00:01%2B01:00&to=${DAY}01:00:02%2B01:00`)).toHaveLength(3)
    expect(await times(`to=2026-01-03T00:00:01Z&limit=1000`)).toHaveLength(248)
    expect(await times(`from=${DAY}00:00:01Z&to=${DAY}00:00:01Z`)).toEqual([])
    const { body } = await track('from=2026-01-03T00:00:00Z')
    expect(body.items[0].quality).toEqual(['invalidFix'])
  })

  it('is the last day if nothing is said', async () => {
    const hoursAgo = (hours: number) => new Date(Date.now() - hours * 3600_000).toISOString()
    await addTrack(second, 1, 0, hoursAgo(25))
    await addTrack(second, 2, 0, hoursAgo(23))
    const { body } = await track('', second)
    expect(body.items).toHaveLength(2)
    expect((await track('', silent)).body).toEqual({ items: [], next: null })
  })

  it('of a device of others, or of none, is not found', async () => {
    expect((await track('', foreign)).status).toBe(404)
    expect((await track('', 999_999)).status).toBe(404)
  })

  it.each([
    ['from=yesterday', 'from'],
    ['from=2026-02-30T00:00:00Z', 'from'],
    ['to=2026-01-01', 'to'],
    ['from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z', 'from'],
    ['limit=1001', 'limit'],
    ['cursor=nonsense', 'cursor'],
    [`cursor=${'x'.repeat(65)}`, 'cursor'],
  ])('is refused with %s', async (query, field) => {
    const { status, body } = await track(query)
    expect([status, body.code, body.errors?.[0].field]).toEqual([400, 'invalid-request', field])
  })
})
