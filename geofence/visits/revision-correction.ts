/** The difference between what a replay found and what is recorded, as changes to be stored. */
import { DWELL_S_MAX } from '../../schemas/geofence.ts'
import type { GeofenceChanges, NewEvent, Visit } from './changes.ts'
import { compareEvents, firstEvent, NO_PLACE } from './events.ts'
import type { RecordedVisit } from './loading.ts'
import type { RecordedEvent, RevisionOptions } from './revision.ts'
import { changeEvents, Revisions } from './revision-events.ts'
import type { Replayed } from './revision-replay.ts'
import {
  changeVisits,
  covers,
  endOf,
  timedVisits,
  type VisitsOfFence,
  visitsOfFence,
} from './revision-visits.ts'
import { inWindows, nextInstant } from './schedule.ts'
import { type Member, outside } from './visits-state.ts'

const WAIT_MS_MAX = DWELL_S_MAX * 1000

export interface CorrectionSpan {
  /** From which on fixes are different. */
  readonly fromMs: number
  /** Up to which nothing more is to be expected. */
  readonly settledMs: number
  /** The geofence whose visits and events are all to be as found, and the span in which its moments are. */
  readonly backfill?: { readonly geofence: number; readonly fromMs: number; readonly toMs: number }
}

/** One geofence with all that its events depend on. */
interface Corrected extends VisitsOfFence {
  /** The visit before those, and when the one after them begins; Infinity = there is none. */
  readonly previous: RecordedVisit | undefined
  readonly nextMs: number
  /** What timers have to see to first; Infinity = nothing. */
  readonly dueMs: number
}

export class Correction {
  private readonly replayed: Replayed
  private readonly options: RevisionOptions
  private readonly span: CorrectionSpan

  constructor(replayed: Replayed, options: RevisionOptions, span: CorrectionSpan) {
    this.replayed = replayed
    this.options = options
    this.span = span
  }

  /** @returns The visits that were found, as they are stored after that. */
  async addTo(changes: GeofenceChanges): Promise<Omit<Visit, 'device'>[]> {
    const { history } = this.options
    const { device } = this.replayed.state
    const fences = this.fences()
    const changed = await this.withNeighbours(fences.filter(({ changedMs }) => Number.isFinite(changedMs)))
    const fast = fences.filter(({ fence }) => fence.rule.speedLimitKmh !== null)
    const ids = [...new Set([...changed, ...fast].map(({ fence }) => fence.geofence))]
    const visits = fences.flatMap(({ found, changedMs }) => (Number.isFinite(changedMs) ? [] : found))
    if (ids.length === 0) return visits
    const fromMs = Math.min(
      ...changed.map(({ changedMs, dueMs }) => Math.min(changedMs, dueMs)),
      fast.length > 0 ? this.span.fromMs : Number.POSITIVE_INFINITY,
    )
    const toMs = Math.max(this.replayed.untilMs, ...changed.map(lastEventMs))
    const stored = await history.events(ids, fromMs, toMs)
    const revisions = new Revisions(stored)
    const corrections: NewEvent[] = []
    for (const { fence } of fences) {
      if (!ids.includes(fence.geofence)) continue
      const current = stored.filter((event) => event.current && event.geofence === fence.geofence)
      const correction = changed.find((other) => other.fence === fence)
      const old = current.filter((event) => this.isCorrected(event, correction, fence))
      const found = this.shown(fence, correction)
      if (correction !== undefined) {
        const timed = this.timed(correction, current, revisions)
        const { previous, recorded } = correction
        changeVisits(
          device,
          previous === undefined ? recorded : [previous, ...recorded],
          timed.visits,
          changes,
        )
        visits.push(...timed.visits)
        found.push(...timed.events)
        found.push(...this.missing(correction, current))
      }
      changeEvents({ ...fence, device }, old, found, revisions, corrections)
    }
    changes.events.push(...corrections.sort(compareEvents))
    return visits
  }

  /** All geofences of which there are visits. */
  private fences(): VisitsOfFence[] {
    const { visits, recorded, state, replacedMs } = this.replayed
    const { backfill } = this.span
    const found = byGeofence(visits)
    const before = byGeofence(recorded)
    const ids = new Set([...found.keys(), ...before.keys()])
    if (backfill !== undefined) ids.add(backfill.geofence)
    const fences: VisitsOfFence[] = []
    for (const id of [...ids].sort((a, b) => a - b)) {
      const fence = outside(id, state, this.options.fences)
      if (fence === undefined) continue
      const visitsOf = visitsOfFence(fence, before.get(id) ?? [], found.get(id) ?? [])
      // Where a fix took the place of another one of its time, visits may be the same and their events not.
      const leastMs = backfill === undefined ? replacedMs : this.span.fromMs
      fences.push({ ...visitsOf, changedMs: Math.min(visitsOf.changedMs, leastMs) })
    }
    return fences
  }

  private async withNeighbours(fences: readonly VisitsOfFence[]): Promise<Corrected[]> {
    if (fences.length === 0) return []
    const { startMs, untilMs } = this.replayed
    const ids = fences.map(({ fence }) => fence.geofence)
    const around = await this.options.history.neighbours(ids, startMs, untilMs)
    return fences.map((visits) => {
      const { fence, recorded } = visits
      const own = around.filter(({ geofence }) => geofence === fence.geofence)
      const next = own.find(({ enteredMs }) => enteredMs > untilMs)
      const previous = own.find(({ enteredMs }) => enteredMs <= untilMs)
      const due = [...(previous === undefined ? [] : [previous]), ...recorded].map((visit) => visit.dueMs)
      return {
        ...visits,
        previous,
        nextMs: next?.enteredMs ?? Number.POSITIVE_INFINITY,
        dueMs: Math.min(Number.POSITIVE_INFINITY, ...due.filter((dueMs) => !Number.isNaN(dueMs))),
      }
    })
  }

  /** Whether an event that is recorded is one of those that are found anew. */
  private isCorrected(
    { type, timeMs }: RecordedEvent,
    correction: Corrected | undefined,
    { rule }: Member,
  ): boolean {
    const { untilMs } = this.replayed
    if (type === 'speeding') {
      const isAll = this.span.backfill !== undefined
      return (isAll || rule.speedLimitKmh !== null) && timeMs >= this.span.fromMs && timeMs <= untilMs
    }
    if (correction === undefined) return false
    const { changedMs, nextMs } = correction
    const lastMs = type === 'dwell' || type === 'absence' ? nextMs : untilMs
    return timeMs >= changedMs && timeMs <= lastMs
  }

  /** Events that fixes show. */
  private shown({ geofence }: Member, correction: Corrected | undefined): NewEvent[] {
    return this.replayed.events.filter((event) => {
      if (event.geofence !== geofence || event.type === 'dwell') return false
      if (event.type === 'speeding') return event.timeMs >= this.span.fromMs
      return correction !== undefined && event.timeMs >= correction.changedMs
    })
  }

  /** Visits with when they are due, and the dwell and absence that are made of them. */
  private timed(
    correction: Corrected,
    current: readonly RecordedEvent[],
    revisions: Revisions,
  ): { readonly visits: Omit<Visit, 'device'>[]; readonly events: NewEvent[] } {
    const { fence, found, previous, nextMs, changedMs } = correction
    const { settledMs } = this.span
    const { nowMs } = this.options
    const { device } = this.replayed.state
    const before = previous === undefined ? [] : [previous]
    const events: NewEvent[] = []
    const visits = timedVisits(fence, [...before, ...found], nextMs).map(
      ({ visit, events: timed }, at, all) => {
        const returnedMs = all[at + 1]?.visit.enteredMs ?? nextMs
        // Nothing is different for it; what is due of it may be so by another rule.
        if (endOf(visit) < changedMs && returnedMs < changedMs) return visit
        let dueMs = Number.NaN
        let firedMs = Number.NaN
        for (const { type, timeMs, isOpen } of timed) {
          const event = firstEvent({ ...fence, device }, type, timeMs, NO_PLACE)
          const isMade = current.some((other) => other.type === type && other.timeMs === timeMs)
          // What is from before the change stays, and what was still to be made is made.
          if (timeMs < changedMs && (isMade || timeMs !== visit.dueMs)) continue
          const isSettled = !isOpen || timeMs <= settledMs
          if (isMade || isSettled || (timeMs <= nowMs && revisions.has(event))) {
            events.push(event)
            firedMs = timeMs
          } else dueMs = timeMs
        }
        return { ...visit, dueMs, ...(Number.isNaN(firedMs) ? {} : { firedMs }) }
      },
    )
    return { visits, events }
  }

  /** Moments by which the device had to be inside, and was not. */
  private missing(correction: Corrected, current: readonly RecordedEvent[]): NewEvent[] {
    const { fence, recorded, found, changedMs } = correction
    const { rule, timeZone } = fence
    const { backfill } = this.span
    const { untilMs, state } = this.replayed
    const endMs = Math.min(untilMs, this.options.nowMs)
    const moments = new Set<number>()
    const add = (fromMs: number, toMs: number) => {
      if (rule.insideBy === null) return
      for (
        let timeMs = nextInstant(rule.insideBy, timeZone, fromMs - 1);
        timeMs < toMs && timeMs <= endMs;
        timeMs = nextInstant(rule.insideBy, timeZone, timeMs)
      ) {
        if (inWindows(timeMs, timeZone, rule.windows)) moments.add(timeMs)
      }
    }
    for (const { type, timeMs } of current) {
      if (type !== 'missing' || timeMs < changedMs || timeMs > untilMs) continue
      // Of the span of a backfill only those that the rule has now.
      if (backfill === undefined || timeMs < backfill.fromMs || timeMs >= backfill.toMs) moments.add(timeMs)
    }
    if (backfill !== undefined) add(backfill.fromMs, backfill.toMs)
    for (const visit of recorded) add(Math.max(visit.enteredMs, changedMs), endOf(visit))
    return [...moments]
      .filter((timeMs) => !covers(found, timeMs))
      .map((timeMs) => firstEvent({ ...fence, device: state.device }, 'missing', timeMs, NO_PLACE))
  }
}

function byGeofence(visits: readonly RecordedVisit[]): Map<number, RecordedVisit[]> {
  const groups = new Map<number, RecordedVisit[]>()
  for (const visit of visits) {
    const group = groups.get(visit.geofence)
    if (group === undefined) groups.set(visit.geofence, [visit])
    else group.push(visit)
  }
  return groups
}

/** Of those that depend on the visits. */
function lastEventMs({ previous, recorded, found, nextMs }: Corrected): number {
  let endMs = previous === undefined ? Number.NEGATIVE_INFINITY : endOf(previous)
  for (const visit of [...recorded, ...found]) endMs = Math.max(endMs, endOf(visit))
  return Math.min(nextMs, endMs + WAIT_MS_MAX)
}
