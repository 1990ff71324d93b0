/** MQTT as no device should speak it, and as those speak it that want to be another or to fill the memory. */
import { createHash } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Device, IngestHarness } from './ingest-harness.ts'
import { type Connect, connectPacket, mqttPacket, publishPacket } from './mqtt-packets.ts'

let harness: IngestHarness

beforeAll(async () => {
  harness = await IngestHarness.start({ ackAfter: 'database' })
}, 30_000)
afterEach(() => harness.hangUp())
afterAll(() => harness.stop())

const ACCEPTED = '20020000'
const BAD_PASSWORD = '20020004'
const IDENTIFIER_REJECTED = '20020002'

async function open(connect: Connect, reply = ACCEPTED): Promise<Device> {
  const device = harness.device(harness.portOf('mqtt', 'mqtt'))
  device.send(connectPacket(connect))
  expect(await device.reply(4)).toBe(reply)
  return device
}

const position = (fixTime = '2026-11-21T08:00:00Z') =>
  JSON.stringify({ fixTime, latitude: 30.27, longitude: -97.74 })
const faults = (code: string) => harness.metric('fleetflow_frame_faults_total', { protocol: 'mqtt', code })

async function lastFrame(reason: string): Promise<string | undefined> {
  const { rows } = await harness.pool.query(
    "SELECT last_frame FROM quarantine WHERE protocol = 'mqtt' AND reason = $1",
    [reason],
  )
  return rows[0]?.last_frame.toString()
}

test('garbage is counted, quarantined and closed, before CONNECT and after it', async () => {
  const stranger = harness.device(harness.portOf('mqtt', 'mqtt'))
  stranger.send('GET / HTTP/1.1\r\n\r\n')
  await stranger.closed()
  expect(await faults('malformed')).toBe(1)
  await expect.poll(() => lastFrame('malformed')).toBe('GET / HTTP/1.1\r\n\r\n')
  const device = await open({ clientId: 'sloppy' })
  // A SUBSCRIBE without a topic: only the parser sees what is wrong with it.
  device.send(mqttPacket(0x82, Buffer.from([0, 1])))
  await device.closed()
  expect(await faults('malformed')).toBe(2)
  const acknowledging = await open({ clientId: 'eager' })
  acknowledging.send(mqttPacket(0x40, Buffer.from([0, 1])))
  await acknowledging.closed()
  expect(await faults('malformed')).toBe(3)
})

test('a packet that is cut is counted and quarantined', async () => {
  const device = await open({ clientId: 'cutter' })
  device.socket.end(publishPacket('devices/cutter/positions', position(), 1).subarray(0, 40))
  await device.closed()
  await expect.poll(() => faults('cut')).toBe(1)
  await expect.poll(() => lastFrame('cut')).toContain('devices/cutter')
})

test('what goes to a foreign topic is kept in the quarantine, and no password ever', async () => {
  await harness.register('guarded', createHash('sha256').update('right').digest())
  await open({ clientId: 'guarded', password: 'hunter2', username: 'guarded' }, BAD_PASSWORD)
  const device = await open({ clientId: 'a', username: 'visitor', password: 'hunter2' })
  device.send(publishPacket('devices/guarded/positions', position(), 1))
  await device.closed()
  await expect.poll(() => lastFrame('foreign-topic')).toContain('devices/guarded/positions')
  expect(await lastFrame('wrong-password')).toBe('')
  const { rows } = await harness.pool.query("SELECT last_frame FROM quarantine WHERE protocol = 'mqtt'")
  for (const { last_frame } of rows) expect(String(last_frame)).not.toContain('hunter2')
})

test.each(['', 'x'.repeat(129), 'line\nfeed'])('the name %j is none of a device', async (name) => {
  for (const connect of [{ clientId: name }, { clientId: name, username: name }]) {
    await (await open(connect, IDENTIFIER_REJECTED)).closed()
  }
})

test('an empty user name is none: the client id stands for it', async () => {
  const id = await harness.register('scooter')
  const device = await open({ clientId: 'scooter', username: '' })
  device.send(publishPacket('devices/scooter/positions', position(), 1))
  expect(await device.reply(4)).toBe('40020001')
  expect(await harness.storedOf(id)).toBe(1)
})

test('a topic with a line feed names no other device', async () => {
  // To the adapter, which reads a frame up to its first line feed, it would be the topic owntracks/bus.
  const payload = '{"_type":"location","lat":1,"lon":2,"tst":1763712000}'
  const registering = await harness.startRegistering()
  try {
    const victim = await harness.register('owntracks/bus')
    const device = harness.device(harness.portOf('mqtt', 'mqtt', registering))
    device.send(connectPacket({ clientId: 'a', username: 'bus' }))
    expect(await device.reply(4)).toBe(ACCEPTED)
    device.send(publishPacket(`owntracks/bus/\n${payload}`, payload, 1))
    await device.closed()
    expect(await harness.storedOf(victim)).toBe(0)
  } finally {
    await registering.close()
  }
})

test("a client id is the device's own: another can not end its connection with it", async () => {
  const id = await harness.register('tractor')
  const device = await open({ clientId: 'tractor' })
  await open({ clientId: 'tractor', username: 'stranger' })
  device.send(publishPacket('devices/tractor/positions', position(), 1))
  expect(await device.reply(4)).toBe('40020001')
  expect(await harness.storedOf(id)).toBe(1)
  // It can itself, when it has lost the connection and the broker does not know yet.
  await open({ clientId: 'tractor' })
  await device.closed()
})

test('nothing is kept for clients that do not come back', async () => {
  const topic = 'owntracks/mower/phone'
  await harness.register(topic)
  setFlagsFromString('--expose-gc')
  const collectGarbage: () => void = runInNewContext('gc')
  const heldBytes = () => {
    collectGarbage()
    const { arrayBuffers, heapUsed } = process.memoryUsage()
    return arrayBuffers + heapUsed
  }
  // Taken, but nothing that is stored: batches of positions would be counted here until their shard frees them.
  const payload = Buffer.from('{"_type":"lwt"}'.padEnd(60_000))
  const visit = async (clientId: string) => {
    const device = await open({ clientId, username: 'mower', session: true, will: { topic, payload } })
    device.send(publishPacket(topic, payload, 2))
    // PUBREC; its PUBREL never comes.
    expect(await device.reply(4)).toBe('50020001')
    device.socket.destroy()
    await device.closed()
  }
  for (let i = 0; i < 20; i++) await visit(`early-${i}`)
  harness.hangUp()
  const before = heldBytes()
  for (let i = 0; i < 200; i++) await visit(`late-${i}`)
  harness.hangUp()
  await expect.poll(() => harness.metric('fleetflow_connections', { protocol: 'mqtt' })).toBe(0)
  // Of 24 MB that were sent. Memory of buffers is given back a while after they are collected.
  await expect.poll(heldBytes).toBeLessThan(before + 4e6)
}, 30_000)
