/** `fleetflow demo`: the engine with a day of Austin's buses as real device frames over real connections. */
import type pg from 'pg'
import { hashPassword } from '../api/passwords.ts'
import { DEMO_PROTOCOLS, type DemoProtocol, demoDevices, driveBuses } from '../demo/drive.ts'
import { demoFile } from '../demo/files.ts'
import { demoGeofences } from '../demo/geofences.ts'
import { compileShape } from '../geofence/shapes/shape.ts'
import { ENCODERS } from '../simulate/encoders/index.ts'
import type { FleetFlow } from '../start.ts'
import { ensureOrganization } from '../start.ts'
import { insertGeofences } from '../storage/geofences/geofences.ts'
import { loadOrCreateSecret } from '../storage/secrets.ts'
import { announce, startFromEnvironment, stopEngine, stopSignal } from './start.ts'

const ORGANIZATION = 'Capital Metro (demo)'
const EMAIL = 'demo@fleetflow.local'
const CREDIT = 'Capital Metro vehicle positions, recorded by CapMetrics (MIT, (c) 2015 Sean Cascketta)'
/** Random bytes of the demo's password: 16 characters. */
const PASSWORD_BYTES = 12
/** How often the progress line is written where it cannot be overwritten, s. */
const LINE_EVERY_S = 10

export async function demo(): Promise<void> {
  const stopped = stopSignal()
  const { running, config } = await startFromEnvironment({ overlayFile: demoFile('overlay.geojson.gz') })
  const driving = new AbortController()
  try {
    const ports = portsOf(running)
    const password = await loadOrCreateSecret(config.dataDir, 'demo-password', PASSWORD_BYTES)
    const geofences = await prepare(running.pool, password)
    announce(running)
    process.stdout.write(
      `\n  dashboard  ${running.apiUrl}\n  login      ${EMAIL}\n  password   ${password}\n  geofences  ${geofences}\n  data       ${CREDIT}\n\n`,
    )
    let seconds = 0
    const drive = driveBuses({
      ports,
      host: config.deviceHost,
      signal: driving.signal,
      onProgress: ({ busesOut, trackTimeMs }) => {
        void writeProgress(running, busesOut, trackTimeMs, seconds++)
      },
    })
    // A drive that fails ends the demo; one that goes on ends with it.
    await Promise.race([stopped, drive])
    driving.abort()
    await drive
  } finally {
    driving.abort()
    process.stdout.write('\nstopping\n')
    await stopEngine(running)
  }
}

/** Port of each protocol that the buses speak. */
function portsOf(running: FleetFlow): Record<DemoProtocol, number> {
  const ports = DEMO_PROTOCOLS.map((protocol) => {
    // Devices of every protocol over MQTT meet at the broker.
    const { transport } = ENCODERS[protocol]
    const name = transport === 'mqtt' ? transport : protocol
    const listener = running.listeners.find(
      (candidate) => candidate.protocol === name && candidate.transport === transport,
    )
    if (listener === undefined) {
      throw new Error(`the demo drives ${name}, which PROTOCOLS leaves out: unset it, or add ${name}`)
    }
    return [protocol, listener.port]
  })
  return Object.fromEntries(ports)
}

/**
 * Organisation, user, buses and geofences of the demo; what is there from an earlier run stays.
 * @returns How many geofences there are.
 */
async function prepare(pool: pg.Pool, password: string): Promise<number> {
  const organizationId = await ensureOrganization(pool, ORGANIZATION)
  await pool.query(
    `INSERT INTO users (organization_id, email, name, role, password_hash) VALUES ($1, $2, 'Demo', 'admin', $3)
     ON CONFLICT (email) DO UPDATE SET password_hash = excluded.password_hash`,
    [organizationId, EMAIL, await hashPassword(password)],
  )
  const devices = await demoDevices()
  await pool.query(
    `INSERT INTO devices (organization_id, unique_id, name, model)
     SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[]) ON CONFLICT (unique_id) DO NOTHING`,
    [
      organizationId,
      devices.map(({ uniqueId }) => uniqueId),
      devices.map(({ name }) => name),
      devices.map(({ model }) => model),
    ],
  )
  return prepareGeofences(pool, organizationId)
}

/** Adds those that the organisation does not have by their names. @returns How many it has then. */
async function prepareGeofences(pool: pg.Pool, organizationId: number): Promise<number> {
  const client = await pool.connect()
  try {
    const { rows } = await client.query<{ name: string }>(
      'SELECT name FROM geofences WHERE organization_id = $1',
      [organizationId],
    )
    const present = new Set(rows.map(({ name }) => name))
    const missing = (await demoGeofences()).filter(({ name }) => !present.has(name))
    for (const { name, shape, ...terms } of missing) {
      const geofence = { name, shape: JSON.stringify(shape), bounds: compileShape(shape).bounds }
      await insertGeofences(client, { ...terms, organizationId }, [geofence])
    }
    return rows.length + missing.length
  } finally {
    client.release()
  }
}

async function writeProgress(
  running: FleetFlow,
  busesOut: number,
  trackTimeMs: number,
  seconds: number,
): Promise<void> {
  const terminal = process.stdout.isTTY
  if (!terminal && seconds % LINE_EVERY_S !== 0) return
  const [frames, stored, events, subscribers] = await Promise.all([
    running.metric('fleetflow_frames_total'),
    running.metric('fleetflow_positions_stored_total'),
    running.metric('fleetflow_geofence_events_total'),
    running.metric('fleetflow_stream_subscriptions'),
  ])
  const clock = new Date(trackTimeMs).toLocaleTimeString('en-US', {
    timeZone: 'America/Chicago',
    hour12: false,
  })
  const line = `Austin ${clock}  ${busesOut} buses out  ${frames} frames  ${stored} positions stored  ${events} events  ${subscribers} subscribers`
  process.stdout.write(terminal ? `\r${line}\x1b[K` : `${line}\n`)
}
