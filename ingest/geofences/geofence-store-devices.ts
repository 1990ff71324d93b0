/** What has to be known of a device before it is evaluated, read for many devices at once. */
import type pg from 'pg'
import type { RecordedVisit } from '../../geofence/visits/revision.ts'
import type { LookBack } from '../../geofence/visits/rules.ts'
import type { Fix, WatchedDevice } from '../../geofence/visits/visits.ts'

export interface LoadedDevice extends WatchedDevice {
  /** Those that are open, by geofence. */
  readonly visits: readonly RecordedVisit[]
  /** Its last fixes as far as the look-back asks, the oldest first. */
  readonly fixes: readonly Fix[]
}

/** As `geofence_fix_json` gives it: time, digest in two parts, latitude, longitude, speed. */
export type FixRow = readonly [number, number, number, number, number, number | null]
/** As `geofence_visit_json` gives it: geofence, version, entered, exited, due. */
export type VisitRow = readonly [number, number, number, number | null, number | null]

/**
 * Claims devices for `owner` and reads their state. What others had on the way for them is stored before it is read,
 * and nothing of theirs after it.
 *
 * @param owner Of `newOwner`.
 * @returns In the order of the ids; a device that is deleted is left out.
 * @throws pg.DatabaseError
 */
export async function loadDevices(
  client: pg.ClientBase,
  owner: number,
  devices: readonly number[],
  lookBack: LookBack,
): Promise<LoadedDevice[]> {
  await claimDevices(client, owner, devices)
  const { rows } = await client.query<DeviceRow>('SELECT * FROM geofence_devices($1, $2, $3)', [
    devices,
    lookBack.fixes,
    lookBack.seconds,
  ])
  return rows.map(({ device, organization, groups, visits, fixes }) => ({
    device,
    organizationId: organization,
    groups,
    visits: visits.map(recordedVisit),
    fixes: fixes.map(fixOfRow),
  }))
}

/**
 * Makes `owner` the one that evaluates the devices. Not in a transaction: what the claim has waited for is seen only by
 * the next one.
 * @throws pg.DatabaseError
 */
export async function claimDevices(
  client: pg.ClientBase,
  owner: number,
  devices: readonly number[],
): Promise<void> {
  await client.query('SELECT geofence_claim($1, $2)', [owner, devices])
}

export function fixOfRow([timeMs, digestHigh, digestLow, latitudeDeg, longitudeDeg, speed]: FixRow): Fix {
  return { timeMs, digestHigh, digestLow, latitudeDeg, longitudeDeg, speedKmh: speed ?? Number.NaN }
}

export function recordedVisit([geofence, version, enteredMs, exited, due]: VisitRow): RecordedVisit {
  return { geofence, version, enteredMs, exitedMs: exited ?? Number.NaN, dueMs: due ?? Number.NaN }
}

interface DeviceRow {
  readonly device: number
  readonly organization: number
  readonly groups: readonly number[]
  readonly visits: readonly VisitRow[]
  readonly fixes: readonly FixRow[]
}
