/** What sends positions to subscribers: the engine's stream in its thread, and a loop over `ws` sockets. */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { WebSocketServer } from 'ws'
import { encodingOf } from '../live/format/encoding.ts'
import type { StreamFormat } from '../live/format/stream-format.ts'
import { LiveThread } from '../live-thread-handle.ts'
import type { ShardToLive } from '../schemas/live-port.ts'
import { type PositionBatch, transferables } from '../schemas/position-batch.ts'
import { type ClientMessage, STREAM_PATH } from '../schemas/stream.ts'
import { superAdminToken } from '../test/sessions.ts'
import type { Bench } from './bench.ts'
import { JWT_SECRET } from './engine-process.ts'
import { positionBatch } from './positions.ts'
import type { Received, SubscribersOptions } from './subscribers.ts'

export const SOCKETS = 200
export const DEVICES = 1000
/** Rows of a batch: fewer than the stream would cut into two messages. */
export const BATCH_ROWS = 50

/** All of a batch; each device has one. */
const ROWS = Uint32Array.from({ length: BATCH_ROWS }, (_, row) => row)
const ATTRIBUTES = 2
/** How long subscribers may get nothing while something is on its way to them, ms. */
const DELIVERY_TIMEOUT_MS = 10_000
const POLL_MS = 10

export interface Source {
  readonly subscribers: Subscribers
  /** Sends the next batch to all. @returns Bytes that each gets of it at least: batches may share a message. */
  report(): number
  /** Waits until all has been received. @throws Error if something was left out. */
  delivered(): Promise<void>
  close(): Promise<void>
}

export interface SourceOptions {
  /** `devices.id`; the others follow. */
  readonly firstDevice: number
  readonly format: StreamFormat
}

/** The fleet reports in turns, each position newer than the device's last. */
export class LiveSource implements Source {
  readonly subscribers: Subscribers
  private readonly live: LiveThread
  private readonly toLive: MessagePort
  private readonly firstDevice: number
  private readonly format: StreamFormat
  /** By place of a batch in the fleet. */
  private readonly batchBytes: number[] = []
  private fixTimeMs = Date.now()
  private rows = 0
  private sequence = 0

  private constructor(
    live: LiveThread,
    toLive: MessagePort,
    subscribers: Subscribers,
    { firstDevice, format }: SourceOptions,
  ) {
    this.live = live
    this.toLive = toLive
    this.subscribers = subscribers
    this.firstDevice = firstDevice
    this.format = format
  }

  /** @param options With `tickMs` as the stream has it; undefined = as in production. */
  static async start(
    bench: Bench,
    options: SourceOptions & { readonly databaseUrl: string; readonly tickMs: number | undefined },
  ): Promise<LiveSource> {
    const { databaseUrl, tickMs, format } = options
    const { port1, port2 } = new MessageChannel()
    const live = await LiveThread.start(
      {
        host: '127.0.0.1',
        port: 0,
        allowedOrigins: [],
        databaseUrl,
        jwtSecret: JWT_SECRET,
        logLevel: 'warn',
        ...(tickMs === undefined ? {} : { tickMs }),
      },
      [port2],
      (error) => {
        throw error
      },
    )
    bench.defer(() => live.stop())
    const token = await superAdminToken(await bench.connect(databaseUrl), JWT_SECRET)
    const subscribers = await Subscribers.connect(bench, live.port, format, token)
    return new LiveSource(live, port1, subscribers, options)
  }

  report(): number {
    const start = this.rows % DEVICES
    if (start === 0) this.fixTimeMs++
    this.rows += BATCH_ROWS
    const positions = batchOf(this.firstDevice + start, this.fixTimeMs)
    this.batchBytes[start] ??= rowsOf(positions, this.format).join(this.format.separator).length
    const batch = positions.toMessage()
    const stored: ShardToLive = {
      type: 'stored',
      batch,
      commits: [{ sequence: ++this.sequence, rows: ROWS, events: [] }],
    }
    this.toLive.postMessage(stored, transferables(batch))
    return this.batchBytes[start]
  }

  async delivered(): Promise<void> {
    const lastMs = performance.now() + DELIVERY_TIMEOUT_MS
    for (;;) {
      const rows = await this.sent('rows')
      if (rows === this.rows * SOCKETS) break
      if (performance.now() > lastMs) {
        throw new Error(`${rows} positions were sent of ${this.rows * SOCKETS}: slow sockets were left out`)
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
    await this.subscribers.until(await this.sent('messages'))
  }

  async close(): Promise<void> {
    await this.subscribers.close()
    await this.live.stop()
    this.toLive.close()
  }

  private async sent(name: 'rows' | 'messages'): Promise<number> {
    const metric = (await this.live.metrics()).find(
      (found) => found.name === `fleetflow_stream_${name}_total`,
    )
    return metric?.values[0]?.value ?? 0
  }
}

export class WsSource implements Source {
  readonly subscribers: Subscribers
  private readonly server: WebSocketServer
  private readonly format: StreamFormat
  private readonly rows: readonly string[]
  private cursor = Date.now() * 1000
  private batches = 0

  private constructor(
    server: WebSocketServer,
    subscribers: Subscribers,
    { firstDevice, format }: SourceOptions,
  ) {
    this.server = server
    this.subscribers = subscribers
    this.format = format
    this.rows = rowsOf(batchOf(firstDevice, Date.now()), format)
  }

  static async start(bench: Bench, options: SourceOptions): Promise<WsSource> {
    const server = new WebSocketServer({
      host: '127.0.0.1',
      port: 0,
      path: STREAM_PATH,
      perMessageDeflate: false,
      handleProtocols: (offered) => [...offered][0] ?? false,
    })
    bench.defer(() => stop(server))
    await new Promise((resolve) => server.once('listening', resolve))
    // The answer to a subscription to nothing yet, as the stream gives it.
    server.on('connection', (socket) => {
      socket.once('message', () => {
        socket.send(options.format.encode({ type: 'live', id: 1, cursor: '' }), {
          binary: options.format.isBinary,
        })
      })
    })
    const { port } = server.address() as { port: number }
    return new WsSource(server, await Subscribers.connect(bench, port, options.format, ''), options)
  }

  report(): number {
    const { format } = this
    this.batches++
    const body = this.rows.join(format.separator)
    const message = format.encodeRows('positions', 1, String(++this.cursor), BATCH_ROWS, body)
    for (const socket of this.server.clients) socket.send(message, { binary: format.isBinary })
    return message.length
  }

  async delivered(): Promise<void> {
    await this.subscribers.until((this.batches + 1) * SOCKETS)
  }

  async close(): Promise<void> {
    await this.subscribers.close()
    await stop(this.server)
  }
}

async function stop(server: WebSocketServer): Promise<void> {
  for (const socket of server.clients) socket.terminate()
  await new Promise((resolve) => server.close(resolve))
}

function batchOf(firstDevice: number, fixTimeMs: number): PositionBatch {
  return positionBatch({
    rows: BATCH_ROWS,
    firstDevice,
    deviceCount: BATCH_ROWS,
    fixTimeMs,
    attributes: ATTRIBUTES,
  })
}

/** As the stream writes them. */
function rowsOf(batch: PositionBatch, format: StreamFormat): string[] {
  const encoding = encodingOf(format, 'objects')
  return Array.from({ length: BATCH_ROWS }, (_, row) => encoding.encodePosition(batch, row))
}

/** The process of subscribers, and what it has told so far. */
export class Subscribers {
  received: Received = { messages: 0, bytes: 0 }
  readonly close: () => Promise<void>
  private wake = () => {}

  private constructor(child: ReturnType<Bench['fork']>) {
    child.on('message', (received: Received) => {
      this.received = received
      this.wake()
    })
    child.on('exit', (code) => {
      if (code !== null && code !== 0) throw new Error(`the subscribers ended: exit ${code}`)
    })
    this.close = async () => {
      const exited = new Promise((resolve) => child.once('exit', resolve))
      child.disconnect()
      await exited
    }
  }

  /** Subscribed to everything; there are no positions yet, so each has got the end of its snapshot only. */
  static async connect(
    bench: Bench,
    port: number,
    format: StreamFormat,
    token: string,
  ): Promise<Subscribers> {
    const subscribe: ClientMessage = { type: 'subscribe', id: 1, scope: { all: true } }
    const options: SubscribersOptions = {
      url: `ws://127.0.0.1:${port}${STREAM_PATH}`,
      token,
      subprotocol: format.subprotocol,
      sockets: SOCKETS,
      subscribe: format.encode(subscribe as never).toString('hex'),
      isBinary: format.isBinary,
    }
    const subscribers = new Subscribers(bench.fork('subscribers', options))
    await subscribers.until(SOCKETS)
    return subscribers
  }

  /** Waits until so many messages and bytes have come in over all sockets. @throws Error if none comes for a while. */
  async until(messages: number, bytes = 0): Promise<void> {
    while (this.received.messages < messages || this.received.bytes < bytes) {
      await new Promise<void>((resolve, reject) => {
        const timeout = setTimeout(
          () =>
            reject(
              new Error(
                `subscribers got ${JSON.stringify(this.received)} of ${messages} messages, ${bytes} bytes`,
              ),
            ),
          DELIVERY_TIMEOUT_MS,
        )
        this.wake = () => {
          clearTimeout(timeout)
          resolve()
        }
      })
    }
  }
}
