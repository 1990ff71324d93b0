/**
 * The database stops under load and comes back: replies go on, memory does not grow, what was received meanwhile is
 * stored afterwards, and what is fresh does not wait for it.
 */
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { EngineProcess } from './engine-process.ts'
import { fleetOf } from './fleet.ts'
import { FleetProcess } from './fleet-process.ts'
import { drained } from './kills.ts'
import { Lab, type LabOptions } from './lab.ts'
import { StoppableDatabase } from './stoppable-database.ts'
import { until } from './until.ts'
import { complaintsOfVerdict, type Verdict, verify } from './verify.ts'

export interface OutageOptions extends LabOptions {
  readonly seconds: number
  readonly recordsPerSecond: number
}

/** One look at the engine. */
interface Sample {
  readonly acknowledged: number
  readonly readiness: { readonly status: number; readonly body: string }
  readonly lagRecords: number
  readonly lagSeconds: number
  readonly rssBytes: number
}

export interface OutageResult {
  readonly verdict: Verdict
  /** While the database was away, oldest first. */
  readonly samples: readonly Sample[]
  /** Acknowledged records a second, before and while it was away. */
  readonly acknowledgedPerSecond: { readonly before: number; readonly during: number }
  /** Longest time without an acknowledgement while it was away, ms, as far as {@link SAMPLE_MS} tells. */
  readonly silenceMs: number
  /** Growth over the memory before, at its highest while the database was away and while the backlog was drained, bytes. */
  readonly rssGrowthBytes: { readonly away: number; readonly draining: number }
  readonly drain: Drain
  readonly stop: string
}

/** How the backlog was stored, by the times of the commits. */
export interface Drain {
  /** Rows received while the database was away. */
  readonly backlogRows: number
  /** From the return of the database to the first commit. */
  readonly waitSeconds: number
  /** From the first commit to that of the last row of the backlog. */
  readonly seconds: number
  readonly backlogRowsPerSecond: number
  /** Rows that came in while the backlog was drained, and how long they waited for their commit, s. */
  readonly freshRows: number
  readonly freshWaitSeconds: { readonly p50: number; readonly max: number }
}

const DEVICES = 40
/** Of the engine; see engine-process.ts. */
const SHARDS = 2
const WARM_UP_MS = 12_000
const SAMPLE_MS = 500
const BEHIND_MS = 8000
const AFTERWARDS_MS = 3000
const START_TIMEOUT_MS = 60_000
const FINISH_TIMEOUT_MS = 300_000
const RSS_GROWTH_BYTES_MAX = 100e6
const SILENCE_MS_MAX = 3000
/** How long a shard may take to store what was in flight when the database went. */
const IN_FLIGHT_SECONDS = 2
const FRESH_WAIT_SECONDS_MAX = 5

/** @throws Error where something does not come in time; the lab's folder stays then, and where something is wrong. */
export function runOutage(options: OutageOptions): Promise<OutageResult> {
  return Lab.run(
    options,
    (lab) => outage(lab, options),
    (result) => complaintsOfOutage(options, result),
  )
}

async function outage(lab: Lab, options: OutageOptions): Promise<OutageResult> {
  const { seconds, seed, recordsPerSecond, onProgress } = options
  const nowMs = Date.now()
  const ports = await Lab.ports()
  const database = await StoppableDatabase.start(lab)
  const engine = new EngineProcess(lab, {
    ports,
    dataDir: join(lab.folder, 'data'),
    databaseUrl: database.url,
  })
  engine.start()
  await until(
    () => engine.isReady,
    START_TIMEOUT_MS,
    () => 'the engine does not start',
  )
  const fleet = new FleetProcess({
    devices: DEVICES,
    nowMs,
    seed,
    ports: ports.protocols,
    recordsPerSecond,
  })
  lab.defer(() => fleet.end())
  await fleet.acknowledges(recordsPerSecond, START_TIMEOUT_MS)
  const warmMs = performance.now()
  const warmAcknowledged = fleet.progress.acknowledged
  let rssBefore = 0
  while (performance.now() < warmMs + WARM_UP_MS) {
    await delay(SAMPLE_MS)
    rssBefore = Math.max(rssBefore, await engine.rssBytes())
  }
  const before = ((fleet.progress.acknowledged - warmAcknowledged) * 1000) / (performance.now() - warmMs)

  await database.stop()
  const goneMs = Date.now()
  const samples: Sample[] = []
  let silentSinceMs = performance.now()
  let silenceMs = 0
  const acknowledgedAtFirst = fleet.progress.acknowledged
  let acknowledged = acknowledgedAtFirst
  const startMs = performance.now()
  while (performance.now() < startMs + seconds * 1000) {
    await delay(SAMPLE_MS)
    if (fleet.progress.acknowledged > acknowledged) silentSinceMs = performance.now()
    acknowledged = fleet.progress.acknowledged
    silenceMs = Math.max(silenceMs, performance.now() - silentSinceMs)
    const sample: Sample = {
      acknowledged,
      readiness: await engine.readiness(),
      lagRecords: (await engine.metric('fleetflow_journal_lag_records')) ?? Number.NaN,
      lagSeconds: (await engine.metric('fleetflow_journal_lag_seconds')) ?? Number.NaN,
      rssBytes: await engine.rssBytes(),
    }
    samples.push(sample)
    lab.event(JSON.stringify(sample))
    if (samples.length % 20 === 0) {
      onProgress?.(
        `away for ${Math.round((performance.now() - startMs) / 1000)} s: ${acknowledged} acknowledged, ` +
          `${sample.lagRecords} frames and ${Math.round(sample.lagSeconds)} s behind, ` +
          `${Math.round((sample.rssBytes - rssBefore) / 1e6)} MB more memory`,
      )
    }
  }
  const during = ((acknowledged - acknowledgedAtFirst) * 1000) / (performance.now() - startMs)

  const backMs = Date.now()
  await database.start()
  let rssPeak = 0
  let lag: number | undefined
  await until(
    async () => {
      rssPeak = Math.max(rssPeak, await engine.rssBytes())
      lag = await engine.metric('fleetflow_journal_lag_seconds')
      return lag !== undefined && lag < 2
    },
    FINISH_TIMEOUT_MS,
    () => `the backlog is not drained within ${FINISH_TIMEOUT_MS} ms: ${lag} s are left`,
  )
  onProgress?.('the backlog is drained')
  await delay(AFTERWARDS_MS)
  await fleet.finish(FINISH_TIMEOUT_MS)
  await drained(engine)
  const journals = await fleet.journal()
  await fleet.end()
  const stop = await engine.stop()
  const client = await database.connect()
  const result: OutageResult = {
    verdict: await verify(client, fleetOf({ devices: DEVICES, nowMs }), journals),
    samples,
    acknowledgedPerSecond: { before, during },
    silenceMs,
    rssGrowthBytes: {
      away: Math.max(...samples.map(({ rssBytes }) => rssBytes)) - rssBefore,
      draining: rssPeak - rssBefore,
    },
    drain: await drainOf(client, goneMs, backMs),
    stop,
  }
  lab.event(JSON.stringify({ ...result, samples: samples.length }))
  return result
}

/** @param goneMs, backMs When the database went and came back, ms UTC. */
async function drainOf(client: pg.ClientBase, goneMs: number, backMs: number): Promise<Drain> {
  await client.query(
    `CREATE TEMPORARY TABLE stored AS
     SELECT device_id % $1 AS shard, extract(epoch FROM received_at)::float8 AS received,
       extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS committed FROM positions`,
    [SHARDS],
  )
  // Each shard comes back by itself, stores what was in flight, and has fresh rows from then on.
  const { rows } = await client.query(
    `WITH backlog AS (SELECT * FROM stored WHERE received BETWEEN $1 AND $2 AND committed > $2),
       spans AS (SELECT shard, count(*) AS rows, min(committed) AS first, max(committed) AS last
         FROM backlog GROUP BY shard),
       fresh AS (SELECT committed - received AS wait FROM stored JOIN spans USING (shard)
         WHERE received > first + $3 AND received < last)
     SELECT sum(rows)::int AS rows, min(first) AS first, max(last) AS last,
       (SELECT count(*)::int FROM fresh) AS fresh,
       (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY wait) FROM fresh) AS p50,
       (SELECT max(wait) FROM fresh) AS max FROM spans`,
    [goneMs / 1000, backMs / 1000, IN_FLIGHT_SECONDS],
  )
  const { rows: backlogRows, first, last, fresh, p50, max } = rows[0]
  const seconds = last - first
  return {
    backlogRows,
    waitSeconds: first - backMs / 1000,
    seconds,
    backlogRowsPerSecond: backlogRows / seconds,
    freshRows: fresh,
    freshWaitSeconds: { p50: p50 ?? 0, max: max ?? 0 },
  }
}

/** What is wrong with a run; nothing where the promise was kept. */
export function complaintsOfOutage({ seconds }: OutageOptions, result: OutageResult): string[] {
  const { samples, acknowledgedPerSecond, drain, verdict } = result
  const late = samples.slice(Math.ceil(BEHIND_MS / SAMPLE_MS))
  const last = samples.at(-1)!
  const kept: readonly (readonly [boolean, string])[] = [
    [
      acknowledgedPerSecond.during > 0.8 * acknowledgedPerSecond.before,
      `replies slowed down: ${JSON.stringify(acknowledgedPerSecond)}`,
    ],
    [result.silenceMs < SILENCE_MS_MAX, `no reply for ${Math.round(result.silenceMs)} ms`],
    [
      late.every(({ readiness: { status, body } }) => status === 200 && body.includes('degraded')),
      `/ready does not say degraded: ${JSON.stringify(last.readiness)}`,
    ],
    [last.lagRecords > 0, `a lag of ${last.lagRecords} records`],
    [
      last.lagSeconds > 0.7 * seconds && last.lagSeconds < seconds + BEHIND_MS,
      `a lag of ${last.lagSeconds} s`,
    ],
    [
      Math.max(result.rssGrowthBytes.away, result.rssGrowthBytes.draining) < RSS_GROWTH_BYTES_MAX,
      `memory grew: ${JSON.stringify(result.rssGrowthBytes)} bytes`,
    ],
    [
      drain.backlogRows > 0.6 * seconds * acknowledgedPerSecond.before,
      `a backlog of only ${drain.backlogRows} rows`,
    ],
    [
      drain.backlogRowsPerSecond >= 2 * acknowledgedPerSecond.before,
      `the backlog went at ${Math.round(drain.backlogRowsPerSecond)} rows/s, while ${Math.round(acknowledgedPerSecond.before)} came in`,
    ],
    [
      drain.freshWaitSeconds.max < FRESH_WAIT_SECONDS_MAX,
      `fresh rows waited for the backlog: ${JSON.stringify(drain.freshWaitSeconds)} s`,
    ],
    [result.stop === 'exit 0', `the engine did not stop as it should: ${result.stop}`],
  ]
  return [
    ...complaintsOfVerdict(verdict),
    ...kept.filter(([holds]) => !holds).map(([, complaint]) => complaint),
  ]
}
