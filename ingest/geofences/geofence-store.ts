/**
 * Visits and events in PostgreSQL, stored in the transaction of the positions that caused them, and the owners of
 * devices: who evaluates a device claims it, and who has lost devices to another is told so by the database before
 * anything of theirs is stored. The functions are those of migrations/0006-geofence-evaluation.sql.
 */
import pg from 'pg'
import type { GeofenceChanges } from '../../geofence/visits/changes.ts'
import type { LiveEvent } from '../../schemas/live-port.ts'
import { liveEvent, type StoredEvent } from '../../storage/geofences/stored-event.ts'

/**
 * SQLSTATE: what is to be stored contradicts what is stored, mostly an event that a timer made meanwhile. Nothing of
 * the transaction is stored; {@link contradictedDevices} are to be evaluated by revision, which reads the table.
 */
export const CONTRADICTION = 'FF001'
/** SQLSTATE: devices were claimed by another owner. Nothing of the transaction is stored; see {@link lostDevices}. */
export const DEVICES_LOST = 'FF002'

/** Who evaluates, and how often devices were taken from them that they know of. */
export interface Guard {
  /** Of {@link newOwner}. */
  readonly owner: number
  /** 0 at first, then `losses` of the last {@link lostDevices}. */
  readonly losses: number
}

/** @returns Number of an owner that has no devices yet: one for each shard and each run of a backfill. */
export async function newOwner(client: pg.ClientBase | pg.Pool): Promise<number> {
  const { rows } = await client.query<{ owner: number }>(
    "SELECT nextval('geofence_owners_owner')::integer AS owner",
  )
  return rows[0]!.owner
}

/** After {@link DEVICES_LOST}: what has to be forgotten, and the count for the next {@link Guard}. */
export interface LostDevices {
  /** Those of `devices` that are not the owner's. */
  readonly devices: number[]
  readonly losses: number
}

/**
 * @param devices All whose state the owner holds.
 * @throws pg.DatabaseError
 */
export async function lostDevices(
  client: pg.ClientBase | pg.Pool,
  owner: number,
  devices: readonly number[],
): Promise<LostDevices> {
  // One statement sees both as they were in one moment: what is lost after it, the next guard finds.
  const { rows } = await client.query<LostDevices>(
    `SELECT coalesce((SELECT losses FROM geofence_owner_losses WHERE owner = $1), 0) AS losses,
       ARRAY(SELECT device FROM unnest($2::integer[]) AS device WHERE NOT EXISTS (
         SELECT FROM geofence_owners o WHERE o.device_id = device AND o.owner = $1)) AS devices`,
    [owner, devices],
  )
  return rows[0]!
}

/**
 * Text of the statements that go before the COPY of the positions in one simple query, which is one transaction: see
 * copy-query.ts, which hands back their rows for {@link appliedEvents}. They fail with {@link DEVICES_LOST} or
 * {@link CONTRADICTION}; the latter must not be tried with the same changes again.
 *
 * Changes of geofences that are gone or disabled meanwhile, and of devices that are gone, are passed over. So is an
 * event of a timer that a timer made before.
 *
 * @param changes Empty ones cost the check of the guard only.
 * @param nowMs What `advance` and `revise` were given as such, the earliest of it, ms UTC.
 * @param batch Number under which the events are kept for the stream; undefined = they are not sent.
 * @returns Ends with a semicolon.
 */
export function applyStatement(
  changes: GeofenceChanges,
  guard: Guard,
  nowMs: number,
  batch?: number,
): string {
  const check = `SELECT geofence_guard(${guard.owner}, ${guard.losses});`
  if (isEmpty(changes)) return check
  const fences = new Set<number>()
  const devices = new Set<number>()
  for (const list of [changes.opened, changes.changed, changes.removed, changes.events]) {
    for (const { device, geofence } of list) {
      fences.add(geofence)
      devices.add(device)
    }
  }
  const { opened, changed, removed, events } = changes
  const lists = [opened, changed, removed, events].map(jsonLiteral)
  const now = `to_timestamp(${nowMs} / 1000.0)`
  const apply = `geofence_apply('{${[...fences]}}', '{${[...devices]}}', ${now}, ${lists})`
  return `${check} SELECT ${batch === undefined ? apply : `keep_batch_events(${batch}, ${apply})`};`
}

/** NaN becomes null, which is what the tables have for "none". */
function jsonLiteral(list: readonly object[]): string {
  return list.length === 0 ? 'NULL' : pg.escapeLiteral(JSON.stringify(list))
}

/** The same for who has no positions to store with them: one transaction of its own. */
export async function applyChanges(
  client: pg.ClientBase,
  changes: GeofenceChanges,
  guard: Guard,
  nowMs: number,
): Promise<LiveEvent[]> {
  const text = applyStatement(changes, guard, nowMs)
  const answers = await client.query<unknown[]>({ text, rowMode: 'array' })
  // Of several statements `pg` makes a list, whatever its types say.
  const last = [answers].flat().at(-1)!
  return isEmpty(changes) ? [] : (last.rows[0]![0] as StoredEvent[]).map(liveEvent)
}

/**
 * @param rows Of all statements of {@link applyStatement}, as text.
 * @returns The events that were stored, with their ids, in the order of their ids.
 */
export function appliedEvents(rows: readonly (readonly (string | null)[])[]): LiveEvent[] {
  const answer = rows[1]?.[0]
  return answer == null ? [] : (JSON.parse(answer) as StoredEvent[]).map(liveEvent)
}

/** @param error With the code {@link CONTRADICTION}. */
export function contradictedDevices(error: pg.DatabaseError): number[] {
  return (error.detail ?? '').split(',').map(Number)
}

/**
 * How far timers have come, ms UTC: what is evaluated again is to reckon with it, also where the own clock is behind.
 * @param error With the code {@link CONTRADICTION}.
 */
export function contradictedUntilMs(error: pg.DatabaseError): number {
  return Math.ceil(Number(error.hint ?? 0))
}

function isEmpty({ opened, changed, removed, events }: GeofenceChanges): boolean {
  return opened.length + changed.length + removed.length + events.length === 0
}
