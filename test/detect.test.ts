/** The port of all protocols, over real sockets: devices are served as on their own ports, and all else is explained. */
import { createSocket } from 'node:dgram'
import { connectAsync } from 'mqtt'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Device, IngestHarness, login, packet } from './ingest-harness.ts'

const IMEI = '356307042441013'
const GT06_LOGIN = Buffer.from('78780d01012345678901234500018cdd0d0a', 'hex')
const GT06_POSITION = Buffer.from(
  '78781f120b081d112e10cf027ac7eb0c46584900148f01cc00287d001fb8000380810d0a',
  'hex',
)
const BYTES_MAX = 4096

let harness: IngestHarness
let port: number

beforeAll(async () => {
  harness = await IngestHarness.start({ detects: true, limits: { detectBytesMax: BYTES_MAX } })
  port = harness.portOf('detect')
})
afterEach(async () => {
  harness.hangUp()
  await harness.pool.query('DELETE FROM quarantine')
})
afterAll(() => harness.stop())

/** What the quarantine says of streams that nobody knows. */
async function undetected(): Promise<Record<string, unknown>[]> {
  const { rows } = await harness.pool.query(
    `SELECT reason, detail, frame_count::int AS count, encode(last_frame, 'hex') AS frame
     FROM quarantine WHERE protocol = 'unknown'`,
  )
  return rows
}

/** Sends a byte, waits until the socket has taken it, and sends the next. */
async function drip(device: Device, bytes: Buffer): Promise<void> {
  device.socket.setNoDelay()
  for (let at = 0; at < bytes.length; at++) {
    await new Promise<void>((resolve) => device.socket.write(bytes.subarray(at, at + 1), () => resolve()))
    await new Promise((resolve) => setImmediate(resolve))
  }
}

test('a Teltonika device logs in a byte at a time, and its positions are stored', async () => {
  const id = await harness.register(IMEI)
  const device = harness.device(port)
  await drip(device, login(IMEI))
  expect(await device.reply(1)).toBe('01')
  await drip(device, packet(3, Date.UTC(2026, 10, 1)))
  expect(await device.reply(4)).toBe('00000003')
  await expect.poll(() => harness.storedOf(id)).toBe(3)
  expect(await harness.metric('fleetflow_connections', { protocol: 'teltonika' })).toBe(1)
  expect(await harness.metric('fleetflow_connections', { protocol: 'detect' })).toBe(0)
  device.socket.end()
  await expect.poll(() => harness.metric('fleetflow_connections')).toBe(0)
})

test('a GT06 device logs in a byte at a time, and its positions are stored', async () => {
  const id = await harness.register('123456789012345')
  const device = harness.device(port)
  await drip(device, GT06_LOGIN)
  expect(await device.reply(10)).toBe('787805010001d9dc0d0a')
  device.send(GT06_POSITION)
  await expect.poll(() => harness.storedOf(id)).toBe(1)
})

test('a login and positions in one segment are taken as they are on the port of the protocol', async () => {
  const id = await harness.register('352093081452251')
  const device = harness.device(port)
  device.send(Buffer.concat([login('352093081452251'), packet(2, Date.UTC(2026, 10, 2))]))
  expect(await device.reply(5)).toBe('0100000002')
  await expect.poll(() => harness.storedOf(id)).toBe(2)
})

test('an H02 device is found by its datagram, and answered', async () => {
  const id = await harness.register('135790246811220')
  const socket = createSocket('udp4')
  const answered = new Promise<Buffer>((resolve) => socket.once('message', resolve))
  socket.send(
    '*HQ,135790246811220,V1,120000,A,2235.0000,N,11350.0000,E,010.00,090,011126,FFFFFBFF#',
    harness.portOf('detect', 'udp'),
    '127.0.0.1',
  )
  expect((await answered).toString()).toMatch(/^\*HQ,135790246811220,V4,V1,\d{14}#$/)
  socket.close()
  await expect.poll(() => harness.storedOf(id)).toBe(1)
})

test('a datagram of no known protocol is explained, and gets no answer', async () => {
  const socket = createSocket('udp4')
  socket.send('\x02what is this', harness.portOf('detect', 'udp'), '127.0.0.1')
  await expect
    .poll(undetected)
    .toMatchObject([{ reason: 'undetected', detail: 'no known protocol begins so' }])
  socket.close()
})

test('requests are answered by the protocol that they are of', async () => {
  const id = await harness.register('phone')
  const get = await fetch(`http://127.0.0.1:${port}/?id=phone&lat=52.5&lon=13.4&timestamp=1761955200`)
  expect(get.status).toBe(200)
  const post = await fetch(`http://127.0.0.1:${port}/v1/positions`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: '{"id":"phone","fixTime":"2026-11-01T00:00:01Z","latitude":52.5,"longitude":13.4}\n',
  })
  expect(await post.json()).toEqual({ stored: 1 })
  await expect.poll(() => harness.storedOf(id)).toBe(2)
})

test('a request of no known protocol is answered with what it looks like', async () => {
  const response = await fetch(`http://127.0.0.1:${port}/favicon.ico`)
  expect(response.status).toBe(400)
  expect(await response.text()).toContain('undetected: looks like')
  await expect.poll(undetected).toMatchObject([{ reason: 'undetected' }])
})

test('a request whose headers do not come to their end is answered 408', async () => {
  const device = harness.device(port)
  device.send('GET /?id=phone HTTP/1.1\r\nhost: x\r\n')
  expect(Buffer.from(await device.reply(12), 'hex').toString()).toBe('HTTP/1.1 408')
  await device.closed()
  expect(await harness.metric('fleetflow_limits_total', { limit: 'firstFrameTimeoutMs' })).toBeGreaterThan(0)
})

test('a device that speaks MQTT is served by the broker', async () => {
  const id = await harness.register('tracker')
  const client = await connectAsync({ host: '127.0.0.1', port, clientId: 'tracker', username: 'tracker' })
  await client.publishAsync(
    'devices/tracker/positions',
    JSON.stringify({ fixTime: '2026-11-01T00:00:00Z', latitude: 1, longitude: 2 }),
    { qos: 1 },
  )
  await client.endAsync()
  await expect.poll(() => harness.storedOf(id)).toBe(1)
  await expect.poll(() => harness.metric('fleetflow_connections', { transport: 'mqtt' })).toBe(0)
})

test('garbage is not answered, closed at once and explained', async () => {
  const device = harness.device(port)
  device.send('\x02\x03\x04garbage')
  await device.closed()
  expect(device.silent).toBe(true)
  await expect.poll(undetected).toEqual([
    {
      reason: 'undetected',
      detail: 'no known protocol begins so',
      count: 1,
      frame: Buffer.from('\x02\x03\x04garbage').toString('hex'),
    },
  ])
})

test('a device that hangs up before it is known is explained', async () => {
  const device = harness.device(port)
  const broken = Buffer.from(GT06_LOGIN)
  broken[14]! ^= 1
  device.send(broken)
  device.socket.end()
  await device.closed()
  expect(device.silent).toBe(true)
  const [entry] = await expect.poll(undetected).toHaveLength(1).then(undetected)
  expect(entry!.detail).toMatch(/^looks like gt06 \(\d+ %\): frame fits, /)
})

test('a slow drip of bytes that stay ambiguous ends with the time for a first frame', async () => {
  const device = harness.device(port)
  await drip(device, Buffer.from('\0\x0f356'))
  await device.closed()
  expect(device.silent).toBe(true)
  await expect.poll(undetected).toMatchObject([{ count: 1, frame: '000f333536' }])
})

test('a flood of bytes that stay ambiguous ends with the limit of bytes', async () => {
  const device = harness.device(port)
  // GT06 that never ends: a long frame of 64 KiB.
  device.send(Buffer.concat([Buffer.from('7979ffff', 'hex'), Buffer.alloc(2 * BYTES_MAX, 0x31)]))
  await device.closed()
  expect(device.silent).toBe(true)
  await expect.poll(undetected).toHaveLength(1)
})

test('a thousand connections that send nothing are closed, and nothing is kept of them', async () => {
  const devices = Array.from({ length: 1000 }, () => harness.device(port))
  await Promise.all(devices.map((device) => device.closed()))
  expect(await undetected()).toEqual([])
  await expect.poll(() => harness.metric('fleetflow_connections', { transport: 'tcp' })).toBe(0)
  expect(
    await harness.metric('fleetflow_limits_total', { limit: 'firstFrameTimeoutMs' }),
  ).toBeGreaterThanOrEqual(1000)
})

test('a request that comes a byte at a time, and one after it on the same connection, are answered', async () => {
  const id = await harness.register('slow-phone')
  const device = harness.device(port)
  const get = (second: number) =>
    Buffer.from(`GET /?id=slow-phone&lat=1&lon=2&timestamp=176195520${second} HTTP/1.1\r\nhost: x\r\n\r\n`)
  await drip(device, get(0))
  expect(Buffer.from(await device.reply(12), 'hex').toString()).toBe('HTTP/1.1 200')
  device.send(get(1))
  await expect.poll(() => harness.storedOf(id)).toBe(2)
})

test('the engine stops with connections that are not known yet, and keeps nothing of them', async () => {
  const ingest = await harness.another({ detects: true })
  const device = harness.device(harness.portOf('detect', 'tcp', ingest))
  device.send('\0')
  await new Promise((resolve) => device.socket.once('connect', resolve))
  await ingest.close()
  await device.closed()
  expect(await undetected()).toEqual([])
})
