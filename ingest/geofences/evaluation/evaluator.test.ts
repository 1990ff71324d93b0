import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  batchOf,
  type DrivenFix,
  EvaluationFixture,
  type ShardWriter,
  START_MS,
  square,
  writeFixes,
} from '../../../test/evaluation-fixture.ts'

let fixture: EvaluationFixture
let organization: number
let device: number
let fence: number
let shard: ShardWriter

beforeAll(async () => {
  fixture = await EvaluationFixture.start()
}, 30_000)
afterAll(() => fixture.stop())
beforeEach(async () => {
  organization = await fixture.organization()
  ;[device] = (await fixture.devices(organization)) as [number]
  fence = await fixture.fence(organization, square(0))
  shard = fixture.shard()
})
afterEach(() => fixture.closeShards())

const OUTSIDE = 2
const INSIDE = 0.5

const at = (s: number, longitudeDeg: number, more: Partial<DrivenFix> = {}): DrivenFix => ({
  device,
  s,
  longitudeDeg,
  ...more,
})
const write = (fixes: readonly DrivenFix[], { writer } = shard) => writeFixes(writer, batchOf(fixes))
const current = async (of = device) =>
  (await fixture.currentEvents([of])).map(({ type, s }) => `${type} ${s}`)
const visits = async () =>
  (
    await fixture.pool.query<{ entered: number; exited: number | null }>(
      `SELECT (extract(epoch FROM entered_at) - $2)::double precision AS entered,
         (extract(epoch FROM exited_at) - $2)::double precision AS exited
       FROM geofence_visits WHERE device_id = $1 ORDER BY 1`,
      [device, START_MS / 1000],
    )
  ).rows

describe('what a batch changes', () => {
  test('is stored with it and given with its ids', async () => {
    const { rows, events } = await write([at(0, OUTSIDE), at(10, INSIDE, { speedKmh: 30 }), at(20, OUTSIDE)])
    expect(rows).toBe(3)
    expect(events).toMatchObject([
      { device, geofence: fence, organizationId: organization, type: 'enter', speed: 30, revision: 0 },
      { device, geofence: fence, organizationId: organization, type: 'exit', speed: null, revision: 0 },
    ])
    expect(events[0]!.id).toBeGreaterThan(0)
    expect(await current()).toEqual(['enter 10', 'exit 20'])
    expect(await visits()).toEqual([{ entered: 10, exited: 20 }])
  })

  test('goes on from batch to batch', async () => {
    await write([at(0, OUTSIDE), at(10, INSIDE)])
    expect((await write([at(20, INSIDE)])).events).toEqual([])
    expect((await write([at(30, OUTSIDE)])).events).toMatchObject([{ type: 'exit' }])
    expect(await current()).toEqual(['enter 10', 'exit 30'])
  })

  test('is that of doubtless rows', async () => {
    const batch = batchOf([at(0, OUTSIDE), at(10, INSIDE), at(20, OUTSIDE)])
    batch.quality[1]! |= 16
    expect((await writeFixes(shard.writer, batch)).events).toEqual([])
    expect(await fixture.count('positions WHERE device_id = $1', [device])).toBe(3)
  })

  test('is in the order of days, whatever else the batch holds', async () => {
    const [other] = await fixture.devices(organization)
    const day = 86_400
    await write([
      at(day, OUTSIDE),
      at(0, INSIDE),
      at(day + 10, INSIDE),
      at(10, INSIDE, { device: other! }),
      at(day + 20, OUTSIDE, { device: other! }),
    ])
    expect(await current()).toEqual(['enter 0', `exit ${day}`, `enter ${day + 10}`])
    expect(await current(other)).toEqual(['enter 10', `exit ${day + 20}`])
  })

  test('survives a row that the database refuses', async () => {
    const [refused] = await fixture.devices(organization)
    await fixture.pool.query(`
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.device_id = ${refused} THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON positions FOR EACH ROW EXECUTE FUNCTION refuse()`)
    const fixes = [at(0, OUTSIDE), at(10, INSIDE), at(5, INSIDE, { device: refused! }), at(20, OUTSIDE)]
    const written = await write(fixes)
    await fixture.pool.query('DROP FUNCTION refuse CASCADE')
    expect(written.refused).toMatchObject([{ row: 2 }])
    expect(written.events).toHaveLength(2)
    expect(await current()).toEqual(['enter 10', 'exit 20'])
    expect(await current(refused)).toEqual([])
  })
})

describe('organisations', () => {
  test('see nothing of the geofences of another one', async () => {
    const [foreign] = await fixture.devices(await fixture.organization())
    expect(
      (await write([at(0, OUTSIDE, { device: foreign! }), at(10, INSIDE, { device: foreign! })])).events,
    ).toEqual([])
    expect(await fixture.count('geofence_owners WHERE device_id = $1', [foreign])).toBe(0)
  })

  test('are looked at when they get their first geofence', async () => {
    const other = await fixture.organization()
    const [foreign] = await fixture.devices(other)
    await write([at(0, OUTSIDE, { device: foreign! })])
    await fixture.fence(other, square(0))
    await write([at(10, INSIDE, { device: foreign! })])
    expect(await current(foreign)).toEqual(['enter 10'])
  })

  test('keep what happened when a device leaves them', async () => {
    await write([at(0, INSIDE)])
    const other = await fixture.organization()
    const elsewhere = await fixture.fence(other, square(0))
    await fixture.pool.query('UPDATE devices SET organization_id = $1 WHERE id = $2', [other, device])
    shard.evaluator.forget([device])
    const { events } = await write([at(10, INSIDE)])
    expect(events).toMatchObject([{ geofence: elsewhere, organizationId: other, type: 'enter' }])
    expect(await visits()).toEqual([
      { entered: 0, exited: 10 },
      { entered: 10, exited: null },
    ])
  })

  test('end a visit without a word when the device leaves the group that is watched', async () => {
    const group = await fixture.insert("device_groups (organization_id, name) VALUES ($1, 'vans')", [
      organization,
    ])
    const fenceOfGroup = await fixture.fence(organization, square(10), { group })
    await fixture.pool.query(
      'INSERT INTO device_group_members (organization_id, group_id, device_id) VALUES ($1, $2, $3)',
      [organization, group, device],
    )
    await write([at(0, 10.5)])
    expect(await current()).toEqual(['enter 0'])
    await fixture.pool.query('DELETE FROM device_group_members WHERE device_id = $1', [device])
    shard.evaluator.forget([device])
    expect((await write([at(10, 10.5), at(20, OUTSIDE)])).events).toEqual([])
    expect(await visits()).toEqual([{ entered: 0, exited: 10 }])
    expect(await fixture.count('geofence_visits WHERE geofence_id = $1', [fenceOfGroup])).toBe(1)
  })
})

describe('rows that are stored already', () => {
  test('change nothing and cost no revision', async () => {
    const fixes = [at(0, OUTSIDE), at(10, INSIDE), at(20, OUTSIDE), at(30, INSIDE)]
    await write(fixes)
    shard.evaluator.takeFigures()
    for (let i = 0; i < 3; i++) {
      expect(await write(fixes)).toMatchObject({ rows: 4, duplicates: 4, events: [] })
    }
    expect(shard.evaluator.takeFigures()).toMatchObject({ revisions: 0 })
    expect(await current()).toEqual(['enter 10', 'exit 20', 'enter 30'])
  })

  test('may stand among new ones', async () => {
    await write([at(0, OUTSIDE), at(10, INSIDE)])
    const { duplicates, events } = await write([at(0, OUTSIDE), at(10, INSIDE), at(20, OUTSIDE)])
    expect(duplicates).toBe(2)
    expect(events).toMatchObject([{ type: 'exit' }])
  })

  test('are known as such by a process that has just started', async () => {
    const fixes = [at(0, OUTSIDE), at(10, INSIDE)]
    await write(fixes)
    const next = fixture.shard()
    expect((await write([...fixes, at(20, INSIDE)], next)).events).toEqual([])
    expect((await write([at(30, OUTSIDE)], next)).events).toMatchObject([{ type: 'exit' }])
    expect(await current()).toEqual(['enter 10', 'exit 30'])
  })
})

describe('late rows', () => {
  test('tell of what was not known', async () => {
    await write([at(0, OUTSIDE), at(30, OUTSIDE)])
    const { events } = await write([at(10, INSIDE), at(20, INSIDE)])
    expect(events).toMatchObject([
      { type: 'enter', revision: 0 },
      { type: 'exit', revision: 0 },
    ])
    expect(await current()).toEqual(['enter 10', 'exit 30'])
    expect(shard.evaluator.takeFigures()).toMatchObject({ revisions: 1 })
  })

  test('correct what was said', async () => {
    const { events: first } = await write([at(0, OUTSIDE), at(20, INSIDE), at(40, OUTSIDE)])
    const { events } = await write([at(10, INSIDE), at(50, OUTSIDE), at(60, INSIDE)])
    expect(events.find(({ replaces }) => replaces !== null)).toMatchObject({
      type: 'enter',
      replaces: first[0]!.id,
      revision: 1,
    })
    expect(await current()).toEqual(['enter 10', 'exit 40', 'enter 60'])
    const { events: undone } = await write([at(25, OUTSIDE), at(30, OUTSIDE), at(35, INSIDE)])
    expect(undone.length).toBeGreaterThan(0)
    expect(await current()).toEqual(['enter 10', 'exit 25', 'enter 35', 'exit 40', 'enter 60'])
  })

  test('of one time count once', async () => {
    await write([at(0, OUTSIDE), at(10, INSIDE, { digest: 5 })])
    await write([at(10, OUTSIDE, { digest: 9 })])
    expect(await current()).toEqual(['enter 10'])
    await write([at(10, OUTSIDE, { digest: 1 })])
    expect(await current()).toEqual([])
    expect(await fixture.count('positions WHERE device_id = $1', [device])).toBe(4)
  })
})

test('of fixes of one time the same one counts for a process that has just started', async () => {
  await fixture.fence(organization, square(10), { crossingGapS: 60 })
  const [west, east] = [9, 12]
  await write([at(0, west, { digest: 1 }), at(0, east, { digest: 9 })])
  expect((await write([at(10, west)], fixture.shard())).events).toEqual([])
  expect((await write([at(20, east)], fixture.shard())).events).toMatchObject([
    { type: 'enter', crossing: true },
    { type: 'exit', crossing: true },
  ])
})

test('memory holds no more devices than it may', async () => {
  const small = fixture.shard({ devicesMax: 10 })
  const devices = await fixture.devices(organization, 50)
  const drive = (s: number, longitudeDeg: number) =>
    Promise.all(devices.map((one) => write([at(s, longitudeDeg, { device: one })], small)))
  await drive(0, OUTSIDE)
  await drive(10, INSIDE)
  await drive(20, OUTSIDE)
  const figures = small.evaluator.takeFigures()!
  expect(figures.devices).toBeLessThanOrEqual(10)
  expect(figures.evicted).toBeGreaterThan(100)
  const events = await fixture.currentEvents(devices)
  expect(events).toHaveLength(100)
})
