/** Fan-out: positions to many subscribers of everything; against a loop over `ws` sockets with the same messages. */
import { jsonFormat, msgpackFormat, type StreamFormat } from '../live/format/stream-format.ts'
import type { Bench } from './bench.ts'
import { BATCH_ROWS, DEVICES, LiveSource, SOCKETS, type Source, WsSource } from './fan-out-sources.ts'
import { figure, spread, summarise } from './measure.ts'
import type { Question, Row } from './question.ts'

const PACED_SECONDS = 3
const ROUND_SECONDS = 1.5
const ROUNDS = 3
/** Batches that all subscribers need not have got when the next is handed over. */
const AHEAD = 4
/** A second of the fleet is so many batches. */
const BATCHES_PER_SECOND = DEVICES / BATCH_ROWS

const FORMATS: readonly [string, StreamFormat][] = [
  ['JSON', jsonFormat],
  ['msgpack', msgpackFormat],
]

/** What reached all subscribers in a while. */
interface Flow {
  readonly messagesPerSecond: number
  readonly rowsPerSecond: number
  readonly bytesPerSecond: number
  /** Processor time a second of this process, in which the stream is a thread. */
  readonly cpuShare: number
}

export const fanOut: Question = {
  name: 'fan-out',
  title: 'How many positions a second reach subscribers?',
  method:
    `${SOCKETS} sockets in a process of their own subscribe to all of ${DEVICES.toLocaleString('en-US')} devices. The stream runs in its thread and gets batches of ` +
    `${BATCH_ROWS} positions through a MessagePort, as from a shard: first each device reports once a second and the stream gathers as in ` +
    `production, then batches come as fast as they are delivered, about ${AHEAD} ahead, and sent at once. All that was handed ` +
    'over must have been received. The yardstick sends the same messages in a loop over the sockets of a `ws` server, ' +
    `${ROUNDS} rounds in turns; ± is the standard deviation over the rounds. Processor time is that of the sender's process.`,
  measure: async (bench) => {
    const databaseUrl = await bench.database()
    const firstDevice = await registerDevices(bench, databaseUrl)
    const rows: Row[] = []
    for (const [name, format] of FORMATS) {
      bench.progress(`fan-out: ${name}, once a second`)
      const gathering = await LiveSource.start(bench, { databaseUrl, firstDevice, format, tickMs: undefined })
      const paced = await pacedFlow(gathering)
      await gathering.close()
      rows.push(
        rowOf(
          `${name}, once a second`,
          [paced],
          undefined,
          `${SOCKETS} dashboards on ${DEVICES} devices that report every second take ${figure(paced.cpuShare * 100)} % of a core.`,
        ),
      )
      const live = await LiveSource.start(bench, { databaseUrl, firstDevice, format, tickMs: 0 })
      const ws = await WsSource.start(bench, { firstDevice, format })
      const flows: { live: Flow; ws: Flow }[] = []
      // The first round warms up.
      for (let round = 0; round <= ROUNDS; round++) {
        bench.progress(`fan-out: ${name}, as fast as it goes, round ${round} of ${ROUNDS}`)
        const pair = { live: await fastFlow(live), ws: await fastFlow(ws) }
        if (round > 0) flows.push(pair)
      }
      await live.close()
      await ws.close()
      const wsFlows = flows.map((pair) => pair.ws)
      rows.push(
        rowOf(
          `${name}, as fast as it goes`,
          flows.map((pair) => pair.live),
          wsFlows,
          'The stream, which also keeps the last position of each device and knows who may see it.',
        ),
        rowOf(
          `${name}, loop over ws`,
          wsFlows,
          wsFlows,
          'The yardstick: a message made once a batch of rows that are encoded already, and `send` on every socket.',
        ),
      )
    }
    return rows
  },
}

function rowOf(
  name: string,
  flows: readonly Flow[],
  yardstick: readonly Flow[] | undefined,
  meaning: string,
): Row {
  const over = (value: (flow: Flow) => number) => summarise(flows.map(value))
  const rows = over((flow) => flow.rowsPerSecond)
  const ratio =
    yardstick && summarise(flows.map((flow, i) => flow.rowsPerSecond / yardstick[i]!.rowsPerSecond))
  return {
    name,
    cells: {
      'positions/s': flows.length > 1 ? spread(rows) : figure(rows.mean),
      'of ws': ratio === undefined ? '–' : spread(ratio),
      'messages/s': figure(over((flow) => flow.messagesPerSecond).mean),
      'MB/s': figure(over((flow) => flow.bytesPerSecond / 1e6).mean),
      'bytes/position': figure(over((flow) => flow.bytesPerSecond / flow.rowsPerSecond).mean),
      'CPU of a core': `${figure(over((flow) => flow.cpuShare * 100).mean)} %`,
      'CPU ms/million positions': figure(over((flow) => (flow.cpuShare / flow.rowsPerSecond) * 1e9).mean),
    },
    meaning,
  }
}

async function registerDevices(bench: Bench, databaseUrl: string): Promise<number> {
  const client = await bench.connect(databaseUrl)
  const { rows } = await client.query<{ id: number }>(
    `WITH organization AS (INSERT INTO organizations (name) VALUES ('Bench') RETURNING id)
     INSERT INTO devices (organization_id, unique_id, name)
     SELECT organization.id, 'bench-' || i, 'bench' FROM organization, generate_series(1, $1) AS i RETURNING id`,
    [DEVICES],
  )
  return Math.min(...rows.map(({ id }) => id))
}

/** Every device once a second. */
async function pacedFlow(source: Source): Promise<Flow> {
  return measureFlow(source, async () => {
    const startMs = performance.now()
    let batches = 0
    for (; batches < PACED_SECONDS * BATCHES_PER_SECOND; batches++) {
      const dueMs = startMs + (batches * 1000) / BATCHES_PER_SECOND
      await new Promise((resolve) => setTimeout(resolve, dueMs - performance.now()))
      source.report()
    }
    await source.delivered()
    return batches
  })
}

/** Batch after batch. */
async function fastFlow(source: Source): Promise<Flow> {
  return measureFlow(source, async () => {
    const { subscribers } = source
    const endMs = performance.now() + ROUND_SECONDS * 1000
    const ahead: number[] = []
    let due = subscribers.received.bytes
    let batches = 0
    while (performance.now() < endMs) {
      ahead.push(source.report() * SOCKETS)
      batches++
      if (ahead.length > AHEAD) due += ahead.shift()!
      await subscribers.until(0, due)
    }
    await source.delivered()
    return batches
  })
}

/** @param run Hands batches over, waits until they are delivered, and tells how many they were. */
async function measureFlow({ subscribers }: Source, run: () => Promise<number>): Promise<Flow> {
  const before = subscribers.received
  const startMs = performance.now()
  const cpuStart = process.cpuUsage()
  const batches = await run()
  const seconds = (performance.now() - startMs) / 1000
  const { user, system } = process.cpuUsage(cpuStart)
  return {
    messagesPerSecond: (subscribers.received.messages - before.messages) / seconds,
    rowsPerSecond: (batches * BATCH_ROWS * SOCKETS) / seconds,
    bytesPerSecond: (subscribers.received.bytes - before.bytes) / seconds,
    cpuShare: (user + system) / 1e6 / seconds,
  }
}
