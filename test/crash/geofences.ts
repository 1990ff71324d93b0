/** Geofences along the ways of the fleet, and whether the events that are current at the end are those of all positions. */
import pg from 'pg'
import { GeofenceRule } from '../../schemas/geofence.ts'
import { migrate } from '../../storage/migrate.ts'
import { eventsOf, type OracleEvent, type OracleFence } from '../geofence-oracle.ts'

/** Bands across the way of every device, which goes east by a hundredth of a degree with each record. */
const BANDS = 300
const FIRST_WEST_DEG = -170
/** Between two records, whose places protocols round. */
const OFFSET_DEG = 0.005
const STEP_DEG = 0.2
const WIDTH_DEG = 0.08
const SOUTH_DEG = -61
const NORTH_DEG = -40
/** A band in turn. Six records are inside of it: some stays are long enough, and others not. */
const RULES = [
  {},
  { dwellS: 5 },
  { debounceFixes: 3 },
  { dwellS: 30, debounceFixes: 2, debounceS: 2 },
] as const

/** Of all devices that register themselves into an organisation of this name. Before an engine starts. */
export async function addGeofences(databaseUrl: string, organization: string): Promise<void> {
  await migrate(databaseUrl)
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    const { rows } = await client.query<{ id: number }>(
      'INSERT INTO organizations (name) VALUES ($1) RETURNING id',
      [organization],
    )
    for (let i = 0; i < BANDS; i++) {
      const west = FIRST_WEST_DEG + OFFSET_DEG + i * STEP_DEG
      const east = west + WIDTH_DEG
      const ring = [
        [west, SOUTH_DEG],
        [east, SOUTH_DEG],
        [east, NORTH_DEG],
        [west, NORTH_DEG],
        [west, SOUTH_DEG],
      ]
      await client.query(
        `INSERT INTO geofences (organization_id, name, shape, west, south, east, north, time_zone, rules)
         VALUES ($1, 'band', $2, $3, $4, $5, $6, 'UTC', $7)`,
        [
          rows[0]!.id,
          { type: 'Polygon', coordinates: [ring] },
          west,
          SOUTH_DEG,
          east,
          NORTH_DEG,
          JSON.stringify([GeofenceRule.parse(RULES[i % RULES.length])]),
        ],
      )
    }
  } finally {
    await client.end()
  }
}

export interface EventVerdict {
  /** Current ones. */
  readonly events: number
  /** Of events that others correct or take back. */
  readonly corrected: number
  /** Devices whose current events are not those of their positions, each with the first difference. */
  readonly wrong: readonly string[]
}

/** Compares with what all stored positions say, but for what timers have not come to yet. */
export async function verifyEvents(client: pg.ClientBase): Promise<EventVerdict> {
  const { rows: stored } = await client.query<OracleFence & { rule: Partial<OracleFence> }>(
    'SELECT id, west, south, east, north, rules -> 0 AS rule FROM geofences ORDER BY id',
  )
  const fences = stored.map(({ rule, ...box }) => ({ ...box, ...withoutNulls(rule) }))
  const { rows: devices } = await client.query<{ id: number }>('SELECT id FROM devices ORDER BY id')
  const wrong: string[] = []
  let events = 0
  for (const { id } of devices) {
    const { rows: fixes } = await client.query<{
      ms: number
      digest: string
      latitude: number
      longitude: number
    }>(
      `SELECT (extract(epoch FROM fix_time) * 1000)::float8 AS ms, digest, latitude, longitude FROM positions
       WHERE device_id = $1 AND quality = 0`,
      [id],
    )
    const { rows: waiting } = await client.query<{ geofence: number; ms: number }>(
      `SELECT geofence_id AS geofence, (extract(epoch FROM due_at) * 1000)::float8 AS ms FROM geofence_visits
       WHERE device_id = $1 AND due_at IS NOT NULL`,
      [id],
    )
    const waits = ({ geofence, type, timeMs }: OracleEvent) =>
      type === 'dwell' && waiting.some((visit) => visit.geofence === geofence && visit.ms === timeMs)
    const all = eventsOf(
      fixes.map(({ ms, digest, latitude, longitude }) => ({
        timeMs: ms,
        digest: BigInt.asUintN(64, BigInt(digest)),
        latitudeDeg: latitude,
        longitudeDeg: longitude,
        speedKmh: Number.NaN,
      })),
      fences,
      Date.now(),
    )
    const { rows: found } = await client.query<OracleEvent>(
      `SELECT geofence_id AS geofence, type, (extract(epoch FROM event_time) * 1000)::float8 AS "timeMs" FROM events
       WHERE device_id = $1 AND NOT superseded AND NOT retracted ORDER BY event_time, geofence_id, type`,
      [id],
    )
    events += found.length
    const shown = ({ geofence, type, timeMs }: OracleEvent) =>
      `${type} of ${geofence} at ${new Date(timeMs).toISOString()}`
    const is = found.map(shown)
    const should = all.filter((event) => !waits(event)).map(shown)
    const at = should.findIndex((event, i) => is[i] !== event)
    if (at >= 0 || is.length > should.length) {
      const first = at < 0 ? should.length : at
      wrong.push(`device ${id}: ${is[first] ?? 'nothing'} where ${should[first] ?? 'nothing'} should be`)
    }
  }
  const { rows: of } = await client.query<{ count: number }>(
    'SELECT count(*)::integer AS count FROM events WHERE superseded',
  )
  return { events, corrected: of[0]!.count, wrong }
}

function withoutNulls<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== null)) as Partial<T>
}
