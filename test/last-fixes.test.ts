/** Where devices are now is known soon after their positions are stored, also what an engine left behind. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { nearestDevices } from '../storage/positions/nearby.ts'
import { withTenant } from '../storage/tenancy.ts'
import { IngestHarness } from './ingest-harness.ts'

const TIME_MS = Math.floor(Date.now() / 1000) * 1000 - 3600_000

let harness: IngestHarness

beforeAll(async () => {
  harness = await IngestHarness.start()
}, 30_000)
afterAll(() => harness.stop())

async function post(id: string, latitudes: readonly number[]): Promise<void> {
  const lines = latitudes.map((latitude, i) =>
    JSON.stringify({ id, fixTime: TIME_MS + i * 60_000, latitude, longitude: -97.74, speed: 30 }),
  )
  const answer = await fetch(`http://127.0.0.1:${harness.portOf('json-lines', 'http')}/v1/positions`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: lines.join('\n'),
  })
  expect(answer.ok).toBe(true)
}

function nearest(): Promise<[number, number][]> {
  const tenant = { userId: 1, organizationId: harness.organizationId, role: 'viewer' } as const
  return withTenant(harness.pool, tenant, async (client) => {
    const place = { latitudeDeg: 30, longitudeDeg: -97.74, maxDistanceM: undefined, limit: 10 }
    return (await nearestDevices(client, place)).map(({ device, latitude }) => [device, latitude])
  })
}

test('devices are where their last positions are', async () => {
  const first = await harness.register('first')
  const second = await harness.register('second')
  await post('first', [30.05, 30.04])
  await post('second', [30.02, 30.03])
  await expect.poll(nearest).toEqual([
    [second, 30.03],
    [first, 30.04],
  ])
  await post('second', [30.02, 30.03, 30.045])
  await expect.poll(nearest).toEqual([
    [first, 30.04],
    [second, 30.045],
  ])
  // As one leaves it that is killed, and as it is in a database of before.
  await harness.pool.query('DELETE FROM last_fixes WHERE device_id = $1', [first])
  await harness.pool.query("UPDATE last_fixes SET latitude = 0, fix_time = fix_time - interval '1 hour'")
  const next = await harness.another()
  await expect.poll(nearest).toEqual([
    [first, 30.04],
    [second, 30.045],
  ])
  await next.close()
})
