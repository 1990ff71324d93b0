/**
 * Finds the visits of a device anew over a part of its fixes, until they are again what is recorded.
 *
 * Where it starts: what a late fix changes before its own time is only the run of fixes that it breaks or completes. So
 * the stored fixes are read back until a run that began before them has been broken or has counted before the late fix:
 * as many as any rule asks for, and all that are not older by the longest time than the last one before the late fix.
 * There, a visit counts that was entered before the first of these fixes and not left before it: if it counted only by a
 * later one, the fixes between have the same side, and change nothing.
 *
 * Where it ends: both agree after a stored fix that is later than all late ones if nothing but places is different: they
 * are inside of the same geofences, no run is under way, and what is recorded has not changed for as many fixes and as
 * long as any rule asks for, so that a recorded side has counted already when the fix was taken. From then on the same
 * fixes find the same.
 */

import { fenceIds } from '../index/fence-ids.ts'
import { countChanges, type GeofenceChanges, noChanges, TooManyChanges } from './changes.ts'
import { type FenceFinder, onePerTime, type RecordedVisit } from './loading.ts'
import type { History } from './revision.ts'
import type { LookBack } from './rules.ts'
import { advance } from './visits.ts'
import { type DeviceState, entered, type Fix, type Member, outside } from './visits-state.ts'

export interface ReplayOptions {
  readonly fences: FenceFinder
  readonly history: History
  readonly lookBack: LookBack
  readonly pageRows: number
  readonly changesMax?: number
}

/** What a replay found. */
export interface Replayed {
  /** After the last fix that was looked at. */
  readonly state: DeviceState
  /** From which on what is recorded was read. */
  readonly startMs: number
  /** Time of the first fix that was looked at; Infinity = there was none. */
  readonly firstMs: number
  /** Time of the fix after which all is as recorded; Infinity = the fixes ended before. */
  readonly untilMs: number
  /** Whether a fix was looked at that is not stored. */
  readonly isNew: boolean
  /** Of the fix before the first one that takes the place of a stored one of its time; Infinity = there is none. */
  readonly replacedMs: number
  /** Of all geofences that watch the device; those that are open at `untilMs` have the end that is recorded. */
  readonly visits: readonly RecordedVisit[]
  /** What is recorded of the same geofences and time. */
  readonly recorded: readonly RecordedVisit[]
  /** Those that fixes show. */
  readonly events: GeofenceChanges['events']
}

export class Replay {
  readonly state: DeviceState
  private startMs = Number.POSITIVE_INFINITY
  private firstMs = Number.POSITIVE_INFINITY
  private replacedMs = Number.POSITIVE_INFINITY
  private readonly options: ReplayOptions
  private readonly inside = fenceIds()
  private readonly found = noChanges()
  /** Watched geofences as ones that the device is outside of. */
  private readonly watched = new Map<number, Member | undefined>()
  private readonly recorded = new Map<string, RecordedVisit>()
  /** Of these, those that begin later than the last fix, the last one first. */
  private coming: RecordedVisit[] = []
  /** Those at the last fix. */
  private readonly active = new Map<number, RecordedVisit>()
  /** Visits that were there at the start. */
  private readonly started: RecordedVisit[] = []
  /** Since what is recorded changed last: when that was, and stored fixes since then. */
  private steadyMs = Number.NEGATIVE_INFINITY
  private steadyFixes = 0

  /** @param state As of the start. */
  constructor(state: DeviceState, options: ReplayOptions) {
    this.state = state
    this.options = options
  }

  /** The stored fixes before `timeMs` that a replay from it on starts with, the oldest first. */
  static async lookBack(timeMs: number, { history, lookBack, pageRows }: ReplayOptions): Promise<Fix[]> {
    let fixes: Fix[] = []
    for (;;) {
      const limit = fixes.length === 0 && lookBack.seconds === 0 ? lookBack.fixes + 2 : pageRows
      const page = await history.fixesBefore(fixes[0]?.timeMs ?? timeMs, limit)
      const ticks = onePerTime(page)
      // Of the time at which a page is cut, the fix that counts may be missing.
      if (page.length === limit) {
        const cut = ticks.shift()!
        if (ticks.length === 0) ticks.push(...(await history.fixesFrom(cut.timeMs, 1)))
      }
      fixes = [...ticks, ...fixes]
      if (page.length < limit) return fixes
      const spanMs = fixes.at(-1)!.timeMs - fixes[0]!.timeMs
      // One more, from which the segment to the next begins.
      if (fixes.length > lookBack.fixes && spanMs > lookBack.seconds * 1000) return fixes
    }
  }

  /**
   * Starts with what is recorded.
   * @param fixes Of {@link lookBack}.
   * @param fromMs From which on it is run then.
   */
  async warmUp(fixes: readonly Fix[], fromMs: number): Promise<void> {
    const startMs = fixes[0]?.timeMs ?? fromMs
    await this.read(startMs, fromMs)
    this.startAt(startMs)
    for (const fix of fixes) this.take(fix, true)
  }

  /** Makes the visits those that are recorded before `timeMs`. */
  private startAt(timeMs: number): void {
    const members: Member[] = []
    for (const visit of this.recorded.values()) {
      if (!(visit.enteredMs < timeMs) || visit.exitedMs < timeMs) continue
      this.started.push(visit)
      members.push(entered(this.watchedAs(visit.geofence)!, visit.enteredMs, visit.version))
    }
    this.state.setMembers(members.sort((a, b) => a.geofence - b.geofence))
  }

  /**
   * Starts with the visits that the state has already.
   * @param endedMs What is recorded to have ended before it does not count.
   * @param fromMs From which on it is run then.
   */
  async startWith(visits: readonly RecordedVisit[], endedMs: number, fromMs: number): Promise<void> {
    this.started.push(...visits.filter(({ geofence }) => this.watchedAs(geofence) !== undefined))
    this.add(visits)
    await this.read(endedMs, fromMs)
  }

  /**
   * @param late Ordered by time and digest.
   * @param leastMs Up to which it goes on at least.
   */
  async run(fromMs: number, late: readonly Fix[], leastMs: number): Promise<Replayed> {
    const { history, pageRows } = this.options
    let nextLate = 0
    let isNew = false
    let pageFromMs = fromMs
    for (;;) {
      const page = await history.fixesFrom(pageFromMs, pageRows)
      const isLast = page.length < pageRows
      const pageToMs = isLast ? Number.POSITIVE_INFINITY : page.at(-1)!.timeMs
      await this.read(pageFromMs, pageToMs)
      const stored = onePerTime(page)
      let nextStored = 0
      for (;;) {
        const a = stored[nextStored]
        const b = late[nextLate]
        const timeMs = Math.min(a?.timeMs ?? Number.POSITIVE_INFINITY, b?.timeMs ?? Number.POSITIVE_INFINITY)
        if (timeMs > pageToMs || timeMs === Number.POSITIVE_INFINITY) break
        const isStored = a?.timeMs === timeMs && !(b?.timeMs === timeMs && precedes(b, a))
        if (a?.timeMs === timeMs && !isStored)
          this.replacedMs = Math.min(this.replacedMs, this.lastMs(timeMs))
        this.take(isStored ? a : b!, isStored)
        if (!isStored) isNew = true
        if (a?.timeMs === timeMs) nextStored++
        while (late[nextLate]?.timeMs === timeMs) nextLate++
        if (nextLate === late.length && isStored && timeMs >= leastMs && this.agrees(timeMs)) {
          return this.end(timeMs, isNew)
        }
      }
      if (isLast) return this.end(Number.POSITIVE_INFINITY, isNew)
      pageFromMs = pageToMs + 1
    }
  }

  /** Time of the last fix; `timeMs` where there is none. */
  private lastMs(timeMs: number): number {
    return Number.isNaN(this.state.timeMs) ? timeMs : this.state.timeMs
  }

  private take(fix: Fix, isStored: boolean): void {
    const { state, inside, found, active, coming } = this
    this.firstMs = Math.min(this.firstMs, fix.timeMs)
    const { fences, changesMax = Number.POSITIVE_INFINITY } = this.options
    let changedMs = Number.NEGATIVE_INFINITY
    for (let next = coming.at(-1); next !== undefined && next.enteredMs <= fix.timeMs; next = coming.at(-1)) {
      active.set(next.geofence, next)
      coming.pop()
      changedMs = Math.max(changedMs, next.enteredMs)
      this.dropEnded(fix.timeMs)
    }
    changedMs = Math.max(changedMs, this.dropEnded(fix.timeMs))
    if (changedMs > Number.NEGATIVE_INFINITY) {
      this.steadyMs = changedMs
      this.steadyFixes = 0
    }
    if (isStored) this.steadyFixes++
    fences.inside(state.organizationId, fix.latitudeDeg, fix.longitudeDeg, inside)
    // No timer counts: what they make is worked out from the visits.
    advance(state, fix, inside, fences, Number.NEGATIVE_INFINITY, found)
    if (countChanges(found) > changesMax) throw new TooManyChanges(changesMax)
  }

  /** @returns When the last of them ended. */
  private dropEnded(timeMs: number): number {
    let endedMs = Number.NEGATIVE_INFINITY
    for (const [geofence, { exitedMs }] of this.active) {
      if (!(exitedMs <= timeMs)) continue
      this.active.delete(geofence)
      endedMs = Math.max(endedMs, exitedMs)
    }
    return endedMs
  }

  private agrees(timeMs: number): boolean {
    const { state, active, steadyMs, steadyFixes } = this
    const { lookBack } = this.options
    if (state.runs || state.members.length !== active.size) return false
    if (steadyFixes < lookBack.fixes || timeMs - steadyMs < lookBack.seconds * 1000) return false
    return state.members.every(({ geofence }) => active.has(geofence))
  }

  private end(untilMs: number, isNew: boolean): Replayed {
    const { state, active, found } = this
    const ends = new Map(found.changed.map((visit) => [keyOf(visit), visit.exitedMs]))
    const visits = [...this.started, ...found.opened].map((visit): RecordedVisit => {
      const { geofence, version, enteredMs } = visit
      const isOpen = state.members.some(
        (member) => member.geofence === geofence && member.enteredMs === enteredMs,
      )
      const exitedMs = isOpen
        ? (active.get(geofence)?.exitedMs ?? Number.NaN)
        : (ends.get(keyOf(visit)) ?? visit.exitedMs)
      const { dueMs } = this.recorded.get(keyOf(visit)) ?? visit
      return { geofence, version, enteredMs, exitedMs, dueMs }
    })
    const recorded = [...this.recorded.values()].filter(({ enteredMs }) => enteredMs <= untilMs)
    const { startMs, firstMs, replacedMs } = this
    return { state, startMs, firstMs, replacedMs, untilMs, isNew, visits, recorded, events: found.events }
  }

  private async read(fromMs: number, toMs: number): Promise<void> {
    this.startMs = Math.min(this.startMs, fromMs)
    this.add(await this.options.history.visits(fromMs, toMs))
  }

  private add(visits: readonly RecordedVisit[]): void {
    for (const visit of visits) {
      const key = keyOf(visit)
      if (this.recorded.has(key) || this.watchedAs(visit.geofence) === undefined) continue
      this.recorded.set(key, visit)
      this.coming.push(visit)
    }
    this.coming.sort((a, b) => b.enteredMs - a.enteredMs)
  }

  private watchedAs(geofence: number): Member | undefined {
    const { watched, state } = this
    if (!watched.has(geofence)) watched.set(geofence, outside(geofence, state, this.options.fences))
    return watched.get(geofence)
  }
}

/** Of a visit among those of one device. */
export function keyOf({ geofence, enteredMs }: Pick<RecordedVisit, 'geofence' | 'enteredMs'>): string {
  return `${geofence} ${enteredMs}`
}

/** Whether `a` counts of two fixes of one time. */
function precedes(a: Fix, b: Fix): boolean {
  return (a.digestHigh - b.digestHigh || a.digestLow - b.digestLow) < 0
}
