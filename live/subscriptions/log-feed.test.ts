import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ServerMessage } from '../../schemas/stream.ts'
import { fixes, StreamFixture, testEvent } from '../../test/stream-fixture.ts'

const START_MS = Date.UTC(2026, 0, 2, 3, 4, 5)
const INTERVAL_MS = 400

describe('a subscription', () => {
  let stream: StreamFixture
  let organizationId: number
  let devices: number[]
  let timeMs = START_MS
  let lastEvent = 0

  beforeAll(async () => {
    stream = await StreamFixture.create()
    organizationId = await stream.organization()
    devices = await stream.devices(organizationId, 4)
    await stream.start()
    timeMs += 1_000
    stream.publish(...devices.map((device) => ({ device, fixTimeMs: timeMs })))
  })
  afterAll(() => stream.stop())

  const connect = () => stream.connect({ organizationId, role: 'viewer' })
  const eventOf = (device: number) => testEvent({ id: ++lastEvent, device, organizationId })
  const idsOf = (message: ServerMessage) =>
    message.type === 'events' ? message.rows.map(({ id }) => id) : []

  test.each([
    ['all', undefined],
    ['devices', 2],
  ] as const)(
    'with an interval gets of %s the newest row of each device at most so often, and every event at once',
    async (_, named) => {
      const client = await connect()
      const scope = named === undefined ? { all: true as const } : { devices: devices.slice(0, named) }
      client.send({ type: 'subscribe', id: 1, scope, intervalMs: INTERVAL_MS })
      await client.until(({ type }) => type === 'live')
      const beganMs = performance.now()
      const lastMs = timeMs + 1_000_000
      const sent: number[] = []
      const received: { atMs: number; message: ServerMessage }[] = []
      const reading = (async () => {
        for (;;) {
          const message = await client.next()
          received.push({ atMs: performance.now(), message })
          if (fixes([message]).some(([device, at]) => device === devices[0] && at === lastMs)) return
        }
      })()
      while (performance.now() < beganMs + 4 * INTERVAL_MS) {
        timeMs += 1
        for (const device of devices) stream.publish({ device, fixTimeMs: timeMs })
        const event = eventOf(devices[0]!)
        sent.push(event.id)
        stream.publishEvents(event)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      stream.publish({ device: devices[0]!, fixTimeMs: lastMs })
      await reading
      const newest = new Map<number, number>()
      for (const { atMs, message } of received) {
        expect(message.type).not.toBe('lagging')
        for (const [device] of fixes([message])) {
          // Two messages may come closer together than they were sent.
          expect(atMs - (newest.get(device) ?? 0)).toBeGreaterThan(INTERVAL_MS / 2)
          newest.set(device, atMs)
        }
      }
      expect([...newest.keys()].sort()).toEqual(devices.slice(0, named).sort())
      expect(received.flatMap(({ message }) => idsOf(message))).toEqual(sent)
      const events = received.filter(({ message }) => message.type === 'events')
      expect(events.length).toBeGreaterThan(received.length - events.length)
      timeMs = lastMs
      client.socket.terminate()
    },
  )

  test('with an interval goes on behind its cursors without a gap', async () => {
    const client = await connect()
    client.send({ type: 'subscribe', id: 1, scope: { all: true }, intervalMs: 60_000 })
    await client.until(({ type }) => type === 'live')
    timeMs += 1_000
    stream.publish({ device: devices[1]!, fixTimeMs: timeMs })
    const event = eventOf(devices[1]!)
    stream.publishEvents(event)
    const message = await client.next()
    expect(idsOf(message)).toEqual([event.id])
    client.send({
      type: 'subscribe',
      id: 2,
      scope: { all: true },
      from: (message as { cursor: string }).cursor,
    })
    const rest = await client.until(({ type }) => type === 'live')
    // Its row was not sent yet; the event comes once more.
    expect(fixes(rest)).toEqual([[devices[1], timeMs]])
    expect(rest.flatMap(idsOf)).toEqual([event.id])
    client.socket.terminate()
  })

  test('is moved between devices and everything: what it has no more leaves, what it had not is shown', async () => {
    const client = await connect()
    const [first, second, third, fourth] = devices as [number, number, number, number]
    await client.subscribe(1, [first, second])
    const move = async (scope: { devices: number[] } | { all: true }) => {
      client.send({ type: 'scope', id: 1, scope })
      const messages = await client.until(({ type }) => type === 'live')
      return {
        shown: fixes(messages)
          .map(([device]) => device)
          .sort(),
        left: messages.flatMap((message) => (message.type === 'left' ? message.devices : [])).sort(),
      }
    }
    expect(await move({ devices: [second, third] })).toEqual({ shown: [third], left: [first] })
    timeMs += 1_000
    stream.publish(...devices.map((device) => ({ device, fixTimeMs: timeMs })))
    expect(fixes([await client.next()])).toEqual([
      [second, timeMs],
      [third, timeMs],
    ])
    expect(await move({ all: true })).toEqual({ shown: [first, fourth], left: [] })
    timeMs += 1_000
    stream.publish(...devices.map((device) => ({ device, fixTimeMs: timeMs })))
    expect(fixes([await client.next()])).toHaveLength(4)
    expect(await move({ devices: [fourth] })).toEqual({ shown: [], left: [first, second, third] })
    timeMs += 1_000
    stream.publish(...devices.map((device) => ({ device, fixTimeMs: timeMs })))
    expect(fixes([await client.next()])).toEqual([[fourth, timeMs]])
    client.socket.terminate()
  })

  test('of devices costs the log nothing for rows of others', async () => {
    const client = await connect()
    await client.subscribe(1, [devices[0]!])
    const before = await stream.metric('fleetflow_stream_messages_total')
    for (let i = 0; i < 20; i++) stream.publish({ device: devices[1]!, fixTimeMs: ++timeMs })
    stream.publish({ device: devices[0]!, fixTimeMs: timeMs })
    expect(fixes([await client.next()])).toEqual([[devices[0], timeMs]])
    expect((await stream.metric('fleetflow_stream_messages_total')) - before).toBe(1)
    client.socket.terminate()
  })
})
