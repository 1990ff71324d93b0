/** Dwell and absence: visits whose time has come, taken from the table, each by one process. */
import type pg from 'pg'
import type { Terms } from '../../../geofence/index/fence-map.ts'
import { ruleFor } from '../../../geofence/visits/rules.ts'
import { inWindows } from '../../../geofence/visits/schedule.ts'
import type { Commit } from '../../../schemas/live-port.ts'
import { milliseconds, moment } from '../sql-times.ts'
import { commitEvents, fire, type TimerEvent } from './timers-events.ts'

/** Key of a visit, with the time for which it waits. Times are ms UTC. */
export interface DueVisit {
  readonly device: number
  readonly geofence: number
  readonly enteredMs: number
  readonly dueMs: number
}

/** Where the next page begins. */
export type DueCursor = DueVisit

/** A visit as it is while no one else may change it. */
export interface LockedVisit extends Omit<DueVisit, 'dueMs'> {
  /** NaN while the device is inside. */
  readonly exitedMs: number
  /** Time of the event that a timer made last of this visit; NaN = none. */
  readonly firedMs: number
  /** When the device entered again; NaN = it has not. */
  readonly returnedMs: number
  readonly groups: readonly number[]
}

/** What comes of a visit: an event now, or a time to wait for; NaN = neither. */
export interface TimerDecision {
  readonly type: 'dwell' | 'absence'
  readonly eventMs: number
  readonly dueMs: number
}

/** @returns The due visits behind the cursor, the longest due first. */
export async function dueVisits(
  client: pg.ClientBase | pg.Pool,
  nowMs: number,
  after: DueCursor | undefined,
  limit: number,
): Promise<DueVisit[]> {
  const { rows } = await client.query<DueVisit>(
    `SELECT device_id AS device, geofence_id AS geofence, ${milliseconds('entered_at')} AS "enteredMs",
       ${milliseconds('due_at')} AS "dueMs"
     FROM geofence_visits
     WHERE due_at <= ${moment('$1')} AND ($2::double precision IS NULL OR due_at >= ${moment('$2')}
       AND (due_at, device_id, geofence_id, entered_at) > (${moment('$2')}, $3::integer, $4::integer, ${moment('$5')}))
     ORDER BY due_at, device_id, geofence_id, entered_at LIMIT $6`,
    [nowMs, after?.dueMs, after?.device, after?.geofence, after?.enteredMs, limit],
  )
  return rows
}

/**
 * Makes the events of due visits and says when they are due next, in one transaction. What another process has at hand
 * or has done is passed over.
 *
 * @returns What was stored, to be published; undefined where no event was.
 */
export async function fireVisits(
  client: pg.ClientBase,
  due: readonly DueVisit[],
  nowMs: number,
): Promise<Commit | undefined> {
  await client.query('BEGIN')
  try {
    const visits = await lockVisits(client, due, nowMs)
    const fences = await readFences(
      client,
      visits.map(({ geofence }) => geofence),
    )
    const events: TimerEvent[] = []
    const decisions = visits.map((visit) => {
      const fence = fences.get(visit.geofence)
      const decision = decide(visit, fence?.terms, nowMs)
      if (!Number.isNaN(decision.eventMs)) {
        const { version, organizationId } = fence!
        const { device, geofence } = visit
        events.push({
          device,
          geofence,
          version,
          organizationId,
          type: decision.type,
          timeMs: decision.eventMs,
        })
      }
      return decision
    })
    const stored = await fire(client, events)
    await client.query(
      `UPDATE geofence_visits v
       SET due_at = ${moment('d.due')}, fired_at = coalesce(${moment('d.fired')}, v.fired_at)
       FROM unnest($1::integer[], $2::integer[], $3::double precision[], $4::double precision[], $5::double precision[])
         AS d (device, geofence, entered, due, fired)
       WHERE v.device_id = d.device AND v.geofence_id = d.geofence AND v.entered_at = ${moment('d.entered')}`,
      [
        ...keyColumns(visits),
        decisions.map(({ dueMs }) => numberOrNull(dueMs)),
        decisions.map(({ eventMs }) => numberOrNull(eventMs)),
      ],
    )
    return await commitEvents(client, stored)
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined)
    throw error
  }
}

/** What is due of a visit. The event comes once: after it, whatever the rule becomes, the visit waits for no other one. */
export function decide(visit: LockedVisit, terms: Terms | undefined, nowMs: number): TimerDecision {
  const inside = Number.isNaN(visit.exitedMs)
  const type = inside ? 'dwell' : 'absence'
  const none = { type, eventMs: Number.NaN, dueMs: Number.NaN } as const
  const rule = terms && ruleFor(terms, visit.groups)
  const afterS = inside ? rule?.dwellS : rule?.absenceS
  if (rule === undefined || afterS == null) return none
  const sinceMs = inside ? visit.enteredMs : visit.exitedMs
  const timeMs = sinceMs + afterS * 1000
  // A dwell that was made before the device left is no absence.
  if (visit.firedMs > sinceMs || timeMs > visit.returnedMs) return none
  if (timeMs > nowMs) return { ...none, dueMs: timeMs }
  return inWindows(timeMs, terms!.timeZone, rule.windows) ? { ...none, eventMs: timeMs } : none
}

async function lockVisits(
  client: pg.ClientBase,
  due: readonly DueVisit[],
  nowMs: number,
): Promise<LockedVisit[]> {
  const key = keyColumns(due)
  const { rows } = await client.query<{ place: number }>(
    `SELECT d.place::integer FROM unnest($1::integer[], $2::integer[], $3::double precision[])
       WITH ORDINALITY AS d (device, geofence, entered, place)
     JOIN geofence_visits v ON v.device_id = d.device AND v.geofence_id = d.geofence
       AND v.entered_at = ${moment('d.entered')}
     WHERE v.due_at <= ${moment('$4')} ORDER BY d.place FOR UPDATE OF v SKIP LOCKED`,
    [...key, nowMs],
  )
  // A statement of its own, so that it sees what was stored until all locks were had.
  const { rows: visits } = await client.query<{ [Column in keyof LockedVisit]: LockedVisit[Column] | null }>(
    `SELECT v.device_id AS device, v.geofence_id AS geofence, ${milliseconds('v.entered_at')} AS "enteredMs",
       ${milliseconds('v.exited_at')} AS "exitedMs", ${milliseconds('v.fired_at')} AS "firedMs",
       (SELECT ${milliseconds('min(later.entered_at)')} FROM geofence_visits later
         WHERE later.device_id = v.device_id AND later.geofence_id = v.geofence_id
           AND later.entered_at > v.entered_at) AS "returnedMs",
       ARRAY(SELECT group_id FROM device_group_members m WHERE m.device_id = v.device_id) AS groups
     FROM unnest($1::integer[], $2::integer[], $3::double precision[]) AS d (device, geofence, entered)
     JOIN geofence_visits v ON v.device_id = d.device AND v.geofence_id = d.geofence
       AND v.entered_at = ${moment('d.entered')}`,
    keyColumns(rows.map(({ place }) => due[place - 1]!)),
  )
  return visits.map((visit) => ({
    device: visit.device!,
    geofence: visit.geofence!,
    enteredMs: visit.enteredMs!,
    exitedMs: visit.exitedMs ?? Number.NaN,
    firedMs: visit.firedMs ?? Number.NaN,
    returnedMs: visit.returnedMs ?? Number.NaN,
    groups: visit.groups!,
  }))
}

interface TimedFence {
  readonly organizationId: number
  readonly version: number
  readonly terms: Terms
}

/** Those that are gone or disabled are left out. */
async function readFences(
  client: pg.ClientBase,
  geofences: readonly number[],
): Promise<Map<number, TimedFence>> {
  const { rows } = await client.query<TimedFence & { id: number }>(
    `SELECT id, organization_id AS "organizationId", version,
       json_build_object('timeZone', time_zone, 'rules', rules) AS terms
     FROM geofences WHERE id = ANY ($1) AND NOT disabled`,
    [[...new Set(geofences)]],
  )
  return new Map(rows.map((fence) => [fence.id, fence]))
}

function keyColumns(visits: readonly Omit<DueVisit, 'dueMs'>[]): [number[], number[], number[]] {
  return [
    visits.map(({ device }) => device),
    visits.map(({ geofence }) => geofence),
    visits.map(({ enteredMs }) => enteredMs),
  ]
}

function numberOrNull(value: number): number | null {
  return Number.isNaN(value) ? null : value
}
