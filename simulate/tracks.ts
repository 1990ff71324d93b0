/** Recorded tracks of vehicles out of a CSV file, cleaned of what no vehicle can have done. */
import { readFile } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'
import { metresBetween, type Place } from './geometry.ts'

/** One recorded position of a vehicle. */
export interface Fix extends Place {
  /** ms UTC. */
  readonly timeMs: number
  /** Metres above mean sea level, where the file has them. */
  readonly altitudeM?: number
  /** Journey that the vehicle was on; '' if the file does not say. */
  readonly trip: string
  /** Route of that journey and its direction, see {@link routeKey}; '' if the file does not say. */
  readonly route: string
}

/** Fixes of one vehicle, in the order of their times. */
export interface VehicleFixes {
  readonly vehicle: string
  readonly fixes: readonly Fix[]
}

/** Faster than this between two fixes a row is taken for dirt, km/h. */
export const SPEED_MAX_KMH = 80

/** Columns that a file must have; `route_id`, `trip_id`, `trip_headsign` and `altitude` (m) are taken where they are. */
const COLUMNS = ['vehicle_id', 'timestamp', 'latitude', 'longitude'] as const

/** Name of a route in one direction: `route_id` and `trip_headsign` of the schedule. */
export function routeKey(route: string, headsign: string): string {
  return `${route} ${headsign}`.trim()
}

/**
 * Reads a file of {@link parseTracks}, plain or packed with gzip.
 * @throws Error if the file cannot be read, or holds no track.
 */
export async function readTracks(file: string | URL): Promise<VehicleFixes[]> {
  const bytes = await readFile(file)
  const packed = bytes[0] === 0x1f && bytes[1] === 0x8b
  const tracks = parseTracks((packed ? gunzipSync(bytes) : bytes).toString('utf8'))
  if (tracks.length === 0) throw new Error(`${String(file)} holds no track of two fixes or more`)
  return tracks
}

/**
 * Reads rows `vehicle_id,timestamp,…,latitude,longitude,…`: a head line names the columns, the timestamp is
 * ISO 8601 with a zone, rows may stand in any order. Vehicles come sorted by id, with their cleaned fixes;
 * a vehicle with fewer than two is left out, as is a row that cannot be read.
 *
 * @throws Error if a needed column is missing.
 */
export function parseTracks(csv: string): VehicleFixes[] {
  const lines = csv.split('\n')
  const head = fieldsOf(lines[0]!)
  const missing = COLUMNS.filter((name) => !head.includes(name))
  if (missing.length > 0) throw new Error(`the tracks lack the columns ${missing.join(', ')}`)
  const column = (name: string) => head.indexOf(name)
  const [vehicleAt, timeAt, latitudeAt, longitudeAt] = COLUMNS.map(column)
  const [routeAt, tripAt, headsignAt, altitudeAt] = [
    column('route_id'),
    column('trip_id'),
    column('trip_headsign'),
    column('altitude'),
  ]

  const byVehicle = new Map<string, Fix[]>()
  for (let i = 1; i < lines.length; i++) {
    if (lines[i] === '') continue
    const fields = fieldsOf(lines[i]!)
    const vehicle = fields[vehicleAt!]
    const altitude = fields[altitudeAt]
    const fix: Fix = {
      timeMs: Date.parse(fields[timeAt!] ?? ''),
      latitudeDeg: numberOf(fields[latitudeAt!]),
      longitudeDeg: numberOf(fields[longitudeAt!]),
      ...(altitude === undefined || altitude === '' ? {} : { altitudeM: Number(altitude) }),
      trip: fields[tripAt] ?? '',
      route: routeKey(fields[routeAt] ?? '', fields[headsignAt] ?? ''),
    }
    if (!vehicle || Number.isNaN(fix.timeMs + fix.latitudeDeg + fix.longitudeDeg)) continue
    const fixes = byVehicle.get(vehicle)
    if (fixes === undefined) byVehicle.set(vehicle, [fix])
    else fixes.push(fix)
  }
  return [...byVehicle]
    .map(([vehicle, fixes]) => ({ vehicle, fixes: cleanFixes(fixes) }))
    .filter(({ fixes }) => fixes.length >= 2)
    .sort((a, b) => (a.vehicle < b.vehicle ? -1 : 1))
}

/**
 * Puts late rows in their place, and leaves out repeats of one time, and rows that the vehicle could have reached
 * or left only faster than {@link SPEED_MAX_KMH}. Where the vehicle does stay at the far place, that place is kept:
 * it was moved while it did not report.
 */
export function cleanFixes(fixes: readonly Fix[]): Fix[] {
  const sorted = [...fixes].sort((a, b) => a.timeMs - b.timeMs)
  const clean: Fix[] = []
  for (const [i, fix] of sorted.entries()) {
    const before = clean.at(-1)
    if (before?.timeMs === fix.timeMs) continue
    if (before !== undefined && speedKmh(before, fix) > SPEED_MAX_KMH) {
      const after = sorted.slice(i + 1).find((other) => other.timeMs > fix.timeMs)
      if (after === undefined) continue
      if (speedKmh(fix, after) > SPEED_MAX_KMH || speedKmh(before, after) <= SPEED_MAX_KMH) continue
    }
    clean.push(fix)
  }
  return clean
}

/** Speed of the straight way between two fixes of different times, km/h. */
export function speedKmh(from: Fix, to: Fix): number {
  return (metresBetween(from, to) / (to.timeMs - from.timeMs)) * 3600
}

/** Fields of one line; a field in double quotes may hold commas. */
function fieldsOf(line: string): string[] {
  const text = line.endsWith('\r') ? line.slice(0, -1) : line
  if (!text.includes('"')) return text.split(',')
  return Array.from(text.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g), (match) =>
    match[1] === undefined ? match[2]! : match[1].replaceAll('""', '"'),
  )
}

/** An empty field is no number, not nought. */
function numberOf(field: string | undefined): number {
  return field === undefined || field.trim() === '' ? Number.NaN : Number(field)
}
