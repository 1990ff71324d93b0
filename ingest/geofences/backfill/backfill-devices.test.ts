import { afterAll, beforeAll, expect, test } from 'vitest'
import { batchOf, EvaluationFixture, START_MS, square } from '../../../test/evaluation-fixture.ts'
import { newOwner } from '../geofence-store.ts'
import { loadDevices } from '../geofence-store-devices.ts'
import { StoredHistory } from '../geofence-store-history.ts'
import { DevicesBackfill } from './backfill-devices.ts'
import { BackfillFence } from './backfill-fence.ts'

const DEVICES = 30

let fixture: EvaluationFixture

beforeAll(async () => {
  fixture = await EvaluationFixture.start()
}, 30_000)
afterAll(() => fixture.stop())

test('a backfill ends although its devices are claimed back all the time', async () => {
  const organizationId = await fixture.organization()
  const devices = await fixture.devices(organizationId, DEVICES)
  const { writer } = fixture.shard()
  await writer.write(
    batchOf(devices.flatMap((device) => [0.5, 2].map((longitudeDeg, s) => ({ device, s, longitudeDeg })))),
  )
  const id = await fixture.fence(organizationId, square(0))
  const client = await fixture.pool.connect()
  const rival = await fixture.pool.connect()
  const done: number[] = []
  const owner = await newOwner(rival)
  let isOver = false
  const claiming = (async () => {
    while (!isOver) await loadDevices(rival, owner, devices, { fixes: 1, seconds: 0 })
  })()
  try {
    const backfill = new DevicesBackfill({
      client,
      owner: await newOwner(client),
      fence: await BackfillFence.read(client, id),
      span: { fromMs: START_MS, toMs: START_MS + 60_000 },
      history: (device) => new StoredHistory(client, device),
      onDone: (device) => done.push(device),
    })
    await backfill.run(devices.map((device) => ({ device, organizationId, groups: [] })))
  } finally {
    isOver = true
    await claiming
    client.release()
    rival.release()
  }
  expect(done.toSorted((a, b) => a - b)).toEqual(devices)
  expect(await fixture.currentEvents()).toHaveLength(2 * DEVICES)
}, 60_000)
