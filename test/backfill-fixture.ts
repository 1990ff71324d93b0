/** Recorded tracks, geofences on their way, and runs of these over them, for tests with a real database. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { expect } from 'vitest'
import { demoFile } from '../demo/files.ts'
import { GeofenceRule, type GeofenceShape } from '../schemas/geofence.ts'
import { type HarnessOptions, IngestHarness } from './ingest-harness.ts'

export const BUSES = 40
const DAY_MS = 86_400_000
const BATCH_ROWS = 500

export interface Fix {
  readonly id: string
  readonly fixTime: number
  readonly latitude: number
  readonly longitude: number
  readonly speed: number
}

/** Recorded buses of Austin, as if it were three days ago, in the order of time. */
export const tracks: readonly Fix[] = (() => {
  const [, ...lines] = gunzipSync(readFileSync(demoFile('tracks.csv.gz')))
    .toString()
    .trim()
    .split('\n')
  const rows = lines.map((line) => {
    const [bus, time, metresPerSecond, , , latitude, longitude] = line.split(',')
    const speed = Math.round(Number(metresPerSecond) * 36) / 10
    return {
      id: `bus-${bus}`,
      fixTime: Date.parse(time!),
      latitude: Number(latitude),
      longitude: Number(longitude),
      speed,
    }
  })
  const buses = new Set([...new Set(rows.map(({ id }) => id))].sort().slice(0, BUSES))
  const newest = Math.max(...rows.map(({ fixTime }) => fixTime))
  const shiftMs = Math.floor((Date.now() - newest) / DAY_MS - 3) * DAY_MS
  return rows
    .filter(({ id }) => buses.has(id))
    .map((row) => ({ ...row, fixTime: row.fixTime + shiftMs }))
    .sort((a, b) => a.fixTime - b.fixTime)
})()
export const START_MS = tracks[0]!.fixTime
export const END_MS = tracks.at(-1)!.fixTime + 1
export const MIDDLE_MS = Math.floor((START_MS + END_MS) / 2)

export interface Geofence {
  readonly name: string
  readonly shape: GeofenceShape
  readonly rules: readonly Partial<GeofenceRule>[]
}

/** Circles where the buses go, each with other rules. */
const RULES: readonly Partial<GeofenceRule>[] = [
  {},
  { dwellS: 300, absenceS: 1_800 },
  { debounceFixes: 2 },
  { debounceS: 200, dwellS: 600 },
  { crossingGapS: 300 },
  { speedLimitKmh: 30 },
  { windows: [{ days: [1, 2, 3, 4, 5, 6, 7], from: '09:00', to: '15:00' }], dwellS: 240 },
  { exit: false, absenceS: 600 },
]
export const geofences: readonly Geofence[] = RULES.map((rule, i) => ({
  name: `geofence ${i}`,
  shape: circleAt(tracks[Math.floor(((i + 0.5) * tracks.length) / RULES.length)]!, 400 + 150 * i),
  rules: [rule],
}))

export function circleAt({ longitude, latitude }: Fix, radiusM: number): GeofenceShape {
  return { type: 'Circle', center: [longitude, latitude], radiusM }
}

/** Ingest with a device for each of the {@link tracks}. */
export async function startWithBuses(options: HarnessOptions = {}): Promise<IngestHarness> {
  const harness = await IngestHarness.start(options)
  const ids = [...new Set(tracks.map(({ id }) => id))]
  await harness.pool.query(
    'INSERT INTO devices (organization_id, unique_id, name) SELECT $1, id, id FROM unnest($2::text[]) AS id',
    [harness.organizationId, ids],
  )
  await expect.poll(() => harness.metric('fleetflow_devices')).toBe(ids.length)
  return harness
}

/** As the API writes them. */
export function rulesJson({ rules }: Geofence): string {
  return JSON.stringify(rules.map((rule) => GeofenceRule.parse(rule)))
}

export async function add(harness: IngestHarness, geofence: Geofence): Promise<number> {
  const { rows } = await harness.pool.query<{ id: number }>(
    `INSERT INTO geofences (organization_id, name, shape, west, south, east, north, time_zone, rules)
     VALUES ($1, $2, $3, -180, -90, 180, 90, 'America/Chicago', $4) RETURNING id`,
    [harness.organizationId, geofence.name, geofence.shape, rulesJson(geofence)],
  )
  return rows[0]!.id
}

/** Waits until the engine knows of so many geofences, all of them added since its start. */
export async function known(harness: IngestHarness, count: number): Promise<void> {
  const added = () => harness.metric('fleetflow_geofences', { part: 'delta' })
  await expect.poll(added, { timeout: 20_000 }).toBe(count)
}

/** Sends fixes, and waits until they are stored. */
export async function send(harness: IngestHarness, fixes: readonly Fix[]): Promise<void> {
  const before = await harness.count('SELECT count(*) FROM positions')
  const url = `http://127.0.0.1:${harness.portOf('json-lines', 'http')}/v1/positions`
  for (let first = 0; first < fixes.length; first += BATCH_ROWS) {
    const lines = fixes.slice(first, first + BATCH_ROWS).map((fix) => `${JSON.stringify(fix)}\n`)
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: lines.join(''),
    })
    expect(answer.status).toBe(200)
  }
  const stored = () => harness.count('SELECT count(*) FROM positions')
  await expect.poll(stored, { timeout: 20_000 }).toBe(before + fixes.length)
}

export async function queue(
  harness: IngestHarness,
  geofence: number,
  fromMs = START_MS,
  toMs = END_MS,
): Promise<number> {
  const { rows } = await harness.pool.query<{ id: number }>(
    `INSERT INTO geofence_backfills (organization_id, geofence_id, from_time, to_time, created_by)
     VALUES ($1, $2, $3, $4, 1) RETURNING id`,
    [harness.organizationId, geofence, new Date(fromMs), new Date(toMs)],
  )
  return rows[0]!.id
}

export interface Run {
  readonly state: string
  readonly failure: string | null
  readonly devices_total: number
  readonly devices_done: number
  readonly events_added: number
  readonly events_retracted: number
}

export async function runOf(harness: IngestHarness, id: number): Promise<Run> {
  return (await harness.pool.query<Run>('SELECT * FROM geofence_backfills WHERE id = $1', [id])).rows[0]!
}

export async function ended(harness: IngestHarness, ids: readonly number[]): Promise<Run[]> {
  const waiting =
    "SELECT count(*) FROM geofence_backfills WHERE id = ANY ($1) AND state IN ('queued', 'running')"
  await expect.poll(() => harness.count(waiting, [ids]), { timeout: 60_000, interval: 100 }).toBe(0)
  return Promise.all(ids.map((id) => runOf(harness, id)))
}

/** Events that hold, once timers have made theirs. */
export async function current(harness: IngestHarness): Promise<string[]> {
  const due = 'SELECT count(*) FROM geofence_visits WHERE due_at < now()'
  await expect.poll(() => harness.count(due), { timeout: 20_000 }).toBe(0)
  return lines(
    harness,
    `SELECT e.event_time, g.name, d.unique_id, e.type, e.fix_time, e.latitude, e.longitude, e.speed_kmh, e.crossing
     FROM events e JOIN devices d ON d.id = e.device_id JOIN geofences g ON g.id = e.geofence_id
     WHERE NOT e.superseded AND NOT e.retracted
     ORDER BY e.event_time, g.name, d.unique_id, e.type`,
  )
}

export function visits(harness: IngestHarness): Promise<string[]> {
  return lines(
    harness,
    `SELECT v.entered_at, g.name, d.unique_id, v.exited_at
     FROM geofence_visits v JOIN devices d ON d.id = v.device_id JOIN geofences g ON g.id = v.geofence_id
     ORDER BY v.entered_at, g.name, d.unique_id`,
  )
}

/** A line a row, so that differences are read at a glance. */
async function lines(harness: IngestHarness, sql: string): Promise<string[]> {
  const { rows } = await harness.pool.query<unknown[]>({ text: sql, rowMode: 'array' })
  return rows.map((row) =>
    row.map((value) => (value instanceof Date ? value.toISOString() : String(value))).join(' '),
  )
}
