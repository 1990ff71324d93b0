/**
 * A process of the engine: PostgreSQL (embedded unless configured), migrations, and what its roles ask for of API, live
 * and ingest, started in this order and stopped in the other. Devices get in last, when all behind them is there.
 */
import { join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import type pg from 'pg'
import type { Logger } from 'pino'
import { AggregatorRegistry, collectDefaultMetrics, Registry } from 'prom-client'
import { ensureSuperAdmin } from './api/bootstrap.ts'
import type { HealthOptions, PartState } from './api/options.ts'
import { startApi, startHealth } from './api/server.ts'
import { BusThread } from './bus-thread-handle.ts'
import type { Config } from './config.ts'
import type { Adapter } from './device-adapters/adapter.ts'
import { type Ingest, startIngest } from './ingest/engine.ts'
import type { JournalOptions } from './ingest/journal/journal.ts'
import { LIMITS } from './ingest/limits.ts'
import type { Listener } from './ingest/listeners/listener.ts'
import { LiveThread } from './live-thread-handle.ts'
import type { ProcessRole } from './process-roles.ts'
import { startCommitPruning } from './storage/commits/commit-pruning.ts'
import { startEmbeddedPostgres } from './storage/embedded/embedded-postgres.ts'
import { migrate } from './storage/migrate.ts'
import { createPool } from './storage/pools.ts'
import { startPositionPolicies } from './storage/positions/position-policies.ts'
import { projectRoot } from './storage/project-root.ts'
import { readBusAddress } from './storage/redis/bus-address.ts'
import { loadOrCreateSecret } from './storage/secrets.ts'
import type { Metrics } from './thread-metrics.ts'

/** Connections of the API and of ingest's registry; each shard and live have their own. */
const POOL_CONNECTIONS_MAX = 10

export interface FleetFlow {
  readonly roles: ReadonlySet<ProcessRole>
  /** Such as `http://127.0.0.1:8080`; without the role `api` only health, readiness and metrics are there. */
  readonly apiUrl: string
  /** Where clients are told to find the stream. */
  readonly streamUrl: string
  readonly listeners: readonly Listener[]
  /** Owner's connections to the database. */
  readonly pool: pg.Pool
  readonly databaseUrl: string
  /** The first super admin; `password` only when it was made at this start. Undefined without the role `api`. */
  readonly admin: { readonly email: string; readonly password?: string } | undefined
  /** Value of a metric, summed over its labels; 0 if there is none. */
  metric(name: string): Promise<number>
  stop(): Promise<void>
}

export interface StartOptions {
  readonly config: Config
  readonly adapters: ReadonlyMap<string, Adapter>
  readonly log: Logger
  /** GeoJSON that the dashboard draws over the basemap. */
  readonly overlayFile?: URL
  /** A part died that nothing can go on without: the caller ends the process. */
  readonly onFailure: (error: Error) => void
}

/** Starts everything; what was started is stopped when a later part fails. */
export async function startFleetFlow(options: StartOptions): Promise<FleetFlow> {
  const { log } = options
  // Each part that starts adds how it is stopped; the last is stopped first.
  const stops: (() => Promise<void>)[] = []
  const stop = async () => {
    for (let next = stops.pop(); next !== undefined; next = stops.pop()) {
      // A part that does not stop is no reason to leave the others running.
      await next().catch((error) => log.error({ err: error }, 'a part could not be stopped'))
    }
  }
  try {
    return await start(options, stops, stop)
  } catch (error) {
    await stop()
    throw error
  }
}

async function start(
  { config, adapters, log, overlayFile, onFailure }: StartOptions,
  stops: (() => Promise<void>)[],
  stop: () => Promise<void>,
): Promise<FleetFlow> {
  const { dataDir, roles, redisUrl } = config
  warn(config, log)
  let databaseUrl = config.databaseUrl
  if (databaseUrl === undefined) {
    const postgres = await startEmbeddedPostgres({ dataDir, log })
    stops.push(() => postgres.stop())
    databaseUrl = postgres.url
  }
  await migrate(databaseUrl, log)
  const pool = createPool(databaseUrl, { max: POOL_CONNECTIONS_MAX, applicationName: 'fleetflow', log })
  stops.push(() => pool.end())
  const jwtSecret = config.jwtSecret ?? (await loadOrCreateSecret(dataDir, 'jwt'))
  const admin = roles.has('api') ? await superAdmin(pool, config) : undefined

  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const parts: Parts = {}
  const collect = async (): Promise<Metrics[]> => [
    await registry.getMetricsAsJSON(),
    ...(await Promise.all([parts.live, parts.bus].map(async (thread) => (await thread?.metrics()) ?? []))),
  ]
  const health: HealthOptions = {
    host: config.host,
    port: config.port,
    pool,
    metrics: async () => AggregatorRegistry.aggregate(await collect()).metrics(),
    ready: async () => readiness(roles, parts),
    metricsToken: config.metricsToken,
    log,
    registry,
  }
  const streamUrl = () =>
    config.streamUrl ?? `ws://${urlHost(config.host)}:${parts.live?.port ?? config.streamPort}`
  const limits = { ...LIMITS, ...config.limits }
  const api = await (roles.has('api')
    ? startApi({
        ...health,
        jwtSecret,
        streamUrl,
        commands: {
          types: new Map([...adapters].map(([id, { commands = {} }]) => [id, Object.keys(commands)])),
          engineStopSpeedKmhMax: config.engineStopSpeedKmhMax,
          queuedPerDeviceMax: limits.queuedCommandsPerDeviceMax,
          onQueueFull: () => parts.ingest?.limitMet('queuedCommandsPerDeviceMax'),
        },
        geofences: {
          perOrganizationMax: limits.geofencesPerOrganizationMax,
          overlapsMax: limits.geofenceOverlapsMax,
          onLimit: (limit) => parts.ingest?.limitMet(limit),
        },
        dashboardDir: new URL('dist/dashboard/', projectRoot),
        overlayFile,
      })
    : startHealth(health))
  stops.push(() => api.close())

  const bus = redisUrl === undefined ? undefined : { redisUrl, address: await readBusAddress(pool) }
  // What ingest stores has one way to live: Redis where there is one, else inside the process. One of them is the timers'.
  const isHeard = roles.has('ingest') && (bus !== undefined || roles.has('live'))
  const ways = isHeard ? Array.from({ length: config.shards + 1 }, () => new MessageChannel()) : []
  const ends = ways.map(({ port1 }) => port1)
  if (bus !== undefined && roles.has('ingest')) {
    const thread = new BusThread({ ...bus, logLevel: config.logLevel, ports: ends }, onFailure)
    parts.bus = thread
    stops.push(() => thread.stop())
  }
  if (roles.has('live')) {
    const live = await LiveThread.start(
      {
        host: config.host,
        port: config.streamPort,
        portShared: config.streamPortShared,
        allowedOrigins: [
          ...config.allowedOrigins,
          ...(roles.has('api') ? ownOrigins(config.host, api.port) : []),
        ],
        databaseUrl,
        jwtSecret,
        logLevel: config.logLevel,
        bus,
      },
      bus === undefined ? ends : [],
      onFailure,
    )
    parts.live = live
    stops.push(() => live.stop())
  }
  if (roles.has('ingest')) {
    stops.push(await startPositionPolicies(pool, config.positionPolicies, log))
    stops.push(startCommitPruning(pool, config.streamResumeHours, log))
    const ingest = await startIngest({
      host: config.deviceHost,
      adapters,
      ports: config.protocols,
      detectPort: config.detectPort,
      databaseUrl,
      pool,
      journal: journalOptions(config),
      ackAfter: config.ackAfter,
      livePorts: Array.from({ length: config.shards }, (_, shard) => ways[shard]?.port2),
      timersLivePort: ways[config.shards]?.port2,
      registerInto: await organization(pool, config),
      engineStopSpeedKmhMax: config.engineStopSpeedKmhMax,
      limits: config.limits,
      registry,
      log,
      onFailure,
    })
    parts.ingest = ingest
    stops.push(() => ingest.close())
  }

  return {
    roles,
    apiUrl: `http://${urlHost(config.host)}:${api.port}`,
    streamUrl: streamUrl(),
    listeners: parts.ingest?.listeners ?? [],
    pool,
    databaseUrl,
    admin,
    metric: async (name) => {
      const found = (await collect()).flat().find((metric) => metric.name === name)
      return (found?.values ?? []).reduce((sum, { value }) => sum + value, 0)
    },
    stop,
  }
}

/** Says what works, but not as one may expect. */
function warn({ roles, redisUrl, allowedOrigins }: Config, log: Logger): void {
  if (redisUrl === undefined && roles.has('ingest') !== roles.has('live')) {
    log.warn(
      'REDIS_URL is not set: live reads what ingest stores in another process from the database, once a second',
    )
  }
  if (roles.has('live') && !roles.has('api') && allowedOrigins.length === 0) {
    log.warn('ALLOWED_ORIGINS is empty: no page in a browser may open the stream')
  }
}

/** What runs of a process. */
interface Parts {
  live?: LiveThread
  ingest?: Ingest
  bus?: BusThread
}

/** State of each part that the roles ask for. */
function readiness(roles: ReadonlySet<ProcessRole>, { ingest, live, bus }: Parts): Record<string, PartState> {
  const starting: PartState = { ok: false, detail: 'starting' }
  return {
    ...(roles.has('ingest') && { ingest: ingest?.readiness() ?? starting }),
    ...(roles.has('live') && { live: live?.readiness() ?? starting }),
    ...(bus !== undefined && {
      bus: bus.up
        ? { ok: true }
        : {
            ok: true,
            degraded: true,
            detail: 'Redis can not be used: live reads the database once a second',
          },
    }),
  }
}

function superAdmin(pool: pg.Pool, { adminEmail, adminPassword }: Config): Promise<FleetFlow['admin']> {
  return ensureSuperAdmin(pool, {
    email: adminEmail,
    ...(adminPassword === undefined ? {} : { password: adminPassword }),
  })
}

/** Where the journal of this configuration is, and how much it keeps. */
export function journalOptions(config: Config): JournalOptions {
  return {
    folder: join(config.dataDir, 'journal'),
    keepMs: config.journalKeepMs,
    keepBytes: config.journalKeepBytes,
    segmentBytes: config.journalSegmentBytes,
  }
}

/** The organisation that unknown devices join, made if it is not there; undefined when they are quarantined. */
async function organization(pool: pg.Pool, config: Config): Promise<number | undefined> {
  if (config.unknownDevices !== 'register') return undefined
  return ensureOrganization(pool, config.defaultOrganization!)
}

/** Id of the organisation of that name, made if it is not there. */
export async function ensureOrganization(pool: pg.Pool, name: string): Promise<number> {
  await pool.query('INSERT INTO organizations (name) VALUES ($1) ON CONFLICT (name) DO NOTHING', [name])
  const { rows } = await pool.query<{ id: number }>('SELECT id FROM organizations WHERE name = $1', [name])
  return rows[0]!.id
}

/** Origins under which a browser may have loaded our own dashboard. */
function ownOrigins(host: string, port: number): string[] {
  const names = new Set([urlHost(host), 'localhost', '127.0.0.1'])
  return [...names].map((name) => `http://${name}:${port}`)
}

function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}
