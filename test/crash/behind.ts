/**
 * Kills of an engine that is far behind: the database is away until the shards leave frames to the journal, comes back,
 * and the engine is killed in the middle of the drain, and once more in the middle of its recovery.
 */
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { seededRandom } from '../seeded-random.ts'
import { EngineProcess } from './engine-process.ts'
import { fleetOf } from './fleet.ts'
import { FleetProcess } from './fleet-process.ts'
import { drained } from './kills.ts'
import { Lab, type LabOptions } from './lab.ts'
import { StoppableDatabase } from './stoppable-database.ts'
import { until } from './until.ts'
import { complaintsOfVerdict, type Verdict, verify } from './verify.ts'

export interface BehindOptions extends LabOptions {
  /** Times that the database goes away. */
  readonly outages: number
}

export interface BehindResult {
  readonly verdict: Verdict
  /** Kills that met a backlog. */
  readonly midDrain: number
  /** Ends of a running engine that nobody asked for. */
  readonly deaths: readonly string[]
  readonly stop: string
}

const DEVICES = 40
/** Enough to fill what a shard holds in memory within seconds. */
const RECORDS_PER_SECOND = 4000
/** Once a shard is behind. */
const AWAY_MS = { min: 0, max: 5000 } as const
const DRAINS_MS = { min: 0, max: 1500 } as const
/** Segments change often. */
const SEGMENT_BYTES = 8 * 1024 * 1024
/** Of kills while the database is away, the engine cannot start before it is back. */
const WHILE_AWAY_SHARE = 0.3
const BACKLOG_RECORDS_MIN = 500
const BEHIND_TIMEOUT_MS = 90_000
const START_TIMEOUT_MS = 90_000
const FINISH_TIMEOUT_MS = 180_000

/** @throws Error where something does not come in time; the lab's folder stays then, and where something is wrong. */
export function runBehind(options: BehindOptions): Promise<BehindResult> {
  return Lab.run(options, (lab) => fallBehind(lab, options), complaintsOfBehind)
}

async function fallBehind(lab: Lab, { outages, seed, onProgress }: BehindOptions): Promise<BehindResult> {
  const random = seededRandom(seed)
  const some = ({ min, max }: { readonly min: number; readonly max: number }) => min + random() * (max - min)
  const nowMs = Date.now()
  const ports = await Lab.ports()
  const database = await StoppableDatabase.start(lab)
  const engine = new EngineProcess(lab, {
    ports,
    dataDir: join(lab.folder, 'data'),
    databaseUrl: database.url,
    environment: { JOURNAL_SEGMENT_BYTES: String(SEGMENT_BYTES) },
  })
  engine.start()
  const fleet = new FleetProcess({
    devices: DEVICES,
    nowMs,
    seed,
    ports: ports.protocols,
    recordsPerSecond: RECORDS_PER_SECOND,
  })
  lab.defer(() => fleet.end())
  await fleet.acknowledges(RECORDS_PER_SECOND, START_TIMEOUT_MS)

  let midDrain = 0
  const kill = async () => {
    const lag = (await engine.metric('fleetflow_journal_lag_records')) ?? 0
    if (lag >= BACKLOG_RECORDS_MIN) midDrain++
    lab.event(`kill with a lag of ${lag} records`)
    engine.kill()
  }
  const ready = () =>
    until(
      () => engine.isReady,
      START_TIMEOUT_MS,
      () => 'the engine does not start',
    )
  for (let outage = 1; outage <= outages; outage++) {
    await database.stop()
    await until(
      async () => ((await engine.metric('fleetflow_shard_behind')) ?? 0) > 0,
      BEHIND_TIMEOUT_MS,
      () => 'no shard falls behind',
    )
    await delay(some(AWAY_MS))
    const whileAway = random() < WHILE_AWAY_SHARE
    if (whileAway) await kill()
    await database.start()
    if (!whileAway) {
      await delay(some(DRAINS_MS))
      await kill()
    }
    await ready()
    await delay(some(DRAINS_MS))
    await kill()
    await ready()
    await fleet.acknowledges(RECORDS_PER_SECOND, START_TIMEOUT_MS)
    const { made, acknowledged } = fleet.progress
    onProgress?.(`${outage}/${outages} outages, ${made} records made, ${acknowledged} acknowledged`)
  }
  await fleet.finish(FINISH_TIMEOUT_MS)
  await drained(engine)
  const journals = await fleet.journal()
  await fleet.end()
  const deaths = engine.ends.filter(({ wasReady }) => wasReady).map(({ how }) => how)
  const stop = await engine.stop()
  const client = await database.connect()
  const verdict = await verify(client, fleetOf({ devices: DEVICES, nowMs }), journals)
  const result = { verdict, midDrain, deaths, stop }
  lab.event(JSON.stringify(result))
  return result
}

/** What is wrong with a run; nothing where the promise was kept. */
export function complaintsOfBehind(result: BehindResult): string[] {
  const { midDrain, deaths, stop } = result
  return [
    ...complaintsOfVerdict(result.verdict),
    ...(midDrain > 0 ? [] : ['no kill met a backlog']),
    ...deaths.map((death) => `the running engine ended by itself: ${death}`),
    ...(stop === 'exit 0' ? [] : [`the engine did not stop as it should: ${stop}`]),
  ]
}
