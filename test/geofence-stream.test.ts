/** Events of geofences through the whole engine: from a device's position, and from a timer, to subscribers. */
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { GeofenceRule } from '../schemas/geofence.ts'
import type { GeofenceEvent } from '../schemas/geofence-event.ts'
import type { ServerMessage } from '../schemas/stream.ts'
import { STREAM_PATH, STREAM_PROTOCOLS } from '../schemas/stream.ts'
import { startTestEngine, type TestEngine } from './engine.ts'
import { sessionToken } from './sessions.ts'
import { JWT_SECRET, StreamClient } from './stream-fixture.ts'

const DEPOT = { latitude: 30.27, longitude: -97.74 }
const AWAY = { latitude: 30.28, longitude: -97.74 }

let engine: TestEngine
let north: Tenant
let south: Tenant

interface Tenant {
  readonly organizationId: number
  readonly device: number
  readonly geofence: number
  readonly uniqueId: string
}

beforeAll(async () => {
  engine = await startTestEngine()
  north = await tenant('North', { dwellS: 2 })
  south = await tenant('South', {})
}, 60_000)
afterAll(() => engine.stop())

/** An organisation with a device and a depot. */
async function tenant(name: string, rule: object): Promise<Tenant> {
  const insert = async (what: string, values: unknown[]) =>
    (await engine.engine.pool.query(`INSERT INTO ${what} RETURNING id`, values)).rows[0].id as number
  const organizationId = await insert('organizations (name) VALUES ($1)', [name])
  const uniqueId = `${name}-1`
  const device = await insert('devices (organization_id, unique_id, name) VALUES ($1, $2, $2)', [
    organizationId,
    uniqueId,
  ])
  const shape = { type: 'Circle', center: [DEPOT.longitude, DEPOT.latitude], radiusM: 500 }
  const geofence = await insert(
    `geofences (organization_id, name, shape, west, south, east, north, time_zone, rules)
     VALUES ($1, 'Depot', $2, -98, 30, -97, 31, 'UTC', $3)`,
    [organizationId, shape, JSON.stringify([GeofenceRule.parse(rule)])],
  )
  return { organizationId, device, geofence, uniqueId }
}

async function report({ uniqueId }: Tenant, place: object, fixTime: number): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${engine.ports['json-lines']}/v1/positions`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: `${JSON.stringify({ id: uniqueId, fixTime, ...place })}\n`,
  })
  expect(answer.status).toBe(200)
}

/** A subscriber to everything that the organisation sees; null = all. */
async function subscriber(
  organizationId: number | null,
  format: keyof typeof STREAM_PROTOCOLS,
): Promise<StreamClient> {
  const role = organizationId === null ? 'super-admin' : 'viewer'
  const { pool } = engine.engine
  const { rows } = await pool.query<{ id: number }>(
    `INSERT INTO users (organization_id, email, role, password_hash)
     VALUES ($1, gen_random_uuid() || '@fleet.example', $2, 'never logs in') RETURNING id`,
    [organizationId, role],
  )
  const token = await sessionToken(pool, { userId: rows[0]!.id, organizationId, role }, JWT_SECRET)
  const client = new StreamClient(
    new WebSocket(engine.streamUrl + STREAM_PATH, STREAM_PROTOCOLS[format], {
      headers: { Authorization: `Bearer ${token}` },
    }),
  )
  await once(client.socket, 'open')
  await client.subscribe(1)
  return client
}

const isEvents = ({ type }: ServerMessage) => type === 'events'

/** The next events, and what came before them. */
async function events(
  client: StreamClient,
): Promise<{ events: readonly GeofenceEvent[]; before: readonly ServerMessage[] }> {
  const before = await client.until(isEvents)
  const message = before.pop()!
  return { events: message.type === 'events' ? message.rows : [], before }
}

test('events reach who sees their device, behind the position or by a timer, and nobody else', async () => {
  // Both are told to the engine.
  await expect.poll(() => engine.engine.metric('fleetflow_devices')).toBe(2)
  const metrics = async () => (await fetch(`${engine.apiUrl}/metrics`)).text()
  await expect.poll(metrics).toContain('fleetflow_geofences{part="delta"} 2\n')
  const clients = [await subscriber(north.organizationId, 'json'), await subscriber(null, 'msgpack')]
  const other = await subscriber(south.organizationId, 'json')
  const startMs = Math.floor(Date.now() / 1000) * 1000
  await report(north, AWAY, startMs - 60_000)
  await report(north, DEPOT, startMs)
  for (const client of clients) {
    const seen = await events(client)
    expect(seen.events).toMatchObject([
      {
        device: north.device,
        geofence: north.geofence,
        geofenceVersion: 1,
        type: 'enter',
        time: new Date(startMs).toISOString(),
        fixTime: new Date(startMs).toISOString(),
        ...DEPOT,
        current: true,
      },
    ])
    expect(seen.events[0]).not.toHaveProperty('organizationId')
    // Both positions may come in one message.
    const last = seen.before.at(-1)
    expect(last).toMatchObject({ type: 'positions' })
    expect(last?.type === 'positions' && last.rows.at(-1)).toMatchObject({ device: north.device, ...DEPOT })
  }
  // The device says nothing more.
  for (const client of clients) {
    expect((await events(client)).events).toMatchObject([
      { type: 'dwell', device: north.device, time: new Date(startMs + 2_000).toISOString(), fixTime: null },
    ])
  }
  await report(south, DEPOT, startMs)
  expect((await events(other)).events).toMatchObject([{ type: 'enter', device: south.device }])
  for (const client of [...clients, other]) client.socket.terminate()
}, 30_000)
