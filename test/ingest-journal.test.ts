/** A reply means durable, whatever becomes of the database; what is in the journal gets into the database, once. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import mqtt from 'mqtt'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { crc16Ibm } from '../device-adapters/checksums.ts'
import { takeAway } from './database.ts'
import { type Device, IngestHarness, login, packet } from './ingest-harness.ts'

const IMEI = '356307042441013'
const OTHER = '356307042441014'
const START_MS = Date.now() - 3_600_000

let harness: IngestHarness
let id: number
let device: Device

beforeEach(async () => {
  harness = await IngestHarness.start({ limits: { spillAfterMs: 50 } })
  id = await harness.register(IMEI)
  device = await connected(IMEI)
}, 30_000)
afterEach(() => harness.stop())

async function connected(imei: string): Promise<Device> {
  const device = harness.device(harness.portOf('teltonika'))
  device.send(login(imei))
  expect(await device.reply(1)).toBe('01')
  return device
}

/** The database takes no positions, and shows them, until the answer is called. */
async function lockPositions(): Promise<() => Promise<void>> {
  const lock = await harness.pool.connect()
  await lock.query('BEGIN; LOCK positions IN EXCLUSIVE MODE')
  return async () => {
    await lock.query('COMMIT')
    lock.release()
  }
}

const lagRecords = () => harness.metric('fleetflow_journal_lag_records')
const behind = () => harness.metric('fleetflow_shard_behind')

test('a reply does not wait for the database', async () => {
  const unlock = await lockPositions()
  device.send(packet(10, START_MS))
  expect(await device.reply(4)).toBe('0000000a')
  expect(await harness.storedOf(id)).toBe(0)
  expect(await lagRecords()).toBe(1)
  await unlock()
  await expect.poll(() => harness.storedOf(id)).toBe(10)
  await expect.poll(lagRecords).toBe(0)
})

test('replies go on for any number of frames while the database takes none, and all are stored afterwards', async () => {
  const unlock = await lockPositions()
  const packets = 400
  for (let i = 0; i < packets; i++) device.send(packet(100, START_MS + i * 100_000))
  for (let i = 0; i < packets; i++) expect(await device.reply(4)).toBe('00000064')
  expect(await behind()).toBe(1)
  expect(await lagRecords()).toBe(packets)
  expect(await harness.metric('fleetflow_journal_lag_seconds')).toBeGreaterThan(0)
  await unlock()
  await expect.poll(() => harness.storedOf(id)).toBe(packets * 100)
  await expect.poll(lagRecords).toBe(0)
  expect(await behind()).toBe(0)
  expect(await harness.metric('fleetflow_positions_stored_total')).toBe(packets * 100)
})

test('the engine is degraded, and takes frames, while the database is away', async () => {
  expect(harness.ingest.readiness()).toEqual({ ok: true })
  const giveBack = await takeAway(harness.databaseUrl)
  await expect.poll(() => harness.ingest.readiness().degraded).toBe(true)
  expect(harness.ingest.readiness().ok).toBe(true)
  device.send(packet(3, START_MS))
  expect(await device.reply(4)).toBe('00000003')
  await giveBack()
  await expect.poll(() => harness.storedOf(id)).toBe(3)
  await expect.poll(() => harness.ingest.readiness()).toEqual({ ok: true })
})

test('what is not stored when the engine stops is stored by the next one', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fleetflow-journal-test-'))
  const first = await harness.another({ journalFolder: folder, limits: { stopTimeoutMs: 200 } })
  const sender = harness.device(harness.portOf('teltonika', 'tcp', first))
  sender.send(login(IMEI))
  expect(await sender.reply(1)).toBe('01')
  const unlock = await lockPositions()
  for (let i = 0; i < 20; i++) {
    sender.send(packet(10, START_MS + i * 10_000))
    expect(await sender.reply(4)).toBe('0000000a')
  }
  await first.close()
  await unlock()
  expect(await harness.storedOf(id)).toBe(0)
  const second = await harness.another({ journalFolder: folder })
  await expect.poll(() => harness.storedOf(id)).toBe(200)
  await second.close()
  const third = await harness.another({ journalFolder: folder })
  await third.close()
  expect(await harness.storedOf(id)).toBe(200)
  await rm(folder, { recursive: true })
})

test('what is not stored is kept also by a start that fails', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fleetflow-journal-test-'))
  const first = await harness.another({ journalFolder: folder, limits: { stopTimeoutMs: 200 } })
  const sender = harness.device(harness.portOf('teltonika', 'tcp', first))
  sender.send(login(IMEI))
  expect(await sender.reply(1)).toBe('01')
  const unlock = await lockPositions()
  sender.send(packet(10, START_MS))
  expect(await sender.reply(4)).toBe('0000000a')
  await first.close()
  await harness.pool.query('ALTER TABLE devices RENAME TO devices_away')
  await expect(harness.another({ journalFolder: folder, limits: { stopTimeoutMs: 200 } })).rejects.toThrow(
    'devices',
  )
  await harness.pool.query('ALTER TABLE devices_away RENAME TO devices')
  await unlock()
  expect(await harness.storedOf(id)).toBe(0)
  const second = await harness.another({ journalFolder: folder })
  await expect.poll(() => harness.storedOf(id)).toBe(10)
  await second.close()
  await rm(folder, { recursive: true })
})

test('what comes while a backlog is drained is stored before it ends', async () => {
  const unlock = await lockPositions()
  const other = await harness.register(OTHER)
  const fresh = await connected(OTHER)
  for (let i = 0; i < 600; i++) device.send(packet(200, START_MS + i * 200_000))
  for (let i = 0; i < 600; i++) await device.reply(4)
  await unlock()
  await expect.poll(behind).toBe(0)
  fresh.send(packet(1, START_MS))
  await expect.poll(() => harness.storedOf(other)).toBe(1)
  await expect.poll(() => harness.storedOf(id)).toBe(120_000)
})

test('a position that the database refuses is in the quarantine with its frame, and its neighbours are stored', async () => {
  await harness.pool.query('ALTER TABLE positions ADD CONSTRAINT upright CHECK (altitude_m < 1000)')
  const other = await harness.register(OTHER)
  const poisoned = packet(3, START_MS)
  const neighbour = await connected(OTHER)
  neighbour.send(packet(5, START_MS))
  device.send(withAltitude(poisoned, 1, 2_000))
  expect(await device.reply(4)).toBe('00000003')
  await expect.poll(() => harness.storedOf(id)).toBe(2)
  await expect.poll(() => harness.storedOf(other)).toBe(5)
  const refused = () => harness.metric('fleetflow_positions_refused_total', { code: '23514' })
  await expect.poll(refused).toBe(1)
  await expect.poll(() => harness.quarantined(IMEI)).toHaveLength(1)
  const [row] = await harness.quarantined(IMEI)
  expect(row).toMatchObject({ protocol: 'teltonika', reason: 'refused: 23514' })
  expect((row!.last_frame as Buffer).equals(withAltitude(poisoned, 1, 2_000))).toBe(true)
  await expect.poll(lagRecords).toBe(0)
})

test('messages and requests are answered by the journal, too', async () => {
  const unlock = await lockPositions()
  await harness.register('tram')
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${harness.portOf('mqtt', 'mqtt')}`, {
    protocolVersion: 4,
    clientId: 'tram',
    reconnectPeriod: 0,
  })
  const fix = { fixTime: new Date(START_MS).toISOString(), latitude: 30.27, longitude: -97.74 }
  await client.publishAsync('devices/tram/positions', JSON.stringify(fix), { qos: 1 })
  await client.endAsync()
  const request = `http://127.0.0.1:${harness.portOf('osmand', 'http')}/?id=tram&lat=30.27&lon=-97.74`
  expect((await fetch(`${request}&timestamp=${Math.floor(START_MS / 1000) + 60}`)).status).toBe(200)
  expect(await harness.count('SELECT count(*) FROM devices WHERE unique_id = $1', ['tram'])).toBe(1)
  expect(await lagRecords()).toBe(2)
  await unlock()
  await expect.poll(() => harness.count('SELECT count(*) FROM positions')).toBe(2)
})

/** The packet with another altitude, m, of its record, and a right checksum. */
function withAltitude(bytes: Buffer, record: number, altitudeM: number): Buffer {
  const changed = Buffer.from(bytes)
  changed.writeInt16BE(altitudeM, 10 + record * 30 + 17)
  changed.writeUInt32BE(crc16Ibm(changed, 8, changed.length - 4), changed.length - 4)
  return changed
}

test('a clock that jumps costs no frame, and none is stored twice after a restart', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fleetflow-journal-test-'))
  const first = await harness.another({ journalFolder: folder, limits: { stopTimeoutMs: 200 } })
  const sender = harness.device(harness.portOf('teltonika', 'tcp', first))
  sender.send(login(IMEI))
  expect(await sender.reply(1)).toBe('01')
  const unlock = await lockPositions()
  const clock = vi.spyOn(Date, 'now')
  const nowMs = performance.timeOrigin + performance.now()
  for (const [i, jumpMs] of [0, -3_600_000, 86_400_000, -40 * 86_400_000, 0].entries()) {
    clock.mockReturnValue(nowMs + jumpMs)
    sender.send(packet(2, START_MS + i * 10_000))
    expect(await sender.reply(4)).toBe('00000002')
  }
  await first.close()
  await unlock()
  clock.mockReturnValue(nowMs - 86_400_000)
  const second = await harness.another({ journalFolder: folder })
  await expect.poll(() => harness.storedOf(id)).toBe(10)
  await second.close()
  clock.mockRestore()
  const third = await harness.another({ journalFolder: folder })
  await third.close()
  expect(await harness.storedOf(id)).toBe(10)
  await rm(folder, { recursive: true })
})
