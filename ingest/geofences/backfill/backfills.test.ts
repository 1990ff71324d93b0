/** Backfills on a real database, beside ingest that evaluates the same devices: what they find is what live would have. */
import { Piscina } from 'piscina'
import { afterEach, describe, expect, test } from 'vitest'
import { threadUrl } from '../../../storage/project-root.ts'
import {
  add,
  BUSES,
  circleAt,
  current,
  ended,
  type Geofence,
  geofences,
  known,
  MIDDLE_MS,
  queue,
  rulesJson,
  runOf,
  START_MS,
  send,
  startWithBuses,
  tracks,
  visits,
} from '../../../test/backfill-fixture.ts'
import type { HarnessOptions, IngestHarness } from '../../../test/ingest-harness.ts'
import type { BackfillResult, BackfillTask, BackfillThreadOptions } from './backfill-messages.ts'
import { claimRun } from './backfill-runs.ts'

const open: IngestHarness[] = []
afterEach(async () => {
  for (const harness of open.splice(0)) await harness.stop()
})

async function started(options: HarnessOptions = {}): Promise<IngestHarness> {
  const harness = await startWithBuses(options)
  open.push(harness)
  return harness
}

/** What comes of it when the geofences are there from the beginning. */
async function live(of: readonly Geofence[]): Promise<{ events: string[]; visits: string[] }> {
  const harness = await started()
  for (const geofence of of) await add(harness, geofence)
  await known(harness, of.length)
  await send(harness, tracks)
  return { events: await current(harness), visits: await visits(harness) }
}

describe('a backfill', () => {
  test('of new geofences over a day of recorded tracks finds what live would have found', async () => {
    const expected = await live(geofences)
    // Otherwise this would show nothing.
    const types = ['enter', 'exit', 'dwell', 'absence', 'speeding', 'true']
    expect(types.filter((type) => !expected.events.some((event) => event.includes(type)))).toEqual([])
    const harness = await started()
    await send(harness, tracks)
    const runs: number[] = []
    for (const geofence of geofences) runs.push(await queue(harness, await add(harness, geofence)))
    const done = await ended(harness, runs)
    expect(await current(harness)).toEqual(expected.events)
    expect(await visits(harness)).toEqual(expected.visits)
    for (const run of done) {
      expect(run).toMatchObject({
        state: 'done',
        devices_total: BUSES,
        devices_done: BUSES,
        events_retracted: 0,
      })
    }
    const events = await harness.count('SELECT count(*) FROM events')
    const timers = "SELECT count(*) FROM events WHERE type IN ('dwell', 'absence')"
    const added = done.reduce((sum, run) => sum + run.events_added, 0)
    // What is due of the last visits is for the timers.
    expect(added).toBeLessThanOrEqual(events)
    expect(added).toBeGreaterThan(events - (await harness.count(timers)))

    // Once more changes nothing.
    const again = await Promise.all(
      (await harness.pool.query<{ id: number }>('SELECT id FROM geofences')).rows.map(({ id }) =>
        queue(harness, id),
      ),
    )
    for (const run of await ended(harness, again)) {
      expect(run).toMatchObject({ state: 'done', events_added: 0, events_retracted: 0 })
    }
    expect(await harness.count('SELECT count(*) FROM events')).toBe(events)
  }, 120_000)

  test('of an edited geofence corrects what the former one found', async () => {
    const [before] = geofences
    const after: Geofence = { ...geofences[1]!, name: before!.name, shape: circleAt(tracks[300]!, 700) }
    const expected = await live([after])
    const harness = await started()
    const id = await add(harness, before!)
    await known(harness, 1)
    await send(harness, tracks)
    const first = await current(harness)
    expect(first.length).toBeGreaterThan(20)
    await harness.pool.query('UPDATE geofences SET shape = $2, rules = $3 WHERE id = $1', [
      id,
      after.shape,
      rulesJson(after),
    ])
    const [run] = await ended(harness, [await queue(harness, id)])
    expect(run).toMatchObject({ state: 'done' })
    expect(run!.events_retracted).toBeGreaterThan(0)
    expect(await current(harness)).toEqual(expected.events)
    expect(await visits(harness)).toEqual(expected.visits)
    // All that does not hold any more has exactly one event that says so. Timers may have gone by the new rules already.
    const { rows } = await harness.pool.query(
      `SELECT count(*)::int AS superseded, (SELECT count(DISTINCT replaces)::int FROM events) AS replaced,
         (SELECT count(replaces)::int FROM events) AS replacing FROM events WHERE superseded`,
    )
    const { superseded } = rows[0]
    expect(superseded).toBeGreaterThanOrEqual(first.length)
    expect(rows[0]).toEqual({ superseded, replaced: superseded, replacing: superseded })
  }, 120_000)

  test('tells who was missing at a time of day, also of those who were silent around it', async () => {
    const harness = await started()
    await send(harness, tracks)
    const insideBy = { time: '12:00', days: [1, 2, 3, 4, 5, 6, 7] }
    const id = await add(harness, { ...geofences[5]!, rules: [{ insideBy }] })
    const noonMs = Math.floor(START_MS / 86_400_000) * 86_400_000 + 18 * 3_600_000
    const around = tracks.filter(({ fixTime }) => Math.abs(fixTime - noonMs) < 30_000).map((fix) => fix.id)
    expect(new Set(around).size).toBeLessThan(BUSES / 2)
    const [all] = await ended(harness, [await queue(harness, id, START_MS, noonMs)])
    expect(all).toMatchObject({ state: 'done' })
    const [run] = await ended(harness, [await queue(harness, id, noonMs - 30_000, noonMs + 30_000)])
    expect(run).toMatchObject({ state: 'done', devices_done: BUSES })
    const reporting = new Set(tracks.filter(({ fixTime }) => fixTime < noonMs).map((fix) => fix.id)).size
    const inside = await harness.count(
      'SELECT count(*) FROM geofence_visits WHERE entered_at <= $1 AND (exited_at IS NULL OR exited_at > $1)',
      [new Date(noonMs)],
    )
    const missing =
      "SELECT count(*) FROM events WHERE type = 'missing' AND NOT superseded AND event_time = $1"
    expect(inside).toBeGreaterThan(0)
    expect(await harness.count(missing, [new Date(noonMs)])).toBe(reporting - inside)
  }, 60_000)

  test('is cancelled at once, while it runs and while it waits', async () => {
    const harness = await started({ limits: { backfillFixesPerSecondMax: 100 } })
    await send(harness, tracks.slice(0, 2_000))
    const running = await queue(harness, await add(harness, geofences[0]!))
    const waiting = await queue(harness, await add(harness, geofences[1]!))
    const heard = 'SELECT count(*) FROM geofence_backfills WHERE id = $1 AND devices_done > 0'
    await expect.poll(() => harness.count(heard, [running]), { timeout: 20_000 }).toBe(1)
    // That it was queued may be heard of when it has begun already; it goes on.
    await harness.pool.query("SELECT pg_notify('geofence_backfills', $1)", [String(running)])
    const { devices_done: done } = await runOf(harness, running)
    await expect.poll(async () => (await runOf(harness, running)).devices_done).toBeGreaterThan(done)
    const cancelledMs = performance.now()
    await harness.pool.query('UPDATE geofence_backfills SET cancel_asked = true')
    const runs = await ended(harness, [running, waiting])
    // It would have taken 20 s.
    expect(performance.now() - cancelledMs).toBeLessThan(5_000)
    expect(runs.map(({ state }) => state)).toEqual(['cancelled', 'cancelled'])
    expect(runs[0]!.devices_done).toBeLessThan(BUSES)
    const held = () => harness.metric('fleetflow_limits_total', { limit: 'backfillFixesPerSecondMax' })
    await expect.poll(held).toBe(1)
  }, 60_000)

  test('that is killed is gone on with by another process, with the same result', async () => {
    const expected = await live(geofences.slice(1, 2))
    const harness = await started({ limits: { backfillFixesPerSecondMax: 1_000_000 } })
    await send(harness, tracks)
    const id = await add(harness, geofences[1]!)
    // Not told to the engine: here another takes it.
    await harness.pool.query('ALTER TABLE geofence_backfills DISABLE TRIGGER geofence_backfills_notify')
    const run = await queue(harness, id)
    const claimed = (await claimRun(harness.pool))!
    const workerData: BackfillThreadOptions = { databaseUrl: harness.databaseUrl }
    const thread = new Piscina<BackfillTask, BackfillResult>({
      filename: threadUrl('ingest/geofences/backfill/backfill-thread').href,
      name: 'backfill',
      workerData,
    })
    const wish = new Int32Array(new SharedArrayBuffer(4))
    const killed = thread.run({ run: claimed, fixesPerSecondMax: 1_000, wish }).catch((error: Error) => error)
    const far = 'SELECT count(*) FROM geofence_backfills WHERE devices_done >= 5'
    await expect.poll(() => harness.count(far), { timeout: 20_000 }).toBe(1)
    await thread.destroy()
    expect(await killed).toBeInstanceOf(Error)
    const { devices_done: devicesDone, state } = await runOf(harness, run)
    expect(devicesDone).toBeLessThan(BUSES)
    expect(state).toBe('running')
    // As if the time had passed after which it is taken over.
    await harness.pool.query("UPDATE geofence_backfills SET heard_at = heard_at - interval '1 minute'")
    const [done] = await ended(harness, [run])
    expect(done).toMatchObject({ state: 'done', devices_done: BUSES })
    expect(await current(harness)).toEqual(expected.events)
    expect(await visits(harness)).toEqual(expected.visits)
  }, 120_000)

  test('goes on while its devices send, in two processes at once, with the same result', async () => {
    const expected = await live(geofences)
    const harness = await started({ limits: { backfillFixesPerSecondMax: 2_000 } })
    const other = await harness.another()
    try {
      await send(
        harness,
        tracks.filter(({ fixTime }) => fixTime < MIDDLE_MS),
      )
      const runs: number[] = []
      for (const geofence of geofences) {
        const id = await add(harness, geofence)
        runs.push(await queue(harness, id, START_MS, MIDDLE_MS))
      }
      await known(harness, geofences.length)
      await send(
        harness,
        tracks.filter(({ fixTime }) => fixTime >= MIDDLE_MS),
      )
      const done = await ended(harness, runs)
      expect(done.map(({ state, failure }) => failure ?? state)).toEqual(runs.map(() => 'done'))
      expect(await current(harness)).toEqual(expected.events)
      expect(await visits(harness)).toEqual(expected.visits)
    } finally {
      await other.close()
    }
  }, 120_000)

  test('is put back when the engine stops, and gone on with by the next', async () => {
    const harness = await started({ limits: { backfillFixesPerSecondMax: 500 } })
    await send(harness, tracks)
    const run = await queue(harness, await add(harness, geofences[0]!))
    await expect
      .poll(async () => (await runOf(harness, run)).devices_done, { timeout: 20_000 })
      .toBeGreaterThan(0)
    await harness.ingest.close()
    expect(await runOf(harness, run)).toMatchObject({ state: 'queued' })
    const next = await harness.another({ limits: { backfillFixesPerSecondMax: 1_000_000 } })
    const [done] = await ended(harness, [run])
    await next.close()
    expect(done).toMatchObject({ state: 'done', devices_done: BUSES })
  }, 60_000)

  test('fails with the reason where its geofence is disabled', async () => {
    const harness = await started()
    const id = await add(harness, geofences[0]!)
    await harness.pool.query('UPDATE geofences SET disabled = true WHERE id = $1', [id])
    const [run] = await ended(harness, [await queue(harness, id)])
    expect(run).toMatchObject({ state: 'failed', failure: 'the geofence is disabled or deleted' })
  }, 30_000)
})
