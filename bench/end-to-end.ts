/** End to end: trackers on sockets, stored positions, replies; against PostgreSQL's own client and bare sockets. */
import type { ChildProcess } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type pg from 'pg'
import { type Bench, end, nextMessage } from './bench.ts'
import { type CopyYardstick, findCopyYardstick } from './copy-yardstick.ts'
import { ACKNOWLEDGED_WHEN, EngineProcess } from './engine-process.ts'
import type { GeneratorOptions, GeneratorResult } from './generator.ts'
import { figure, spread, summarise, times } from './measure.ts'
import type { Question, Row } from './question.ts'

const DEVICES = 1000
const ROUNDS = 3
const DAY_MS = 24 * 3600 * 1000
const STEP_MS = 1000

/** Sizes of the loads. */
const LOADS = [
  { recordsPerPacket: 10, packetsPerDevice: 80 },
  { recordsPerPacket: 1, packetsPerDevice: 200 },
] as const
const HALF_LOAD_SECONDS = 5

/** What was asked for. */
const P99_MS_MAX = 50
const REPLIES_MIN = 20_000
const BARE_SHARE_MIN = 0.8
const REPLIES_ASKED = `of min(${REPLIES_MIN.toLocaleString('en-US')}, ${BARE_SHARE_MIN} bare)`

/** A run of trackers at the engine. */
interface EngineRun extends GeneratorResult {
  /** From the first packet to the moment at which all that was acknowledged is stored. */
  readonly storedSeconds: number
  readonly engineCpuSeconds: number
}

interface Round {
  readonly engine: EngineRun
  /** Paced, at half of the replies a second of `engine`. */
  readonly half: EngineRun
  /** Of `\copy`. */
  readonly copyRowsPerSecond: number
  /** The same load on a server that only replies; for packets of one record. */
  readonly bare: { readonly result: GeneratorResult; readonly cpuSeconds: number } | undefined
}

export const endToEnd: Question = {
  name: 'end-to-end',
  title: 'How many positions a second does the whole engine store?',
  method:
    `${DEVICES.toLocaleString('en-US')} Teltonika trackers (Codec 8, six elements a record) in a process of their own, each in a closed loop: the next ` +
    `packet when the last is acknowledged, which is when it is ${ACKNOWLEDGED_WHEN}. The engine, its database and the trackers share the ` +
    'machine. Replies a second are counted up to the last reply, positions a second up to the moment at which all acknowledged ' +
    'positions are committed: the engine is asked every 20 ms for the number of those; then the rows of the table are counted, which must ' +
    'be as many as were acknowledged. Then the same rows, exported in the ' +
    'order in which they lie in the table, are copied into the same table, emptied, by `\\copy` (FORMAT binary). ' +
    `Half the load: for ${HALF_LOAD_SECONDS} s the trackers send in turn at a steady rate, half of the replies a second of the same round; latency is ` +
    `counted from when a packet was due; asked for: p99 below ${P99_MS_MAX} ms. ${ROUNDS} rounds in ` +
    'turns, a checkpoint before each part; ± is the standard deviation over the rounds, a ratio is that of its own round.',
  measure: async (bench) => {
    const databaseUrl = await bench.database()
    const client = await bench.connect(databaseUrl)
    const yardstick = await findCopyYardstick()
    const engine = await EngineProcess.start(bench, databaseUrl)
    const run = new Runs(bench, client, databaseUrl, engine, await BareServer.start(bench), yardstick)

    bench.progress('end-to-end: warming up')
    await run.warmUp()
    const rows: Row[] = []
    for (const load of LOADS) {
      const rounds: Round[] = []
      for (let i = 1; i <= ROUNDS; i++) {
        bench.progress(`end-to-end: ${load.recordsPerPacket} a packet, round ${i} of ${ROUNDS}`)
        rounds.push(await run.round(load.recordsPerPacket, load.packetsPerDevice))
      }
      rows.push(...rowsOf(load.recordsPerPacket, rounds, yardstick))
    }
    return rows
  },
}

/** See bare-server.ts. */
class BareServer {
  readonly port: number
  private readonly child: ChildProcess

  private constructor(child: ChildProcess, port: number) {
    this.child = child
    this.port = port
  }

  static async start(bench: Bench): Promise<BareServer> {
    const child = bench.fork('bare-server', {})
    return new BareServer(child, await nextMessage<number>(child, 'bare-server'))
  }

  cpuSeconds(): Promise<number> {
    this.child.send('cpu')
    return nextMessage<number>(this.child, 'bare-server')
  }
}

class Runs {
  private readonly bench: Bench
  private readonly client: pg.Client
  private readonly databaseUrl: string
  private readonly engine: EngineProcess
  private readonly bareServer: BareServer
  private readonly yardstick: CopyYardstick
  /** Times go on from run to run, all within one day, so that every position is its device's newest. */
  private nextMs = Math.floor(Date.now() / DAY_MS) * DAY_MS - DAY_MS
  /** By the engine since it started. */
  private storedPositions = 0

  constructor(
    bench: Bench,
    client: pg.Client,
    databaseUrl: string,
    engine: EngineProcess,
    bareServer: BareServer,
    yardstick: CopyYardstick,
  ) {
    this.bench = bench
    this.client = client
    this.databaseUrl = databaseUrl
    this.engine = engine
    this.bareServer = bareServer
    this.yardstick = yardstick
  }

  /** Registers the devices, and has what is hot compiled. */
  async warmUp(): Promise<void> {
    await this.runEngine(10, 10)
    await this.runEngine(1, 20)
  }

  async round(recordsPerPacket: number, packetsPerDevice: number): Promise<Round> {
    await this.empty()
    const engine = await this.runEngine(recordsPerPacket, packetsPerDevice)
    await this.expectRows(engine.records, 'the engine')

    const file = join(this.bench.folder, 'positions.copy')
    await this.yardstick.copyOut(this.databaseUrl, '(SELECT * FROM positions)', file)
    await this.empty()
    const copyMs = await this.yardstick.copyIn(this.databaseUrl, 'positions', file)
    await rm(file)
    await this.expectRows(engine.records, this.yardstick.name)

    await this.empty()
    const packetsPerSecond = engine.replies / engine.seconds / 2
    const halfPackets = Math.ceil((packetsPerSecond * HALF_LOAD_SECONDS) / DEVICES)
    const half = await this.runEngine(recordsPerPacket, halfPackets, packetsPerSecond)
    await this.expectRows(half.records, 'the engine')

    const bare = recordsPerPacket === 1 ? await this.bareRound(packetsPerDevice) : undefined
    return { engine, half, copyRowsPerSecond: (engine.records * 1000) / copyMs, bare }
  }

  private async bareRound(packetsPerDevice: number): Promise<Round['bare']> {
    const cpuBefore = await this.bareServer.cpuSeconds()
    const child = this.generator(this.bareServer.port, 1, packetsPerDevice)
    const result = await nextMessage<GeneratorResult>(child, 'generator')
    await end(child)
    return { result, cpuSeconds: (await this.bareServer.cpuSeconds()) - cpuBefore }
  }

  private async runEngine(
    recordsPerPacket: number,
    packetsPerDevice: number,
    packetsPerSecond?: number,
  ): Promise<EngineRun> {
    const { engine } = this
    const cpuBefore = await engine.cpuSeconds()
    const child = this.generator(engine.teltonikaPort, recordsPerPacket, packetsPerDevice, packetsPerSecond)
    const result = await nextMessage<GeneratorResult>(child, 'generator')
    this.storedPositions += result.records
    await engine.stored(this.storedPositions)
    const storedSeconds = (Date.now() - result.startedMs) / 1000
    const engineCpuSeconds = (await engine.cpuSeconds()) - cpuBefore
    await end(child)
    return { ...result, storedSeconds, engineCpuSeconds }
  }

  private generator(
    port: number,
    recordsPerPacket: number,
    packetsPerDevice: number,
    packetsPerSecond?: number,
  ): ChildProcess {
    const options: GeneratorOptions = {
      port,
      devices: DEVICES,
      packetsPerDevice,
      recordsPerPacket,
      startMs: this.nextMs,
      stepMs: STEP_MS,
      ...(packetsPerSecond !== undefined && { packetsPerSecond }),
    }
    this.nextMs += packetsPerDevice * recordsPerPacket * STEP_MS
    return this.bench.fork('generator', options)
  }

  private async empty(): Promise<void> {
    await this.client.query('TRUNCATE positions')
    await this.client.query('CHECKPOINT')
  }

  private async expectRows(expected: number, by: string): Promise<void> {
    const { rows } = await this.client.query<{ count: string }>('SELECT count(*) FROM positions')
    const stored = Number(rows[0]!.count)
    if (stored !== expected) throw new Error(`${stored} rows are stored of ${expected} that ${by} told of`)
  }
}

function rowsOf(recordsPerPacket: number, rounds: readonly Round[], yardstick: CopyYardstick): Row[] {
  const over = (value: (round: Round) => number) => summarise(rounds.map(value))
  const positionsPerSecond = (run: EngineRun) => run.records / run.storedSeconds
  const repliesPerSecond = ({ replies, seconds }: GeneratorResult) => replies / seconds
  const cpuMicros = (run: EngineRun) => (run.engineCpuSeconds * 1e6) / run.records
  const ratioToCopy = over(({ engine, copyRowsPerSecond }) => positionsPerSecond(engine) / copyRowsPerSecond)
  const bare = rounds.every((round) => round.bare !== undefined)
  const toBare = ({ engine, bare }: Round) => repliesPerSecond(engine) / repliesPerSecond(bare!.result)
  const toAsked = ({ engine, bare }: Round) =>
    repliesPerSecond(engine) / Math.min(REPLIES_MIN, BARE_SHARE_MIN * repliesPerSecond(bare!.result))
  const halfP99Ms = over(({ half }) => half.p99Ms)
  const packets = recordsPerPacket === 1 ? '1 record a packet' : `${recordsPerPacket} records a packet`
  const rows: Row[] = [
    {
      name: `engine, ${packets}`,
      cells: {
        'positions/s': spread(over(({ engine }) => positionsPerSecond(engine))),
        'of \\copy': spread(ratioToCopy),
        'replies/s': spread(over(({ engine }) => repliesPerSecond(engine))),
        'of bare sockets': bare ? spread(over(toBare)) : '–',
        [REPLIES_ASKED]: bare ? spread(over(toAsked)) : '–',
        'p50 ms': spread(over(({ engine }) => engine.p50Ms)),
        'p99 ms': spread(over(({ engine }) => engine.p99Ms)),
        'server CPU µs/position': spread(over(({ engine }) => cpuMicros(engine))),
      },
      meaning: `The engine stores ${times(ratioToCopy.mean)} what the yardstick does; each packet is acknowledged when it is ${ACKNOWLEDGED_WHEN}.`,
    },
    {
      name: `engine, ${packets}, half the load`,
      cells: {
        'positions/s': spread(over(({ half }) => positionsPerSecond(half))),
        'replies/s': spread(over(({ half }) => repliesPerSecond(half))),
        'p50 ms': spread(over(({ half }) => half.p50Ms)),
        'p99 ms': spread(halfP99Ms),
        'server CPU µs/position': spread(over(({ half }) => cpuMicros(half))),
      },
      meaning: `Paced: the p99 of the reply is ${times(halfP99Ms.mean / P99_MS_MAX)} the ${P99_MS_MAX} ms asked for.`,
    },
    {
      name: `\\copy of these rows`,
      cells: {
        'positions/s': spread(over(({ copyRowsPerSecond }) => copyRowsPerSecond)),
        'of \\copy': '1 ×',
      },
      meaning: `${yardstick.name}, one transaction of ${figure(rounds[0]!.engine.records)} rows: the yardstick.`,
    },
  ]
  if (bare) {
    rows.push({
      name: `bare sockets, ${packets}`,
      cells: {
        'replies/s': spread(over(({ bare }) => repliesPerSecond(bare!.result))),
        'of bare sockets': '1 ×',
        'p50 ms': spread(over(({ bare }) => bare!.result.p50Ms)),
        'p99 ms': spread(over(({ bare }) => bare!.result.p99Ms)),
        'server CPU µs/position': spread(over(({ bare }) => (bare!.cpuSeconds * 1e6) / bare!.result.records)),
      },
      meaning:
        'The same trackers at a server of Node that replies at once, decodes nothing and stores nothing: most replies that are possible.',
    })
  }
  return rows
}
