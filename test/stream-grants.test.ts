/** Drivers and whoever has a share link see their devices on the stream, no others, and follow what is granted to them. */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import type { ServerMessage } from '../schemas/stream.ts'
import { fixes, StreamClient, StreamFixture, testEvent } from './stream-fixture.ts'

/** What was promised. */
const FOLLOWS_WITHIN_MS = 5_000
const START_MS = Date.UTC(2026, 0, 2, 3, 4, 5)

let stream: StreamFixture
let organizationId: number
let otherOrganizationId: number
let devices: [number, number, number]
let foreign: number
let timeMs = START_MS
const open: WebSocket[] = []

beforeAll(async () => {
  stream = await StreamFixture.create()
  organizationId = await stream.organization()
  otherOrganizationId = await stream.organization()
  devices = (await stream.devices(organizationId, 3)) as typeof devices
  foreign = (await stream.devices(otherOrganizationId, 1))[0]!
  for (const device of [...devices, foreign]) await stream.store(device, START_MS)
  await stream.start({ limits: { socketsPerShareLinkMax: 3 } })
})
beforeEach(async () => {
  for (const socket of open.splice(0)) socket.terminate()
  await stream.owner.query('DELETE FROM driver_devices; DELETE FROM share_links; DELETE FROM device_groups')
})
afterAll(() => stream.stop())

const later = () => {
  timeMs += 1_000
  return timeMs
}
/** Rows of all devices; the last message of anybody who sees all. */
function publishAll(): number {
  const fixTimeMs = later()
  const all = [...devices, foreign].sort((a, b) => a - b)
  stream.publish(...all.map((device) => ({ device, fixTimeMs, attributes: { odometer: 7 } })))
  return fixTimeMs
}
const devicesIn = (messages: readonly ServerMessage[]) => fixes(messages).map(([device]) => device)

/** In the order in which they may be counted on, however they were gathered. */
async function rowsUntil(client: StreamClient, count: number): Promise<number[]> {
  const seen: number[] = []
  while (seen.length < count) seen.push(...devicesIn([await client.next()]))
  return seen
}

async function assign(user: number, device: number): Promise<void> {
  await stream.owner.query('INSERT INTO driver_devices VALUES ($1, $2, $3)', [organizationId, user, device])
}
async function unassign(user: number, device: number): Promise<void> {
  await stream.owner.query('DELETE FROM driver_devices WHERE user_id = $1 AND device_id = $2', [user, device])
}

describe('a driver', () => {
  let userId: number
  const connect = async (format: 'json' | 'msgpack' = 'json') => {
    const client = await stream.connect({ userId, organizationId, role: 'driver' }, format)
    open.push(client.socket)
    return client
  }

  beforeEach(async () => {
    userId = await stream.user(organizationId, 'driver')
  })

  it('sees the own devices, which are all to them', async () => {
    await assign(userId, devices[0])
    const client = await connect()
    expect(devicesIn(await client.subscribe(1))).toEqual([devices[0]])
    const fixTimeMs = publishAll()
    expect(fixes([await client.next()])).toEqual([[devices[0], fixTimeMs]])
    stream.publish({ device: devices[1], fixTimeMs: later() })
    const last = publishAll()
    expect(fixes([await client.next()])).toEqual([[devices[0], last]])
  })

  it('knows of no other device', async () => {
    await assign(userId, devices[0])
    const client = await connect('msgpack')
    for (const device of [devices[1], foreign]) {
      client.send({ type: 'subscribe', id: 1, scope: { devices: [devices[0], device] } })
      expect(await client.next()).toMatchObject({ code: 'unknown-device', devices: [device] })
    }
    expect(devicesIn(await client.subscribe(2, [devices[0]]))).toEqual([devices[0]])
    for (const scope of [{ groups: [1] }, { geofence: 1 }]) {
      client.send({ type: 'subscribe', id: 3, scope })
      expect(await client.next()).toMatchObject({ type: 'error', id: 3, code: 'forbidden' })
    }
  })

  it('is shown a device that is given, and told of one that is taken away, in time', async () => {
    await assign(userId, devices[0])
    const client = await connect()
    const named = await connect()
    await client.subscribe(1)
    await named.subscribe(1, [devices[0]])
    let startMs = performance.now()
    await assign(userId, devices[1])
    expect(devicesIn([await client.next()])).toEqual([devices[1]])
    expect(performance.now() - startMs).toBeLessThan(FOLLOWS_WITHIN_MS)
    publishAll()
    expect((await rowsUntil(client, 2)).sort((a, b) => a - b)).toEqual([devices[0], devices[1]])
    startMs = performance.now()
    await unassign(userId, devices[0])
    expect(await client.next()).toEqual({ type: 'left', id: 1, devices: [devices[0]] })
    expect(performance.now() - startMs).toBeLessThan(FOLLOWS_WITHIN_MS)
    expect(devicesIn([await named.next()])).toEqual([devices[0]])
    expect(await named.next()).toEqual({ type: 'left', id: 1, devices: [devices[0]] })
    const fixTimeMs = publishAll()
    expect(fixes([await client.next()])).toEqual([[devices[1], fixTimeMs]])
    expect(named.waiting).toEqual([])
  })

  it('sees the own devices of an area, and none of the others there', async () => {
    await assign(userId, devices[0])
    const client = await connect()
    // What is published lies there, what was stored at first does not.
    const bbox = [9, 49, 11, 51] as [number, number, number, number]
    publishAll()
    client.send({ type: 'subscribe', id: 1, scope: { bbox } })
    const snapshot = await client.until(({ type }) => type === 'live')
    expect(devicesIn(snapshot)).toEqual([devices[0]])
    const fixTimeMs = publishAll()
    expect(fixes([await client.next()])).toEqual([[devices[0], fixTimeMs]])
    await assign(userId, devices[1])
    expect(fixes([await client.next()])).toEqual([[devices[1], fixTimeMs]])
    await unassign(userId, devices[0])
    expect(await client.next()).toEqual({ type: 'left', id: 1, devices: [devices[0]] })
    const moved = async (to: typeof bbox) => {
      client.send({ type: 'scope', id: 1, scope: { bbox: to } })
      return client.until(({ type }) => type === 'live')
    }
    expect(await moved([20, 20, 21, 21])).toMatchObject([{ type: 'left', devices: [devices[1]] }, {}])
    expect(await moved(bbox)).toMatchObject([{ type: 'positions', rows: [{ device: devices[1] }] }, {}])
  })

  it('replays the own devices only, and hides none from others', async () => {
    await assign(userId, devices[0])
    const client = await connect()
    const from = new Date(START_MS - 1_000).toISOString()
    const to = new Date(START_MS + 1_000).toISOString()
    const replayed = async (of: StreamClient, scope: { all: true } | { devices: number[] }) => {
      of.send({ type: 'subscribe', id: 1, scope, from, to, speed: 0 })
      const messages = await of.until(({ type }) => type === 'end' || type === 'error')
      of.send({ type: 'unsubscribe', id: 1 })
      return messages.at(-1)!.type === 'error' ? messages.at(-1) : devicesIn(messages)
    }
    expect(await replayed(client, { all: true })).toEqual([devices[0]])
    expect(await replayed(client, { devices: [devices[0]] })).toEqual([devices[0]])
    expect(await replayed(client, { devices: [devices[1]] })).toMatchObject({ code: 'unknown-device' })
    const viewer = await stream.connect({ organizationId, role: 'viewer' })
    open.push(viewer.socket)
    expect(await replayed(viewer, { all: true })).toEqual([...devices])
  })

  it('is shown the first device, too, and one that was made just before', async () => {
    const client = await connect()
    expect(await client.subscribe(1)).toMatchObject([{ type: 'live' }])
    const [device] = await stream.devices(organizationId, 1)
    await assign(userId, device!)
    // A row of a device that is not shown yet is nobody's: it is tried until one comes.
    await expect
      .poll(() => {
        stream.publish({ device: device!, fixTimeMs: later() })
        return client.waiting.length
      })
      .toBeGreaterThan(0)
    expect(devicesIn(client.waiting)).toContain(device)
  })
})

describe('whoever has a share link', () => {
  let link: number

  async function makeLink(
    more: { group?: number; named?: readonly number[]; delayS?: number } = {},
  ): Promise<number> {
    const { rows } = await stream.owner.query<{ id: number }>(
      `INSERT INTO share_links (organization_id, name, group_id, delay_s, expires_at, token_hash, created_by)
       VALUES ($1, 'link', $2, $4, now() + interval '1 day', $3, 1) RETURNING id`,
      [organizationId, more.group, randomBytes(32), more.delayS ?? 0],
    )
    const { id } = rows[0]!
    for (const device of more.named ?? []) {
      await stream.owner.query('INSERT INTO share_link_devices VALUES ($1, $2, $3)', [
        organizationId,
        id,
        device,
      ])
    }
    return id
  }

  async function ticket(): Promise<string> {
    const made = randomBytes(32).toString('base64url')
    await stream.owner.query(
      `INSERT INTO stream_tickets (ticket_hash, share_link_id, expires_at) VALUES ($1, $2, now() + interval '30 s')`,
      [createHash('sha256').update(made).digest(), link],
    )
    return made
  }

  async function connect(): Promise<StreamClient> {
    const client = new StreamClient(new WebSocket(stream.url(`?ticket=${await ticket()}`)))
    open.push(client.socket)
    await once(client.socket, 'open')
    return client
  }

  it('sees its devices, without attributes and events', async () => {
    link = await makeLink({ named: [devices[0], devices[2]] })
    const client = await connect()
    const snapshot = await client.subscribe(1)
    expect(devicesIn(snapshot).sort((a, b) => a - b)).toEqual([devices[0], devices[2]])
    stream.publishEvents(testEvent({ id: 1, device: devices[0], organizationId }))
    const fixTimeMs = publishAll()
    const message = await client.next()
    expect(fixes([message])).toEqual([
      [devices[0], fixTimeMs],
      [devices[2], fixTimeMs],
    ])
    for (const { rows } of [...snapshot, message].filter((sent) => sent.type === 'positions')) {
      for (const row of rows) expect(row).toMatchObject({ speed: expect.any(Number), attributes: {} })
    }
  })

  it('has so many sockets, which others do not need', async () => {
    link = await makeLink({ named: [devices[0]] })
    for (let i = 0; i < 3; i++) await connect()
    const refused = new WebSocket(stream.url(`?ticket=${await ticket()}`))
    expect((await once(refused, 'error'))[0]).toMatchObject({ message: expect.stringContaining('503') })
    expect(await stream.metric('fleetflow_stream_limits_total', { limit: 'socketsPerShareLinkMax' })).toBe(1)
    link = await makeLink({ named: [devices[0]] })
    await connect()
  })

  it('is refused the past, and devices that are not shared', async () => {
    link = await makeLink({ named: [devices[0]] })
    const client = await connect()
    const [, live] = await client.subscribe(1)
    const cursor = (live as { cursor?: string }).cursor ?? 'bA'
    for (const [more, code] of [
      [{ from: cursor }, 'cursor-expired'],
      [{ from: new Date(START_MS).toISOString() }, 'forbidden'],
      [{ speed: 60 }, 'forbidden'],
    ] as const) {
      client.send({ type: 'subscribe', id: 2, scope: { all: true }, ...more })
      expect(await client.next(), JSON.stringify(more)).toMatchObject({ id: 2, code })
    }
    for (const device of [devices[1], foreign]) {
      client.send({ type: 'subscribe', id: 2, scope: { devices: [device] } })
      expect(await client.next()).toMatchObject({ id: 2, code: 'unknown-device' })
    }
    client.send({ type: 'scope', id: 1, scope: { bbox: [-180, -90, 180, 90] } })
    expect(await client.next()).toMatchObject({ id: 1, code: 'forbidden' })
  })

  it('sees what was so far behind the present, and nothing that is nearer', async () => {
    const delayS = 30
    const [device] = await stream.devices(organizationId, 1)
    const nowMs = Date.now()
    const ages = [40_000, 35_000, 27_000, 25_000, 20_000, 1_000]
    for (const ageMs of ages) await stream.store(device!, nowMs - ageMs)
    link = await makeLink({ named: [device!], delayS })
    const client = await connect()
    const snapshot = await client.subscribe(1)
    expect(fixes(snapshot)).toEqual([[device, nowMs - 35_000]])
    const seen: [number, number][] = []
    while (seen.length < 2) {
      for (const fix of fixes([await client.next()])) {
        expect(Date.now() - fix[1]).toBeGreaterThanOrEqual(delayS * 1_000)
        seen.push(fix)
      }
    }
    expect(seen).toEqual([
      [device, nowMs - 27_000],
      [device, nowMs - 25_000],
    ])
    await stream.owner.query('DELETE FROM share_link_devices')
    await stream.owner.query(`SELECT pg_notify('devices', '${device}')`)
    const rest = await client.until(({ type }) => type === 'left')
    expect(rest.at(-1)).toEqual({ type: 'left', id: 1, devices: [device] })
  })

  it('follows the members of its group', async () => {
    const { rows } = await stream.owner.query<{ id: number }>(
      "INSERT INTO device_groups (organization_id, name) VALUES ($1, 'shown') RETURNING id",
      [organizationId],
    )
    const group = rows[0]!.id
    link = await makeLink({ group })
    const client = await connect()
    expect(await client.subscribe(1)).toMatchObject([{ type: 'live' }])
    const startMs = performance.now()
    await stream.owner.query('INSERT INTO device_group_members VALUES ($1, $2, $3)', [
      organizationId,
      group,
      devices[1],
    ])
    expect(devicesIn([await client.next()])).toEqual([devices[1]])
    await stream.owner.query('DELETE FROM device_group_members')
    expect(await client.next()).toEqual({ type: 'left', id: 1, devices: [devices[1]] })
    expect(performance.now() - startMs).toBeLessThan(2 * FOLLOWS_WITHIN_MS)
  })

  it.each([
    ['is taken back', 'DELETE FROM share_links'],
    ['has expired', "UPDATE share_links SET expires_at = now() - interval '1 s'"],
    ['loses its organisation', 'DELETE FROM organizations WHERE id = $1'],
  ])('is disconnected when it %s, in time, and comes in no more', async (_how, sql) => {
    const mine = organizationId
    organizationId = await stream.organization()
    try {
      const [device] = await stream.devices(organizationId, 1)
      link = await makeLink({ named: [device!] })
      const client = await connect()
      const waiting = await ticket()
      const startMs = performance.now()
      await stream.owner.query(sql, sql.includes('$1') ? [organizationId] : [])
      expect(await client.closed).toEqual({ code: 1008, reason: 'the link has ended' })
      expect(performance.now() - startMs).toBeLessThan(FOLLOWS_WITHIN_MS)
      const late = new StreamClient(new WebSocket(stream.url(`?ticket=${waiting}`)))
      const [, response] = await once(late.socket, 'unexpected-response')
      expect(response.statusCode).toBe(401)
    } finally {
      organizationId = mine
    }
  })
})
