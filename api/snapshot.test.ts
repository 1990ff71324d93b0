import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ApiFixture, apiFixture } from './api-fixture.ts'

const AT_MS = Date.UTC(2026, 0, 20, 12)
const DAY_MS = 24 * 3600 * 1000
const at = new Date(AT_MS).toISOString()

let api: ApiFixture
let devices: number[]

beforeAll(async () => {
  api = await apiFixture()
  devices = []
  for (let i = 0; i < 6; i++) devices.push(await api.addDevice(api.north.id, `north ${i}`))
  const store = (device: number, fixTimeMs: number, latitude: number | null, quality = 0) =>
    api.pool.query(
      `INSERT INTO positions (device_id, fix_time, received_at, latitude, longitude, digest, quality, valid)
       VALUES ($1, $2, $2, $3, 10, 1, $4, true)`,
      [device, new Date(fixTimeMs), latitude, quality],
    )
  const ages = [0, 0.5, 3, 30, 300]
  for (const [i, age] of ages.entries()) {
    await store(devices[i]!, AT_MS - age * DAY_MS, i)
    await store(devices[i]!, AT_MS - age * DAY_MS - 1000, 50)
    // Later, doubtful, and without a place: none of them is where the device was.
    await store(devices[i]!, AT_MS + 1, 60)
    if (age > 0) await store(devices[i]!, AT_MS - 2, 70, 4)
    if (age > 0) await store(devices[i]!, AT_MS - 3, null)
  }
  await store(devices[5]!, AT_MS + DAY_MS, 1)
  const foreign = await api.addDevice(api.south.id, 'south 1')
  await store(foreign, AT_MS, 1)
})
afterAll(() => api.close())

const snapshot = async (query: string) => {
  const { status, body } = await api.north.as.viewer('GET', `/api/v1/snapshot?${query}`)
  return {
    status,
    body,
    places: body.items?.map(({ device, latitude }: { device: number; latitude: number }) => [
      device,
      latitude,
    ]),
  }
}

it('has the last position of each device at the time, however old, and none of those who had none', async () => {
  const { status, places, body } = await snapshot(`at=${at}`)
  expect([status, body.next]).toEqual([200, null])
  expect(places).toEqual([0, 1, 2, 3, 4].map((i) => [devices[i], i]))
  expect(body.items[2]).toMatchObject({ fixTime: new Date(AT_MS - 3 * DAY_MS).toISOString(), longitude: 10 })
})

it('a moment earlier has what was there before', async () => {
  const { places } = await snapshot(`at=${new Date(AT_MS - 1).toISOString()}`)
  expect(places[0]).toEqual([devices[0], 50])
  expect((await snapshot('at=2020-01-01T00:00:00Z')).places).toEqual([])
})

it('comes in pages of devices', async () => {
  const found: unknown[] = []
  let next: string | null = ''
  while (next !== null) {
    const page: Awaited<ReturnType<typeof snapshot>> = await snapshot(
      `at=${at}&limit=2${next === '' ? '' : `&cursor=${next}`}`,
    )
    expect(page.places.length).toBeLessThanOrEqual(2)
    found.push(...page.places)
    next = page.body.next
  }
  expect(found).toEqual([0, 1, 2, 3, 4].map((i) => [devices[i], i]))
})

it('has only devices of a list, of a group, or in a box, where that is asked for', async () => {
  expect((await snapshot(`at=${at}&devices=${devices[1]},${devices[4]}`)).places).toEqual([
    [devices[1], 1],
    [devices[4], 4],
  ])
  const { body: group } = await api.north.as.admin('POST', '/api/v1/device-groups', { name: 'two' })
  await api.north.as.admin('PUT', `/api/v1/device-groups/${group.id}/devices/${devices[2]}`)
  expect((await snapshot(`at=${at}&group=${group.id}`)).places).toEqual([[devices[2], 2]])
  expect((await snapshot(`at=${at}&bbox=9,2.5,11,3.5`)).places).toEqual([[devices[3], 3]])
  expect((await snapshot(`at=${at}&bbox=170,2.5,-170,3.5`)).places).toEqual([])
  const foreign = await api.south.as.admin('POST', '/api/v1/device-groups', { name: 'theirs' })
  expect((await snapshot(`at=${at}&group=${foreign.body.id}`)).places).toEqual([])
})

it('is refused without a time, or with a list that is none', async () => {
  for (const query of ['', 'at=now', `at=${at}&devices=`, `at=${at}&devices=1,x`, `at=${at}&limit=1001`]) {
    expect((await snapshot(query)).status, query).toBe(400)
  }
})
