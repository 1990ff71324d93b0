/** End to end with and without geofences: what evaluation adds to the cost of a position. */
import type pg from 'pg'
import { type Bench, end, nextMessage } from './bench.ts'
import { databaseCpuSeconds } from './database-cpu.ts'
import { ACKNOWLEDGED_WHEN, EngineProcess, ORGANIZATION } from './engine-process.ts'
import type { GeneratorOptions, GeneratorResult } from './generator.ts'
import { figure, spread, summarise, times } from './measure.ts'
import type { Question, Row } from './question.ts'
import {
  BESIDE_M,
  insertWayFences,
  STOP_EVERY_M,
  STOP_RADIUS_M,
  type WayFences,
  ZONE_EVERY_M,
  ZONE_LENGTH_M,
} from './way-fences.ts'

const DEVICES = 1000
const ROUNDS = 4
const DAY_MS = 24 * 3600 * 1000
const STEP_MS = 1000
/** 54 km/h, a record a second. */
const METRES_PER_RECORD = 15

/** Sizes of the loads. */
const LOADS = [
  { recordsPerPacket: 10, packetsPerDevice: 80 },
  { recordsPerPacket: 1, packetsPerDevice: 200 },
] as const
const WARM_UP = { recordsPerPacket: 10, packetsPerDevice: 20 }

const FENCES_PER_DEVICE = 100

const FENCES = figure(DEVICES * FENCES_PER_DEVICE)
const NAMES = {
  without: 'no geofence',
  passed: `${FENCES} geofences, none met`,
  met: `${FENCES} geofences`,
} as const

/** What was asked for: cost with geofences, of that without. */
const COST_MAX = 1.15

/** A run of trackers at one of the engines. */
interface Run {
  readonly result: GeneratorResult
  readonly storedSeconds: number
  /** Of the database NaN where it cannot be had. */
  readonly cpuSeconds: { readonly engine: number; readonly database: number }
  readonly events: number
}

interface Round {
  readonly without: Run
  /** With geofences that no device meets: what looking costs. */
  readonly passed: Run
  readonly met: Run
}

/** Rows of a table, in their order. */
const SIDES = ['without', 'passed', 'met'] as const

export const geofenceIngest: Question = {
  name: 'geofence-ingest',
  title: 'What do 100,000 geofences cost a position, end to end?',
  method:
    `As in \`end-to-end\`: ${DEVICES.toLocaleString('en-US')} Teltonika trackers in a closed loop, each packet acknowledged when it is ${ACKNOWLEDGED_WHEN}; ` +
    'positions a second count up to the moment at which all are committed. Three engines run on three databases of one server: one without ' +
    `geofences, two with ${FENCES_PER_DEVICE} of the devices' organisation for each device; they get the same load in turns, in another order in each round. ` +
    `Each device drives straight on with ${METRES_PER_RECORD} m a record, past a stop (circle of ${STOP_RADIUS_M} m) every ${STOP_EVERY_M} m and through a zone (polygon of 8 vertices, ` +
    `${ZONE_LENGTH_M} m long) every ${ZONE_EVERY_M} m, each with enter and exit; the other geofences are circles ${BESIDE_M} m beside the way, and in the second engine all are. ` +
    `${ROUNDS} rounds, a checkpoint before each part; cost is seconds a position, or processor time of engine and PostgreSQL a position, with geofences to without, of the same round; ` +
    `asked for: at most ${COST_MAX}.`,
  measure: async (bench) => {
    const records = [WARM_UP, ...LOADS.flatMap((load) => Array.from({ length: ROUNDS }, () => load))]
      .map(({ recordsPerPacket, packetsPerDevice }) => recordsPerPacket * packetsPerDevice)
      .reduce((sum, count) => sum + count)
    bench.progress('geofence-ingest: making geofences')
    const sides = {
      without: await Side.start(bench, undefined, 0),
      passed: await Side.start(bench, 'passed by', records * METRES_PER_RECORD),
      met: await Side.start(bench, 'met', records * METRES_PER_RECORD),
    }

    bench.progress('geofence-ingest: warming up')
    for (const side of SIDES) await sides[side].run(WARM_UP.recordsPerPacket, WARM_UP.packetsPerDevice)
    const rows: Row[] = []
    for (const { recordsPerPacket, packetsPerDevice } of LOADS) {
      const rounds: Round[] = []
      for (let i = 0; i < ROUNDS; i++) {
        bench.progress(`geofence-ingest: ${recordsPerPacket} a packet, round ${i + 1} of ${ROUNDS}`)
        const round: Partial<Record<keyof Round, Run>> = {}
        for (let turn = 0; turn < SIDES.length; turn++) {
          const side = SIDES[(i + turn) % SIDES.length]!
          round[side] = await sides[side].run(recordsPerPacket, packetsPerDevice)
        }
        rounds.push(round as Round)
      }
      rows.push(...rowsOf(recordsPerPacket, rounds))
    }
    return rows
  },
}

/** An engine on a database of its own. */
class Side {
  private readonly bench: Bench
  private readonly client: pg.Client
  private readonly engine: EngineProcess
  private nextMs = Math.floor(Date.now() / DAY_MS) * DAY_MS - DAY_MS
  private recordsBefore = 0
  private storedPositions = 0

  private constructor(bench: Bench, client: pg.Client, engine: EngineProcess) {
    this.bench = bench
    this.client = client
    this.engine = engine
  }

  /** @param wayM Length of the way of each device. */
  static async start(bench: Bench, fences: WayFences | undefined, wayM: number): Promise<Side> {
    const databaseUrl = await bench.database()
    const client = await bench.connect(databaseUrl)
    if (fences !== undefined) {
      await insertWayFences(client, ORGANIZATION, DEVICES, FENCES_PER_DEVICE, wayM, fences)
    }
    const engine = await EngineProcess.start(bench, databaseUrl)
    if (fences !== undefined) await engine.geofences(DEVICES * FENCES_PER_DEVICE)
    return new Side(bench, client, engine)
  }

  async run(recordsPerPacket: number, packetsPerDevice: number): Promise<Run> {
    const { bench, client, engine, recordsBefore } = this
    await client.query('TRUNCATE positions, events')
    await client.query('CHECKPOINT')
    const engineCpu = await engine.cpuSeconds()
    const databaseCpu = await databaseCpuSeconds(client)
    const options: GeneratorOptions = {
      port: engine.teltonikaPort,
      devices: DEVICES,
      packetsPerDevice,
      recordsPerPacket,
      startMs: this.nextMs,
      stepMs: STEP_MS,
      way: { metresPerRecord: METRES_PER_RECORD, recordsBefore },
    }
    const records = packetsPerDevice * recordsPerPacket
    this.nextMs += records * STEP_MS
    this.recordsBefore += records
    const child = bench.fork('generator', options)
    const result = await nextMessage<GeneratorResult>(child, 'generator')
    this.storedPositions += result.records
    await engine.stored(this.storedPositions)
    const storedSeconds = (Date.now() - result.startedMs) / 1000
    const cpuSeconds = {
      engine: (await engine.cpuSeconds()) - engineCpu,
      database: (await databaseCpuSeconds(client)) - databaseCpu,
    }
    await end(child)
    const { rows } = await client.query<{ positions: string; events: string }>(
      'SELECT (SELECT count(*) FROM positions) AS positions, (SELECT count(*) FROM events) AS events',
    )
    const positions = Number(rows[0]!.positions)
    if (positions !== result.records) {
      throw new Error(`${positions} rows are stored of ${result.records} that the engine told of`)
    }
    return { result, storedSeconds, cpuSeconds, events: Number(rows[0]!.events) }
  }
}

function rowsOf(recordsPerPacket: number, rounds: readonly Round[]): Row[] {
  const packets = recordsPerPacket === 1 ? '1 record a packet' : `${recordsPerPacket} records a packet`
  const seconds = ({ storedSeconds, result }: Run) => storedSeconds / result.records
  const engineMicros = ({ cpuSeconds, result }: Run) => (cpuSeconds.engine * 1e6) / result.records
  const databaseMicros = ({ cpuSeconds, result }: Run) => (cpuSeconds.database * 1e6) / result.records
  const cpuMicros = (run: Run) => engineMicros(run) + databaseMicros(run)
  return SIDES.map((side) => {
    const over = (value: (run: Run) => number) => summarise(rounds.map((round) => value(round[side])))
    const cost = (value: (run: Run) => number) =>
      summarise(rounds.map((round) => value(round[side]) / value(round.without)))
    const positionsPerEvent = over(({ result, events }) => result.records / events).mean
    return {
      name: `${NAMES[side]}, ${packets}`,
      cells: {
        'positions/s': spread(over((run) => 1 / seconds(run))),
        'p50 ms': spread(over(({ result }) => result.p50Ms)),
        'p99 ms': spread(over(({ result }) => result.p99Ms)),
        'engine CPU µs/position': spread(over(engineMicros)),
        'PostgreSQL CPU µs/position': spread(over(databaseMicros)),
        cost: side === 'without' ? '1 ×' : spread(cost(seconds)),
        'cost, CPU': side === 'without' ? '1 ×' : spread(cost(cpuMicros)),
        'positions an event': figure(positionsPerEvent),
      },
      meaning:
        side === 'without'
          ? 'The yardstick.'
          : `A position costs ${times(cost(seconds).mean)} what it costs without, ${times(cost(cpuMicros).mean)} in processor time; asked for: at most ${times(COST_MAX)}.`,
    }
  })
}
