/** Stopping, whatever state the database is in: in bounded time, with nothing acknowledged that is not stored. */
import type { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Shard } from '../ingest/shards/shard.ts'
import { takeAway } from './database.ts'
import { type Device, IngestHarness, login, packet } from './ingest-harness.ts'

const IMEI = '356307042441013'
const STOP_TIMEOUT_MS = 1_000

let harness: IngestHarness
let id: number
let device: Device

beforeEach(async () => {
  harness = await IngestHarness.start({ limits: { stopTimeoutMs: STOP_TIMEOUT_MS }, ackAfter: 'database' })
  id = await harness.register(IMEI)
  device = harness.device(harness.portOf('teltonika'))
  device.send(login(IMEI))
  expect(await device.reply(1)).toBe('01')
  await expect.poll(() => harness.metric('fleetflow_shard_database_up')).toBe(2)
}, 30_000)
afterEach(() => harness.stop())

const received = () => harness.metric('fleetflow_positions_received_total')

test('stores what was taken', async () => {
  for (let i = 0; i < 50; i++) device.send(packet(50, Date.now() - i * 60_000))
  await expect.poll(received).toBeGreaterThan(0)
  await harness.ingest.close()
  await device.closed()
  expect(await harness.storedOf(id)).toBe(await received())
})

test('does not wait for a database that does not answer', async () => {
  const lock = await harness.pool.connect()
  await lock.query('BEGIN; LOCK positions')
  for (let i = 0; i < 4; i++) {
    device.send(packet(10, Date.now() - i * 60_000))
    await expect.poll(received).toBe(10 * (i + 1))
  }
  const startMs = performance.now()
  await harness.ingest.close()
  expect(performance.now() - startMs).toBeLessThan(3 * STOP_TIMEOUT_MS)
  await device.closed()
  expect(device.silent).toBe(true)
  expect(await harness.metric('fleetflow_limits_total', { limit: 'stopTimeoutMs' })).toBe(1)
  await lock.query('ROLLBACK')
  lock.release()
})

test('does not wait for a database that is away', async () => {
  const giveBack = await takeAway(harness.databaseUrl)
  await expect.poll(() => harness.metric('fleetflow_shard_database_up')).toBe(0)
  device.send(packet(4, Date.now()))
  await expect.poll(received).toBe(4)
  const startMs = performance.now()
  await harness.ingest.close()
  expect(performance.now() - startMs).toBeLessThan(3 * STOP_TIMEOUT_MS)
  expect(device.silent).toBe(true)
  await giveBack()
  expect(await harness.storedOf(id)).toBe(0)
})

test('a shard whose thread ends is noticed, once and not when it is stopped', async () => {
  const failures: string[] = []
  const ignore = () => undefined
  const options = {
    index: 0,
    shards: 1,
    databaseUrl: harness.databaseUrl,
    livePort: undefined,
    journal: { folder: '/nowhere', keepMs: 0, keepBytes: 0, segmentBytes: 8 * 1024 * 1024 },
    decoders: new Map(),
    geofenceDevicesMax: 1,
  }
  const shard = new Shard(
    options,
    { gatherMs: 0, spillAfterMs: 200 },
    {
      onStored: ignore,
      onRefused: ignore,
      onDamage: ignore,
      onDatabase: ignore,
      onRoom: ignore,
      onBehind: ignore,
      onFailure: ({ message }) => failures.push(message),
    },
  )
  await (shard as unknown as { worker: Worker }).worker.terminate()
  expect(failures).toEqual(['the thread of shard 0 ended'])
  expect(await shard.stop(STOP_TIMEOUT_MS)).toBe(true)
  expect(failures).toHaveLength(1)
})
