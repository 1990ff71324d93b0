/**
 * Kills at random moments: of the engine, of its database, of both at once; under load, in the middle of a start, and in
 * the middle of the recovery from the kill before. At the end every device must get everything acknowledged, and the
 * table must hold exactly that.
 */
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { percentile } from '../../bench/measure.ts'
import { seededRandom } from '../seeded-random.ts'
import { type CrashDatabase, crashDatabase } from './crash-database.ts'
import { type EngineEnd, EngineProcess } from './engine-process.ts'
import { addDevices, type FleetDevice, fleetOf } from './fleet.ts'
import { FleetProcess } from './fleet-process.ts'
import { addGeofences, type EventVerdict, verifyEvents } from './geofences.ts'
import { type EnginePorts, Lab, type LabOptions } from './lab.ts'
import type { DeviceJournal } from './simulator.ts'
import { StreamClients, type StreamVerdict } from './stream-clients-process.ts'
import { until } from './until.ts'
import { complaintsOfVerdict, type Verdict, verify } from './verify.ts'

export interface KillOptions extends LabOptions {
  readonly kills: number
  /** More of the engine's environment. */
  readonly environment?: Readonly<Record<string, string>>
  /** Clients of the stream that are dropped at random meanwhile, and go on from their cursors; none by default. */
  readonly clients?: StreamClientsLoad
}

export interface StreamClientsLoad {
  readonly count: number
  /** Longest time that one stays, and that it stays away, ms. */
  readonly stayMsMax: number
  readonly awayMsMax: number
}

export type Kill = 'engine' | 'database' | 'backend' | 'both'

export interface KillResult {
  readonly verdict: Verdict
  readonly events: EventVerdict
  /** Null where there were no clients. */
  readonly stream: StreamVerdict | null
  readonly kills: Readonly<Record<Kill, number>>
  /** Kills that met an engine that was not ready yet. */
  readonly whileStarting: number
  /** Records put on the wire, each time that they were. */
  readonly sent: number
  /** From a kill to the next reply with all parts ready, ms. */
  readonly recoveryMs: { readonly p50: number; readonly p99: number; readonly max: number }
  /** Starts that failed, which they may while the database is killed. */
  readonly failedStarts: number
  /** Starts that failed although nothing had killed the database. */
  readonly inexcusable: readonly string[]
  /** Ends of a running engine that nobody asked for. */
  readonly deaths: readonly string[]
  /** How the engine ended when it was told to at last. */
  readonly stop: string
  readonly quarantined: Readonly<Record<string, number>>
}

const DEVICES = 40
const RECORDS_PER_SECOND = 600
/** Each goes to every client. */
const RECORDS_PER_SECOND_STREAMED = 120
/** Share of the records that are sent after later ones of their device, where clients look at the order. */
const LATE_SHARE = 0.1
const STAY_MS_MIN = 500
const AWAY_MS_MIN = 1_000
const ALL_LIVE_TIMEOUT_MS = 60_000
const SETTLE_TIMEOUT_MS = 180_000
const ADMIN = { email: 'crash@fleet.example', password: 'only for the time of a crash run' } as const
/** That of {@link EngineProcess}, which its devices join. */
const ORGANIZATION = 'Crash'
/** How often a kind of kill is drawn. */
const SHARES: readonly (readonly [Kill, number])[] = [
  ['engine', 0.4],
  ['both', 0.25],
  ['database', 0.25],
  ['backend', 0.1],
]
/** Share of the kills that come during the start or recovery after the one before. */
const QUICK_SHARE = 0.35
const QUICK_MS = { min: 5, max: 1500 } as const
const LOAD_MS = { min: 300, max: 3000 } as const
const RECOVERY_TIMEOUT_MS = 90_000
const DRAIN_TIMEOUT_MS = 180_000
/** A database that was killed so long before a start may still be recovering, ms. */
const EXCUSED_MS = 15_000
const PROGRESS_EVERY = 10

/** What is left after a run, for those who want to look themselves. */
export interface Remains {
  readonly client: pg.Client
  readonly fleet: readonly FleetDevice[]
  readonly journals: readonly DeviceJournal[]
}

/**
 * Runs the kills in a lab of its own, whose folder stays where anything throws or was not kept.
 * @throws Error where something does not come back in time.
 */
export function runKills(
  options: KillOptions,
  inspect?: (result: KillResult, remains: Remains) => Promise<void>,
): Promise<KillResult> {
  return Lab.run(options, (lab) => new KillRun(lab, options).run(inspect), complaintsOf)
}

/** What is wrong with a run; nothing where the promise was kept. */
export function complaintsOf(result: KillResult): string[] {
  const { verdict, events, stream } = result
  return [
    ...complaintsOfVerdict(verdict),
    ...(stream?.faults ?? []).map((fault) => `a client of the stream: ${fault}`),
    ...events.wrong.map((difference) => `events are not those of the positions: ${difference}`),
    ...result.deaths.map((death) => `the running engine ended by itself: ${death}`),
    ...result.inexcusable.map((start) => `the engine did not start although its database ran: ${start}`),
    ...(result.stop === 'exit 0' ? [] : [`the engine did not stop as it should: ${result.stop}`]),
  ]
}

class KillRun {
  private readonly lab: Lab
  private readonly options: KillOptions
  private readonly random: () => number
  private readonly kills: Record<Kill, number> = { engine: 0, database: 0, backend: 0, both: 0 }
  private readonly recoveriesMs: number[] = []
  private readonly databaseKillsMs: number[] = []
  private whileStarting = 0
  private engine!: EngineProcess
  private fleet!: FleetProcess
  private clients: StreamClients | undefined
  private database!: CrashDatabase
  /** The last kill that was not recovered from yet, and what was acknowledged before it. */
  private last: { readonly atMs: number; readonly acknowledged: number } | undefined

  constructor(lab: Lab, options: KillOptions) {
    this.lab = lab
    this.options = options
    this.random = seededRandom(options.seed)
  }

  async run(inspect?: (result: KillResult, remains: Remains) => Promise<void>): Promise<KillResult> {
    const { lab, options } = this
    const ports = await Lab.ports()
    const dataDir = join(lab.folder, 'data')
    const nowMs = Date.now()
    const fleet = fleetOf({ devices: DEVICES, nowMs })
    let devices: readonly number[] = []
    this.database = await crashDatabase(lab, dataDir)
    await this.database.prepare(async (url) => {
      await addGeofences(url, ORGANIZATION)
      devices = await addDevices(url, ORGANIZATION, fleet)
    })
    this.engine = new EngineProcess(lab, {
      ports,
      dataDir,
      databaseUrl: this.database.url,
      environment: {
        ADMIN_EMAIL: ADMIN.email,
        ADMIN_PASSWORD: ADMIN.password,
        ...options.environment,
      },
    })
    this.engine.start()
    if (options.clients !== undefined) await this.connectClients(options.clients, ports, fleet, devices)
    this.fleet = new FleetProcess({
      devices: DEVICES,
      nowMs,
      seed: options.seed,
      ports: ports.protocols,
      ...(this.clients === undefined
        ? { recordsPerSecond: RECORDS_PER_SECOND, lateShare: 0 }
        : { recordsPerSecond: RECORDS_PER_SECOND_STREAMED, lateShare: LATE_SHARE }),
    })
    lab.defer(() => this.fleet.end())

    this.last = { atMs: performance.now(), acknowledged: 0 }
    for (let kill = 1; kill <= options.kills; kill++) {
      if (this.random() < QUICK_SHARE) await delay(this.between(QUICK_MS))
      else {
        await this.recovered()
        await delay(this.between(LOAD_MS))
      }
      await this.kill(kill)
      if (kill % PROGRESS_EVERY === 0) this.report(kill)
    }
    await this.recovered()
    await this.fleet.finish(DRAIN_TIMEOUT_MS)
    lab.event('all is acknowledged')
    await drained(this.engine)
    await this.clients?.settle(SETTLE_TIMEOUT_MS)
    const journals = await this.fleet.journal()
    const { sent } = this.fleet.progress
    await this.fleet.end()
    const stop = await this.engine.stop()

    const client = await this.database.connect()
    const verdict = await verify(client, fleet, journals)
    const result: KillResult = {
      verdict,
      events: await verifyEvents(client),
      stream: (await this.clients?.verify(client, fleet, devices)) ?? null,
      kills: this.kills,
      whileStarting: this.whileStarting,
      sent,
      recoveryMs: percentiles(this.recoveriesMs),
      ...this.engineEnds(),
      stop,
      quarantined: await quarantined(client),
    }
    lab.event(JSON.stringify(result))
    await inspect?.(result, { client, fleet, journals })
    return result
  }

  /** Clients that subscribe before the first record is stored, so that each must have all of them at the end. */
  private async connectClients(
    { count, stayMsMax, awayMsMax }: StreamClientsLoad,
    ports: EnginePorts,
    fleet: readonly FleetDevice[],
    devices: readonly number[],
  ): Promise<void> {
    const clients = new StreamClients({
      clients: count,
      devices,
      startsMs: fleet.map(({ startMs }) => startMs),
      apiUrl: `http://127.0.0.1:${ports.api}`,
      streamUrl: `ws://127.0.0.1:${ports.stream}`,
      ...ADMIN,
      seed: this.options.seed,
      stayMs: { min: STAY_MS_MIN, max: stayMsMax },
      awayMs: { min: AWAY_MS_MIN, max: awayMsMax },
    })
    this.lab.defer(() => clients.end())
    await clients.allLive(ALL_LIVE_TIMEOUT_MS)
    clients.drop()
    this.clients = clients
  }

  /** Waits until all parts are ready again and devices get replies. */
  private async recovered(): Promise<void> {
    const { last } = this
    if (last === undefined) return
    let readiness = ''
    await until(
      async () => {
        if (!this.engine.isReady || this.fleet.progress.acknowledged <= last.acknowledged) return false
        const { status, body } = await this.engine.readiness()
        readiness = `${status} ${body}`
        return status === 200 && !/"(degraded|down)"/.test(body)
      },
      RECOVERY_TIMEOUT_MS,
      () =>
        `not recovered within ${RECOVERY_TIMEOUT_MS} ms: engine ${this.engine.isReady ? 'ready' : 'not ready'}, ` +
        `/ready ${readiness}, fleet ${JSON.stringify(this.fleet.progress)}`,
    )
    this.recoveriesMs.push(performance.now() - last.atMs)
    this.last = undefined
  }

  private async kill(number: number): Promise<void> {
    let kind = this.draw()
    let killDatabase: (() => void) | undefined
    if (kind !== 'engine') {
      killDatabase = await this.database.aim(kind === 'backend' ? 'backend' : 'server', this.random)
      if (killDatabase === undefined) kind = 'engine'
    }
    const { engine, fleet } = this
    if (kind === 'engine' || kind === 'both') await engine.appears()
    if (!engine.isReady) this.whileStarting++
    this.lab.event(`kill ${number}: ${kind}, engine ${engine.pid} ${engine.isReady ? 'ready' : 'starting'}`)
    this.last = { atMs: performance.now(), acknowledged: fleet.progress.acknowledged }
    // Both in one turn, in either order.
    const engineFirst = this.random() < 0.5
    if (kind === 'engine' || (kind === 'both' && engineFirst)) engine.kill()
    if (killDatabase !== undefined) {
      killDatabase()
      this.databaseKillsMs.push(performance.now())
    }
    if (kind === 'both' && !engineFirst) engine.kill()
    this.kills[kind]++
  }

  private draw(): Kill {
    const { faults } = this.database
    let draw = this.random()
    for (const [kind, share] of SHARES) {
      draw -= share
      if (draw >= 0) continue
      if (kind === 'backend') return faults.includes('backend') ? kind : 'engine'
      return faults.includes('server') ? kind : 'engine'
    }
    return 'engine'
  }

  private between({ min, max }: { readonly min: number; readonly max: number }): number {
    return min + this.random() * (max - min)
  }

  private engineEnds(): Pick<KillResult, 'deaths' | 'failedStarts' | 'inexcusable'> {
    const excused = ({ startedMs, atMs }: EngineEnd) =>
      this.databaseKillsMs.some((killedMs) => killedMs > startedMs - EXCUSED_MS && killedMs < atMs)
    const { ends } = this.engine
    const failed = ends.filter(({ wasReady }) => !wasReady)
    return {
      deaths: ends.filter(({ wasReady }) => wasReady).map(({ how }) => how),
      failedStarts: failed.length,
      inexcusable: failed.filter((end) => !excused(end)).map(({ how }) => how),
    }
  }

  private report(kill: number): void {
    const { made, acknowledged, sent } = this.fleet.progress
    this.options.onProgress?.(
      `${kill}/${this.options.kills} kills (${Object.entries(this.kills)
        .map(([kind, count]) => `${count} ${kind}`)
        .join(', ')}), ${made} records made, ${sent} sent, ${acknowledged} acknowledged`,
    )
  }
}

/** Waits until the journal holds nothing that is not in the table. */
export async function drained(engine: EngineProcess): Promise<void> {
  let lag: number | undefined
  await until(
    async () => {
      lag = await engine.metric('fleetflow_journal_lag_records')
      return lag === 0
    },
    DRAIN_TIMEOUT_MS,
    () => `the journal is not drained within ${DRAIN_TIMEOUT_MS} ms: ${lag} records are left`,
  )
}

function percentiles(samples: readonly number[]): KillResult['recoveryMs'] {
  const of = (share: number) =>
    samples.length === 0 ? 0 : Math.round(percentile(Float64Array.from(samples), share))
  return { p50: of(0.5), p99: of(0.99), max: of(1) }
}

async function quarantined(client: pg.ClientBase): Promise<Record<string, number>> {
  const { rows } = await client.query<{ reason: string; frames: number }>(
    'SELECT reason, sum(frame_count)::float8 AS frames FROM quarantine GROUP BY reason',
  )
  return Object.fromEntries(rows.map(({ reason, frames }) => [reason, frames]))
}
