/** Where devices are and were, through the functions that keep tenants apart; see `withTenant` in tenancy.ts. */
import type pg from 'pg'
import type { DegreeBox } from '../geofences/geofences.ts'

/** A fix of a device. */
export interface DeviceFix {
  readonly device: number
  readonly fixTime: Date
  readonly latitude: number
  readonly longitude: number
}

/** Devices whose last fix is nearest to a place, the nearest first, by the great circle. */
export async function nearestDevices(
  client: pg.ClientBase,
  query: {
    readonly latitudeDeg: number
    readonly longitudeDeg: number
    readonly maxDistanceM: number | undefined
    readonly limit: number
  },
): Promise<(DeviceFix & { readonly distanceM: number })[]> {
  const { rows } = await client.query<DeviceFix & { distanceM: number }>(
    `SELECT device_id AS device, fix_time AS "fixTime", latitude, longitude, distance_m AS "distanceM"
     FROM nearest_devices($1, $2, $3, $4) ORDER BY distance_m, device_id`,
    [query.latitudeDeg, query.longitudeDeg, query.maxDistanceM, query.limit],
  )
  return rows
}

/** Last fixes that lie in a box, by id of the device, of devices after `after`. */
export async function lastFixesInBox(
  client: pg.ClientBase,
  { west, south, east, north }: DegreeBox,
  after: number,
  limit: number,
): Promise<DeviceFix[]> {
  const { rows } = await client.query<DeviceFix>(
    `SELECT device_id AS device, fix_time AS "fixTime", latitude, longitude
     FROM last_fixes_in_box($1, $2, $3, $4, $5, $6) ORDER BY device_id`,
    [west, south, east, north, after, limit],
  )
  return rows
}

/** A fix with its key, which is text, since every digit counts. */
export interface StoredFix extends DeviceFix {
  readonly timeText: string
  readonly digest: string
}

export interface FixesQuery {
  readonly devices: readonly number[]
  /** Time of the first fix, and time before which the last one lies. */
  readonly from: Date
  readonly to: Date
  readonly box: DegreeBox
  /** All are after this one: only of a single device. */
  readonly after?: StoredFix | undefined
  /** Of each device. */
  readonly limit: number
}

/** Undoubted fixes that lie in a box, by device and time: the first ones of each device. */
export async function fixesInBox(
  client: pg.ClientBase,
  { devices, from, to, box, after, limit }: FixesQuery,
): Promise<StoredFix[]> {
  const { rows } = await client.query<StoredFix>(
    `SELECT device_id AS device, fix_time AS "fixTime", latitude, longitude, fix_time::text AS "timeText",
       digest::text AS digest
     FROM fixes_in_box($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ORDER BY device_id, fix_time, fixes_in_box.digest`,
    [devices, from, to, box.west, box.south, box.east, box.north, after?.timeText, after?.digest, limit],
  )
  return rows
}
