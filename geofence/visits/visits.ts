/**
 * Where a device is: its visits of geofences, fix by fix. Pure: all that is known of a device is its {@link DeviceState},
 * what a fix changes goes to {@link GeofenceChanges}, and no clock is read.
 *
 * What is found depends on the set of fixes only, not on the order of their arrival:
 * - Fixes are in the order of time. Of those of one millisecond the one with the lowest digest counts, and no other:
 *   a device is at one place at a time, and no visit begins twice at one time.
 * - A side counts when `debounceFixes` fixes in a row agree on it that span `debounceS`; the change has the time, place
 *   and speed of the first of them. A visit never has length 0.
 * - Speeding is a fix inside a visit that counts already; one without a speed is not speeding.
 * - Dwell, absence and missing have neither fix nor place nor speed, whoever makes them.
 * - Events outside the windows of their rule are not made; visits are, and speeding that began outside goes on.
 * - A way through between two fixes makes visits where both lie outside; where the segment begins or ends on the edge the
 *   fixes do not. Its speed is not known.
 *
 * In order, dwell that has passed is made with the exit, since the timer looks at the visit's end from then on. Absence
 * is left to the timer: the store clears it where the next visit begins before it is due. `missing` is left to the timer,
 * too, but an exit before a moment of `insideBy` that has passed needs a revision.
 */
import { CROSSING_GAP_S_MAX } from '../../schemas/geofence.ts'
import type { FenceIds } from '../index/fence-ids.ts'
import type { Crossing } from '../index/fence-index.ts'
import type { GeofenceChanges, Visit } from './changes.ts'
import { compareEvents, type EventPlace, firstEvent, NO_PLACE } from './events.ts'
import { absenceMs, dwellMs } from './rules.ts'
import { inWindows, nextInstant } from './schedule.ts'
import {
  type DeviceState,
  entered,
  type Fences,
  type Fix,
  type Member,
  outside,
  type Run,
} from './visits-state.ts'

export { DeviceState, type Fence, type Fences, type Fix, type WatchedDevice } from './visits-state.ts'

const NO_CROSSINGS: readonly Crossing[] = []

/**
 * Takes a fix of {@link DeviceState.order} `next`.
 *
 * @param inside Geofences that the fix lies inside of.
 * @param nowMs As far as timers may have come, ms UTC.
 * @returns false where a timer has passed what the fix changes: `state` is of no use then, nor is what was added to
 *   `changes` for the device, and it is to be evaluated by `revise`, with all fixes of the piece.
 */
export function advance(
  state: DeviceState,
  fix: Fix,
  inside: FenceIds,
  fences: Fences,
  nowMs: number,
  changes: GeofenceChanges,
): boolean {
  const speedKmh = Math.fround(fix.speedKmh)
  const crossings = crossingsTo(state, fix, fences)
  if (crossings.length === 0 && state.isQuiet(inside, speedKmh, fences.generation)) {
    state.moveTo(fix)
    return true
  }
  return new Step(state, fix, speedKmh, fences, nowMs, changes).take(inside, crossings)
}

function crossingsTo(state: DeviceState, fix: Fix, fences: Fences): readonly Crossing[] {
  const { organizationId, latitudeDeg, longitudeDeg } = state
  // Written so that it is not so before the first fix.
  if (!(fix.timeMs - state.timeMs <= CROSSING_GAP_S_MAX * 1000)) return NO_CROSSINGS
  if (fix.latitudeDeg === latitudeDeg && fix.longitudeDeg === longitudeDeg) return NO_CROSSINGS
  return fences.crossed(organizationId, latitudeDeg, longitudeDeg, fix.latitudeDeg, fix.longitudeDeg)
}

/** A fix that changes more than the place of its device. */
class Step {
  private readonly state: DeviceState
  private readonly fix: Fix
  private readonly place: EventPlace
  private readonly fences: Fences
  private readonly nowMs: number
  private readonly changes: GeofenceChanges
  private passedByTimer = false

  constructor(
    state: DeviceState,
    fix: Fix,
    speedKmh: number,
    fences: Fences,
    nowMs: number,
    changes: GeofenceChanges,
  ) {
    const { timeMs, latitudeDeg, longitudeDeg } = fix
    this.state = state
    this.fix = fix
    this.place = { fixTimeMs: timeMs, latitudeDeg, longitudeDeg, speedKmh, crossing: false }
    this.fences = fences
    this.nowMs = nowMs
    this.changes = changes
  }

  take(inside: FenceIds, crossings: readonly Crossing[]): boolean {
    const { state, changes, fences } = this
    const firstEventAt = changes.events.length
    const before = state.members
    const members = this.membersAfter(inside)
    for (const crossing of crossings) {
      const isMember = ({ geofence }: Member) => geofence === crossing.geofence
      if (!before.some(isMember) && !members.some(isMember)) this.cross(crossing)
    }
    if (!state.isAt(inside)) state.raw = inside.ids.slice(0, inside.length)
    state.setMembers(members)
    state.generation = fences.generation
    state.moveTo(this.fix)
    if (changes.events.length - firstEventAt > 1) {
      const made = changes.events.splice(firstEventAt).sort(compareEvents)
      changes.events.push(...made)
    }
    return !this.passedByTimer
  }

  private membersAfter({ ids, length }: FenceIds): Member[] {
    const { state, fences } = this
    const { members, raw } = state
    const anew = state.generation !== fences.generation
    const after: Member[] = []
    let nextRaw = 0
    let nextMember = 0
    let i = 0
    while (i < length || nextMember < members.length) {
      const member = members[nextMember]
      const id = i < length ? ids[i]! : Number.POSITIVE_INFINITY
      const isInside = member === undefined || id <= member.geofence
      if (isInside) i++
      if (member !== undefined && member.geofence <= id) {
        nextMember++
        const current = anew ? this.refreshed(member) : member
        if (current !== undefined) this.takeSide(current, isInside, after)
        continue
      }
      while (nextRaw < raw.length && raw[nextRaw]! < id) nextRaw++
      // Inside before and no member: it does not watch the device, as long as no geofence changes.
      if (!anew && raw[nextRaw] === id) continue
      const found = outside(id, state, fences)
      if (found !== undefined) this.takeSide(found, true, after)
    }
    return after
  }

  /** A member by its geofence as it is now. */
  private refreshed(member: Member): Member | undefined {
    const current = outside(member.geofence, this.state, this.fences)
    const { geofence, enteredMs, rule } = member
    if (current === undefined) {
      // The visit of one that is gone or disabled has ended in the database already.
      if (!Number.isNaN(enteredMs) && this.fences.find(geofence) !== undefined) {
        this.end(member, this.fix.timeMs, Number.NaN)
      }
      return undefined
    }
    const { version, timeZone } = current
    // What a timer has made already stays as it is.
    const isMade = rule.dwellS !== null && !(member.dwellMs > this.nowMs)
    const dwell = isMade ? member.dwellMs : dwellMs(current.rule, timeZone, enteredMs)
    return { ...member, version, rule: current.rule, timeZone, dwellMs: dwell }
  }

  private takeSide(member: Member, isInside: boolean, after: Member[]): void {
    const { fix, place } = this
    const { rule } = member
    const wasInside = !Number.isNaN(member.enteredMs)
    let next = member
    if (isInside !== wasInside) {
      const { latitudeDeg, longitudeDeg, speedKmh } = place
      const first = member.run ?? { timeMs: fix.timeMs, latitudeDeg, longitudeDeg, speedKmh }
      const run = { ...first, fixes: (member.run?.fixes ?? 0) + 1 }
      const counts = run.fixes >= rule.debounceFixes && fix.timeMs - run.timeMs >= rule.debounceS * 1000
      if (!counts) next = { ...member, run }
      else next = isInside ? this.enter(member, run) : this.exit(member, run)
    } else if (member.run !== null) {
      next = { ...member, run: null }
    }
    const counts = !Number.isNaN(next.enteredMs)
    const speeding = counts && isInside && rule.speedLimitKmh !== null && place.speedKmh > rule.speedLimitKmh
    if (speeding && !next.speeding && this.isMade(next, fix.timeMs)) {
      this.changes.events.push(firstEvent(this.source(next), 'speeding', fix.timeMs, place))
    }
    if (speeding !== next.speeding) next = { ...next, speeding }
    if (counts || next.run !== null) after.push(next)
  }

  private enter(member: Member, run: Run): Member {
    const { geofence, version, rule } = member
    const { timeMs } = run
    const { opened, events } = this.changes
    const openedAt = opened.length
    const next = { ...entered(member, timeMs, version), run: null, openedAt }
    const { device } = this.state
    opened.push({
      device,
      geofence,
      version,
      enteredMs: timeMs,
      exitedMs: Number.NaN,
      dueMs: next.dwellMs,
    })
    if (rule.enter && this.isMade(member, timeMs)) {
      events.push(firstEvent(this.source(member), 'enter', timeMs, placeOf(run)))
    }
    return next
  }

  private exit(member: Member, run: Run): Member {
    const { rule, timeZone } = member
    const { timeMs } = run
    const { events } = this.changes
    if (rule.insideBy !== null && nextInstant(rule.insideBy, timeZone, timeMs - 1) <= this.nowMs) {
      this.passedByTimer = true
    }
    if (member.dwellMs <= timeMs) {
      events.push(firstEvent(this.source(member), 'dwell', member.dwellMs, NO_PLACE))
    }
    if (rule.exit && this.isMade(member, timeMs)) {
      events.push(firstEvent(this.source(member), 'exit', timeMs, placeOf(run)))
    }
    this.end(member, timeMs, absenceMs(rule, timeZone, timeMs))
    return { ...member, run: null, enteredMs: Number.NaN, dwellMs: Number.NaN, speeding: false }
  }

  /** Puts the end of a visit into the changes, where it may stand already. */
  private end(member: Member, exitedMs: number, dueMs: number): void {
    const { opened, changed } = this.changes
    const { device, revised } = this.state
    const { geofence, enteredMs, openedAt } = member
    const visit = { device, geofence, version: member.enteredVersion, enteredMs, exitedMs, dueMs }
    if (isVisit(opened[openedAt], visit)) {
      opened[openedAt] = visit
      return
    }
    // Looked for only after a revision, which has no order that a place would be known of.
    const inOpened = revised ? opened.findIndex((other) => isVisit(other, visit)) : -1
    const inChanged = revised ? changed.findIndex((other) => isVisit(other, visit)) : -1
    if (inOpened >= 0) opened[inOpened] = visit
    else if (inChanged >= 0) changed[inChanged] = visit
    else changed.push(visit)
  }

  /** A way through between the last fix and this one. */
  private cross({ geofence, from, to }: Crossing): void {
    const { state, fix, changes } = this
    const member = outside(geofence, state, this.fences)
    const gapMs = fix.timeMs - state.timeMs
    if (member === undefined || gapMs > member.rule.crossingGapS * 1000 || from <= 0 || to >= 1) return
    const { rule, timeZone, version } = member
    const enteredMs = Math.round(state.timeMs + from * gapMs)
    const exitedMs = Math.round(state.timeMs + to * gapMs)
    if (enteredMs >= exitedMs) return
    const source = this.source(member)
    if (rule.enter && this.isMade(member, enteredMs)) {
      changes.events.push(firstEvent(source, 'enter', enteredMs, this.placeAt(from)))
    }
    const dwell = dwellMs(rule, timeZone, enteredMs)
    if (dwell <= exitedMs) changes.events.push(firstEvent(source, 'dwell', dwell, NO_PLACE))
    if (rule.exit && this.isMade(member, exitedMs)) {
      changes.events.push(firstEvent(source, 'exit', exitedMs, this.placeAt(to)))
    }
    changes.opened.push({
      device: state.device,
      geofence,
      version,
      enteredMs,
      exitedMs,
      dueMs: absenceMs(rule, timeZone, exitedMs),
    })
  }

  /** On the segment from the last fix to this one, the shorter way round the globe. */
  private placeAt(part: number): EventPlace {
    const { latitudeDeg, longitudeDeg } = this.state
    const eastDeg = shorterWayDeg(this.fix.longitudeDeg - longitudeDeg)
    return {
      ...NO_PLACE,
      fixTimeMs: this.fix.timeMs,
      latitudeDeg: latitudeDeg + part * (this.fix.latitudeDeg - latitudeDeg),
      longitudeDeg: shorterWayDeg(longitudeDeg + part * eastDeg),
      crossing: true,
    }
  }

  private isMade({ rule, timeZone }: Member, timeMs: number): boolean {
    return inWindows(timeMs, timeZone, rule.windows)
  }

  private source({ geofence, version }: Member) {
    return { device: this.state.device, geofence, version }
  }
}

function placeOf({ timeMs, latitudeDeg, longitudeDeg, speedKmh }: Run): EventPlace {
  return { fixTimeMs: timeMs, latitudeDeg, longitudeDeg, speedKmh, crossing: false }
}

function isVisit(a: Visit | undefined, { device, geofence, enteredMs }: Visit): boolean {
  return a?.device === device && a.geofence === geofence && a.enteredMs === enteredMs
}

/** An angle as one from −180 to 180. */
function shorterWayDeg(angleDeg: number): number {
  if (angleDeg > 180) return angleDeg - 360
  return angleDeg < -180 ? angleDeg + 360 : angleDeg
}
