import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { QUALITY } from '../schemas/quality.ts'
import { fixes, StreamFixture } from '../test/stream-fixture.ts'

const START_MS = Date.UTC(2026, 0, 2, 3, 4, 5)

describe('live stream', () => {
  let stream: StreamFixture
  let organizationId: number
  let otherOrganizationId: number
  let devices: number[]
  let otherDevice: number
  let timeMs = START_MS
  /** A later moment than all before. */
  const later = () => {
    timeMs += 1_000
    return timeMs
  }

  beforeAll(async () => {
    stream = await StreamFixture.create()
    organizationId = await stream.organization()
    otherOrganizationId = await stream.organization()
    devices = await stream.devices(organizationId, 3)
    otherDevice = (await stream.devices(otherOrganizationId, 1))[0]!
    await stream.store(devices[0]!, START_MS - 60_000)
    await stream.store(devices[0]!, START_MS)
    await stream.store(devices[1]!, START_MS)
    await stream.store(otherDevice, START_MS)
    await stream.start()
  })
  afterAll(() => stream.stop())

  const viewer = (format?: 'json' | 'msgpack') => stream.connect({ organizationId, role: 'viewer' }, format)

  test.each(['json', 'msgpack'] as const)(
    'sends the last stored positions, then live, as %s',
    async (format) => {
      const client = await viewer(format)
      const messages = await client.subscribe(3)
      expect(messages).toEqual([
        { type: 'positions', id: 3, cursor: expect.stringMatching(/^[\w-]+$/), rows: expect.any(Array) },
        { type: 'live', id: 3, cursor: expect.any(String) },
      ])
      expect(messages[0]).toMatchObject({
        rows: [
          {
            device: devices[0],
            fixTime: '2026-01-02T03:04:05.000Z',
            receivedAt: '2026-01-02T03:04:05.000Z',
            latitude: 50.5,
            longitude: 10,
            altitude: null,
            speed: 36.5,
            course: null,
            attributes: { sat: 9, ignition: true, driver: 'Zoë', list: [1, { a: null }] },
          },
          { device: devices[1] },
        ],
      })
      client.socket.terminate()
    },
  )

  test.each(['json', 'msgpack'] as const)(
    'sends what is published after the snapshot, as %s',
    async (format) => {
      const client = await viewer(format)
      await client.subscribe(1)
      const fixTimeMs = later()
      stream.publish({ device: devices[0]!, fixTimeMs, attributes: { driver: '日本', odometer: 12.5 } })
      expect(await client.next()).toMatchObject({
        type: 'positions',
        id: 1,
        rows: [{ device: devices[0], speed: 36, attributes: { driver: '日本', odometer: 12.5 } }],
      })
      client.socket.terminate()
    },
  )

  test('cursors grow', async () => {
    const client = await viewer()
    const [snapshot] = await client.subscribe(1)
    stream.publish({ device: devices[0]!, fixTimeMs: later() })
    const next = await client.next()
    expect(
      snapshot!.type === 'positions' && next.type === 'positions' && next.cursor > snapshot!.cursor,
    ).toBe(true)
    client.socket.terminate()
  })

  test('leaves out doubtful positions, and sends late ones, which change no last position', async () => {
    const client = await viewer()
    await client.subscribe(1)
    const fixTimeMs = later()
    const late = fixTimeMs - 3_600_000
    stream.publish({ device: devices[1]!, fixTimeMs })
    stream.publish(
      { device: devices[1]!, fixTimeMs: fixTimeMs + 1, quality: QUALITY.invalidFix },
      { device: devices[1]!, fixTimeMs: late },
    )
    // One tick or two.
    const messages = [await client.next()]
    if (fixes(messages).length < 2) messages.push(await client.next())
    expect(fixes(messages)).toEqual([
      [devices[1], fixTimeMs],
      [devices[1], late],
    ])
    expect(fixes(await client.subscribe(2, [devices[1]!]))).toEqual([[devices[1], fixTimeMs]])
    client.socket.terminate()
  })

  test('a user sees the own organisation, a super admin all', async () => {
    const mine = await viewer()
    const other = await stream.connect({ organizationId: otherOrganizationId, role: 'admin' })
    const admin = await stream.connect({ organizationId: null, role: 'super-admin' }, 'msgpack')
    const all = [...devices, otherDevice]
    expect(fixes(await mine.subscribe(1)).map(([device]) => device)).not.toContain(otherDevice)
    expect(fixes(await other.subscribe(1)).map(([device]) => device)).toEqual([otherDevice])
    expect(new Set(fixes(await admin.subscribe(1)).map(([device]) => device))).toEqual(
      new Set([devices[0], devices[1], otherDevice]),
    )
    const fixTimeMs = later()
    stream.publish(...all.map((device) => ({ device, fixTimeMs })))
    expect(fixes([await mine.next()])).toEqual(devices.map((device) => [device, fixTimeMs]))
    expect(fixes([await other.next()])).toEqual([[otherDevice, fixTimeMs]])
    expect(fixes([await admin.next()])).toEqual(all.map((device) => [device, fixTimeMs]))
    for (const client of [mine, other, admin]) client.socket.terminate()
  })

  test('a list of devices brings those alone', async () => {
    const client = await viewer()
    expect(fixes(await client.subscribe(5, [devices[1]!, devices[1]!])).map(([device]) => device)).toEqual([
      devices[1],
    ])
    const fixTimeMs = later()
    stream.publish({ device: devices[0]!, fixTimeMs })
    stream.publish({ device: devices[1]!, fixTimeMs })
    expect(await client.next()).toMatchObject({ id: 5, rows: [{ device: devices[1] }] })
    client.socket.terminate()
  })

  test('subscriptions of one socket stand side by side, each with its id', async () => {
    const client = await viewer()
    await client.subscribe(1)
    await client.subscribe(2, [devices[0]!])
    const fixTimeMs = later()
    stream.publish({ device: devices[0]!, fixTimeMs })
    expect([await client.next(), await client.next()]).toMatchObject([
      { type: 'positions', id: 1 },
      { type: 'positions', id: 2 },
    ])
    client.send({ type: 'unsubscribe', id: 1 })
    // Answered after the unsubscription was done.
    client.send({ type: 'unsubscribe', id: 9 })
    expect(await client.next()).toMatchObject({ type: 'error', id: 9, code: 'unknown-subscription' })
    for (let i = 0; i < 2; i++) {
      stream.publish({ device: devices[0]!, fixTimeMs: later() })
      expect(await client.next()).toMatchObject({ type: 'positions', id: 2 })
    }
    client.socket.terminate()
  })

  test('misses nothing and goes back nowhere between snapshot and live', async () => {
    const fleet = await stream.devices(organizationId, 500)
    let round = later()
    let publishing = true
    const publish = () => {
      if (!publishing) return
      round += 1
      stream.publish(...fleet.map((device) => ({ device, fixTimeMs: round })))
      setImmediate(publish)
    }
    publish()
    const clients = await Promise.all(Array.from({ length: 5 }, () => viewer()))
    const seen = clients.map(() => new Map<number, number>())
    const read = async (index: number, done: (newest: Map<number, number>) => boolean) => {
      const newest = seen[index]!
      while (!done(newest)) {
        for (const [device, fixTimeMs] of fixes([await clients[index]!.next()])) {
          expect(fixTimeMs).toBeGreaterThan(newest.get(device) ?? 0)
          newest.set(device, fixTimeMs)
        }
      }
    }
    const subscribed = clients.map(async (client, index) => {
      client.send({ type: 'subscribe', id: 1, scope: { all: true } })
      await read(index, (newest) => newest.size >= fleet.length)
    })
    await Promise.all(subscribed)
    publishing = false
    const last = round + 1
    stream.publish(...fleet.map((device) => ({ device, fixTimeMs: last })))
    await Promise.all(
      clients.map((_, index) =>
        read(index, (newest) => fleet.every((device) => newest.get(device) === last)),
      ),
    )
    timeMs = last
    for (const client of clients) client.socket.terminate()
  })

  test('sends a great snapshot in pieces, each device once', async () => {
    const organization = await stream.organization()
    const fleet = await stream.devices(organization, 2_000)
    const fixTimeMs = later()
    stream.publish(...fleet.map((device) => ({ device, fixTimeMs })))
    // Rows of devices that are new here are shown when the registry has told whose they are.
    const client = await stream.connect({ organizationId: organization, role: 'viewer' })
    client.send({ type: 'subscribe', id: 1, scope: { all: true } })
    const received: number[] = []
    let messages = 0
    while (received.length < fleet.length) {
      const rows = fixes([await client.next()])
      if (rows.length > 0) messages++
      received.push(...rows.map(([device]) => device))
    }
    expect(messages).toBeGreaterThan(5)
    expect(received.sort((a, b) => a - b)).toEqual(fleet)
    client.socket.terminate()
  })
})

describe('the tick', () => {
  let stream: StreamFixture
  let organizationId: number
  let device: number

  beforeAll(async () => {
    stream = await StreamFixture.create()
    organizationId = await stream.organization()
    device = (await stream.devices(organizationId, 1))[0]!
    await stream.start({ tickMs: 200 })
  })
  afterAll(() => stream.stop())

  test('gathers what comes meanwhile, and sends all of it in its order', async () => {
    const client = await stream.connect({ organizationId, role: 'viewer' })
    await client.subscribe(1)
    const count = 50
    for (let i = 1; i <= count; i++) stream.publish({ device, fixTimeMs: START_MS + i })
    const messages = await client.until((message) => fixes([message]).at(-1)?.[1] === START_MS + count)
    expect(fixes(messages).map(([, timeMs]) => timeMs - START_MS)).toEqual(
      Array.from({ length: count }, (_, i) => i + 1),
    )
    // The first after a pause goes at once.
    expect(messages.length).toBeLessThan(count / 2)
    expect(await stream.metric('fleetflow_stream_latency_seconds')).toBeGreaterThan(0)
    client.socket.terminate()
  })
})
