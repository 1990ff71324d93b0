/** What a shard has to know of a device before it evaluates it, read for many devices at once. */
import type pg from 'pg'

/** A fix that counts: undoubted, with a place. */
export interface StoredFix {
  /** ms UTC. */
  readonly timeMs: number
  /** Of the record, as unsigned numbers; fixes of one time are in the order of (high, low). */
  readonly digestHigh: number
  readonly digestLow: number
  readonly latitudeDeg: number
  readonly longitudeDeg: number
  /** NaN where it was not reported. A float32. */
  readonly speedKmh: number
}

/** A row of `geofence_visits`; times are ms UTC, NaN = none. */
export interface StoredVisit {
  readonly geofence: number
  readonly version: number
  readonly enteredMs: number
  readonly exitedMs: number
  readonly dueMs: number
}

export interface LoadedDevice {
  readonly device: number
  readonly organizationId: number
  /** Ids of its groups, ascending. */
  readonly groups: readonly number[]
  /** Those that are open, and those that wait for their absence; by geofence and time. */
  readonly visits: readonly StoredVisit[]
  /** Its last fixes as far as {@link LookBack} asks, the oldest first. */
  readonly fixes: readonly StoredFix[]
}

/** How far the last fixes go back: as far as both ask, and no further. */
export interface LookBack {
  /** At least so many fixes, 1 or more. */
  readonly fixes: number
  /** And all that are not older than the last one by more, s. */
  readonly seconds: number
}

/**
 * Claims devices for `owner` and reads their state. What others had on the way for them is stored before it is read,
 * and nothing of theirs after it.
 *
 * @returns In the order of the ids; a device that is deleted is left out.
 * @throws pg.DatabaseError
 */
export async function loadDevices(
  client: pg.ClientBase,
  owner: number,
  devices: readonly number[],
  lookBack: LookBack,
): Promise<LoadedDevice[]> {
  // A statement and transaction of its own: what the claim waited for is seen by the next one only.
  await client.query('SELECT geofence_claim($1, $2)', [owner, devices])
  const { rows } = await client.query<{ device: LoadedDevice }>(
    'SELECT geofence_devices($1, $2, $3) AS device',
    [devices, lookBack.fixes, lookBack.seconds],
  )
  return rows.map(({ device }) => device)
}
