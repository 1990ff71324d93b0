/** Geofences from the frames of devices to the events in the database. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Ingest } from '../ingest/engine.ts'
import { AT_HOME, AWAY, boxOf, currentEvents, GeofenceEditor, HOME, Tracker } from './geofence-harness.ts'
import { IngestHarness } from './ingest-harness.ts'

const IMEI = '356307042441013'
/** So far back that what timers wait for in these tests is over, or will be in a second. */
const START_MS = Math.floor(Date.now() / 1000) * 1000 - 3_600_000

let harness: IngestHarness
let editor: GeofenceEditor
let device: number
let tracker: Tracker
const others: Ingest[] = []

beforeEach(async () => {
  harness = await IngestHarness.start({ ackAfter: 'database' })
  editor = new GeofenceEditor(harness)
  device = await harness.register(IMEI)
  tracker = await connected()
}, 30_000)
afterEach(async () => {
  await Promise.all(others.splice(0).map((other) => other.close()))
  await harness.stop()
})

const connected = (ingest = harness.ingest) =>
  Tracker.connect(harness, IMEI, harness.portOf('teltonika', 'tcp', ingest))
const at = (s: number, longitudeDeg: number, speedKmh = 36) => ({
  timeMs: START_MS + s * 1000,
  longitudeDeg,
  speedKmh,
})
const events = () => currentEvents(harness, device, START_MS)

async function another(options = {}): Promise<Ingest> {
  const other = await harness.another(options)
  others.push(other)
  return other
}

test('a device that comes, stays and leaves is told of', async () => {
  await editor.add(HOME, { dwellS: 60, speedLimitKmh: 50 })
  await tracker.report(at(0, AWAY), at(60, AT_HOME), at(120, AT_HOME, 51), at(180, AWAY))
  expect(await events()).toEqual(['enter 60', 'dwell 120', 'speeding 120', 'exit 180'])
  expect(await harness.metric('fleetflow_geofence_events_total')).toBe(4)
})

test('late positions correct what was said, and those that are sent again change nothing', async () => {
  await editor.add(HOME)
  await tracker.report(at(0, AWAY), at(300, AT_HOME), at(600, AWAY))
  await tracker.report(at(200, AT_HOME), at(400, AWAY), at(500, AT_HOME))
  const corrected = ['enter 200', 'exit 400', 'enter 500', 'exit 600']
  expect(await events()).toEqual(corrected)
  const rows = await harness.count('SELECT count(*) FROM events')
  for (let i = 0; i < 3; i++) {
    await tracker.report(at(0, AWAY), at(300, AT_HOME), at(600, AWAY))
    await tracker.report(at(200, AT_HOME), at(400, AWAY), at(500, AT_HOME))
  }
  expect(await events()).toEqual(corrected)
  expect(await harness.count('SELECT count(*) FROM events')).toBe(rows)
  expect(await harness.metric('fleetflow_geofence_revisions_total')).toBe(1)
})

test('a geofence counts from when it is added to when it is deleted, as it is in between', async () => {
  await tracker.report(at(0, AT_HOME))
  const id = await editor.add(HOME)
  await tracker.report(at(60, AT_HOME))
  expect(await events()).toEqual(['enter 60'])
  // Away from the device: the next fix is outside of it.
  const elsewhere = boxOf(-97.5, 30.2, -97.4, 30.3)
  await editor.change('UPDATE geofences SET shape = $2 WHERE id = $1', [id, elsewhere])
  await tracker.report(at(120, AT_HOME))
  expect(await events()).toEqual(['enter 60', 'exit 120'])
  await editor.change('UPDATE geofences SET shape = $2 WHERE id = $1', [id, HOME])
  await tracker.report(at(180, AT_HOME))
  await editor.change('DELETE FROM geofences WHERE id = $1', [id])
  await tracker.report(at(240, AWAY), at(300, AT_HOME))
  expect(await events()).toEqual(['enter 60', 'exit 120', 'enter 180'])
  const { rows } = await harness.pool.query(
    'SELECT DISTINCT geofence_version AS version FROM events ORDER BY 1',
  )
  expect(rows).toEqual([{ version: 1 }, { version: 2 }, { version: 3 }])
})

test('a disabled geofence forgets who was inside without a word', async () => {
  const id = await editor.add(HOME)
  await tracker.report(at(0, AT_HOME))
  await editor.change('UPDATE geofences SET disabled = true WHERE id = $1', [id])
  await tracker.report(at(60, AWAY))
  await editor.change('UPDATE geofences SET disabled = false WHERE id = $1', [id])
  await tracker.report(at(120, AT_HOME), at(180, AWAY))
  expect(await events()).toEqual(['enter 0', 'enter 120', 'exit 180'])
})

test('an engine that starts again knows who is inside, and a dwell comes once', async () => {
  const id = await editor.add(HOME, { dwellS: 3_602 })
  const folder = await mkdtemp(join(tmpdir(), 'fleetflow-geofences-'))
  const first = await another({ journalFolder: folder })
  await (await connected(first)).report(at(0, AWAY), at(1, AT_HOME))
  others.splice(others.indexOf(first), 1)
  await first.close()
  const second = await another({ journalFolder: folder })
  await (await connected(second)).report(at(2, AT_HOME), at(3, AT_HOME))
  // Its timers, and those of the engine of this test.
  await expect.poll(events).toEqual(['enter 1', 'dwell 3603'])
  await (await connected(second)).report(at(3_610, AWAY))
  expect(await events()).toEqual(['enter 1', 'dwell 3603', 'exit 3610'])
  expect(await harness.count('SELECT count(*) FROM events WHERE geofence_id = $1', [id])).toBe(3)
  await second.close()
  others.splice(others.indexOf(second), 1)
  await rm(folder, { recursive: true })
})

test('a device that moves between two engines is one device', async () => {
  await editor.add(HOME, { debounceFixes: 2 })
  const second = await another()
  const there = await connected(second)
  const engines = [tracker, there]
  for (let i = 0; i < 12; i++) await engines[i % 2]!.report(at(i * 10, i % 6 < 3 ? AWAY : AT_HOME))
  expect(await events()).toEqual(['enter 30', 'exit 60', 'enter 90'])
  // At the same time, in turns: each gets positions that the other may have stored later ones before.
  const drive = async (by: Tracker, from: number) => {
    for (let i = from; i < 40; i += 2) await by.report(at(i * 10, AWAY))
  }
  await Promise.all([drive(tracker, 12), drive(there, 13)])
  expect(await events()).toEqual(['enter 30', 'exit 60', 'enter 90', 'exit 120'])
  expect(await harness.metric('fleetflow_geofence_evaluation_failures_total')).toBe(0)
})

test('a device that changes its group goes by another rule from then on', async () => {
  const { rows } = await harness.pool.query(
    "INSERT INTO device_groups (organization_id, name) VALUES ($1, 'vans') RETURNING id",
    [harness.organizationId],
  )
  await editor.add(HOME, { group: rows[0].id })
  await tracker.report(at(0, AT_HOME), at(10, AWAY))
  expect(await events()).toEqual([])
  await harness.pool.query(
    'INSERT INTO device_group_members (organization_id, group_id, device_id) VALUES ($1, $2, $3)',
    [harness.organizationId, rows[0].id, device],
  )
  // The notification comes soon; each try is a visit of its own.
  let s = 20
  await expect
    .poll(async () => {
      await tracker.report(at(s, AT_HOME), at(s + 10, AWAY))
      s += 20
      return events()
    })
    .not.toEqual([])
})
