import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import {
  batchOf,
  type DrivenFix,
  EvaluationFixture,
  type ShardWriter,
  START_MS,
  square,
} from '../../../test/evaluation-fixture.ts'

let fixture: EvaluationFixture
let organization: number
let device: number
let shard: ShardWriter

beforeAll(async () => {
  fixture = await EvaluationFixture.start()
}, 30_000)
afterAll(() => fixture.stop())
beforeEach(async () => {
  organization = await fixture.organization()
  ;[device] = (await fixture.devices(organization)) as [number]
  shard = fixture.shard()
})
afterEach(() => fixture.closeShards())

const OUTSIDE = 2
const INSIDE = 0.5

const at = (s: number, longitudeDeg: number): DrivenFix => ({ device, s, longitudeDeg })
const write = (...fixes: DrivenFix[]) => shard.writer.write(batchOf(fixes))
const current = async () => (await fixture.currentEvents([device])).map(({ type, s }) => `${type} ${s}`)
const visits = async () =>
  (
    await fixture.pool.query<{ entered: number; open: boolean }>(
      `SELECT (extract(epoch FROM entered_at) - $2)::double precision AS entered, exited_at IS NULL AS open
       FROM geofence_visits WHERE device_id = $1 ORDER BY 1`,
      [device, START_MS / 1000],
    )
  ).rows

test('a geofence that was disabled for a while is entered anew, also by a device that was silent meanwhile', async () => {
  const fence = await fixture.fence(organization, square(0))
  await fixture.fence(organization, square(20))
  await write(at(0, OUTSIDE), at(10, INSIDE))
  await fixture.edit(fence, { disabled: true })
  await fixture.edit(fence, { disabled: false })
  await write(at(20, INSIDE), at(30, INSIDE))
  expect(await visits()).toMatchObject([{ entered: 10, open: false }, { open: true }])
  await write(at(40, OUTSIDE))
  expect((await visits()).filter(({ open }) => open)).toEqual([])
})

test('a dwell that was put off before it was due is not made by who leaves before it', async () => {
  const fence = await fixture.fence(organization, square(0), { dwellS: 600 })
  await write(at(0, OUTSIDE), at(10, INSIDE))
  // All of it was long ago: as if the edit had come before the timer.
  await fixture.edit(fence, { rule: { dwellS: 1200 } })
  await fixture.pool.query(
    `UPDATE geofence_visits SET due_at = entered_at + interval '1200 s' WHERE geofence_id = $1`,
    [fence],
  )
  await write(at(720, INSIDE), at(900, OUTSIDE))
  expect(await current()).toEqual(['enter 10', 'exit 900'])
})
