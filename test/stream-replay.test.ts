/** Replays over real sockets: how they are asked for, and how they become live. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ServerMessage } from '../schemas/stream.ts'
import { fixes, type StreamClient, StreamFixture } from './stream-fixture.ts'

const MINUTE_MS = 60_000
const DEVICES = 3

let stream: StreamFixture
let organizationId: number
let devices: number[]
let startMs: number
/** Device and fix time of all that was stored for the organisation. */
const stored: [number, number][] = []

beforeAll(async () => {
  stream = await StreamFixture.create()
  organizationId = await stream.organization()
  devices = await stream.devices(organizationId, DEVICES)
  await stream.start()
  // Ten minutes up to now, one commit for each.
  startMs = Date.now() - 10 * MINUTE_MS
  for (let i = 0; i < 60; i++) await store(startMs + i * 10_000)
})
afterAll(() => stream.stop())

async function store(fixTimeMs: number): Promise<void> {
  await stream.commit(devices.map((device) => ({ device, fixTimeMs })))
  for (const device of devices) stored.push([device, fixTimeMs])
}

const connect = () => stream.connect({ organizationId, role: 'viewer' })
const iso = (ms: number) => new Date(ms).toISOString()
const inOrder = (rows: [number, number][]) => rows.toSorted((a, b) => a[1] - b[1] || a[0] - b[0])
const ofType = (type: ServerMessage['type']) => (message: ServerMessage) => message.type === type

async function refusal(client: StreamClient): Promise<string> {
  const message = await client.next()
  return message.type === 'error' ? message.code : message.type
}

describe('a replay without an end', () => {
  test('goes on into live: every row once, what is stored meanwhile and late rows after it among them', async () => {
    const client = await connect()
    const seen: ServerMessage[] = []
    client.send({ type: 'subscribe', id: 1, scope: { all: true }, from: iso(startMs), speed: 0 })
    // While it is under way, and when it may be at the seam.
    const storing = (async () => {
      for (let i = 0; i < 20; i++) await store(Date.now())
    })()
    seen.push(...(await client.until(ofType('live'))))
    await storing
    await store(startMs + 5_555)
    const last = Date.now()
    await store(last)
    const wanted = stored.filter(([, fixTimeMs]) => fixTimeMs >= startMs).length
    while (fixes(seen).length < wanted) seen.push(await client.next())
    expect(inOrder(fixes(seen))).toEqual(inOrder(stored))
    expect(seen.filter(ofType('live'))).toHaveLength(1)
  })

  test('with a clock becomes live where the clock meets the present, and can go back by a seek', async () => {
    const client = await connect()
    client.send({ type: 'subscribe', id: 1, scope: { devices }, from: iso(Date.now() - 5_000), speed: 3_600 })
    await client.until(ofType('live'))
    client.send({ type: 'pause', id: 1 })
    expect(await refusal(client)).toBe('not-a-replay')
    client.send({ type: 'speed', id: 1, speed: 0 })
    expect(await refusal(client)).toBe('not-a-replay')
    client.send({ type: 'seek', id: 1, to: iso(startMs) })
    const again = await client.until(ofType('live'))
    expect(again[0]).toMatchObject({ type: 'clock', time: iso(startMs) })
    expect(inOrder(fixes(again))).toEqual(inOrder(stored.filter(([, fixTimeMs]) => fixTimeMs >= startMs)))
  })
})

describe('a replay', () => {
  test('has its own header, cursors and end, and goes on from a cursor on another socket', async () => {
    const subscribe = { type: 'subscribe', id: 3, scope: { all: true }, to: iso(startMs + 50_000) } as const
    const client = await connect()
    client.send({ ...subscribe, from: iso(startMs), speed: 0, rows: 'arrays' })
    const messages = await client.until(ofType('end'))
    expect([...new Set(messages.map(({ type }) => type))]).toEqual(['header', 'clock', 'positions', 'end'])
    const slow = await connect()
    slow.send({ ...subscribe, from: iso(startMs), speed: 1 })
    const [, first] = await slow.until(ofType('positions'))
    slow.socket.terminate()
    const cursor = first?.type === 'positions' ? first.cursor : ''
    const other = await connect()
    other.send({ ...subscribe, from: cursor, speed: 0 })
    const rest = await other.until(ofType('end'))
    const all = stored.filter(([, fixTimeMs]) => fixTimeMs >= startMs && fixTimeMs < startMs + 50_000)
    expect(inOrder([...fixes([first!]), ...fixes(rest)])).toEqual(inOrder(all))
    expect(fixes([first!])).toHaveLength(DEVICES)
  })

  test('begins and is moved to where nothing is, however long ago', async () => {
    const client = await connect()
    const longAgo = '0000-01-01T00:00:00Z'
    client.send({
      type: 'subscribe',
      id: 1,
      scope: { devices },
      from: longAgo,
      to: iso(startMs + 1),
      speed: 0,
    })
    for (const again of [true, false]) {
      const messages = await client.until(ofType('end'))
      expect(messages[0]).toMatchObject({ type: 'clock', time: iso(0) })
      expect(fixes(messages).at(-1)![1]).toBe(startMs)
      if (again) client.send({ type: 'seek', id: 1, to: longAgo })
    }
  })

  test('is refused where its times do not go together, and where there are too many', async () => {
    const client = await connect()
    const subscribe = { type: 'subscribe', scope: { all: true }, from: iso(startMs) } as const
    client.send({ ...subscribe, id: 1, to: iso(startMs - 1) })
    expect(await refusal(client)).toBe('invalid-times')
    client.send({ ...subscribe, id: 1, intervalMs: 5 })
    expect(await refusal(client)).toBe('invalid-times')
    client.send({ ...subscribe, id: 1, from: iso(Date.now() + MINUTE_MS) })
    expect(await refusal(client)).toBe('invalid-times')
    for (let id = 1; id <= 4; id++) client.send({ ...subscribe, id, to: iso(startMs), events: false })
    client.send({ ...subscribe, id: 5 })
    const messages = await client.until(ofType('error'))
    expect(messages.at(-1)).toMatchObject({ id: 5, code: 'too-many-replays' })
    expect(await stream.metric('fleetflow_stream_limits_total', { limit: 'replaysPerSocketMax' })).toBe(1)
    client.send({ type: 'scope', id: 1, scope: { all: true } })
    const answers = await client.until(ofType('error'))
    expect(answers.at(-1)).toMatchObject({ id: 1, code: 'scope-fixed' })
  })

  test('of an area has the rows inside', async () => {
    const client = await connect()
    const scope = { bbox: [9, 50, 11, 50 + devices[0]! / 1e4] as [number, number, number, number] }
    client.send({ type: 'subscribe', id: 1, scope, from: iso(startMs), to: iso(startMs + 60_000), speed: 0 })
    const messages = await client.until(ofType('end'))
    expect(fixes(messages)).toEqual(
      [0, 1, 2, 3, 4, 5].flatMap((i) =>
        i === 0
          ? [
              [devices[0], startMs],
              [devices[0], startMs + 5_555],
            ]
          : [[devices[0], startMs + i * 10_000]],
      ),
    )
  })
})
