/** Late positions, two processes and timers at once, against the same positions one by one in their order. */
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  batchOf,
  type DrivenFix,
  EvaluationFixture,
  START_MS,
  square,
} from '../../../test/evaluation-fixture.ts'
import { timerMetrics } from '../timers/timer-metrics.ts'
import { Timers } from '../timers/timers.ts'

const DEVICES = 3
const FIXES = 80
const DAY_MS = 86_400_000
const DAYS = [1, 2, 3, 4, 5, 6, 7]

let fixture: EvaluationFixture

beforeAll(async () => {
  fixture = await EvaluationFixture.start()
}, 30_000)
afterAll(() => fixture.stop())

/** Numbers from 0 to 1, the same for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** Fixes of a device that jumps between places, some of them at one time. */
function drive(random: () => number): Omit<DrivenFix, 'device'>[] {
  let longitudeDeg = 0.3
  let s = 0
  return Array.from({ length: FIXES }, (_, i) => {
    if (i > 0 && random() > 0.08) s += 1 + Math.floor(random() * 15)
    if (random() < 0.5) longitudeDeg = Math.round(random() * 25) / 10 + 0.05
    return { s, longitudeDeg, speedKmh: random() < 0.5 ? 30 : 70, digest: Math.floor(random() * 1e9) }
  })
}

async function visits(devices: readonly number[]): Promise<string[]> {
  const { rows } = await fixture.pool.query<{ device: number; visit: string }>(
    `SELECT device_id AS device, concat_ws(' ', geofence_id, entered_at, exited_at, due_at) AS visit
     FROM geofence_visits WHERE device_id = ANY ($1) ORDER BY device_id, geofence_id, entered_at`,
    [devices],
  )
  return rows.map(({ device, visit }) => `${devices.indexOf(device)} ${visit}`)
}

async function events(devices: readonly number[]): Promise<string[]> {
  const shown = await fixture.currentEvents(devices)
  return shown.map(({ device, geofence, type, s }) => `${devices.indexOf(device)} ${geofence} ${type} ${s}`)
}

test.each([1, 3, 5, 6])(
  'all agree in the end, whoever was first (%i)',
  async (seed) => {
    const random = randomOf(seed)
    const organization = await fixture.organization()
    const insideBy = (minute: number) => ({ time: `01:0${minute}`, days: DAYS })
    const rules = [
      { dwellS: 60, absenceS: 120, debounceFixes: 1 + Math.floor(random() * 3) },
      {
        dwellS: 40,
        absenceS: 50,
        debounceS: Math.floor(random() * 30),
        speedLimitKmh: 50,
        insideBy: insideBy(3),
      },
      { dwellS: 5, absenceS: 30, crossingGapS: 60, insideBy: insideBy(7) },
    ]
    for (const [i, rule] of rules.entries())
      await fixture.fence(organization, square([0, 0.5, 0.8][i]!), rule)
    await fixture.pool.query('UPDATE geofence_instants SET done_until = $1', [new Date(START_MS - 1)])
    const inOrder = await fixture.devices(organization, DEVICES)
    const shuffled = await fixture.devices(organization, DEVICES)
    await fixture.pool.query(
      'INSERT INTO last_fixes SELECT device, $2, 0, 0 FROM unnest($1::integer[]) device',
      [[...inOrder, ...shuffled], new Date(START_MS)],
    )
    const ways = Array.from({ length: DEVICES }, () => drive(random))

    const straight = fixture.shard()
    for (const [i, way] of ways.entries()) {
      for (const fix of way) await straight.writer.write(batchOf([{ ...fix, device: inOrder[i]! }]))
    }

    let nowMs = START_MS
    const timers = [1, 2].map(
      () =>
        new Timers({
          pool: fixture.pool,
          storedUntilMs: () => Infinity,
          publish: () => {},
          limits: { geofenceTimersPerSecondMax: 20_000, geofenceTimerBackMs: 40 * DAY_MS },
          limitMet: () => {},
          metrics: timerMetrics(new Registry()),
          log: pino({ level: 'silent' }),
          now: () => nowMs,
        }),
    )
    const shards = [fixture.shard(), fixture.shard({ devicesMax: 1 })]
    const anyShard = () => shards[Math.floor(random() * shards.length)]!
    const queue = ways
      .flatMap((way, i) => way.map((fix) => ({ ...fix, device: shuffled[i]! })))
      // Up to five minutes late; who has not reported is not missed, so that the first one stays first.
      .map((fix) => ({ fix, place: fix.s === 0 ? -1 : fix.s + random() ** 2 * 300 }))
      .sort((a, b) => a.place - b.place)
      .map(({ fix }) => fix)
    while (queue.length > 0) {
      const piece = queue.splice(0, 1 + Math.floor(random() * 12))
      const lastS = Math.max(...piece.map(({ s }) => s))
      nowMs = Math.max(nowMs, START_MS + lastS * 1000 + Math.floor(random() * 60_000))
      const works: Promise<unknown>[] = [anyShard().writer.write(batchOf(piece))]
      if (random() < 0.3) works.push(anyShard().writer.write(batchOf(piece)))
      if (random() < 0.7) works.push(timers[0]!.poll())
      if (random() < 0.3) works.push(timers[1]!.poll())
      if (random() < 0.1) anyShard().evaluator.forget(shuffled)
      await Promise.all(works)
      for (const { evaluator } of shards) expect(evaluator.takeFigures()?.failures ?? 0).toBe(0)
    }
    nowMs = Date.now()
    await timers[0]!.poll()
    expect(await visits(shuffled)).toEqual(await visits(inOrder))
    expect(await events(shuffled)).toEqual(await events(inOrder))
    await fixture.closeShards()
  },
  60_000,
)
