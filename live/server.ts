/**
 * The live stream: takes what ingest has stored, keeps the newest of it and the last position of each device, and sends
 * every WebSocket what its subscriptions may see. Protocol: schemas/stream.ts. Runs in a thread of its own in production,
 * see live-thread.ts, and needs none in tests. Here are its sockets; what they are sent comes from stream.ts.
 */
import { createServer } from 'node:net'
import type { MessagePort } from 'node:worker_threads'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { STREAM_CLOSE, STREAM_PATH } from '../schemas/stream.ts'
import { createPool } from '../storage/pools.ts'
import { Bus, type StatusMessage } from './bus/bus.ts'
import { LiveError } from './live-error.ts'
import { liveMetrics } from './metrics.ts'
import { type LiveLimits, type LiveOptions, limitsOf, USER_CHECK_MS } from './options.ts'
import { Client, type SocketData } from './sockets/client.ts'
import { Grants } from './sockets/grants.ts'
import { Places } from './sockets/places.ts'
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
import { Stream } from './stream.ts'

/** Connections to the database that redeem tickets. */
const POOL_MAX = 4
const SECOND_MS = 1_000
/** uWebSockets keeps a socket that was closed while it held unsent bytes for 16 s, counted in steps of 4. */
const LINGER_MS = 20_000
export interface LiveServer {
  readonly port: number
  readonly registry: Registry
  /** Closes all sockets with 1001, then the server. */
  stop(): Promise<void>
}

/**
 * @param ports Each delivers the {@link ShardToLive} of a shard.
 * @param onStatus Told what clients are told of delays.
 * @throws LiveError if the stream can not be started.
 */
export async function startLive(
  options: LiveOptions,
  ports: readonly MessagePort[],
  registry: Registry = new Registry(),
  onStatus: (status: StatusMessage) => void = () => undefined,
): Promise<LiveServer> {
  const limits = limitsOf(options)
  const uws = loadUws()
  // Standard output is for people and scripts, standard error for the log.
  const destination = pino.destination({ fd: 2, sync: true })
  const log = pino({ level: options.logLevel ?? 'info', base: { name: 'live' } }, destination)
  const metrics = liveMetrics(registry)
  const clients = new Set<Client>()
  const pool = createPool(options.databaseUrl, { max: POOL_MAX, applicationName: 'fleetflow live', log })
  const grants = new Grants(pool)
  const stream = new Stream({
    options,
    limits,
    metrics,
    log,
    onDevices: () => grants.devicesChanged(),
  })
  const { hub } = stream
  let bus: Bus | undefined

  const places = new Places(limits, (limit) => metrics.limitMet(limit))
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
      places,
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
      places.opened(client.user)
      if (bus?.greeting !== undefined) client.send(bus.greeting)
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
      places.closed(client.user)
      metrics.closed.inc({ code })
      if (code === STREAM_CLOSE.slow) setTimeout(() => places.leave(), LINGER_MS).unref()
      else places.leave()
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
    onGrants: (changes) => stream.grantsChanged(changes),
  })

  const stop = async () => {
    clearInterval(seconds)
    bus?.close()
    userChecks.stop()
    for (const client of [...clients]) client.close(STREAM_CLOSE.stopping, 'the server stops')
    app.close()
    await stream.close()
    await pool.end()
  }

  try {
    await stream.start().catch((error: Error) => {
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
      devices: () => hub.stream.positions.deviceCount,
      rowsKept: () => hub.stream.commits.end - hub.stream.commits.first,
      pagesKept: () => hub.pages.size,
      replays: () => hub.history?.replays.count ?? 0,
      replayRows: () => hub.history?.replays.rows ?? 0,
    })
    const port = await listen(uws, app, options)
    for (const source of ports) stream.listen(source)
    if (options.bus !== undefined) {
      bus = new Bus({
        ...options.bus,
        receive: (batch, commits) => stream.receive(batch, commits),
        catchUp: () => stream.catchUp(),
        tell(status) {
          for (const client of [...clients]) client.send(status)
          onStatus(status)
        },
        log,
        registry,
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
