/** Commands from the table to real sockets and back. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  type CommandRow,
  commandRow,
  gt06Answer,
  gt06Login,
  queue,
  teltonikaAnswer,
} from './command-fixture.ts'
import { IngestHarness, login } from './ingest-harness.ts'

/** `engineStop` as the first command of a GT06 session. */
const RELAY = '787812800c0000000052656c61792c312300009dee0d0a'
/** `custom` with `setdigout 11`, and its answer. */
const SET_OUTPUT = '00000000000000140c01050000000c7365746469676f7574203131010000bed5'

let harness: IngestHarness

beforeAll(async () => {
  harness = await IngestHarness.start({ limits: { datagramReturnMs: 300 } })
}, 30_000)
afterEach(() => harness.hangUp())
afterAll(() => harness.stop())

const give = (device: number, type: string, attributes: object = {}, expiresInS = 60) =>
  queue(harness, device, type, attributes, expiresInS)
const command = (id: number): Promise<CommandRow> => commandRow(harness.pool, id)
const stateOf = async (id: number) => (await command(id)).state
const counted = (state: string) => harness.metric('fleetflow_commands_total', { state })

let imeis = 356307042440000
const newImei = () => String(++imeis)

async function gt06(imei: string, port = harness.portOf('gt06')) {
  const device = harness.device(port)
  device.send(gt06Login(imei))
  expect(await device.reply(10)).toMatch(/^78780501/)
  return device
}

async function teltonika(imei: string, port = harness.portOf('teltonika')) {
  const device = harness.device(port)
  device.send(login(imei))
  expect(await device.reply(1)).toBe('01')
  return device
}

describe('a command to a connected device', () => {
  test('arrives byte for byte, and is acknowledged by the answer with its number', async () => {
    const imei = newImei()
    const id = await harness.register(imei)
    const device = await gt06(imei)
    const before = await counted('acknowledged')
    const stop = await give(id, 'engineStop')
    expect(await device.reply(RELAY.length / 2)).toBe(RELAY)
    expect(await command(stop)).toMatchObject({ state: 'sent', serial: 0, answered_at: null })
    const second = await give(id, 'custom', { data: 'STATUS#' })
    expect(await device.reply(22)).toContain('00000001')
    // In another order than they were sent.
    device.send(gt06Answer(1, 'Battery:4.1V'))
    await expect.poll(() => stateOf(second)).toBe('acknowledged')
    expect(await command(second)).toMatchObject({ serial: 1, answer: 'Battery:4.1V', failure: null })
    device.send(gt06Answer(0, 'DYD=Speed Limit, Speed 40km/h'))
    await expect.poll(() => stateOf(stop)).toBe('failed')
    expect(await command(stop)).toMatchObject({
      answer: 'DYD=Speed Limit, Speed 40km/h',
      failure: expect.stringMatching(/^device-refused: /),
    })
    expect(await counted('acknowledged')).toBe(before + 1)
  })

  test('is acknowledged by the next answer where a protocol has no numbers, the oldest first', async () => {
    const imei = newImei()
    const id = await harness.register(imei)
    const device = await teltonika(imei)
    const ids = [
      await give(id, 'custom', { data: 'setdigout 11' }),
      await give(id, 'custom', { data: 'getver' }),
    ]
    expect(await device.reply(SET_OUTPUT.length / 2)).toBe(SET_OUTPUT)
    await device.reply(26)
    device.send(teltonikaAnswer('DOUT1:1'))
    await expect.poll(() => stateOf(ids[0]!)).toBe('acknowledged')
    expect(await stateOf(ids[1]!)).toBe('sent')
    device.send(teltonikaAnswer('Ver:03.25'))
    await expect.poll(async () => (await command(ids[1]!)).answer).toBe('Ver:03.25')
  })

  test('is not acknowledged by an answer that comes much too late', async () => {
    const imei = newImei()
    const id = await harness.register(imei)
    const device = await teltonika(imei)
    const lost = await give(id, 'custom', { data: 'cpureset' })
    await device.reply(28)
    await harness.pool.query("UPDATE commands SET sent_at = sent_at - interval '1 hour' WHERE id = $1", [
      lost,
    ])
    const next = await give(id, 'custom', { data: 'cpureset' })
    await device.reply(28)
    device.send(teltonikaAnswer('OK'))
    await expect.poll(() => stateOf(next)).toBe('acknowledged')
    expect(await stateOf(lost)).toBe('sent')
  })

  test('that its protocol cannot say fails with the reason', async () => {
    const imei = newImei()
    const id = await harness.register(imei)
    const device = await gt06(imei)
    const unknown = await give(id, 'requestPhoto')
    const long = await give(id, 'custom', { data: 'x'.repeat(1_000) })
    const fine = await give(id, 'custom', { data: 'STATUS#' })
    expect(Buffer.from(await device.reply(22), 'hex').toString()).toContain('STATUS#')
    await expect.poll(() => stateOf(long)).toBe('failed')
    expect(await command(unknown)).toMatchObject({
      state: 'failed',
      sent_at: null,
      failure: 'unsupported: devices of gt06 cannot be told requestPhoto',
    })
    expect((await command(long)).failure).toMatch(/^not-encodable: .*245/)
    expect(await stateOf(fine)).toBe('sent')
  })

  test('goes to the newer of two connections', async () => {
    const imei = newImei()
    const id = await harness.register(imei)
    const older = await gt06(imei)
    const newer = await gt06(imei)
    await give(id, 'engineStop')
    expect(await newer.reply(RELAY.length / 2)).toBe(RELAY)
    newer.socket.destroy()
    await newer.closed()
    await expect.poll(() => harness.metric('fleetflow_connections', { protocol: 'gt06' })).toBe(1)
    await give(id, 'engineStop')
    expect(await older.reply(RELAY.length / 2)).toBe(RELAY)
  })

  test('is kept from a connection that has another name than the device has now', async () => {
    const [imei, renamed] = [newImei(), newImei()]
    const id = await harness.register(imei)
    const device = await gt06(imei)
    await harness.pool.query('UPDATE devices SET unique_id = $2 WHERE id = $1', [id, renamed])
    const successor = harness.device(harness.portOf('gt06'))
    await expect
      .poll(() => {
        if (successor.silent) successor.send(gt06Login(renamed))
        return successor.silent
      })
      .toBe(false)
    successor.socket.destroy()
    await expect.poll(() => harness.metric('fleetflow_connections', { protocol: 'gt06' })).toBe(1)
    const kept = await give(id, 'engineStop')
    const other = newImei()
    const sent = await give(await harness.register(other), 'engineStop')
    await gt06(other)
    await expect.poll(() => stateOf(sent)).toBe('sent')
    expect(await stateOf(kept)).toBe('queued')
    expect(device.silent).toBe(true)
  })

  test('is kept from a device that is disabled', async () => {
    const imei = newImei()
    const id = await harness.register(imei)
    const device = await gt06(imei)
    await harness.pool.query('UPDATE devices SET disabled = true WHERE id = $1', [id])
    // The registry hears of it by NOTIFY: what the device sends is refused when it has.
    await expect
      .poll(async () => {
        device.send(gt06Login(imei))
        return (await harness.quarantined(imei)).length
      })
      .toBe(1)
    const kept = await give(id, 'engineStop')
    const other = newImei()
    const enabled = await harness.register(other)
    const sent = await give(enabled, 'engineStop')
    await gt06(other)
    await expect.poll(() => stateOf(sent)).toBe('sent')
    expect(await stateOf(kept)).toBe('queued')
  })
})

describe('a command to a device that is away', () => {
  test('waits, and goes with all others in their order when it logs in', async () => {
    const imei = newImei()
    const id = await harness.register(imei)
    const ids: number[] = []
    for (let i = 0; i < 40; i++)
      ids.push(await give(id, 'custom', { data: `CMD,${String(i).padStart(2, '0')}#` }))
    await expect.poll(() => harness.metric('fleetflow_commands_queued')).toBeGreaterThan(39)
    const device = await gt06(imei)
    const received = Buffer.from(await device.reply(40 * 22), 'hex').toString('latin1')
    expect(received.match(/CMD,\d\d/g)).toEqual(ids.map((_, i) => `CMD,${String(i).padStart(2, '0')}`))
    expect(await Promise.all(ids.map(async (one) => (await command(one)).serial))).toEqual(
      ids.map((_, i) => i),
    )
  })

  test('expires, and is not sent any more, also before anyone has noticed', async () => {
    const imei = newImei()
    const id = await harness.register(imei)
    const expired = await give(id, 'engineStop', {}, -1)
    const fine = await give(id, 'custom', { data: 'STATUS#' })
    const device = await gt06(imei)
    expect(Buffer.from(await device.reply(22), 'hex').toString()).toContain('STATUS#')
    expect(await stateOf(fine)).toBe('sent')
    await expect.poll(() => stateOf(expired)).toBe('expired')
    expect(await counted('expired')).toBeGreaterThan(0)
  })
})

describe('a command over UDP', () => {
  let udp: UdpSocket
  const received: string[] = []

  beforeAll(async () => {
    udp = createSocket('udp4')
    udp.on('message', (bytes) => received.push(String(bytes)))
    udp.bind(0, '127.0.0.1')
    await once(udp, 'listening')
  })
  afterAll(() => udp.close())

  const heartbeat = (device: string) =>
    udp.send(`*HQ,${device},V0#`, harness.portOf('h02', 'udp'), '127.0.0.1')
  const stops = () => received.filter((text) => text.includes('S20')).length

  test('follows the datagram that it waited for, and goes to its address for a while', async () => {
    const id = await harness.register('9170012345')
    const waited = await give(id, 'engineStop')
    heartbeat('9170012345')
    await expect.poll(stops).toBe(1)
    expect(await stateOf(waited)).toBe('sent')
    const soon = await give(id, 'engineStop')
    await expect.poll(stops).toBe(2)
    expect(await command(soon)).toMatchObject({ state: 'sent', serial: 1 })
  })

  test('waits for the next datagram when the last is long ago', async () => {
    const id = await harness.register('9170012346')
    heartbeat('9170012346')
    await expect.poll(() => received.filter((text) => text.includes('9170012346')).length).toBe(1)
    const met = () => harness.metric('fleetflow_limits_total', { limit: 'datagramReturnMs' })
    await expect
      .poll(async () => {
        // The way back is open for 300 ms: some command comes after it.
        await give(id, 'engineStop')
        return met()
      })
      .toBeGreaterThan(0)
    const before = stops()
    const last = await give(id, 'engineStop')
    expect(await stateOf(last)).toBe('queued')
    heartbeat('9170012346')
    await expect.poll(stops).toBeGreaterThan(before)
    await expect.poll(() => stateOf(last)).toBe('sent')
  })
})
