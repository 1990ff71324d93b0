/** Publish: small batches to very many subscribers, against uWebSockets alone and against `ws`. */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { LiveThread } from '../live-thread-handle.ts'

import type { ShardToLive } from '../schemas/live-port.ts'
import { PositionBatch, transferables } from '../schemas/position-batch.ts'
import { type ClientMessage, STREAM_PATH, STREAM_PROTOCOLS } from '../schemas/stream.ts'
import { superAdminToken } from '../test/sessions.ts'
import type { Bench } from './bench.ts'
import { JWT_SECRET } from './engine-process.ts'
import { spread, summarise } from './measure.ts'
import type { ReceiversOptions } from './publish-receivers.ts'
import type { SenderOptions } from './publish-sender.ts'
import type { Question, Row } from './question.ts'

const SOCKETS = [1_000, 5_000] as const
/** Batches that come within one tick. */
const BATCHES_A_TICK = 16
const BATCH_BYTES = 256
const BATCH_BYTES_LEAST = 240
/** Positions whose rows as arrays are so many bytes of JSON, nearly. */
const BATCH_ROWS = 2
const ROUNDS = 3
const ROUND_SECONDS = 3
/** Ticks that not all have received yet when the next is handed over. */
const AHEAD = 2
const TIMEOUT_MS = 20_000
/** Shorter than a tick of so many sockets takes to send, so that ticks follow each other at once. */
const TICK_MS = 1
const POLL_MS = 5
const SETTLE_MS = 500
/** Of a frame of 126 to 65,535 bytes that a server sends, RFC 6455 5.2. */
const FRAME_HEAD_BYTES = 4

export const publish: Question = {
  name: 'publish',
  title: 'How near is the stream to what uWebSockets can send?',
  method:
    `Sockets in a process of their own, which count bytes and do not look into them, get ${BATCHES_A_TICK} batches of about ${BATCH_BYTES} bytes a tick, ` +
    'as fast as they are received. The yardstick is `publish` of uWebSockets to one topic, which itself joins what is sent within ' +
    'one turn of the event loop; beside it a loop that calls `send` on every socket of a `ws` server. The stream gets each batch through a ' +
    `MessagePort, as from a shard, as ${BATCH_ROWS} positions, keeps them for cursors and last positions, and gathers the rows of a tick into one message; subscribers ask for ` +
    `rows as arrays. ${ROUNDS} rounds of ${ROUND_SECONDS} s in turns; ± is the standard deviation over the rounds.`,
  measure: async (bench) => {
    const rows: Row[] = []
    for (const sockets of SOCKETS) rows.push(...(await measure(bench, sockets)))
    return rows
  },
}

async function measure(bench: Bench, sockets: number): Promise<Row[]> {
  const senders: readonly Sender[] = [
    await StreamSender.start(bench, sockets),
    await BareSender.start(bench, 'uWebSockets', sockets),
    await BareSender.start(bench, 'ws', sockets),
  ]
  const rates = senders.map((): number[] => [])
  // The first round warms up.
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [i, sender] of senders.entries()) {
      bench.progress(`publish: ${sockets} sockets, ${sender.name}, round ${round} of ${ROUNDS}`)
      const rate = await batchesPerSecond(sender, sockets)
      if (round > 0) rates[i]!.push(rate)
    }
  }
  for (const sender of senders) await sender.close()
  const [, yardstick, loop] = rates
  return senders.map(({ name, meaning }, i) => ({
    name: `${sockets} sockets, ${name}`,
    meaning,
    cells: {
      'batches/s': spread(summarise(rates[i]!)),
      'of uWebSockets': spread(summarise(rates[i]!.map((rate, round) => rate / yardstick![round]!))),
      'of ws': spread(summarise(rates[i]!.map((rate, round) => rate / loop![round]!))),
    },
  }))
}

/** Batches that reached a socket, counted for every socket. */
async function batchesPerSecond(sender: Sender, sockets: number): Promise<number> {
  const startMs = performance.now()
  let ticks = 0
  while (performance.now() - startMs < ROUND_SECONDS * 1000) {
    sender.tick()
    ticks++
    await sender.received(ticks - AHEAD)
  }
  await sender.receivedAll(ticks)
  return (ticks * BATCHES_A_TICK * sockets * 1000) / (performance.now() - startMs)
}

/** Something that sends batches to all its sockets. */
interface Sender {
  readonly name: string
  readonly meaning: string
  /** Hands the batches of a tick over. */
  tick(): void
  /** Waits until all have what was handed over in the first so many ticks of the round, or nearly. */
  received(ticks: number): Promise<void>
  /** Waits until all have everything of the round, and begins another one. */
  receivedAll(ticks: number): Promise<void>
  close(): Promise<void>
}

/** The process of receivers. */
class Receivers {
  bytes = 0
  private readonly child: ReturnType<Bench['fork']>
  private wake = () => {}

  constructor(bench: Bench, options: ReceiversOptions) {
    this.child = bench.fork('publish-receivers', options)
    this.child.on('message', (bytes: number) => {
      this.bytes = bytes
      this.wake()
    })
    this.child.on('exit', (code) => {
      if (code !== null && code !== 0) throw new Error(`the receivers ended: exit ${code}`)
    })
  }

  async until(bytes: number): Promise<void> {
    while (this.bytes < bytes) {
      await new Promise<void>((resolve, reject) => {
        const timeout = setTimeout(
          () => reject(new Error(`receivers got ${this.bytes} bytes of ${bytes}`)),
          TIMEOUT_MS,
        )
        this.wake = () => {
          clearTimeout(timeout)
          resolve()
        }
      })
    }
  }

  /** Waits until nothing comes any more. */
  async quiet(): Promise<void> {
    let before: number
    do {
      before = this.bytes
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
    } while (this.bytes !== before)
  }

  async close(): Promise<void> {
    const exited = new Promise((resolve) => this.child.once('exit', resolve))
    this.child.disconnect()
    await exited
  }
}

class BareSender implements Sender {
  readonly name: string
  readonly meaning: string
  private readonly child: ReturnType<Bench['fork']>
  private readonly receivers: Receivers
  private readonly tickBytes: number
  private roundBytes = 0

  private constructor(
    kind: SenderOptions['kind'],
    child: ReturnType<Bench['fork']>,
    receivers: Receivers,
    sockets: number,
  ) {
    this.name = kind
    this.meaning =
      kind === 'ws' ? 'A loop over its sockets for each batch.' : '`publish` to one topic for each batch.'
    this.child = child
    this.receivers = receivers
    this.tickBytes = (BATCH_BYTES + FRAME_HEAD_BYTES) * BATCHES_A_TICK * sockets
  }

  static async start(bench: Bench, kind: SenderOptions['kind'], sockets: number): Promise<BareSender> {
    const options: SenderOptions = { kind, batchBytes: BATCH_BYTES, path: STREAM_PATH }
    const child = bench.fork('publish-sender', options)
    const port = await new Promise<number>((resolve) => child.once('message', resolve))
    const receivers = new Receivers(bench, { port, path: STREAM_PATH, sockets, headers: [], first: 'x' })
    // All have subscribed when a batch reaches all of them.
    const sender = new BareSender(kind, child, receivers, sockets)
    const deadlineMs = performance.now() + TIMEOUT_MS
    for (let before = -1; receivers.bytes - before !== sender.tickBytes; ) {
      if (performance.now() > deadlineMs) throw new Error(`not all receivers of ${kind} subscribed`)
      before = receivers.bytes
      sender.tick()
      await receivers.quiet()
    }
    sender.roundBytes = receivers.bytes
    return sender
  }

  tick(): void {
    this.child.send(BATCHES_A_TICK)
  }

  received(ticks: number): Promise<void> {
    return this.receivers.until(this.roundBytes + ticks * this.tickBytes)
  }

  async receivedAll(ticks: number): Promise<void> {
    await this.received(ticks)
    this.roundBytes = this.receivers.bytes
  }

  async close(): Promise<void> {
    await this.receivers.close()
    const exited = new Promise((resolve) => this.child.once('exit', resolve))
    this.child.disconnect()
    await exited
  }
}

class StreamSender implements Sender {
  readonly name = 'the stream'
  readonly meaning =
    'It also knows the last position of each device, who may see it, and what follows each cursor.'
  private readonly live: LiveThread
  private readonly port: MessagePort
  private readonly receivers: Receivers
  private readonly firstDevice: number
  private readonly sockets: number
  private roundBytes = 0
  private sent: Sent = { messages: 0, bytes: 0, rows: 0 }
  private batches = 0

  private constructor(
    live: LiveThread,
    port: MessagePort,
    receivers: Receivers,
    firstDevice: number,
    sockets: number,
  ) {
    this.live = live
    this.port = port
    this.receivers = receivers
    this.firstDevice = firstDevice
    this.sockets = sockets
  }

  static async start(bench: Bench, sockets: number): Promise<StreamSender> {
    const databaseUrl = await bench.database()
    const client = await bench.connect(databaseUrl)
    const { rows } = await client.query<{ id: number }>(
      `WITH organization AS (INSERT INTO organizations (name) VALUES ('Bench') RETURNING id)
       INSERT INTO devices (organization_id, unique_id, name)
       SELECT organization.id, 'bench-' || i, 'bench' FROM organization, generate_series(1, $1) AS i RETURNING id`,
      [BATCH_ROWS * BATCHES_A_TICK],
    )
    const { port1, port2 } = new MessageChannel()
    const live = await LiveThread.start(
      {
        host: '127.0.0.1',
        port: 0,
        allowedOrigins: [],
        databaseUrl,
        jwtSecret: JWT_SECRET,
        logLevel: 'warn',
        tickMs: TICK_MS,
        limits: { socketsMax: sockets, socketsPerUserMax: sockets },
      },
      [port2],
      (error) => {
        throw error
      },
    )
    bench.defer(() => live.stop())
    const token = await superAdminToken(client, JWT_SECRET)
    const subscribe: ClientMessage = { type: 'subscribe', id: 1, scope: { all: true }, rows: 'arrays' }
    const receivers = new Receivers(bench, {
      port: live.port,
      path: STREAM_PATH,
      sockets,
      headers: [`Authorization: Bearer ${token}`, `Sec-WebSocket-Protocol: ${STREAM_PROTOCOLS.json}`],
      first: JSON.stringify(subscribe),
    })
    const sender = new StreamSender(live, port1, receivers, Math.min(...rows.map(({ id }) => id)), sockets)
    await sender.settle()
    return sender
  }

  tick(): void {
    for (let i = 0; i < BATCHES_A_TICK; i++) this.post(i * BATCH_ROWS)
  }

  /** Rows are a little shorter, and frames of messages few. */
  received(ticks: number): Promise<void> {
    return this.receivers.until(this.roundBytes + ticks * BATCHES_A_TICK * BATCH_BYTES_LEAST * this.sockets)
  }

  async receivedAll(ticks: number): Promise<void> {
    const rows = this.sent.rows + ticks * BATCHES_A_TICK * BATCH_ROWS * this.sockets
    const deadlineMs = performance.now() + TIMEOUT_MS
    let sent = await this.totals()
    while (sent.rows < rows) {
      if (performance.now() > deadlineMs) throw new Error(`${sent.rows} positions were sent of ${rows}`)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
      sent = await this.totals()
    }
    const messages = sent.messages - this.sent.messages
    await this.receivers.until(this.roundBytes + sent.bytes - this.sent.bytes + messages * FRAME_HEAD_BYTES)
    this.sent = sent
    this.roundBytes = this.receivers.bytes
  }

  async close(): Promise<void> {
    await this.receivers.close()
    await this.live.stop()
    this.port.close()
  }

  /** Waits until every receiver has the end of its snapshot, and nothing more comes. */
  private async settle(): Promise<void> {
    const deadlineMs = performance.now() + TIMEOUT_MS
    for (let before = -1; this.sent.messages < 2 * this.sockets || this.receivers.bytes !== before; ) {
      if (performance.now() > deadlineMs) throw new Error('not all receivers subscribed')
      before = this.receivers.bytes
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
      this.sent = await this.totals()
    }
    this.roundBytes = this.receivers.bytes
  }

  private post(offset: number): void {
    const batch = batchOf(this.firstDevice + offset, Date.now())
    const message = batch.toMessage()
    const rows = Uint32Array.from({ length: BATCH_ROWS }, (_, row) => row)
    const stored: ShardToLive = {
      type: 'stored',
      batch: message,
      commits: [{ sequence: ++this.batches, rows, events: [] }],
    }
    this.port.postMessage(stored, [...transferables(message), rows.buffer])
  }

  private async totals(): Promise<Sent> {
    const metrics = await this.live.metrics()
    const total = (name: keyof Sent) =>
      metrics.find((metric) => metric.name === `fleetflow_stream_${name}_total`)?.values[0]?.value ?? 0
    return { messages: total('messages'), bytes: total('bytes'), rows: total('rows') }
  }
}

interface Sent {
  readonly messages: number
  readonly bytes: number
  readonly rows: number
}

/** Rows of a tracker with few readings: two are nearly {@link BATCH_BYTES}. */
function batchOf(firstDevice: number, fixTimeMs: number): PositionBatch {
  const batch = new PositionBatch(8)
  for (let i = 0; i < BATCH_ROWS; i++) {
    const row = batch.add(fixTimeMs, 30.267153 + i / 1000, -97.743061)
    batch.device[row] = firstDevice + i
    batch.receivedMs[row] = fixTimeMs
    batch.altitudeM[row] = 149
    batch.speedKmh[row] = 43
    batch.courseDeg[row] = 271
    batch.set(row, 'sat', 11)
    batch.set(row, 'ignition', true)
    batch.set(row, 'odometer', 114_953_180)
    batch.set(row, 'power', 12.4)
  }
  return batch
}
