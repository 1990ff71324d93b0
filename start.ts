/**
 * The whole engine in one process: PostgreSQL (embedded unless configured), migrations, API, live and ingest,
 * started in this order and stopped in the other. Devices get in last, when all behind them is there.
 */
import { join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import type pg from 'pg'
import type { Logger } from 'pino'
import {
  AggregatorRegistry,
  collectDefaultMetrics,
  type MetricObjectWithValues,
  type MetricValue,
  Registry,
} from 'prom-client'
import { ensureSuperAdmin } from './api/bootstrap.ts'
import { startApi } from './api/server.ts'
import type { Config } from './config.ts'
import type { Adapter } from './device-adapters/adapter.ts'
import { type Ingest, startIngest } from './ingest/engine.ts'
import type { JournalOptions } from './ingest/journal/journal.ts'
import { LIMITS } from './ingest/limits.ts'
import type { Listener } from './ingest/listeners/listener.ts'
import { LiveThread } from './live-thread-handle.ts'
import { startEmbeddedPostgres } from './storage/embedded-postgres.ts'
import { migrate } from './storage/migrate.ts'
import { createPool } from './storage/pools.ts'
import { startPositionPolicies } from './storage/position-policies.ts'
import { projectRoot } from './storage/project-root.ts'
import { loadOrCreateSecret } from './storage/secrets.ts'

/** Connections of the API and of ingest's registry; each shard and live have their own. */
const POOL_CONNECTIONS_MAX = 10

export interface FleetFlow {
  /** Such as `http://127.0.0.1:8080`. */
  readonly apiUrl: string
  readonly streamUrl: string
  readonly listeners: readonly Listener[]
  /** Owner's connections to the database. */
  readonly pool: pg.Pool
  readonly databaseUrl: string
  /** The first super admin; `password` only when it was made at this start. */
  readonly admin: { readonly email: string; readonly password?: string }
  /** Value of a metric, summed over its labels; 0 if there is none. */
  metric(name: string): Promise<number>
  stop(): Promise<void>
}

type Metrics = MetricObjectWithValues<MetricValue<string>>[]

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
  const { dataDir } = config
  if (config.redisUrl !== undefined) {
    log.warn('REDIS_URL is not used in this version: positions go from ingest to live inside the process')
  }
  let databaseUrl = config.databaseUrl
  if (databaseUrl === undefined) {
    const postgres = await startEmbeddedPostgres({ dataDir, log })
    stops.push(() => postgres.stop())
    databaseUrl = postgres.url
  }
  await migrate(databaseUrl, log)
  const pool = createPool(databaseUrl, { max: POOL_CONNECTIONS_MAX, applicationName: 'fleetflow', log })
  stops.push(() => pool.end())
  stops.push(await startPositionPolicies(pool, config.positionPolicies, log))
  const jwtSecret = config.jwtSecret ?? (await loadOrCreateSecret(dataDir, 'jwt'))
  const admin = await ensureSuperAdmin(pool, {
    email: config.adminEmail,
    ...(config.adminPassword === undefined ? {} : { password: config.adminPassword }),
  })
  const registerInto = await organization(pool, config)

  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  let live: LiveThread | undefined
  let ingest: Ingest | undefined
  const collect = async (): Promise<Metrics[]> => [
    await registry.getMetricsAsJSON(),
    ...(live === undefined ? [] : [await live.metrics()]),
  ]
  const streamUrl = () =>
    config.streamUrl ?? `ws://${urlHost(config.host)}:${live?.port ?? config.streamPort}`

  const limits = { ...LIMITS, ...config.limits }
  const api = await startApi({
    host: config.host,
    port: config.port,
    pool,
    jwtSecret,
    streamUrl,
    metrics: async () => AggregatorRegistry.aggregate(await collect()).metrics(),
    ready: async () => ({
      ingest: ingest?.readiness() ?? { ok: false, detail: 'starting' },
      live: live === undefined ? { ok: false, detail: 'starting' } : { ok: true },
    }),
    commands: {
      types: new Map([...adapters].map(([id, { commands = {} }]) => [id, Object.keys(commands)])),
      engineStopSpeedKmhMax: config.engineStopSpeedKmhMax,
      queuedPerDeviceMax: limits.queuedCommandsPerDeviceMax,
      onQueueFull: () => ingest?.limitMet('queuedCommandsPerDeviceMax'),
    },
    geofences: {
      perOrganizationMax: limits.geofencesPerOrganizationMax,
      overlapsMax: limits.geofenceOverlapsMax,
      onLimit: (limit) => ingest?.limitMet(limit),
    },
    dashboardDir: new URL('dist/dashboard/', projectRoot),
    overlayFile,
    metricsToken: config.metricsToken,
    log,
    registry,
  })
  stops.push(() => api.close())

  const shards = Array.from({ length: config.shards }, () => new MessageChannel())
  const timers = new MessageChannel()
  live = await LiveThread.start(
    {
      host: config.host,
      port: config.streamPort,
      allowedOrigins: [...config.allowedOrigins, ...ownOrigins(config.host, api.port)],
      databaseUrl,
      jwtSecret,
      logLevel: config.logLevel,
    },
    [...shards, timers].map(({ port1 }) => port1),
    onFailure,
  )
  const startedLive = live
  stops.push(() => startedLive.stop())

  ingest = await startIngest({
    host: config.deviceHost,
    adapters,
    ports: config.protocols,
    detectPort: config.detectPort,
    databaseUrl,
    pool,
    journal: journalOptions(config),
    ackAfter: config.ackAfter,
    livePorts: shards.map(({ port2 }) => port2),
    timersLivePort: timers.port2,
    registerInto,
    engineStopSpeedKmhMax: config.engineStopSpeedKmhMax,
    limits: config.limits,
    registry,
    log,
    onFailure,
  })
  const startedIngest = ingest
  stops.push(() => startedIngest.close())

  return {
    apiUrl: `http://${urlHost(config.host)}:${api.port}`,
    streamUrl: streamUrl(),
    listeners: ingest.listeners,
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
