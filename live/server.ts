/**
 * The live stream: takes stored positions and events from ingest, keeps the last position of each device and the newest
 * events, and sends every WebSocket what its subscriptions may see. Protocol: schemas/stream.ts. Runs in a thread of its own in production, see
 * live-thread.ts, and needs none in tests.
 *
 * A batch goes into the log of last positions or of events when it comes; a tick later every socket gets what it has not
 * got of the logs yet. Between ticks nothing is sent except to a socket that subscribes or has drained.
 */
import { createServer } from 'node:net'
import type { MessagePort } from 'node:worker_threads'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import type { ShardToLive } from '../schemas/live-port.ts'
import { PositionBatch, transferables } from '../schemas/position-batch.ts'
import { STREAM_CLOSE, STREAM_PATH } from '../schemas/stream.ts'
import { createPool } from '../storage/pools.ts'
import { discard } from './discard.ts'
import { LiveError } from './live-error.ts'
import { Chunks } from './log/chunks.ts'
import { DeviceFeed } from './log/device-feed.ts'
import { EventLog } from './log/event-log.ts'
import { LastPositions, type Move } from './log/last-positions.ts'
import { liveMetrics } from './metrics.ts'
import { type LiveLimits, type LiveOptions, limitsOf, TICK_MS, USER_CHECK_MS } from './options.ts'
import { Client, type Hub, type SocketData } from './sockets/client.ts'
import { Grants } from './sockets/grants.ts'
import { handleMessage } from './sockets/requests.ts'
import { otherHandler, upgradeHandler } from './sockets/upgrade.ts'
import { UserChecks } from './sockets/user-checks.ts'
import {
  listenOn,
  loadUws,
  type TemplatedApp,
  type UWebSockets,
  type WebSocketBehavior,
} from './sockets/uws.ts'

/** Connections to the database that redeem tickets. */
const POOL_MAX = 4
const SECOND_MS = 1_000
/** uWebSockets keeps a socket that was closed while it held unsent bytes for 16 s, counted in steps of 4. */
const LINGER_MS = 20_000
/** Positions of a tick whose latency is observed, at most: one observation costs as much as encoding. */
const LATENCY_SAMPLES_MAX = 100

export interface LiveServer {
  readonly port: number
  readonly registry: Registry
  /** Closes all sockets with 1001, then the server. */
  stop(): Promise<void>
}

/**
 * @param ports Each delivers the {@link ShardToLive} of a shard.
 * @throws LiveError if the stream can not be started.
 */
export async function startLive(
  options: LiveOptions,
  ports: readonly MessagePort[],
  registry: Registry = new Registry(),
): Promise<LiveServer> {
  const limits = limitsOf(options)
  const uws = loadUws()
  // Standard output is for people and scripts, standard error for the log.
  const destination = pino.destination({ fd: 2, sync: true })
  const log = pino({ level: options.logLevel ?? 'info', base: { name: 'live' } }, destination)
  const tickMs = options.tickMs ?? TICK_MS
  const metrics = liveMetrics(registry)
  const clients = new Set<Client>()
  const positions = new LastPositions((newRow) => {
    published = newRow(published)
    for (const client of clients) client.renumber(newRow)
  })
  const chunks = new Chunks(positions)
  const events = new EventLog(positions, limits.eventsKept, (end) => {
    // Who is not slow has only not been sent to since the last tick.
    nextCursor()
    for (const client of clients) {
      client.tick()
      client.dropEvents(end)
    }
  })
  const hub: Hub = { positions, chunks, events, limits, metrics }
  const pool = createPool(options.databaseUrl, { max: POOL_MAX, applicationName: 'fleetflow live', log })
  const grants = new Grants(pool)

  /** Row of the log of positions, and number of the event, up to which ticks have come. */
  let published = 0
  let publishedEvents = 0
  let timer: NodeJS.Timeout | undefined
  let lastTickMs = 0
  /** Greater than any cursor before, also of a former run: ticks are slower than one a microsecond. */
  let cursor = Date.now() * 1_000

  const nextCursor = () => {
    cursor++
    chunks.cursor = String(cursor)
    chunks.changed()
  }
  const tick = () => {
    timer = undefined
    lastTickMs = performance.now()
    observeLatency()
    published = positions.end
    publishedEvents = events.end
    for (const client of clients) client.tick()
  }
  const observeLatency = () => {
    const nowMs = Date.now()
    const step = Math.ceil((positions.end - published) / LATENCY_SAMPLES_MAX)
    for (let row = published; row < positions.end; row += step) {
      if (positions.isSeen(row, null)) {
        metrics.latencySeconds.observe(Math.max(0, nowMs - positions.receivedMs(row)) / 1_000)
      }
    }
  }
  /** To be called when a log has grown, or who sees what has changed. */
  const changed = () => {
    nextCursor()
    if ((positions.end === published && events.end === publishedEvents) || timer !== undefined) return
    const waitMs = lastTickMs + tickMs - performance.now()
    // At once after a pause; the next tick waits for what comes with it.
    if (waitMs <= 0) tick()
    else timer = setTimeout(tick, waitMs)
  }

  const append = (batch: PositionBatch) => {
    const unknown = new Set<number>()
    positions.append(batch, unknown)
    feed.check(unknown)
    changed()
  }
  const appendEvents = (append: (unknown: Set<number>) => void) => {
    const unknown = new Set<number>()
    append(unknown)
    feed.check(unknown)
    changed()
  }
  const moved = (moves: (Move | undefined)[]) => {
    const all = moves.filter((move) => move !== undefined)
    if (all.length === 0) return
    for (const client of clients) client.left(all)
    changed()
  }
  const feed = new DeviceFeed({
    databaseUrl: options.databaseUrl,
    log,
    onDevices: (devices) => {
      moved(devices.map((device) => positions.setDevice(device)))
      grants.devicesChanged()
    },
    onGone: (ids) => {
      moved(ids.map((id) => positions.removeDevice(id)))
      grants.devicesChanged()
    },
    onAll(ids) {
      // A device that only a position has told of so far is asked for by itself.
      const gone = [...positions.devices()].filter(
        (id) => !ids.has(id) && positions.slotIn(null, id) !== undefined,
      )
      moved(gone.map((id) => positions.removeDevice(id)))
    },
    onPositions: append,
    onUp: (up) => metrics.databaseUp.set(up ? 1 : 0),
  })

  /** Places taken: sockets, upgrades under way, and closed sockets that still hold what they did not send. */
  let places = 0
  const app = uws.App()
  app.ws<SocketData>(STREAM_PATH, {
    maxPayloadLength: limits.messageBytesMax,
    idleTimeout: limits.idleTimeoutS,
    sendPingsAutomatically: true,
    // Sockets are closed or conflated well before uWebSockets would drop a message without a word.
    maxBackpressure: limits.closeSocketBytes * 2,
    closeOnBackpressureLimit: true,
    upgrade: upgradeHandler({
      allowedOrigins: options.allowedOrigins,
      pool,
      jwtSecret: options.jwtSecret,
      grants,
      metrics,
      log,
      enter() {
        if (places < limits.socketsMax) {
          places++
          return true
        }
        metrics.limitMet('socketsMax')
        return false
      },
      leave: () => {
        places--
      },
      whileCorked(run) {
        const [other] = clients
        other?.whileCorked(run)
        return other !== undefined
      },
    }),
    open(socket) {
      const client = new Client(socket, hub)
      socket.getUserData().client = client
      clients.add(client)
    },
    message(socket, message, isBinary) {
      const client = socket.getUserData().client!
      if (++client.messagesThisSecond > limits.messagesPerSecondMax) {
        metrics.limitMet('messagesPerSecondMax')
        client.close(STREAM_CLOSE.policy, `more than ${limits.messagesPerSecondMax} messages in a second`)
      } else handleMessage(client, hub, Buffer.from(message), isBinary)
    },
    drain: (socket) => socket.getUserData().client!.drained(),
    close(socket, code) {
      const client = socket.getUserData().client!
      client.onClose()
      clients.delete(client)
      metrics.closed.inc({ code })
      if (code === STREAM_CLOSE.slow) setTimeout(() => places--, LINGER_MS).unref()
      else places--
    },
  })
  if (options.echoPath !== undefined) app.ws(options.echoPath, echo(limits))
  app.any('/*', otherHandler(metrics))

  const seconds = setInterval(() => {
    const nowMs = performance.now()
    for (const client of [...clients]) {
      client.messagesThisSecond = 0
      client.closeIfStuck(nowMs)
    }
  }, SECOND_MS)
  const userChecks = new UserChecks({
    pool,
    grants,
    sockets: clients,
    intervalMs: options.userCheckMs ?? USER_CHECK_MS,
    log,
    onGrants: () => undefined,
  })

  const stop = async () => {
    clearInterval(seconds)
    userChecks.stop()
    clearTimeout(timer)
    for (const port of ports) port.close()
    for (const client of [...clients]) client.close(STREAM_CLOSE.stopping, 'the server stops')
    app.close()
    await feed.close()
    await pool.end()
  }

  try {
    await feed.start().catch((error: Error) => {
      throw new LiveError(
        'database-unreachable',
        `the live stream can not read the database: ${error.message}; check that it runs and is migrated`,
        { cause: error },
      )
    })
    metrics.watch({
      sockets: () => clients.size,
      subscriptions: () => sum(clients, ({ subscriptions }) => subscriptions.size),
      bufferedBytes: () => sum(clients, ({ bufferedBytes }) => bufferedBytes),
      devices: () => positions.deviceCount,
    })
    const port = await listen(uws, app, options)
    for (const source of ports) {
      let untaken: Int32Array | undefined
      source.on('message', (message: ShardToLive) => {
        if (!('type' in message)) {
          append(PositionBatch.fromMessage(message))
          discard(transferables(message))
          if (untaken !== undefined) Atomics.sub(untaken, 0, 1)
        } else if (message.type === 'count') untaken = message.untaken
        else if (message.type === 'missed') {
          metrics.missed.inc(message.devices.length)
          feed.readPositions(message.devices)
        } else if (message.type === 'missed-events') {
          metrics.missedEvents.inc(message.missed.reduce((sum, { count }) => sum + count, 0))
          appendEvents((unknown) => events.appendMissed(message.missed, unknown))
        } else if (message.type === 'events') {
          appendEvents((unknown) => events.append(message.events, unknown))
          if (untaken !== undefined) Atomics.sub(untaken, 0, 1)
        }
      })
    }
    return { port, registry, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** As the stream itself, but that it answers everybody with what they send. */
function echo({ messageBytesMax, idleTimeoutS, closeSocketBytes }: LiveLimits): WebSocketBehavior<unknown> {
  return {
    maxPayloadLength: messageBytesMax,
    idleTimeout: idleTimeoutS,
    sendPingsAutomatically: true,
    maxBackpressure: closeSocketBytes * 2,
    closeOnBackpressureLimit: true,
    message(socket, message, isBinary) {
      socket.send(message, isBinary)
    },
  }
}

async function listen(uws: UWebSockets, app: TemplatedApp, options: LiveOptions): Promise<number> {
  const { host, port, portShared = false } = options
  const socket = await listenOn(app, host, port, portShared)
  if (socket !== false) return uws.us_socket_local_port(socket)
  // uWebSockets does not say why; Node does.
  const code = await new Promise<string>((resolve) => {
    const probe = createServer()
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    probe.listen(port, host, () => probe.close(() => resolve('unknown')))
  })
  if (code === 'EADDRINUSE') {
    throw new LiveError(
      'port-in-use',
      `port ${port} of ${host} is taken: stop what listens there, or set STREAM_PORT`,
    )
  }
  throw new LiveError(
    'address-unavailable',
    `the live stream can not listen on ${host}:${port} (${code}): check HOST and STREAM_PORT`,
  )
}

function sum(clients: ReadonlySet<Client>, of: (client: Client) => number): number {
  let total = 0
  for (const client of clients) total += of(client)
  return total
}
