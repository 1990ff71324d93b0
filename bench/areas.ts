/** Maps that show a part of a great fleet: does each get its area only, and all of it, in time? */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import type pg from 'pg'
import { LiveThread } from '../live-thread-handle.ts'
import type { ShardToLive } from '../schemas/live-port.ts'
import { PositionBatch, transferables } from '../schemas/position-batch.ts'
import { STREAM_PATH } from '../schemas/stream.ts'
import { superAdminToken } from '../test/sessions.ts'
import { Fleet, isOn, STAYS_EVERY, type Viewport, viewports } from './area-fleet.ts'
import type { ReceiversCommand, ReceiversOptions, ReceiversReport } from './area-receivers.ts'
import { Publisher } from './area-topics.ts'
import { type Bench, nextMessage } from './bench.ts'
import { JWT_SECRET } from './engine-process.ts'
import { figure, percentile } from './measure.ts'
import type { Question, Row } from './question.ts'

const DEVICES = 100_000
const SOCKETS = 1_000
/** A tracker on the move reports every ten seconds. */
const ROWS_PER_SECOND = 10_000
const SECONDS = 30
const WARM_UP_SECONDS = 5
/** A map that is used is dragged so often. */
const MOVE_EVERY_MS = 5_000
const BATCHES_A_SECOND = 20
const FIRST_BATCH_ROWS = 8_192
/** Steps through the devices, so that those who report together are of all towns. */
const STRIDE = 7_919
const QUIET_MS = 2_000
const TIMEOUT_MS = 60_000
const PUBLISHED_ROWS = [10_000, 30_000, 100_000]
const PUBLISHED_SECONDS = 3

export const areas: Question = {
  name: 'areas',
  title: 'What does it take to show each of many maps its own area?',
  method:
    `${DEVICES.toLocaleString('en-US')} devices drive the tracks of Austin's buses in 100 towns and report ${ROWS_PER_SECOND.toLocaleString('en-US')} positions a second, as from a shard that has just committed ` +
    `them. ${SOCKETS.toLocaleString('en-US')} sockets in a process of their own have a map each, of a few streets to a town, and nine of ten drag it every ${MOVE_EVERY_MS / 1000} s. Each checks ` +
    'every row against what it had asked for; at the end every map must show exactly the devices that are on it, and those that ' +
    'stayed must have got every row there was. The latency is from the time that the stored rows are handed to the stream until a socket has got them; also told is the share of rows that the server sent within 100 ms, of which 99 % are asked for. ' +
    'Before that, two ways are compared on a bare server: each row published to topics of uWebSockets, one a cell ' +
    'and about 50 a map, and rows found by the index of areas and gathered into one message a socket and tick.',
  measure: async (bench) => [...(await publishing(bench)), ...(await moving(bench))],
}

async function publishing(bench: Bench): Promise<Row[]> {
  const publisher = await Publisher.start(bench, SOCKETS, DEVICES)
  const rows: Row[] = []
  for (const rate of PUBLISHED_ROWS) {
    const cost = { topics: [] as number[], index: [] as number[] }
    // The first second warms up.
    for (let second = 0; second <= PUBLISHED_SECONDS; second++) {
      bench.progress(
        `areas: ${rate} rows to topics and by the index, second ${second} of ${PUBLISHED_SECONDS}`,
      )
      for (const way of ['topics', 'index'] as const) {
        const cpuMs = await publisher.second(rate, way)
        if (second > 0) cost[way].push(cpuMs)
      }
    }
    const [topics, index] = [mean(cost.topics), mean(cost.index)]
    rows.push({
      name: `${figure(rate)} positions/s, bare server`,
      cells: {
        'CPU of topics': `${figure(topics / 10)} %`,
        'CPU of the index': `${figure(index / 10)} %`,
        'topics : index': figure(topics / index),
        'p50 ms': '–',
        'p99 ms': '–',
        'sent within 100 ms': '–',
        'rows received/s': '–',
      },
      meaning: `Processor time of a second, in percent of a core: of a topic a cell, and of one message a socket.`,
    })
  }
  await publisher.close()
  return rows
}

async function moving(bench: Bench): Promise<Row[]> {
  const databaseUrl = await bench.database()
  bench.progress('areas: the fleet registers')
  const client = await bench.connect(databaseUrl)
  const firstDevice = await registerDevices(client)
  const { port1, port2 } = new MessageChannel()
  const live = await LiveThread.start(
    { host: '127.0.0.1', port: 0, allowedOrigins: [], databaseUrl, jwtSecret: JWT_SECRET, logLevel: 'warn' },
    [port2],
    (error) => {
      throw error
    },
  )
  bench.defer(() => live.stop())
  const boxes = viewports(SOCKETS, DEVICES)
  const source = new FleetSource(port1, firstDevice, boxes)
  for (let first = 0; first < DEVICES; first += FIRST_BATCH_ROWS) {
    source.report(Math.min(FIRST_BATCH_ROWS, DEVICES - first))
  }
  const receivers = new Receivers(bench, {
    url: `ws://127.0.0.1:${live.port}${STREAM_PATH}`,
    token: await superAdminToken(client, JWT_SECRET),
    viewports: boxes,
    moveEveryMs: MOVE_EVERY_MS,
  })
  bench.progress('areas: maps open')
  await receivers.until((report) => report.live === SOCKETS)
  const opened = await receivers.quiet()
  source.count = new Array<number>(SOCKETS).fill(0)
  const shownAtFirst = opened.maps.map(({ rows }) => rows)
  receivers.tell('move')
  bench.progress('areas: the fleet drives')
  await source.drive(WARM_UP_SECONDS)
  receivers.tell('forget')
  const before = await receivers.report()
  const sentBefore = await sentSoon(live)
  const cpuStart = process.cpuUsage()
  await source.drive(SECONDS)
  const { user, system } = process.cpuUsage(cpuStart)
  const after = await receivers.report()
  const sentAfter = await sentSoon(live)
  receivers.tell('stay')
  const end = await receivers.quiet()
  if (end.astray > 0) throw new Error(`${end.astray} rows were on no map that had been asked for`)
  for (const [i, map] of end.maps.entries()) {
    const expected = source.on(map.viewport)
    const shown = new Set(map.devices)
    const missing = expected.filter((device) => !shown.has(device)).length
    const surplus = shown.size - (expected.length - missing)
    if (missing + surplus > 0) {
      throw new Error(`map ${i} lacks ${missing} devices, and shows ${surplus} that are not on it`)
    }
    if (i % STAYS_EVERY === 0 && map.rows - shownAtFirst[i]! !== source.count[i]) {
      throw new Error(`map ${i} got ${map.rows - shownAtFirst[i]!} rows of ${source.count[i]}`)
    }
  }
  const latencies = Float64Array.from(after.latenciesMs)
  const perSecond = (name: 'rows' | 'left' | 'moves') => figure((after[name] - before[name]) / SECONDS)
  return [
    {
      name: `${figure(DEVICES)} devices, ${figure(SOCKETS)} moving maps`,
      cells: {
        'CPU of topics': '–',
        'CPU of the index': `${figure((user + system) / 1e4 / SECONDS)} %`,
        'topics : index': '–',
        'p50 ms': figure(percentile(latencies, 0.5)),
        'p99 ms': figure(percentile(latencies, 0.99)),
        'sent within 100 ms': `${figure((100 * (sentAfter.soon - sentBefore.soon)) / (sentAfter.all - sentBefore.all))} %`,
        'rows received/s': perSecond('rows'),
      },
      meaning:
        `The stream at ${figure(ROWS_PER_SECOND)} positions/s, ${perSecond('moves')} moves of maps and ${perSecond('left')} devices that left a map a second; ` +
        'the processor time is of the whole sending process, which makes the positions, too. All maps were right at the end.',
    },
  ]
}

/** Of a sample of the rows: those that were sent within 100 ms, and all. */
async function sentSoon(live: LiveThread): Promise<{ soon: number; all: number }> {
  const metric = (await live.metrics()).find(({ name }) => name === 'fleetflow_stream_latency_seconds')
  const bucket = (le: number | string) =>
    metric?.values.find(({ labels }) => (labels as { le?: number | string }).le === le)?.value ?? 0
  return { soon: bucket(0.1), all: bucket('+Inf') }
}

/** The shard's end of the stream. */
class FleetSource {
  /** By map: rows that were on it, where it was at first. */
  count: number[] = []
  private readonly fleet = new Fleet(DEVICES)
  private readonly port: MessagePort
  private readonly firstDevice: number
  private readonly boxes: readonly Viewport[]
  private readonly longitudes = new Float64Array(DEVICES)
  private readonly latitudes = new Float64Array(DEVICES)
  private sequence = 0
  private reported = 0
  private fixTimeMs = Date.now() - 1_000_000

  constructor(port: MessagePort, firstDevice: number, boxes: readonly Viewport[]) {
    this.port = port
    this.firstDevice = firstDevice
    this.boxes = boxes
  }

  /** Sends a commit of so many rows. */
  report(rows: number): void {
    const devices = Uint32Array.from({ length: rows }, () => (this.reported++ * STRIDE) % DEVICES).sort()
    const batch = new PositionBatch(Math.ceil(rows / 8) * 8)
    const receivedMs = Date.now()
    this.fixTimeMs++
    for (const device of devices) {
      const [longitudeDeg, latitudeDeg] = this.fleet.drive(device)
      const row = batch.add(this.fixTimeMs, latitudeDeg, longitudeDeg)
      batch.device[row] = this.firstDevice + device
      batch.receivedMs[row] = receivedMs
      batch.speedKmh[row] = 40
      batch.courseDeg[row] = 90
      batch.set(row, 'ignition', true)
      this.longitudes[device] = longitudeDeg
      this.latitudes[device] = latitudeDeg
    }
    const message = batch.toMessage()
    const commit = { sequence: ++this.sequence, rows: Uint32Array.from(devices, (_, row) => row), events: [] }
    const stored: ShardToLive = { type: 'stored', batch: message, commits: [commit] }
    this.port.postMessage(stored, transferables(message))
    for (const device of devices) this.countOn(device)
  }

  async drive(seconds: number): Promise<void> {
    const startMs = performance.now()
    for (let batch = 0; batch < seconds * BATCHES_A_SECOND; batch++) {
      const dueMs = startMs + (batch * 1000) / BATCHES_A_SECOND
      await new Promise((resolve) => setTimeout(resolve, dueMs - performance.now()))
      this.report(ROWS_PER_SECOND / BATCHES_A_SECOND)
    }
  }

  /** Ids of the devices that are on a map now. */
  on(viewport: Viewport): number[] {
    const devices: number[] = []
    for (let device = 0; device < DEVICES; device++) {
      if (isOn(viewport, this.longitudes[device]!, this.latitudes[device]!)) {
        devices.push(this.firstDevice + device)
      }
    }
    return devices
  }

  private countOn(device: number): void {
    if (this.count.length === 0) return
    for (let i = 0; i < this.boxes.length; i += STAYS_EVERY) {
      if (isOn(this.boxes[i]!, this.longitudes[device]!, this.latitudes[device]!)) this.count[i]!++
    }
  }
}

/** The process of those who look at the maps. */
class Receivers {
  private readonly child: ReturnType<Bench['fork']>

  constructor(bench: Bench, options: ReceiversOptions) {
    this.child = bench.fork('area-receivers', options)
  }

  tell(command: ReceiversCommand): void {
    this.child.send(command)
  }

  async report(): Promise<ReceiversReport> {
    this.tell('report')
    return nextMessage<ReceiversReport>(this.child, 'area-receivers')
  }

  async until(done: (report: ReceiversReport) => boolean): Promise<ReceiversReport> {
    const lastMs = performance.now() + TIMEOUT_MS
    for (;;) {
      const report = await this.report()
      if (done(report)) return report
      if (performance.now() > lastMs)
        throw new Error(`the maps stand at ${report.live} live, ${report.rows} rows`)
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }

  /** When nothing has come for a while. */
  async quiet(): Promise<ReceiversReport> {
    for (let before = -1; ; ) {
      const report = await this.report()
      if (report.messages === before) return report
      before = report.messages
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS))
    }
  }
}

async function registerDevices(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ first: number }>(
    `WITH organization AS (INSERT INTO organizations (name) VALUES ('Bench') RETURNING id),
       made AS (INSERT INTO devices (organization_id, unique_id, name)
         SELECT organization.id, 'bench-' || i, 'bench' FROM organization, generate_series(1, $1) AS i RETURNING id)
     SELECT min(id) AS first FROM made`,
    [DEVICES],
  )
  return rows[0]!.first
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
