/** The state of a device out of the database. */

import { type FenceIds, fenceIds } from '../index/fence-ids.ts'
import type { Visit } from './changes.ts'
import {
  DeviceState,
  entered,
  type Fences,
  type Fix,
  left,
  type Member,
  outside,
  type Run,
  type WatchedDevice,
} from './visits-state.ts'

/** Geofences by place, too. */
export interface FenceFinder extends Fences {
  /** Replaces the content of `into` by the geofences that have the place, ascending. */
  inside(organizationId: number, latitudeDeg: number, longitudeDeg: number, into: FenceIds): void
}

export type RecordedVisit = Omit<Visit, 'device' | 'firedMs'>

/**
 * State of a device that is not in memory: what it is inside of is what visits say, and runs of fixes that are not long
 * enough to count are those at the end of its last fixes. A run that is long enough, and yet no visit, is older than its
 * geofence: it counts from the next fix on.
 *
 * @param visits Those that are open; others are passed over. A `dueMs` of NaN: no dwell, or made already.
 * @param fixes The last ones, as far as `LookBack` asks, the oldest first.
 */
export function loadState(
  device: WatchedDevice,
  visits: readonly RecordedVisit[],
  fixes: readonly Fix[],
  fences: FenceFinder,
): DeviceState {
  const state = new DeviceState(device)
  const ticks = onePerTime(fixes)
  const last = ticks.at(-1)
  if (last === undefined) return state
  const { organizationId } = device
  const places = ticks.map(({ latitudeDeg, longitudeDeg }) => {
    const inside = fenceIds()
    fences.inside(organizationId, latitudeDeg, longitudeDeg, inside)
    return inside.ids.slice(0, inside.length)
  })
  const raw = places.at(-1)!
  const open = new Map<number, RecordedVisit>()
  for (const visit of visits) if (Number.isNaN(visit.exitedMs)) open.set(visit.geofence, visit)
  const members: Member[] = []
  for (const geofence of [...new Set([...raw, ...open.keys()])].sort((a, b) => a - b)) {
    const visit = open.get(geofence)
    const found = outside(geofence, device, fences) ?? (visit && left(geofence, fences))
    if (found === undefined) continue
    const { rule } = found
    const isRaw = raw.includes(geofence)
    const run = isRaw === (visit !== undefined) ? null : runAtEnd(geofence, isRaw, ticks, places)
    const counts =
      run !== null && run.fixes >= rule.debounceFixes && last.timeMs - run.timeMs >= rule.debounceS * 1000
    if (visit === undefined && (run === null || counts)) continue
    const member = visit === undefined ? found : entered(found, visit.enteredMs, visit.version)
    members.push({
      ...member,
      dwellMs: Number.isNaN(visit?.dueMs ?? Number.NaN) ? Number.NaN : member.dwellMs,
      speeding:
        visit !== undefined &&
        isRaw &&
        rule.speedLimitKmh !== null &&
        Math.fround(last.speedKmh) > rule.speedLimitKmh,
      run: counts ? null : run,
    })
  }
  state.raw = raw
  state.setMembers(members)
  // What lies inside and is no member is looked at once more by the next fix, as is what watches the device no more.
  state.generation = -1
  state.moveTo(last)
  return state
}

/**
 * Whether a state is to be loaded anew, since the database may know more: a geofence that was disabled and is not any
 * more has ended its visits, and one that was edited after a dwell was due may have put it off before.
 * @param nowMs As far as timers may have come, ms UTC.
 */
export function isOutdated(state: DeviceState, fences: Fences, nowMs: number): boolean {
  if (state.generation === fences.generation) return false
  return state.members.some(({ geofence, version, enteredMs, dwellMs }) => {
    if (Number.isNaN(enteredMs)) return false
    const edits = (fences.find(geofence)?.version ?? version) - version
    return edits > 1 || (edits === 1 && dwellMs <= nowMs)
  })
}

/** Of the fixes of each millisecond the first, which is the one that counts. */
export function onePerTime(fixes: readonly Fix[]): Fix[] {
  return fixes.filter(({ timeMs }, at) => timeMs !== fixes[at - 1]?.timeMs)
}

/** The fixes on one side at the end of `fixes`. */
function runAtEnd(
  geofence: number,
  isInside: boolean,
  fixes: readonly Fix[],
  places: readonly Int32Array[],
): Run {
  let first = fixes.length
  while (first > 0 && places[first - 1]!.includes(geofence) === isInside) first--
  const { timeMs, latitudeDeg, longitudeDeg, speedKmh } = fixes[first]!
  return {
    fixes: fixes.length - first,
    timeMs,
    latitudeDeg,
    longitudeDeg,
    speedKmh: Math.fround(speedKmh),
  }
}
