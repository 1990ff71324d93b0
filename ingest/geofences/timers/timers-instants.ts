/** Times of day by which devices have to be inside: for each rule with `insideBy` one moment after the other. */
import type pg from 'pg'
import type { Terms } from '../../../geofence/index/fence-map.ts'
import { ruleFor } from '../../../geofence/visits/rules.ts'
import { inWindows, nextInstant } from '../../../geofence/visits/schedule.ts'
import type { Commit } from '../../../schemas/live-port.ts'
import type { StoredEvent } from '../../../storage/geofences/stored-event.ts'
import { milliseconds, moment } from '../sql-times.ts'
import { commitEvents, fire, type TimerEvent } from './timers-events.ts'

/** A rule whose moment may have come. */
export interface DueInstant {
  readonly geofence: number
  /** Place of the rule, from 0. */
  readonly rule: number
}

export interface InstantOptions {
  readonly nowMs: number
  /** Moments that are longer ago make no events. */
  readonly backMs: number
  /** Devices that are looked at in one transaction. */
  readonly devices: number
  /** See `Store.storedUntilMs`. */
  readonly storedUntilMs: (device: number) => number
}

export interface InstantStep extends Progress {
  /** What was stored, to be published; undefined where no event was. */
  readonly commit: Commit | undefined
}

interface Progress {
  readonly devices: number
  /** Whether the next step has something to do now. */
  readonly more: boolean
  /** Why it has not. */
  readonly held?: HeldInstant
}

/** A device of which positions are to be stored before a moment counts. */
export interface HeldInstant {
  readonly device: number
  readonly timeMs: number
}

/** Rules that are due, the longest due first. */
export async function dueInstants(
  client: pg.ClientBase | pg.Pool,
  nowMs: number,
  limit: number,
): Promise<DueInstant[]> {
  const { rows } = await client.query<DueInstant>(
    `SELECT geofence_id AS geofence, rule FROM geofence_instants WHERE next_due <= ${moment('$1')}
     ORDER BY next_due, geofence_id, rule LIMIT $2`,
    [nowMs, limit],
  )
  return rows
}

/**
 * Goes one step with a rule, in one transaction: makes the events of some of its devices for one moment, and goes on to
 * the next moment when all are done. Several processes may do it at once; each step is done once.
 */
export async function fireInstant(
  client: pg.ClientBase,
  due: DueInstant,
  options: InstantOptions,
): Promise<InstantStep> {
  await client.query('BEGIN')
  try {
    const { events, ...progress } = await locked(client, due, options)
    return { ...progress, commit: await commitEvents(client, events) }
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined)
    throw error
  }
}

interface UncommittedStep extends Progress {
  readonly events: readonly StoredEvent[]
}

const NOTHING: UncommittedStep = { events: [], devices: 0, more: false }

interface InstantRow {
  readonly doneUntilMs: number
  readonly doneDevice: number
  readonly version: number
  readonly organizationId: number
  readonly terms: Terms
}

async function locked(
  client: pg.ClientBase,
  { geofence, rule: place }: DueInstant,
  { nowMs, backMs, devices: limit, storedUntilMs }: InstantOptions,
): Promise<UncommittedStep> {
  // Waits for those who store visits of the geofence; they wait for this transaction. Both are short.
  const { rows } = await client.query<InstantRow>(
    `SELECT ${milliseconds('i.done_until')} AS "doneUntilMs", i.done_device AS "doneDevice", g.version,
       g.organization_id AS "organizationId", json_build_object('timeZone', g.time_zone, 'rules', g.rules) AS terms
     FROM geofence_instants i JOIN geofences g ON g.id = i.geofence_id
     WHERE i.geofence_id = $1 AND i.rule = $2 AND i.next_due <= ${moment('$3')} FOR UPDATE OF i`,
    [geofence, place, nowMs],
  )
  const [row] = rows
  const rule = row?.terms.rules[place]
  if (row === undefined || rule?.insideBy == null) return NOTHING
  const { terms, version, organizationId } = row
  const sinceMs = Math.max(row.doneUntilMs, nowMs - backMs)
  const timeMs = nextInstant(rule.insideBy, terms.timeZone, sinceMs)
  // What was begun so long ago that it counts no more is not gone on with.
  const doneDevice = sinceMs === row.doneUntilMs ? row.doneDevice : 0
  const save = (doneUntilMs: number, lastDevice: number, dueMs: number, firedMs: number | null) =>
    client.query(
      `UPDATE geofence_instants SET done_until = ${moment('$3')}, done_device = $4, next_due = ${moment('$5')},
         fired_at = coalesce(${moment('$6')}, fired_at)
       WHERE geofence_id = $1 AND rule = $2`,
      [geofence, place, doneUntilMs, lastDevice, dueMs, firedMs],
    )
  if (timeMs > nowMs) {
    await save(sinceMs, 0, timeMs, null)
    return NOTHING
  }
  const done = async (firedMs: number | null) => {
    const nextMs = nextInstant(rule.insideBy!, terms.timeZone, timeMs)
    await save(timeMs, 0, nextMs, firedMs)
    return nextMs <= nowMs
  }
  if (!inWindows(timeMs, terms.timeZone, rule.windows)) {
    return { ...NOTHING, more: await done(null) }
  }
  const devices = await outside(client, geofence, organizationId, timeMs, doneDevice, limit)
  const held = devices.findIndex(({ device }) => storedUntilMs(device) <= timeMs)
  const ready = held === -1 ? devices : devices.slice(0, held)
  const missing = ready.filter(({ away, groups }) => away && ruleFor(terms, groups) === rule)
  const events = await fire(
    client,
    missing.map(
      ({ device }): TimerEvent => ({ device, geofence, version, organizationId, type: 'missing', timeMs }),
    ),
  )
  if (devices.length < limit && held === -1)
    return { events, devices: ready.length, more: await done(timeMs) }
  await save(timeMs - 1, ready.at(-1)?.device ?? doneDevice, timeMs, timeMs)
  if (held === -1) return { events, devices: ready.length, more: true }
  return { events, devices: ready.length, more: false, held: { device: devices[held]!.device, timeMs } }
}

interface DeviceAt {
  readonly device: number
  readonly groups: readonly number[]
  /** It has reported by then, and is not inside. */
  readonly away: boolean
}

/** Devices of an organisation behind `doneDevice`, ascending, and whether they are missed in a geofence at a time. */
async function outside(
  client: pg.ClientBase,
  geofence: number,
  organizationId: number,
  timeMs: number,
  doneDevice: number,
  limit: number,
): Promise<DeviceAt[]> {
  const { rows } = await client.query<Omit<DeviceAt, 'away'> & { inside: boolean; reported: boolean }>(
    `SELECT d.id AS device, ARRAY(SELECT m.group_id FROM device_group_members m WHERE m.device_id = d.id) AS groups,
       EXISTS (SELECT FROM (SELECT v.exited_at FROM geofence_visits v
         WHERE v.device_id = d.id AND v.geofence_id = $1 AND v.entered_at <= ${moment('$3')}
         ORDER BY v.entered_at DESC LIMIT 1) v
         WHERE v.exited_at IS NULL OR v.exited_at > ${moment('$3')}) AS inside,
       l.fix_time <= ${moment('$3')} OR EXISTS (SELECT FROM positions p
         WHERE p.device_id = d.id AND p.quality = 0
           AND p.fix_time <= ${moment('$3')} AND p.fix_time > ${moment('$3')} - interval '1 day') AS reported
     FROM devices d JOIN last_fixes l ON l.device_id = d.id
     WHERE d.organization_id = $2 AND d.id > $4 ORDER BY d.id LIMIT $5`,
    [geofence, organizationId, timeMs, doneDevice, limit],
  )
  const unknown = rows.filter(({ inside, reported }) => !inside && !reported).map(({ device }) => device)
  const earlier = await reportedEarlier(client, unknown, timeMs)
  return rows.map(({ device, groups, inside, reported }) => ({
    device,
    groups,
    away: !inside && (reported || earlier.has(device)),
  }))
}

/**
 * Which devices reported longer than a day before a time. Asked for those only that report again after a day's silence
 * or more, since every day's positions have to be looked into.
 */
async function reportedEarlier(
  client: pg.ClientBase,
  devices: readonly number[],
  timeMs: number,
): Promise<Set<number>> {
  if (devices.length === 0) return new Set()
  const { rows } = await client.query<{ device: number }>(
    `SELECT device FROM unnest($1::integer[]) AS device WHERE EXISTS (SELECT FROM positions p
       WHERE p.device_id = device AND p.quality = 0 AND p.fix_time <= ${moment('$2')} - interval '1 day')`,
    [devices, timeMs],
  )
  return new Set(rows.map(({ device }) => device))
}
