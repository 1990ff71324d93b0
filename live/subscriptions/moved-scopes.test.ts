import { setImmediate } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ServerMessage } from '../../schemas/stream.ts'
import { fixes, type StreamClient, StreamFixture } from '../../test/stream-fixture.ts'

const START_MS = Date.UTC(2026, 0, 2, 3, 4, 5)
const DEVICES = 200

let stream: StreamFixture
let organizationId: number
let devices: number[]

beforeEach(async () => {
  stream = await StreamFixture.create()
  organizationId = await stream.organization()
  devices = await stream.devices(organizationId, DEVICES)
})
afterEach(() => stream.stop())

const connect = () => stream.connect({ organizationId, role: 'viewer' })
const cursorOf = (messages: readonly ServerMessage[]) => (messages.at(-1) as { cursor: string }).cursor
const isLive = ({ type }: ServerMessage) => type === 'live'

/** How often each row is in the messages. */
function timesEach(messages: readonly ServerMessage[]): Map<string, number> {
  const times = new Map<string, number>()
  for (const fix of fixes(messages)) times.set(fix.join(), (times.get(fix.join()) ?? 0) + 1)
  return times
}

async function moveWhileResuming(fromStorage: boolean, scope: 'all' | 'devices'): Promise<void> {
  await stream.start()
  const client = await connect()
  const cursor = cursorOf(await client.subscribe(1))
  for (let second = 1; second <= 3; second++) {
    await stream.commit(devices.map((device) => ({ device, fixTimeMs: START_MS + second * 1_000 })))
  }
  await client.until((message) => fixes([message]).some(([, timeMs]) => timeMs === START_MS + 3_000))
  client.socket.terminate()
  if (fromStorage) await stream.restart()
  const again = await connect()
  // Both come in one turn, so that it is moved before the first page is read.
  again.send({ type: 'subscribe', id: 1, scope: { devices: devices.slice(0, 10) }, from: cursor })
  const to = scope === 'all' ? { all: true as const } : { devices: devices.slice(0, 150) }
  again.send({ type: 'scope', id: 1, scope: to })
  const messages = await again.until(isLive)
  const wanted = scope === 'all' ? DEVICES : 150
  while (new Set(fixes(messages).map(([device]) => device)).size < wanted) messages.push(await again.next())
  await stream.commit([{ device: devices[0]!, fixTimeMs: START_MS + 9_000 }])
  messages.push(...(await again.until((message) => fixes([message]).length === 1)))
  expect([...timesEach(messages).values()].filter((times) => times > 1)).toEqual([])
}

test('a resume from storage that is moved to more devices sends none of their rows twice', async () => {
  await moveWhileResuming(true, 'devices')
})

test('a resume from storage that is moved to everything sends no row twice', async () => {
  await moveWhileResuming(true, 'all')
})

/** Commits until the socket of a client that does not read has enough. */
async function fill(reader: StreamClient, round: number): Promise<void> {
  stream.publish(...devices.map((device) => ({ device, fixTimeMs: START_MS + round })))
  const last = devices.at(-1)!
  await reader.until((message) =>
    fixes([message]).some(([device, timeMs]) => device === last && timeMs === START_MS + round),
  )
}

test('a slow client whose subscription is moved is told of what is left out meanwhile, to the row', async () => {
  await stream.start({ limits: { slowSocketBytes: 65_536 } })
  const reader = await connect()
  await reader.subscribe(1)
  const client = await connect()
  await client.subscribe(1, devices.slice(0, 150))
  client.socket.pause()
  let round = 0
  const slow = () => stream.metric('fleetflow_stream_limits_total', { limit: 'slowSocketBytes' })
  while ((await slow()) === 0) await fill(reader, ++round)
  const movedAt = round
  client.send({ type: 'scope', id: 1, scope: { all: true } })
  // What is wrong with the next message is counted when both were taken.
  client.send({ type: 'unsubscribe', id: 99 })
  const refused = () => stream.metric('fleetflow_stream_errors_total', { code: 'unknown-subscription' })
  while ((await refused()) === 0) await setImmediate()
  for (let i = 0; i < 50; i++) {
    await fill(reader, ++round)
  }
  client.socket.resume()
  const messages: ServerMessage[] = []
  const newest = () => fixes(messages).filter(([, timeMs]) => timeMs === START_MS + round).length
  while (newest() < DEVICES) messages.push(await client.next())
  const dropped = messages.reduce(
    (sum, message) => sum + (message.type === 'lagging' ? message.dropped : 0),
    0,
  )
  const first = new Set(devices.slice(0, 150))
  const sentOfFirst = fixes(messages).filter(([device]) => first.has(device)).length
  // Those that it had all along: each row of them was sent, or told of. Those that came with the move may be told of, too.
  expect(sentOfFirst + dropped).toBeGreaterThanOrEqual(round * 150)
  expect(sentOfFirst + dropped).toBeLessThanOrEqual(round * 150 + (round - movedAt) * 50)
})

test('a slow client is told when the stream leaves out what it can not catch up with', async () => {
  await stream.start({ limits: { slowSocketBytes: 65_536, rowsKept: 1_024 } })
  const reader = await connect()
  await reader.subscribe(1)
  const client = await connect()
  await client.subscribe(1)
  client.socket.pause()
  let round = 0
  const slow = () => stream.metric('fleetflow_stream_limits_total', { limit: 'slowSocketBytes' })
  while ((await slow()) === 0) await fill(reader, ++round)
  const row = (second: number) => ({ device: devices[second % 200]!, fixTimeMs: START_MS + second * 1_000 })
  await stream.storeCommit(Array.from({ length: 1_500 }, (_, i) => row(1_000 + i)))
  await stream.commit([row(3_000)])
  const isLast = (message: ServerMessage) =>
    fixes([message]).some(([, timeMs]) => timeMs === START_MS + 3_000_000)
  await reader.until(isLast)
  expect(await stream.metric('fleetflow_stream_jumps_total')).toBe(1)
  client.socket.resume()
  expect(await client.until(isLast)).toContainEqual({ type: 'lagging', id: 1, dropped: 0, events: 0 })
})
