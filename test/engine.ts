/** The whole engine for a test, on a database and ports of its own. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { readConfig } from '../config.ts'
import { loadAdapters } from '../device-adapters/registry.ts'
import { type FleetFlow, startFleetFlow } from '../start.ts'
import { testDatabase } from './database.ts'

const ADMIN_EMAIL = 'admin@fleetflow.test'
const ADMIN_PASSWORD = 'a password of the tests'

export interface TestEngine {
  readonly engine: FleetFlow
  readonly apiUrl: string
  readonly streamUrl: string
  readonly adminEmail: string
  readonly adminPassword: string
  /** Port by `protocol` (of TCP, else HTTP, MQTT or UDP) and by `protocol/transport`. */
  readonly ports: Readonly<Record<string, number>>
  stop(): Promise<void>
}

/**
 * @param variables Environment of the engine beside what makes it a test's own.
 * @param overlayFile GeoJSON that the dashboard draws over the basemap.
 */
export async function startTestEngine(
  variables: Readonly<Record<string, string>> = {},
  overlayFile?: URL,
): Promise<TestEngine> {
  const database = await testDatabase()
  const adapters = await loadAdapters()
  const dataDir = await mkdtemp(join(tmpdir(), 'fleetflow-engine-'))
  const config = readConfig(
    {
      PORT: '0',
      STREAM_PORT: '0',
      PROTOCOLS: [...adapters.keys(), 'mqtt'].map((id) => `${id}:0`).join(','),
      DATABASE_URL: database.url,
      DATA_DIR: dataDir,
      JWT_SECRET: 'a secret of the tests that is long enough',
      ADMIN_EMAIL,
      ADMIN_PASSWORD,
      SHARDS: '2',
      ...variables,
    },
    [...adapters.keys()],
  )
  const engine = await startFleetFlow({
    config,
    adapters,
    log: pino({ level: 'silent' }),
    ...(overlayFile === undefined ? {} : { overlayFile }),
    onFailure: (error) => {
      throw error
    },
  })
  const ports: Record<string, number> = {}
  for (const { protocol, transport, port } of engine.listeners) {
    ports[protocol] ??= port
    ports[`${protocol}/${transport}`] = port
  }
  return {
    engine,
    apiUrl: engine.apiUrl,
    streamUrl: engine.streamUrl,
    adminEmail: ADMIN_EMAIL,
    adminPassword: ADMIN_PASSWORD,
    ports,
    stop: async () => {
      await engine.stop()
      await database.drop()
      await rm(dataDir, { recursive: true })
    },
  }
}
