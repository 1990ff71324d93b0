/** Devices that are too many, send too much, or hold what they do not finish: each meets its limit, and others do not. */
import { createSocket } from 'node:dgram'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { defineAdapter } from '../device-adapters/adapter.ts'
import { delimitedBy } from '../device-adapters/framing.ts'
import { parseHttpFrame, parseMqttFrame } from '../device-adapters/requests.ts'
import { type Device, IngestHarness } from './ingest-harness.ts'
import { connectPacket, publishPacket } from './mqtt-packets.ts'

/** A line, datagram, message or body `ID …` is a position, and is answered `ok`. */
const line = defineAdapter({
  id: 'line',
  version: 1,
  makers: ['Acme'],
  source: 'this file',
  listen: { tcp: 1, udp: 1, http: 1, mqtt: ['line/+'] },
  maxFrameBytes: 65_536,
  frame: delimitedBy('\n'),
  decode(frame, session, out) {
    const bodyOf = { tcp: () => frame, udp: () => frame, http: () => parseHttpFrame(frame).body }
    const text = session.transport === 'mqtt' ? parseMqttFrame(frame).payload : bodyOf[session.transport]()
    session.identify(/^\S*/.exec(text.toString('latin1'))![0])
    out.add(session.receivedMs, 1, 2)
  },
  ack: (_, session) => (session.transport === 'mqtt' ? undefined : 'ok\n'),
})

const OK = Buffer.from('ok\n').toString('hex')
const PUBACK = '40020001'
const FRAME_BYTES = 4_000
const BYTES_PER_SECOND = 200_000

let harness: IngestHarness
const sockets: Socket[] = []

beforeAll(async () => {
  harness = await IngestHarness.start({
    adapters: [line],
    limits: {
      connectionsMax: 150,
      connectionsPerAddressMax: 120,
      connectionsPerDeviceMax: 2,
      bytesPerSecondPerDeviceMax: BYTES_PER_SECOND,
      frameBytesMax: FRAME_BYTES,
      heldBytesMax: 200_000,
      firstFrameTimeoutMs: 2_000,
    },
  })
}, 30_000)
afterEach(async () => {
  harness.hangUp()
  for (const socket of sockets.splice(0)) socket.destroy()
  await expect.poll(open).toBe(0)
})
afterAll(() => harness.stop())

/** Without HTTP, whose client keeps connections for the next request. */
const open = async () =>
  (await harness.metric('fleetflow_connections', { transport: 'tcp' })) +
  (await harness.metric('fleetflow_connections', { transport: 'mqtt' }))
const met = (limit: string) => harness.metric('fleetflow_limits_total', { limit })
const faults = (code: string) => harness.metric('fleetflow_frame_faults_total', { code })

/** A frame of so many bytes with its line feed. */
const frame = (id: string, bytes: number) => `${`${id} `.padEnd(bytes - 1, 'x')}\n`

/** Connections that send nothing. @returns How many of them are closed. */
function idle(count: number, localAddress: string): () => number {
  let closed = 0
  for (let i = 0; i < count; i++) {
    const socket = connect({ host: '127.0.0.1', port: harness.portOf('line'), localAddress })
    socket.on('error', () => undefined)
    socket.on('close', () => closed++)
    sockets.push(socket)
  }
  return () => closed
}

async function openMqtt(clientId: string, username: string): Promise<Device> {
  const device = harness.device(harness.portOf('mqtt', 'mqtt'))
  device.send(connectPacket({ clientId, username }))
  expect(await device.reply(4)).toBe('20020000')
  return device
}

test('5,000 idle sockets of one address take its share of connections, and not for long', async () => {
  await harness.register('bus')
  const closed = idle(5_000, '127.0.0.1')
  await expect.poll(() => met('connectionsPerAddressMax')).toBeGreaterThan(0)
  // Others still get in.
  const socket = connect({ host: '127.0.0.1', port: harness.portOf('line'), localAddress: '127.0.0.2' })
  sockets.push(socket)
  socket.write('bus\n')
  expect(String(await new Promise((resolve) => socket.once('data', resolve)))).toBe('ok\n')
  while (closed() < 5_000) {
    expect(await open()).toBeLessThanOrEqual(121)
    await delay(50)
  }
  expect(await open()).toBe(1)
  expect((await met('connectionsPerAddressMax')) + (await met('firstFrameTimeoutMs'))).toBe(5_000)
}, 60_000)

test('connections are limited over all addresses, too', async () => {
  const closed = ['127.0.0.1', '127.0.0.2', '127.0.0.3'].map((address) => idle(60, address))
  await expect.poll(() => closed.reduce((sum, count) => sum + count(), 0)).toBeGreaterThanOrEqual(30)
  await expect.poll(() => met('connectionsMax')).toBe(30)
  await expect.poll(open).toBe(0)
})

test('the newest connections of a device are kept, over TCP and MQTT together', async () => {
  await harness.register('tram')
  const port = harness.portOf('line')
  const [first, second, third] = [harness.device(port), harness.device(port), harness.device(port)]
  for (const device of [first, second, third]) {
    device.send('tram\n')
    expect(await device.reply(3)).toBe(OK)
  }
  await first.closed()
  second.send('tram\n')
  expect(await second.reply(3)).toBe(OK)
  const fourth = await openMqtt('a', 'tram')
  await second.closed()
  const before = await met('connectionsPerDeviceMax')
  expect(before).toBe(2)
  await openMqtt('b', 'tram')
  await third.closed()
  await openMqtt('c', 'tram')
  await fourth.closed()
})

test('an MQTT name that is no device has no more connections than one that is', async () => {
  const first = await openMqtt('a', 'nobody')
  const others = [await openMqtt('b', 'nobody'), await openMqtt('c', 'nobody')]
  await first.closed()
  for (const device of others) {
    device.send(publishPacket('line/nobody', 'nobody', 1))
    await device.closed()
  }
})

test('a connection of a gateway counts for the device that it spoke of last', async () => {
  await harness.register('van-1')
  await harness.register('van-2')
  const port = harness.portOf('line')
  const [first, second, third] = [harness.device(port), harness.device(port), harness.device(port)]
  const talk = async (device: Device, id: string) => {
    device.send(`${id}\n`)
    expect(await device.reply(3)).toBe(OK)
  }
  await talk(first, 'van-1')
  await talk(second, 'van-1')
  await talk(first, 'van-2')
  await talk(third, 'van-1')
  for (const device of [second, third]) await talk(device, 'van-1')
  await talk(first, 'van-1')
  await second.closed()
})

test.each(['tcp', 'mqtt'] as const)(
  'a device that floods over %s is read as fast as it may send',
  async (transport) => {
    const id = `flood-${transport}`
    await harness.register(id)
    const device = transport === 'tcp' ? harness.device(harness.portOf('line')) : await openMqtt('a', id)
    const piece = frame(id, 1_500)
    const message = transport === 'tcp' ? piece : publishPacket(`line/${id}`, piece, 1)
    const before = await met('bytesPerSecondPerDeviceMax')
    const startMs = performance.now()
    // Three seconds' worth: one comes at once.
    const count = Math.ceil((3 * BYTES_PER_SECOND) / message.length)
    for (let i = 0; i < count; i++) device.send(message)
    const reply = transport === 'tcp' ? OK : PUBACK
    expect(await device.reply((count * reply.length) / 2)).toBe(reply.repeat(count))
    expect(performance.now() - startMs).toBeGreaterThan(1_500)
    expect(await met('bytesPerSecondPerDeviceMax')).toBeGreaterThan(before)
  },
)

test('datagrams of a device that floods are dropped, and taken again after a while', async () => {
  await harness.register('flood-udp')
  const before = await met('bytesPerSecondPerDeviceMax')
  const udp = createSocket('udp4')
  let replies = 0
  udp.on('message', () => replies++)
  const datagram = frame('flood-udp', 1_500)
  const send = () => udp.send(datagram, harness.portOf('line', 'udp'), '127.0.0.1')
  const count = Math.ceil((3 * BYTES_PER_SECOND) / datagram.length)
  for (let i = 0; i < count; i++) send()
  const dropped = async () => (await met('bytesPerSecondPerDeviceMax')) - before
  await expect.poll(async () => replies + (await dropped())).toBe(count)
  expect(await dropped()).toBeGreaterThan(0)
  const repliesBefore = replies
  await expect
    .poll(() => {
      send()
      return replies
    })
    .toBeGreaterThan(repliesBefore)
  udp.close()
})

test('requests of a device that floods are answered 429, and 200 again after a while', async () => {
  await harness.register('flood-http')
  const body = frame('flood-http', 1_500)
  const post = () => fetch(`http://127.0.0.1:${harness.portOf('line', 'http')}/`, { method: 'POST', body })
  const statuses = new Set<number>()
  await expect
    .poll(async () => {
      const answers = await Promise.all(Array.from({ length: 50 }, post))
      for (const { status } of answers) statuses.add(status)
      return answers.find(({ status }) => status === 429)?.headers.get('retry-after')
    })
    .toMatch(/^\d+$/)
  expect([...statuses].sort()).toEqual([200, 429])
  await expect.poll(async () => (await post()).status).toBe(200)
})

test('a frame that is longer than allowed ends its stream, and is counted on every transport', async () => {
  await harness.register('long')
  const device = harness.device(harness.portOf('line'))
  device.send(`long\n${frame('long', 5_000)}`)
  expect(await device.reply(3)).toBe(OK)
  await device.closed()
  await expect.poll(() => met('frameBytesMax')).toBe(1)
  const udp = createSocket('udp4')
  udp.send(frame('long', 5_000), harness.portOf('line', 'udp'), '127.0.0.1')
  await expect.poll(() => met('frameBytesMax')).toBe(2)
  udp.close()
  const body = frame('long', 5_000)
  const url = `http://127.0.0.1:${harness.portOf('line', 'http')}/`
  expect((await fetch(url, { method: 'POST', body })).status).toBe(413)
  expect(await met('frameBytesMax')).toBe(3)
  const client = await openMqtt('a', 'long')
  client.send(publishPacket('line/long', body, 1))
  await client.closed()
  expect(await met('frameBytesMax')).toBe(4)
  expect(await faults('too-large')).toBe(4)
})

test('who holds more than a share of what all may hold is closed, who holds less is not', async () => {
  await harness.register('patient')
  const patient = harness.device(harness.portOf('line'))
  patient.send('pati')
  // More than all may hold, and each more than its share.
  for (let i = 0; i < 60; i++) harness.device(harness.portOf('line')).send('x'.repeat(3_900))
  await expect.poll(() => met('heldBytesMax')).toBeGreaterThan(0)
  patient.send('ent\n')
  expect(await patient.reply(3)).toBe(OK)
})

test('a flood of datagrams of nobody leaves the engine as it was', async () => {
  await harness.register('calm')
  const udp = createSocket('udp4')
  for (let i = 0; i < 20_000; i++) {
    udp.send(`stranger-${i} \n`, harness.portOf('line', 'udp'), '127.0.0.1')
    if (i % 100 === 0) await new Promise(setImmediate)
  }
  await expect.poll(() => faults('unknown-device')).toBeGreaterThan(1_000)
  let replies = 0
  udp.on('message', () => replies++)
  await expect
    .poll(() => {
      udp.send('calm\n', harness.portOf('line', 'udp'), '127.0.0.1')
      return replies
    })
    .toBeGreaterThan(0)
  expect(await met('quarantinePendingMax')).toBeGreaterThan(0)
  await expect.poll(() => harness.count('SELECT count(*) FROM quarantine')).toBeLessThanOrEqual(51)
  udp.close()
}, 60_000)
