import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import {
  batchOf,
  type DrivenFix,
  EvaluationFixture,
  type ShardWriter,
  START_MS,
  square,
  writeFixes,
} from '../../../test/evaluation-fixture.ts'
import { LossyWay } from '../../../test/lossy-way.ts'
import { PositionWriter } from '../../shards/writer.ts'

let fixture: EvaluationFixture
let device: number
let fence: number
let shard: ShardWriter

beforeAll(async () => {
  fixture = await EvaluationFixture.start()
}, 30_000)
afterAll(() => fixture.stop())
beforeEach(async () => {
  const organization = await fixture.organization()
  ;[device] = (await fixture.devices(organization)) as [number]
  fence = await fixture.fence(organization, square(0), { dwellS: 60 })
  shard = fixture.shard()
})
afterEach(() => fixture.closeShards())

const OUTSIDE = 2
const INSIDE = 0.5

const at = (s: number, longitudeDeg: number): DrivenFix => ({ device, s, longitudeDeg })
const write = (fixes: readonly DrivenFix[], { writer } = shard) => writeFixes(writer, batchOf(fixes))
const current = async () => (await fixture.currentEvents([device])).map(({ type, s }) => `${type} ${s}`)
const stored = () => fixture.count('positions WHERE device_id = $1', [device])

test('a device that comes to another process is the same there, and when it comes back', async () => {
  const other = fixture.shard()
  await write([at(0, OUTSIDE), at(10, INSIDE)])
  expect((await write([at(20, INSIDE)], other)).events).toEqual([])
  expect((await write([at(30, OUTSIDE)], shard)).events).toMatchObject([{ type: 'exit' }])
  expect((await write([at(40, INSIDE)], other)).events).toMatchObject([{ type: 'enter' }])
  expect(await current()).toEqual(['enter 10', 'exit 30', 'enter 40'])
})

test('two processes that get the same positions at once store and tell them once', async () => {
  const other = fixture.shard()
  for (let i = 0; i < 20; i++) {
    const fixes = [at(20 * i, OUTSIDE), at(20 * i + 10, INSIDE)]
    const written = await Promise.all([write(fixes), write(fixes, other)])
    expect(written.flatMap(({ events }) => events.filter(({ type }) => type === 'enter'))).toHaveLength(1)
  }
  expect(await current()).toHaveLength(39)
  expect(await stored()).toBe(40)
})

test('what a timer said too early is taken back', async () => {
  await write([at(0, OUTSIDE), at(10, INSIDE)])
  await fixture.pool.query(
    `WITH fired AS (UPDATE geofence_visits SET fired_at = due_at, due_at = NULL
       WHERE device_id = $1 RETURNING *)
     INSERT INTO events (device_id, event_time, geofence_id, geofence_version, type, organization_id)
     SELECT device_id, fired_at, $2, 1, 'dwell', organization_id FROM fired JOIN geofences ON id = geofence_id`,
    [device, fence],
  )
  expect(await current()).toEqual(['enter 10', 'dwell 70'])
  const { events } = await write([at(40, OUTSIDE)])
  expect(events).toMatchObject([{ type: 'exit' }, { type: 'dwell', retracted: true }])
  expect(await current()).toEqual(['enter 10', 'exit 40'])
})

test('a commit whose answer is lost is not told twice', async () => {
  const proxy = await LossyWay.before(fixture.url)
  const behind = fixture.shard({ url: proxy.url, answerTimeoutMs: 1_000 })
  await write([at(0, OUTSIDE)], behind)
  proxy.loseNextAnswer()
  await write([at(10, INSIDE)], behind)
  await write([at(20, INSIDE), at(30, OUTSIDE)], behind)
  expect(proxy.lost).toBe(1)
  expect(await current()).toEqual(['enter 10', 'exit 30'])
  await behind.writer.close()
  await proxy.close()
})

test('a commit whose answer is lost with a reset connection is known to who goes on', async () => {
  const organization = await fixture.organization()
  ;[device] = (await fixture.devices(organization)) as [number]
  await fixture.fence(organization, square(0), { debounceFixes: 3 })
  const proxy = await LossyWay.before(fixture.url)
  const behind = fixture.shard({ url: proxy.url, answerTimeoutMs: 1_000 })
  await write([at(0, OUTSIDE)], behind)
  proxy.loseNextAnswer('reset')
  await write([at(10, INSIDE)], behind)
  await write([at(20, INSIDE), at(30, INSIDE)], behind)
  expect(proxy.lost).toBe(1)
  expect(await current()).toEqual(['enter 10'])
  await behind.writer.close()
  await proxy.close()
})

test('positions that turn out to be stored are known to who goes on', async () => {
  const organization = await fixture.organization()
  ;[device] = (await fixture.devices(organization)) as [number]
  await fixture.fence(organization, square(0), { debounceFixes: 3 })
  await write([at(0, OUTSIDE)])
  // As by a commit that was taken for lost, and got through later.
  const alone = new PositionWriter(fixture.url, 'evaluation test', { onDatabase() {} })
  await alone.write(batchOf([at(10, INSIDE)]))
  await alone.close()
  await write([at(10, INSIDE)])
  await write([at(20, INSIDE), at(30, INSIDE)])
  expect(await current()).toEqual(['enter 10'])
})

test('visits are evaluated also while the clock is behind that of the timers', async () => {
  const insideBy = { time: '12:00', days: [1, 2, 3, 4, 5, 6, 7] }
  const organization = await fixture.organization()
  ;[device] = (await fixture.devices(organization)) as [number]
  fence = await fixture.fence(organization, square(0), { insideBy })
  await write([at(0, OUTSIDE), at(10, INSIDE)])
  await fixture.pool.query(
    `UPDATE geofence_instants SET fired_at = now() + interval '1 minute' WHERE geofence_id = $1`,
    [fence],
  )
  await write([at(20, OUTSIDE), at(30, INSIDE), at(40, OUTSIDE)])
  // By the time of the positions, noon was to come; by that of the database, it has passed.
  const shown = (await current()).filter((event) => !event.startsWith('missing'))
  expect(shown).toEqual(['enter 10', 'exit 20', 'enter 30', 'exit 40'])
  expect(shard.evaluator.takeFigures()).toMatchObject({ failures: 0 })
})

test('positions are stored also where their events cannot be, and those after them are evaluated again', async () => {
  await write([at(0, OUTSIDE)])
  await fixture.pool.query('ALTER FUNCTION geofence_apply RENAME TO geofence_apply_away')
  expect(await write([at(10, INSIDE)])).toMatchObject({ rows: 1, refused: [], events: [] })
  await fixture.pool.query('ALTER FUNCTION geofence_apply_away RENAME TO geofence_apply')
  expect(await stored()).toBe(2)
  const { failures, failure } = shard.evaluator.takeFigures()!
  expect(failures).toBe(1)
  expect(failure).toContain('geofence_apply')
  await write([at(20, OUTSIDE), at(30, INSIDE)])
  expect(await current()).toContain('enter 30')
})

test('positions are stored also where the state of their device cannot be read', async () => {
  // Such errors are those of a row that the database refuses, where COPY has them.
  await fixture.pool.query(`
    ALTER FUNCTION geofence_devices RENAME TO geofence_devices_away;
    CREATE FUNCTION geofence_devices(integer[], integer, integer) RETURNS TABLE (device integer)
      LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$`)
  expect(await write([at(0, OUTSIDE), at(10, INSIDE)])).toMatchObject({ rows: 2, refused: [], events: [] })
  await fixture.pool.query(`
    DROP FUNCTION geofence_devices; ALTER FUNCTION geofence_devices_away RENAME TO geofence_devices`)
  expect(await stored()).toBe(2)
  expect(shard.evaluator.takeFigures()).toMatchObject({ failures: 1, failure: 'P0001: broken' })
  await write([at(20, OUTSIDE), at(30, INSIDE)])
  expect(await current()).toContain('enter 30')
})

test('an event that is there already is evaluated anew', async () => {
  await write([at(0, OUTSIDE)])
  await fixture.pool.query(
    `INSERT INTO events (device_id, event_time, geofence_id, geofence_version, type, superseded)
     VALUES ($1, to_timestamp($3), $2, 1, 'enter', true)`,
    [device, fence, START_MS / 1000 + 10],
  )
  expect((await write([at(10, INSIDE)])).events).toMatchObject([{ type: 'enter', revision: 1 }])
  expect(await current()).toEqual(['enter 10'])
})
