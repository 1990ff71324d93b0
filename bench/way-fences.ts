/** Geofences along the straight ways of the trackers of the benchmarks, as a bus meets them: stops and zones. */
import type pg from 'pg'
import { METRES_PER_DEG, wayStartOf } from './teltonika-packets.ts'

/** Circles on the way. */
export const STOP_EVERY_M = 900
export const STOP_RADIUS_M = 40
/** Octagons across the way. */
export const ZONE_EVERY_M = 3000
export const ZONE_LENGTH_M = 1500
const ZONE_WIDTH_M = 300
/** Stops of others: circles beside the way. */
export const BESIDE_M = 150

/** Rows of one statement. */
const STATEMENT_ROWS = 5_000

interface Place {
  readonly latitudeDeg: number
  readonly longitudeDeg: number
}

/** Where they lie: on the ways and beside them, or beside them only, where nobody meets them. */
export type WayFences = 'met' | 'passed by'

/**
 * @param organization Name of the one that gets them; it is made.
 * @param wayM Length of the way of each device.
 */
export async function insertWayFences(
  client: pg.Client,
  organization: string,
  devices: number,
  perDevice: number,
  wayM: number,
  lie: WayFences,
): Promise<void> {
  const { rows } = await client.query('INSERT INTO organizations (name) VALUES ($1) RETURNING id', [
    organization,
  ])
  const shapes: string[] = []
  const insert = async () => {
    await client.query(
      `INSERT INTO geofences (organization_id, name, shape, west, south, east, north, time_zone, rules)
       SELECT $1, 'way', shape, 10, 50, 20, 52, 'UTC', '[{}]' FROM unnest($2::json[]) AS shape`,
      [rows[0].id, shapes.splice(0)],
    )
  }
  for (let device = 0; device < devices; device++) {
    for (const shape of shapesOf(device, perDevice, wayM, lie)) {
      shapes.push(JSON.stringify(shape))
      if (shapes.length === STATEMENT_ROWS) await insert()
    }
  }
  await insert()
}

function* shapesOf(device: number, count: number, wayM: number, lie: WayFences): Iterable<object> {
  let made = 0
  if (lie === 'met') {
    for (let atM = ZONE_EVERY_M / 2; atM < wayM && made < count; atM += ZONE_EVERY_M, made++)
      yield zone(device, atM)
    for (let atM = STOP_EVERY_M / 2; atM < wayM && made < count; atM += STOP_EVERY_M, made++) {
      yield stop(device, atM, 0)
    }
  }
  const stepM = wayM / Math.max(1, count - made)
  for (let atM = stepM / 2; made < count; atM += stepM, made++) yield stop(device, atM, BESIDE_M)
}

/** A place `northM` along the way of a device, and `eastM` beside it. */
function placeOf(device: number, northM: number, eastM: number): Place {
  const start = wayStartOf(device)
  const latitudeDeg = start.latitudeDeg + northM / METRES_PER_DEG
  const metresPerDeg = METRES_PER_DEG * Math.cos((latitudeDeg * Math.PI) / 180)
  return { latitudeDeg, longitudeDeg: start.longitudeDeg + eastM / metresPerDeg }
}

function stop(device: number, northM: number, eastM: number): object {
  const { latitudeDeg, longitudeDeg } = placeOf(device, northM, eastM)
  return { type: 'Circle', center: [longitudeDeg, latitudeDeg], radiusM: STOP_RADIUS_M }
}

function zone(device: number, northM: number): object {
  const corners = Array.from({ length: 9 }, (_, corner) => {
    const angle = (((corner % 8) + 0.5) * Math.PI) / 4
    const place = placeOf(
      device,
      northM + (Math.cos(angle) * ZONE_LENGTH_M) / 2,
      (Math.sin(angle) * ZONE_WIDTH_M) / 2,
    )
    return [place.longitudeDeg, place.latitudeDeg]
  })
  return { type: 'Polygon', coordinates: [corners] }
}
