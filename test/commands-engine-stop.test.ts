/** An engineStop on its way out: it never reaches a vehicle whose last position says that it moves. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { commandRow, positionAt, queue } from './command-fixture.ts'
import { type Device, IngestHarness, login } from './ingest-harness.ts'

/** Bytes of `setdigout 1` and `setdigout 0`. */
const BYTES = 31

let harness: IngestHarness
let imeis = 356307042460000
let imei: string
let id: number
let timeMs: number

beforeAll(async () => {
  harness = await IngestHarness.start()
}, 30_000)
beforeEach(async () => {
  imei = String(++imeis)
  id = await harness.register(imei)
  timeMs = Date.now() - 30_000
})
afterEach(() => harness.hangUp())
afterAll(() => harness.stop())

const stateOf = async (command: number) => (await commandRow(harness.pool, command)).state
const text = async (device: Device) => Buffer.from(await device.reply(BYTES), 'hex').toString('latin1')

async function connected(ingest = harness.ingest): Promise<Device> {
  const device = harness.device(harness.portOf('teltonika', 'tcp', ingest))
  device.send(login(imei))
  expect(await device.reply(1)).toBe('01')
  return device
}

/** Reports a position, and waits until it is stored. */
async function report(device: Device, speedKmh: number): Promise<void> {
  const stored = await harness.storedOf(id)
  timeMs += 1_000
  device.send(positionAt(timeMs, speedKmh))
  expect(await device.reply(4)).toBe('00000001')
  await expect.poll(() => harness.storedOf(id)).toBe(stored + 1)
}

/** Another device, which is connected. */
async function another(): Promise<{ readonly id: number; readonly device: Device }> {
  imei = String(++imeis)
  return { id: await harness.register(imei), device: await connected() }
}

test('is sent to a device that never reported a position', async () => {
  const device = await connected()
  const stop = await queue(harness, id, 'engineStop')
  expect(await text(device)).toContain('setdigout 1')
  expect(await stateOf(stop)).toBe('sent')
})

test('fails while the vehicle moves, is recorded, and is sent when it stands', async () => {
  const device = await connected()
  await report(device, 36)
  const stop = await queue(harness, id, 'engineStop')
  await expect.poll(() => stateOf(stop)).toBe('failed')
  expect(await commandRow(harness.pool, stop)).toMatchObject({
    sent_at: null,
    serial: null,
    failure:
      'vehicle-moving: the vehicle moved at 36.0 km/h when the command could be sent; 5 km/h are allowed',
  })
  const { rows } = await harness.pool.query('SELECT * FROM audit_events WHERE subject = $1', [`device ${id}`])
  expect(rows).toEqual([
    expect.objectContaining({
      organization_id: harness.organizationId,
      user_id: null,
      action: 'command-failed',
      details: { command: stop, type: 'engineStop', code: 'vehicle-moving', speedKmh: 36, speedKmhMax: 5 },
    }),
  ])
  expect(device.silent).toBe(true)
  await report(device, 5)
  const sent = await queue(harness, id, 'engineStop')
  expect(await text(device)).toContain('setdigout 1')
  expect(await stateOf(sent)).toBe('sent')
})

test('that waited while the device was away does not go by where it stood then', async () => {
  const before = await connected()
  await report(before, 0)
  before.socket.destroy()
  await before.closed()
  const first = await queue(harness, id, 'custom', { data: 'setdigout 9' })
  const stop = await queue(harness, id, 'engineStop')
  const resume = await queue(harness, id, 'engineResume')
  const device = await connected()
  // What is before it goes; what is behind it keeps its place.
  expect(await text(device)).toContain('setdigout 9')
  expect(await stateOf(first)).toBe('sent')
  expect([await stateOf(stop), await stateOf(resume)]).toEqual(['queued', 'queued'])
  await report(device, 36)
  expect(await text(device)).toContain('setdigout 0')
  expect([await stateOf(stop), await stateOf(resume)]).toEqual(['failed', 'sent'])
})

test('that waited goes with the first position that says that the vehicle stands', async () => {
  const before = await connected()
  await report(before, 36)
  before.socket.destroy()
  await before.closed()
  const stop = await queue(harness, id, 'engineStop')
  const device = await connected()
  await report(device, 0)
  expect(await text(device)).toContain('setdigout 1')
  expect(await stateOf(stop)).toBe('sent')
})

test('goes by the last position from before when none comes for long', async () => {
  const device = await connected()
  await report(device, 0)
  harness.hangUp()
  const stop = await queue(harness, id, 'engineStop')
  const other = await harness.another({ limits: { engineStopWaitMs: 1 } })
  try {
    expect(await text(await connected(other))).toContain('setdigout 1')
    expect(await stateOf(stop)).toBe('sent')
  } finally {
    await other.close()
  }
})

test('waits for positions that were received and are not stored yet', async () => {
  const device = await connected()
  await report(device, 0)
  const blocker = await harness.pool.connect()
  try {
    await blocker.query('BEGIN; LOCK TABLE positions IN SHARE MODE')
    device.send(positionAt(timeMs + 1_000, 36))
    expect(await device.reply(4)).toBe('00000001')
    const stop = await queue(harness, id, 'engineStop')
    const custom = await queue(harness, (await another()).id, 'custom', { data: 'setdigout 9' })
    // Claims go on: that of another device, which came after it, is through.
    await expect.poll(() => stateOf(custom)).toBe('sent')
    expect(await stateOf(stop)).toBe('queued')
    await blocker.query('COMMIT')
    await expect.poll(() => stateOf(stop)).toBe('failed')
  } finally {
    blocker.release()
  }
})

test('takes no older fix for one of now because it was sent after the return', async () => {
  const device = await connected()
  const stored = await harness.storedOf(id)
  device.send(positionAt(Date.now() - 3_600_000, 0))
  expect(await device.reply(4)).toBe('00000001')
  await expect.poll(() => harness.storedOf(id)).toBe(stored + 1)
  const stop = await queue(harness, id, 'engineStop')
  const custom = await queue(harness, (await another()).id, 'custom', { data: 'setdigout 9' })
  await expect.poll(() => stateOf(custom)).toBe('sent')
  expect(await stateOf(stop)).toBe('queued')
  device.send(positionAt(Date.now(), 36))
  await expect.poll(() => stateOf(stop)).toBe('failed')
})

test('goes by what is reported since a clock that was ahead was set', async () => {
  const device = await connected()
  timeMs = Date.now() + 3_600_000
  await report(device, 0)
  timeMs = Date.now() - 2_000
  await report(device, 36)
  const stop = await queue(harness, id, 'engineStop')
  await expect.poll(() => stateOf(stop)).toBe('failed')
})
