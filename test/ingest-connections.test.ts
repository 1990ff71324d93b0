/** How connections end: by the device, halfway, or not at all. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { defineAdapter } from '../device-adapters/adapter.ts'
import { delimitedBy } from '../device-adapters/framing.ts'
import { IngestHarness, login, packet } from './ingest-harness.ts'

/** Answers a line with much more than it is. */
const chatty = defineAdapter({
  id: 'chatty',
  version: 1,
  makers: ['Acme'],
  source: 'this file',
  listen: { tcp: 1 },
  maxFrameBytes: 1024,
  frame: delimitedBy('\n'),
  decode: () => undefined,
  ack: () => 'x'.repeat(60_000),
})

let dotted = 0

/** Every byte is a frame. */
const dots = defineAdapter({
  id: 'dots',
  version: 1,
  makers: ['Acme'],
  source: 'this file',
  listen: { tcp: 1 },
  maxFrameBytes: 1,
  frame: () => 1,
  decode: () => {
    dotted++
  },
})

let harness: IngestHarness

beforeAll(async () => {
  harness = await IngestHarness.start({
    adapters: [chatty, dots],
    // Long enough for a loaded machine to store what came before, short enough to wait for.
    limits: { closingTimeoutMs: 3_000 },
    ackAfter: 'database',
  })
}, 30_000)
afterEach(() => harness.hangUp())
afterAll(() => harness.stop())

const cuts = () => harness.metric('fleetflow_frame_faults_total', { protocol: 'teltonika', code: 'cut' })
const open = () => harness.metric('fleetflow_connections')

test('a device that closes its side after its last frame still gets the replies', async () => {
  const imei = '356307042441013'
  const id = await harness.register(imei)
  const device = harness.device(harness.portOf('teltonika'))
  device.socket.end(Buffer.concat([login(imei), packet(3, Date.now()), packet(2, Date.now() - 60_000)]))
  expect(await device.reply(9)).toBe('010000000300000002')
  await device.closed()
  expect(await harness.storedOf(id)).toBe(5)
  expect(await cuts()).toBe(0)
  await expect.poll(open).toBe(0)
})

test('a device that has closed its side is not waited for longer than it takes', async () => {
  const imei = '356307042441021'
  const id = await harness.register(imei)
  const lock = await harness.pool.connect()
  try {
    await lock.query('BEGIN; LOCK positions')
    const device = harness.device(harness.portOf('teltonika'))
    device.socket.end(Buffer.concat([login(imei), packet(3, Date.now())]))
    expect(await device.reply(1)).toBe('01')
    await device.closed()
    expect(device.silent).toBe(true)
    await expect.poll(open).toBe(0)
    await lock.query('COMMIT')
  } finally {
    lock.release(true)
  }
  await expect.poll(() => harness.storedOf(id)).toBe(3)
})

test.each(['end', 'resetAndDestroy'] as const)(
  'a frame that is cut by %s is counted and quarantined',
  async (cut) => {
    const imei = cut === 'end' ? '356307042441039' : '356307042441047'
    await harness.register(imei)
    const before = await cuts()
    const device = harness.device(harness.portOf('teltonika'))
    const piece = packet(3, Date.now()).subarray(0, 50)
    device.send(Buffer.concat([login(imei), packet(1, Date.now()), piece]))
    expect(await device.reply(5)).toBe('0100000001')
    device.socket[cut]()
    await device.closed()
    await expect.poll(cuts).toBe(before + 1)
    await expect
      .poll(() => harness.quarantined(imei))
      .toMatchObject([{ protocol: 'teltonika', reason: 'cut', last_frame: piece }])
  },
)

test('a device that does not take its replies is given up', async () => {
  const before = await harness.metric('fleetflow_limits_total', { limit: 'closingTimeoutMs' })
  const device = harness.device(harness.portOf('chatty'))
  device.socket.pause()
  for (let i = 0; i < 500; i++) device.send('talk\n')
  await expect.poll(() => harness.metric('fleetflow_limits_total', { limit: 'unsentReplyBytesMax' })).toBe(1)
  await expect.poll(open).toBe(0)
  expect(await harness.metric('fleetflow_limits_total', { limit: 'closingTimeoutMs' })).toBe(before + 1)
})

test('frames of a byte each keep nobody else waiting', async () => {
  const bytes = 200_000
  const device = harness.device(harness.portOf('dots'))
  let most = 0
  let seen = 0
  device.socket.end(Buffer.alloc(bytes, '.'))
  while (dotted < bytes) {
    await new Promise(setImmediate)
    most = Math.max(most, dotted - seen)
    seen = dotted
  }
  // A turn has at most what is taken when bytes come in, and what was left for it by the turn before.
  expect(most).toBeLessThanOrEqual(512)
  await device.closed()
})
