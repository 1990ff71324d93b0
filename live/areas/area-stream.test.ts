/** Areas, geofences and groups as clients of a server see them, and what the database tells of changes. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { fixes, type StreamClient, StreamFixture, testEvent } from '../../test/stream-fixture.ts'

const START_MS = Date.UTC(2026, 0, 2, 3, 4, 5)
/** Where rows are unless they say otherwise. */
const HERE: [number, number, number, number] = [9, 49, 11, 52]
const ELSEWHERE: [number, number, number, number] = [19, 49, 21, 52]

let stream: StreamFixture
let organizationId: number
let device: number
let client: StreamClient
let timeMs = START_MS

beforeAll(async () => {
  stream = await StreamFixture.create()
  organizationId = await stream.organization()
  await stream.start()
})
beforeEach(async () => {
  for (const id of await stream.devices(organizationId, 1)) device = id
  client = await stream.connect({ organizationId, role: 'viewer' })
})
afterAll(() => stream.stop())

/** The device is at this longitude now. @returns Its time. */
function report(longitude: number, agoMs = 0): number {
  timeMs += 10_000
  stream.publish({ device, fixTimeMs: timeMs - agoMs, longitude })
  return timeMs - agoMs
}

/** As {@link report}, but live has it, and all before it, when this resolves: a snapshot begins with it. */
async function reported(longitude: number): Promise<number> {
  const at = report(longitude)
  const witness = await stream.connect({ organizationId, role: 'viewer' })
  witness.send({ type: 'subscribe', id: 1, scope: { all: true } })
  await witness.until((message) => fixes([message]).some(([id, time]) => id === device && time === at))
  return at
}

/** The next messages, up to the first of the type. */
function until(type: string) {
  return client.until((message) => message.type === type)
}

/** Devices of the messages that are of this test. */
function own(messages: Awaited<ReturnType<typeof until>>): [number, number][] {
  return fixes(messages.filter(({ type }) => type === 'positions')).filter(([id]) => id === device)
}

async function geofence(longitude: number, owner = organizationId): Promise<number> {
  const { rows } = await stream.owner.query<{ id: number }>(
    `INSERT INTO geofences (organization_id, name, shape, west, south, east, north, time_zone, rules)
     VALUES ($1, 'yard', $2, 0, 0, 1, 1, 'UTC', '[]') RETURNING id`,
    [owner, circleAt(longitude)],
  )
  return rows[0]!.id
}

function circleAt(longitude: number): string {
  return JSON.stringify({ type: 'Circle', center: [longitude, 50 + device / 1e4], radiusM: 1_000 })
}

async function group(owner = organizationId): Promise<number> {
  const { rows } = await stream.owner.query<{ id: number }>(
    'INSERT INTO device_groups (organization_id, name) VALUES ($1, gen_random_uuid()) RETURNING id',
    [owner],
  )
  return rows[0]!.id
}

test('a device comes into a rectangle with its row, leaves it, and is shown late only with a left behind', async () => {
  client.send({ type: 'subscribe', id: 1, scope: { bbox: ELSEWHERE } })
  await until('live')
  report(10)
  const inside = report(20)
  expect(own([await client.next()])).toEqual([[device, inside]])
  report(10)
  expect(await client.next()).toEqual({ type: 'left', id: 1, devices: [device] })
  const late = report(20, 15_000)
  expect(own([await client.next()])).toEqual([[device, late]])
  expect(await client.next()).toEqual({ type: 'left', id: 1, devices: [device] })
})

test('a subscription that is moved gets the difference only, and live behind it', async () => {
  const at = await reported(20)
  client.send({ type: 'subscribe', id: 1, scope: { bbox: ELSEWHERE } })
  expect(own(await until('live'))).toEqual([[device, at]])
  client.send({ type: 'scope', id: 1, scope: { bbox: [18, 48, 22, 53] } })
  expect(await until('live')).toHaveLength(1)
  client.send({ type: 'scope', id: 1, scope: { bbox: [30, 48, 31, 53] } })
  expect((await until('live'))[0]).toMatchObject({ type: 'left' })
  client.send({ type: 'scope', id: 1, scope: { devices: [device] } })
  expect(own(await until('live'))).toEqual([[device, at]])
  client.send({ type: 'scope', id: 1, scope: { bbox: HERE } })
  expect(await client.next()).toEqual({ type: 'left', id: 1, devices: [device] })
  await until('live')
})

test('a geofence is followed as it is moved, and its deletion ends the subscription', async () => {
  const at = await reported(40)
  const id = await geofence(40)
  client.send({ type: 'subscribe', id: 1, scope: { geofence: id } })
  expect(own(await until('live'))).toEqual([[device, at]])
  await stream.owner.query('UPDATE geofences SET shape = $2 WHERE id = $1', [id, circleAt(30)])
  expect(await client.next()).toEqual({ type: 'left', id: 1, devices: [device] })
  await stream.owner.query('UPDATE geofences SET shape = $2, disabled = true WHERE id = $1', [
    id,
    circleAt(40),
  ])
  expect(own([await client.next()])).toEqual([[device, at]])
  await stream.owner.query('DELETE FROM geofences WHERE id = $1', [id])
  expect(await client.next()).toMatchObject({ type: 'error', id: 1, code: 'unknown-geofence' })
  client.send({ type: 'unsubscribe', id: 1 })
  expect(await client.next()).toMatchObject({ type: 'error', code: 'unknown-subscription' })
})

test('nothing is told of devices of others when an area is moved', async () => {
  const other = await stream.organization()
  const [foreign] = await stream.devices(other, 1)
  const id = await geofence(70)
  stream.publish({ device: foreign!, fixTimeMs: START_MS, longitude: 70 })
  await reported(70)
  client.send({ type: 'subscribe', id: 1, scope: { bbox: [69, 48, 71, 53] } })
  client.send({ type: 'subscribe', id: 2, scope: { geofence: id } })
  await until('live')
  await until('live')
  client.send({ type: 'scope', id: 1, scope: { bbox: [30, 48, 31, 53] } })
  expect((await until('live'))[0]).toEqual({ type: 'left', id: 1, devices: [device] })
  await stream.owner.query('UPDATE geofences SET shape = $2 WHERE id = $1', [id, circleAt(75)])
  expect(await client.next()).toEqual({ type: 'left', id: 2, devices: [device] })
})

test('events are sent whose place is inside, and all of the geofence that is watched', async () => {
  const id = await geofence(20)
  await reported(20)
  client.send({ type: 'subscribe', id: 1, scope: { geofence: id } })
  client.send({ type: 'subscribe', id: 2, scope: { bbox: ELSEWHERE } })
  await until('live')
  await until('live')
  const place = { latitude: 50.5, longitude: 20.5 }
  const nowhere = { latitude: null, longitude: null, fixTime: null, type: 'dwell' as const }
  stream.publishEvents(
    testEvent({ id: 1, device, organizationId, geofence: id, type: 'exit', latitude: 50.5, longitude: 25 }),
    testEvent({ id: 2, device, organizationId, geofence: id + 1000, ...place }),
    testEvent({ id: 3, device, organizationId, geofence: id + 1000, ...nowhere }),
    testEvent({ id: 4, device, organizationId, geofence: id + 1000, latitude: 0, longitude: 0 }),
  )
  const events = [await client.next(), await client.next()].map((message) =>
    message.type === 'events' ? [message.id, message.rows.map((row) => row.id)] : message,
  )
  expect(events).toEqual([
    [1, [1, 3]],
    [2, [2, 3]],
  ])
})

test('groups are followed as devices join and go', async () => {
  const at = await reported(10)
  const [one, two] = [await group(), await group()]
  client.send({ type: 'subscribe', id: 1, scope: { groups: [one, two] } })
  expect(await until('live')).toHaveLength(1)
  const join = (id: number) =>
    stream.owner.query('INSERT INTO device_group_members VALUES ($1, $2, $3)', [organizationId, id, device])
  await join(one)
  expect(own([await client.next()])).toEqual([[device, at]])
  await join(two)
  await stream.owner.query('DELETE FROM device_group_members WHERE group_id = $1', [one])
  const next = report(12)
  expect(own([await client.next()])).toEqual([[device, next]])
  await stream.owner.query('DELETE FROM device_groups WHERE id = $1', [two])
  expect(await client.next()).toEqual({ type: 'left', id: 1, devices: [device] })
})

test('what is not there, not the own or no area is refused, and nothing is subscribed', async () => {
  const other = await stream.organization()
  const [foreignGeofence, foreignGroup] = [await geofence(10, other), await group(other)]
  const refusals: [Parameters<StreamClient['send']>[0] & { type: 'subscribe' }, string][] = [
    [{ type: 'subscribe', id: 1, scope: { geofence: foreignGeofence } }, 'unknown-geofence'],
    [{ type: 'subscribe', id: 1, scope: { geofence: 2_000_000_000 } }, 'unknown-geofence'],
    [{ type: 'subscribe', id: 1, scope: { groups: [foreignGroup] } }, 'unknown-group'],
    [{ type: 'subscribe', id: 1, scope: { bbox: [0, 2, 1, 1] } }, 'invalid-area'],
    [
      {
        type: 'subscribe',
        id: 1,
        scope: {
          polygon: [
            [
              [0, 0],
              [2, 2],
              [2, 0],
              [0, 2],
              [0, 0],
            ],
          ],
        },
      },
      'invalid-area',
    ],
  ]
  for (const [message, code] of refusals) {
    client.send(message)
    expect(await client.next()).toMatchObject({ type: 'error', id: 1, code })
  }
})

test('a client may move a subscription before it has been answered', async () => {
  await reported(60)
  const id = await geofence(60)
  client.send({ type: 'subscribe', id: 1, scope: { geofence: id } })
  client.send({ type: 'scope', id: 1, scope: { bbox: [30, 48, 31, 53] } })
  client.send({ type: 'unsubscribe', id: 1 })
  client.send({ type: 'unsubscribe', id: 1 })
  const messages = await until('error')
  expect(messages.map(({ type }) => type)).toEqual(['positions', 'live', 'left', 'live', 'error'])
  expect(messages.at(-1)).toMatchObject({ code: 'unknown-subscription' })
})
