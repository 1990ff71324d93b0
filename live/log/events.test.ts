import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LiveEvent } from '../../schemas/live-port.ts'
import type { ServerMessage } from '../../schemas/stream.ts'
import { fixes, StreamFixture, testEvent } from '../../test/stream-fixture.ts'

const START_MS = Date.UTC(2026, 0, 2, 3, 4, 5)

describe('events on the live stream', () => {
  let stream: StreamFixture
  let organizationId: number
  let otherOrganizationId: number
  let devices: number[]
  let otherDevice: number
  let lastId = 0
  let timeMs = START_MS

  beforeAll(async () => {
    stream = await StreamFixture.create()
    organizationId = await stream.organization()
    otherOrganizationId = await stream.organization()
    devices = await stream.devices(organizationId, 3)
    otherDevice = (await stream.devices(otherOrganizationId, 1))[0]!
    await stream.start()
  })
  afterAll(() => stream.stop())

  const viewer = (format?: 'json' | 'msgpack') => stream.connect({ organizationId, role: 'viewer' }, format)
  const eventOf = (device: number, organization = organizationId) =>
    testEvent({ id: ++lastId, device, organizationId: organization })
  const tell = (...events: LiveEvent[]) => stream.publishEvents(...events)
  const publishFix = (device: number) => {
    timeMs += 1_000
    stream.publish({ device, fixTimeMs: timeMs })
  }
  const ids = (message: ServerMessage) => (message.type === 'events' ? message.rows.map(({ id }) => id) : [])

  test.each(['json', 'msgpack'] as const)(
    'come behind the rows of their batch, whole and without their organisation, as %s',
    async (format) => {
      const client = await viewer(format)
      const [live] = (await client.subscribe(4)).slice(-1)
      expect(live).toMatchObject({ type: 'live', id: 4 })
      const { organizationId: _, ...event } = eventOf(devices[0]!)
      const { organizationId: __, ...other } = eventOf(devices[1]!)
      publishFix(devices[0]!)
      tell({ ...event, organizationId }, { ...other, organizationId })
      const rows = await client.next()
      expect(fixes([rows])).toEqual([[devices[0], timeMs]])
      expect(await client.next()).toEqual({
        type: 'events',
        id: 4,
        cursor: expect.stringMatching(/^[\w-]+$/),
        rows: [event, other],
      })
      client.socket.terminate()
    },
  )

  test('a user sees those of the own organisation, a super admin all', async () => {
    const mine = await viewer()
    const other = await stream.connect({ organizationId: otherOrganizationId, role: 'admin' })
    const admin = await stream.connect({ organizationId: null, role: 'super-admin' }, 'msgpack')
    for (const client of [mine, other, admin]) await client.subscribe(1)
    const first = eventOf(devices[0]!)
    const second = eventOf(otherDevice, otherOrganizationId)
    const third = eventOf(devices[1]!)
    tell(first, second, third)
    expect(ids(await mine.next())).toEqual([first.id, third.id])
    expect(ids(await other.next())).toEqual([second.id])
    expect(ids(await admin.next())).toEqual([first.id, second.id, third.id])
    for (const client of [mine, other, admin]) client.socket.terminate()
  })

  test('a list of devices brings those of these alone', async () => {
    const client = await viewer()
    await client.subscribe(1, [devices[2]!, devices[0]!])
    const events = devices.map((device) => eventOf(device))
    tell(...events)
    expect(ids(await client.next())).toEqual([events[0]!.id, events[2]!.id])
    client.socket.terminate()
  })

  test('those before the subscription are not sent', async () => {
    tell(eventOf(devices[0]!))
    const client = await viewer()
    await client.subscribe(1)
    const later = eventOf(devices[0]!)
    tell(later)
    expect(ids(await client.next())).toEqual([later.id])
    client.socket.terminate()
  })

  test('a device that has moved shows its new organisation none of the former one, and the former one no more', async () => {
    const [moved] = await stream.devices(organizationId, 1)
    const mine = await viewer()
    const other = await stream.connect({ organizationId: otherOrganizationId, role: 'viewer' })
    await mine.subscribe(1)
    await other.subscribe(1)
    publishFix(moved!)
    await mine.until((message) => fixes([message]).some(([device]) => device === moved))
    await stream.owner.query('UPDATE devices SET organization_id = $2 WHERE id = $1', [
      moved,
      otherOrganizationId,
    ])
    await mine.until(({ type }) => type === 'left')
    await other.until((message) => fixes([message]).some(([device]) => device === moved))
    const marks = [eventOf(devices[0]!), eventOf(otherDevice, otherOrganizationId)]
    const its = eventOf(moved!, otherOrganizationId)
    tell(eventOf(moved!, organizationId), its, ...marks)
    expect(ids(await mine.next())).toEqual([marks[0]!.id])
    expect(ids(await other.next())).toEqual([its.id, marks[1]!.id])
    for (const client of [mine, other]) client.socket.terminate()
  })

  test('a disabled device shows none', async () => {
    const [device] = await stream.devices(organizationId, 1)
    const client = await viewer()
    await client.subscribe(1)
    publishFix(device!)
    await client.until((message) => fixes([message]).some(([shown]) => shown === device))
    await stream.owner.query('UPDATE devices SET disabled = true WHERE id = $1', [device])
    await client.until(({ type }) => type === 'left')
    const mark = eventOf(devices[0]!)
    tell(eventOf(device!), mark)
    expect(ids(await client.next())).toEqual([mark.id])
    client.socket.terminate()
  })
})

describe('events for a client that does not read', () => {
  const EVENTS_KEPT = 1_000
  let stream: StreamFixture
  let organizationId: number
  let device: number

  beforeAll(async () => {
    stream = await StreamFixture.create()
    organizationId = await stream.organization()
    device = (await stream.devices(organizationId, 1))[0]!
    await stream.start({ limits: { slowSocketBytes: 65_536, rowsKept: EVENTS_KEPT } })
  })
  afterAll(() => stream.stop())

  test('are kept for it up to the limit, and what is left out is told, to the event', async () => {
    const reader = await stream.connect({ organizationId, role: 'viewer' })
    const stopped = await stream.connect({ organizationId, role: 'viewer' }, 'msgpack')
    await reader.subscribe(1)
    await stopped.subscribe(1)
    let lastId = 0
    const publish = async (count: number) => {
      const events = Array.from({ length: count }, () => testEvent({ id: ++lastId, device, organizationId }))
      stream.publishEvents(...events)
      const messages = await reader.until(
        (message) => message.type === 'events' && message.rows.at(-1)!.id === lastId,
      )
      expect(messages.flatMap((message) => (message.type === 'events' ? message.rows : []))).toHaveLength(
        count,
      )
    }
    // More at once than is kept, and still nothing is left out for who reads.
    await publish(2.5 * EVENTS_KEPT)
    stopped.socket.pause()
    // The kernel takes some megabytes before a socket is slow.
    while ((await stream.metric('fleetflow_stream_limits_total', { limit: 'slowSocketBytes' })) === 0) {
      await publish(200)
    }
    for (let i = 0; i < 20; i++) await publish(150)
    await publish(120)

    stopped.socket.resume()
    let seen = 0
    let dropped = 0
    let newest = 0
    while (newest < lastId) {
      const message = await stopped.next()
      if (message.type === 'lagging') dropped += message.events
      if (message.type !== 'events') continue
      seen += message.rows.length
      for (const { id } of message.rows) {
        expect(id).toBeGreaterThan(newest)
        newest = id
      }
    }
    expect(dropped).toBeGreaterThan(3_120 - EVENTS_KEPT - 200)
    expect(seen + dropped).toBe(lastId)
    expect(await stream.metric('fleetflow_stream_dropped_events_total')).toBe(dropped)
    for (const client of [reader, stopped]) client.socket.terminate()
  })
})
