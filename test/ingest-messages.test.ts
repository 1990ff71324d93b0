/** HTTP requests and MQTT messages of devices, and of those that only say they are. */
import { createHash } from 'node:crypto'
import mqtt from 'mqtt'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { IngestHarness } from './ingest-harness.ts'

let harness: IngestHarness

beforeAll(async () => {
  harness = await IngestHarness.start({ ackAfter: 'database' })
}, 30_000)
afterEach(() => harness.hangUp())
afterAll(() => harness.stop())

async function lastFrame(protocol: string, reason: string): Promise<string | undefined> {
  const { rows } = await harness.pool.query(
    'SELECT last_frame FROM quarantine WHERE protocol = $1 AND reason = $2',
    [protocol, reason],
  )
  return rows[0]?.last_frame.toString()
}

describe('an HTTP request', () => {
  const url = (query = '') => `http://127.0.0.1:${harness.portOf('osmand', 'http')}/${query}`

  test('is answered 200 after the store', async () => {
    const id = await harness.register('phone-2')
    expect((await fetch(url('?id=phone-2&lat=30.27&lon=-97.74&speed=10&timestamp=1763712000'))).status).toBe(
      200,
    )
    expect(await harness.storedOf(id)).toBe(1)
  })

  test('is answered 400 without an id, 405 with another method, 413 when too long', async () => {
    expect((await fetch(url('?lat=30.27&lon=-97.74'))).status).toBe(400)
    const wrongMethod = await fetch(url(), { method: 'DELETE' })
    expect(wrongMethod.status).toBe(405)
    expect(wrongMethod.headers.get('allow')).toContain('POST')
    expect((await fetch(url(), { method: 'POST', body: 'x'.repeat(2_000_000) })).status).toBe(413)
    await expect.poll(() => lastFrame('osmand', 'too-large')).toMatch(/^POST\n\/\n.*\n\nxxx/)
  })

  test('that is none is counted and quarantined, whatever is wrong with it', async () => {
    const faults = (code: string) =>
      harness.metric('fleetflow_frame_faults_total', { protocol: 'owntracks', code })
    const send = (bytes: string) => {
      const device = harness.device(harness.portOf('owntracks', 'http'))
      device.socket.end(bytes)
      return device
    }
    const garbage = send('\x01\x02 this is no HTTP\r\n\r\n')
    expect(Buffer.from(await garbage.reply(12), 'hex').toString()).toBe('HTTP/1.1 400')
    const endless = send(`GET / HTTP/1.1\r\nx: ${'y'.repeat(20_000)}`)
    expect(Buffer.from(await endless.reply(12), 'hex').toString()).toBe('HTTP/1.1 431')
    await send('POST /cut-head HTT').closed()
    await send('POST /cut-body HTTP/1.1\r\nhost: x\r\ncontent-length: 90\r\n\r\n{"_type"').closed()
    expect([await faults('malformed'), await faults('too-large'), await faults('cut')]).toEqual([1, 1, 2])
    await expect.poll(() => lastFrame('owntracks', 'cut')).toBe('POST\n/cut-body\n\n\n{"_type"')
    expect(await lastFrame('owntracks', 'malformed')).toContain('this is no HTTP')
  })

  test('that does not begin or end in time is given up', async () => {
    const met = () => harness.metric('fleetflow_limits_total', { limit: 'firstFrameTimeoutMs' })
    const before = await met()
    const idle = harness.device(harness.portOf('osmand', 'http'))
    const slow = harness.device(harness.portOf('osmand', 'http'))
    slow.send('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 90\r\n\r\n')
    const drip = setInterval(() => slow.send('x'), 200)
    await Promise.all([idle.closed(), slow.closed()])
    clearInterval(drip)
    expect(await met()).toBe(before + 2)
  })
})

describe('an MQTT message', () => {
  const open = async (username: string, password?: string) => {
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${harness.portOf('mqtt', 'mqtt')}`, {
      protocolVersion: 4,
      clientId: username,
      username,
      ...(password === undefined ? {} : { password }),
      reconnectPeriod: 0,
    })
    client.on('error', () => undefined)
    return client
  }
  const position = JSON.stringify({
    fixTime: '2026-11-21T08:00:00Z',
    latitude: 30.27,
    longitude: -97.74,
    speed: 12,
  })
  const closed = (client: mqtt.MqttClient) =>
    client.connected
      ? new Promise<void>((resolve) => client.once('close', () => resolve()))
      : Promise.resolve()

  test('is acknowledged after the store', async () => {
    const id = await harness.register('gateway-1')
    const client = await open('gateway-1')
    await client.publishAsync('devices/gateway-1/positions', position, { qos: 1 })
    expect(await harness.storedOf(id)).toBe(1)
    await client.publishAsync('devices/gateway-1/positions', position, { qos: 2 })
    expect(await harness.storedOf(id)).toBe(1)
    await client.endAsync()
  })

  test('to a foreign topic ends the connection, and stores nothing', async () => {
    const victim = await harness.register('gateway-2')
    const client = await open('gateway-1')
    client.publish('devices/gateway-2/positions', position, { qos: 1 }, () => undefined)
    await closed(client)
    expect(await harness.storedOf(victim)).toBe(0)
    expect(
      await harness.metric('fleetflow_frame_faults_total', { protocol: 'mqtt', code: 'foreign-topic' }),
    ).toBe(1)
    const owntracks = await open('gateway-1')
    const location = JSON.stringify({ _type: 'location', lat: 1, lon: 2, tst: 1763712000, tid: 'g2' })
    owntracks.publish('owntracks/gateway-1/gateway-2', location, { qos: 1 }, () => undefined)
    await closed(owntracks)
    expect(await harness.storedOf(victim)).toBe(0)
  })

  test('of a device with a password is taken only with it', async () => {
    const id = await harness.register('gateway-3', createHash('sha256').update('right').digest())
    for (const password of [undefined, 'wrong']) {
      await expect(open('gateway-3', password)).rejects.toThrow('Bad username or password')
    }
    expect(
      await harness.metric('fleetflow_frame_faults_total', { protocol: 'mqtt', code: 'wrong-password' }),
    ).toBe(2)
    const client = await open('gateway-3', 'right')
    await client.publishAsync('devices/gateway-3/positions', position, { qos: 1 })
    expect(await harness.storedOf(id)).toBe(1)
    await client.endAsync()
  })

  test('reaches no other client: nobody may subscribe', async () => {
    const client = await open('gateway-1')
    const granted = await client.subscribeAsync('#').catch((error: Error) => error)
    expect(granted instanceof Error || granted[0]!.qos === 128).toBe(true)
    await client.endAsync(true)
  })

  test('that is longer than any of the protocol ends the connection before it is collected', async () => {
    const device = harness.device(harness.portOf('mqtt', 'mqtt'))
    // CONNECT of a remaining length of 256 MB.
    device.send(Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]))
    await device.closed()
    expect(
      await harness.metric('fleetflow_frame_faults_total', { protocol: 'mqtt', code: 'too-large' }),
    ).toBe(1)
  })
})
