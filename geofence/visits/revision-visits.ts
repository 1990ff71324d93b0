/** What a replay changes of the visits of one geofence, and what timers have to do for them. */
import type { GeofenceChanges, Visit } from './changes.ts'
import type { RecordedVisit } from './loading.ts'
import { absenceMs, dwellMs } from './rules.ts'
import type { Member } from './visits-state.ts'

/** The visits of one geofence, by time. */
export interface VisitsOfFence {
  /** As one that the device is outside of. */
  readonly fence: Member
  readonly recorded: readonly RecordedVisit[]
  readonly found: readonly RecordedVisit[]
  /** The first moment that is different; Infinity = none. */
  readonly changedMs: number
}

export function visitsOfFence(
  fence: Member,
  recorded: readonly RecordedVisit[],
  found: readonly RecordedVisit[],
): VisitsOfFence {
  const byTime = (a: RecordedVisit, b: RecordedVisit) => a.enteredMs - b.enteredMs
  const before = recorded.toSorted(byTime)
  const after = found.toSorted(byTime)
  return { fence, recorded: before, found: after, changedMs: firstDifference(before, after) }
}

function firstDifference(a: readonly RecordedVisit[], b: readonly RecordedVisit[]): number {
  for (let i = 0; i < a.length || i < b.length; i++) {
    const enteredMs = [
      a[i]?.enteredMs ?? Number.POSITIVE_INFINITY,
      b[i]?.enteredMs ?? Number.POSITIVE_INFINITY,
    ]
    if (enteredMs[0] !== enteredMs[1]) return Math.min(...enteredMs)
    const exitedMs = [endOf(a[i]!), endOf(b[i]!)]
    if (exitedMs[0] !== exitedMs[1]) return Math.min(...exitedMs)
  }
  return Number.POSITIVE_INFINITY
}

/** Infinity while it is open. */
export function endOf({ exitedMs }: RecordedVisit): number {
  return Number.isNaN(exitedMs) ? Number.POSITIVE_INFINITY : exitedMs
}

/** Whether the device was inside at a moment. */
export function covers(visits: readonly RecordedVisit[], timeMs: number): boolean {
  return visits.some((visit) => visit.enteredMs <= timeMs && timeMs < endOf(visit))
}

/** An event that follows from a visit. */
export interface TimedEvent {
  readonly type: 'dwell' | 'absence'
  readonly timeMs: number
  /** A timer has to see to it, while nothing more is known of the device. */
  readonly isOpen: boolean
}

/** A visit with what follows from it. */
export interface TimedVisit {
  readonly visit: RecordedVisit
  readonly events: readonly TimedEvent[]
}

/**
 * What timers make of visits.
 * @param next When the visit after the last one begins; Infinity = there is none.
 */
export function timedVisits(
  { rule, timeZone }: Member,
  visits: readonly RecordedVisit[],
  nextMs: number,
): TimedVisit[] {
  return visits.map((visit, at) => {
    const events: TimedEvent[] = []
    const endMs = endOf(visit)
    const isOpen = endMs === Number.POSITIVE_INFINITY
    const dwell = dwellMs(rule, timeZone, visit.enteredMs)
    if (dwell <= endMs) events.push({ type: 'dwell', timeMs: dwell, isOpen })
    const returnedMs = visits[at + 1]?.enteredMs ?? nextMs
    const absence = isOpen ? Number.NaN : absenceMs(rule, timeZone, endMs)
    if (absence <= returnedMs) {
      events.push({ type: 'absence', timeMs: absence, isOpen: returnedMs === Number.POSITIVE_INFINITY })
    }
    return { visit, events }
  })
}

/** Adds the difference between what is recorded and the visits of `found`, whose `dueMs` is to become that. */
export function changeVisits(
  device: number,
  recorded: readonly RecordedVisit[],
  found: readonly Omit<Visit, 'device'>[],
  changes: GeofenceChanges,
): void {
  const before = new Map(recorded.map((visit) => [visit.enteredMs, visit]))
  for (const visit of found) {
    const old = before.get(visit.enteredMs)
    before.delete(visit.enteredMs)
    if (old === undefined) changes.opened.push({ device, ...visit })
    else if (!Object.is(old.exitedMs, visit.exitedMs) || !Object.is(old.dueMs, visit.dueMs)) {
      changes.changed.push({ device, ...visit, version: old.version })
    }
  }
  for (const { geofence, enteredMs } of before.values()) {
    changes.removed.push({ device, geofence, enteredMs })
  }
}
