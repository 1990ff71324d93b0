/** What comes faster than the database takes it waits for its turn, and is neither lost nor taken for broken. */
import mqtt from 'mqtt'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { defineAdapter } from '../device-adapters/adapter.ts'
import { delimitedBy } from '../device-adapters/framing.ts'
import { parseMqttFrame } from '../device-adapters/requests.ts'
import { IngestHarness } from './ingest-harness.ts'

/** A line, or message, `ID COUNT` is so many positions, and is answered `ok`. */
const crowd = defineAdapter({
  id: 'crowd',
  version: 1,
  makers: ['Acme'],
  source: 'this file',
  listen: { tcp: 1, mqtt: ['crowd/+'] },
  maxFrameBytes: 1024,
  frame: delimitedBy('\n'),
  decode(frame, session, out) {
    const text = session.transport === 'mqtt' ? parseMqttFrame(frame).payload : frame
    const [id = '', count] = text.toString().split(' ')
    session.identify(id)
    for (let i = 0; i < Number(count); i++) out.add(session.receivedMs - i, 1, 2)
  },
  ack: () => 'ok\n',
})

/** A line `ID PREFIX COUNT …` is a position with so many attributes, whose names begin so; answered `ok`. */
const wide = defineAdapter({
  id: 'wide',
  version: 1,
  makers: ['Acme'],
  source: 'this file',
  listen: { tcp: 1 },
  maxFrameBytes: 65_536,
  frame: delimitedBy('\n'),
  decode(frame, session, out) {
    const [id = '', prefix, count] = frame.toString('latin1').split(' ')
    session.identify(id)
    const row = out.add(session.receivedMs, 1, 2)
    for (let i = 0; i < Number(count); i++) out.set(row, `${prefix}${i}`, i)
  },
  ack: () => 'ok\n',
})

/** Three frames of these are more rows than a batch can have. */
const ROWS = 30_000

let harness: IngestHarness

beforeAll(async () => {
  harness = await IngestHarness.start({ adapters: [crowd, wide], ackAfter: 'database' })
}, 30_000)
afterEach(() => harness.hangUp())
afterAll(() => harness.stop())

/** The database takes no positions until the answer is called. */
async function lockPositions(): Promise<() => Promise<void>> {
  const lock = await harness.pool.connect()
  await lock.query('BEGIN; LOCK positions')
  return async () => {
    await lock.query('COMMIT')
    lock.release()
  }
}

test('devices that are registered together are all taken, in turns', async () => {
  const open = await harness.startRegistering()
  try {
    const unlock = await lockPositions()
    const devices = Array.from({ length: 10 }, () => harness.device(harness.portOf('crowd', 'tcp', open)))
    for (const [i, device] of devices.entries()) device.send(`crowd-${i} ${ROWS}\n`)
    // Those whose frames come when the batch is full already are read, and registered, when there is room.
    await expect.poll(() => harness.count('SELECT count(*) FROM devices')).toBeGreaterThan(0)
    await unlock()
    for (const device of devices) expect(await device.reply(3)).toBe(Buffer.from('ok\n').toString('hex'))
    expect(await harness.count('SELECT count(*) FROM positions')).toBe(10 * ROWS)
  } finally {
    await open.close()
  }
}, 30_000)

test('messages that waited for room are taken in turns, not all at once', async () => {
  const id = await harness.register('tram')
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${harness.portOf('mqtt', 'mqtt')}`, {
    protocolVersion: 4,
    clientId: 'tram',
    reconnectPeriod: 0,
  })
  const unlock = await lockPositions()
  const stored = Array.from({ length: 8 }, () =>
    client.publishAsync('crowd/tram', `tram ${ROWS}`, { qos: 1 }),
  )
  await expect.poll(() => harness.metric('fleetflow_positions_received_total')).toBe(3 * ROWS)
  await unlock()
  await Promise.all(stored)
  // Rows of one moment are told apart by their place in the frame only.
  expect(await harness.storedOf(id)).toBeGreaterThanOrEqual(ROWS)
  expect(await harness.metric('fleetflow_positions_received_total')).toBe(8 * ROWS)
  await client.endAsync()
}, 30_000)

test('a batch takes no more names of attributes than it can have, whatever devices call them', async () => {
  const id = await harness.register('mixer')
  const device = harness.device(harness.portOf('wide'))
  const frames = ['a', 'b', 'c', 'd', 'e', 'f'].map((prefix) => `mixer ${prefix} 15000\n`)
  device.send(frames.join(''))
  expect(await device.reply(3 * frames.length)).toBe(
    Buffer.from('ok\n'.repeat(frames.length)).toString('hex'),
  )
  expect(await harness.storedOf(id)).toBe(frames.length)
  expect(await harness.metric('fleetflow_frame_faults_total', { protocol: 'wide' })).toBe(0)
})

test('large frames with few positions wait for the database as many small ones do', async () => {
  const received = () => harness.metric('fleetflow_positions_received_total', { protocol: 'wide' })
  await harness.register('hauler')
  const before = await received()
  const unlock = await lockPositions()
  const frame = Buffer.from(`${'hauler x 1 '.padEnd(60_000)}\n`)
  const devices = Array.from({ length: 3 }, () => harness.device(harness.portOf('wide')))
  for (const device of devices) for (let i = 0; i < 100; i++) device.send(frame)
  const phone = `http://127.0.0.1:${harness.portOf('osmand', 'http')}/?id=nobody`
  await expect.poll(async () => (await fetch(phone)).status).toBe(503)
  // Two batches on their way and one that is full, of 4 MiB each, at the most.
  expect(await received()).toBeLessThan(before + 220)
  await unlock()
  for (const device of devices) await device.reply(3 * 100)
  expect(await received()).toBe(before + 300)
}, 30_000)
