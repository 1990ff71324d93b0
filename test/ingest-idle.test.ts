/** Connections of devices that say nothing more, or not what they should: each of their limits ends them, and counts. */
import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { IngestHarness, login, packet } from './ingest-harness.ts'
import { connectPacket } from './mqtt-packets.ts'

let harness: IngestHarness

beforeAll(async () => {
  harness = await IngestHarness.start({
    ackAfter: 'database',
    limits: {
      firstFrameTimeoutMs: 20_000,
      idleTimeoutMs: 4_000,
      httpKeepAliveTimeoutMs: 300,
      mqttKeepAliveMs: 30_000,
      httpHeaderBytes: 2_000,
      pendingFramesPerConnectionMax: 10,
    },
  })
}, 30_000)
afterEach(() => harness.hangUp())
afterAll(() => harness.stop())

const met = (limit: string) => harness.metric('fleetflow_limits_total', { limit })

test('a device that is silent after its first frame is closed after the idle time', async () => {
  const imei = '356307042441013'
  await harness.register(imei)
  const before = await met('idleTimeoutMs')
  const device = harness.device(harness.portOf('teltonika'))
  device.send(login(imei))
  expect(await device.reply(1)).toBe('01')
  await device.closed()
  expect(await met('idleTimeoutMs')).toBe(before + 1)
})

test('a CONNECT that asks for a longer keep-alive than is allowed is refused', async () => {
  const device = harness.device(harness.portOf('mqtt', 'mqtt'))
  device.send(connectPacket({ clientId: 'sleepy' }))
  await device.closed()
  expect(await met('mqttKeepAliveMs')).toBe(1)
  expect(await harness.metric('fleetflow_frame_faults_total', { protocol: 'mqtt' })).toBe(0)
})

test('an HTTP connection is closed after its keep-alive time, and after the idle time without a request', async () => {
  const port = harness.portOf('osmand', 'http')
  const talk = async (request: string): Promise<string> => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    socket.on('data', (bytes) => {
      text += bytes
    })
    socket.write(request)
    await new Promise((resolve) => socket.once('close', resolve))
    return text
  }
  expect(await talk('GET /?id=nobody HTTP/1.1\r\nhost: x\r\n\r\n')).toContain('HTTP/1.1 403')
  expect(await met('httpKeepAliveTimeoutMs')).toBe(1)
  const before = await met('idleTimeoutMs')
  expect(await talk('GET /?id=no')).toBe('')
  expect(await met('idleTimeoutMs')).toBe(before + 1)
  expect(await talk(`GET /?id=${'x'.repeat(3_000)} HTTP/1.1\r\nhost: x\r\n\r\n`)).toContain('HTTP/1.1 431')
  expect(await met('httpHeaderBytes')).toBe(1)
})

test('a device is read no further than its frames that wait, and goes on with their replies', async () => {
  const imei = '356307042441021'
  await harness.register(imei)
  const lock = await harness.pool.connect()
  await lock.query('BEGIN; LOCK positions')
  const device = harness.device(harness.portOf('teltonika'))
  device.send(login(imei))
  expect(await device.reply(1)).toBe('01')
  const nowMs = Date.now()
  for (let i = 0; i < 25; i++) device.send(packet(1, nowMs - i * 1_000))
  await expect.poll(() => met('pendingFramesPerConnectionMax')).toBe(1)
  expect(await harness.metric('fleetflow_positions_received_total')).toBe(10)
  await lock.query('COMMIT')
  lock.release()
  expect(await device.reply(25 * 4)).toBe('00000001'.repeat(25))
})
