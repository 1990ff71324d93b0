/**
 * Where a recorded vehicle was at any time. Fixes of a bus lie two to four minutes apart; between them it follows
 * its route where the route's line is known and both fixes lie on it, else the straight line.
 */
import { metresBetween, Path, type Place } from './geometry.ts'
import { MonotoneCubic } from './monotone-cubic.ts'
import { matchToRoute } from './route-match.ts'
import { type Fix, SPEED_MAX_KMH, speedKmh, type VehicleFixes } from './tracks.ts'

/** Lines of routes by `routeKey`. */
export type Routes = ReadonlyMap<string, Path>

/** A vehicle at one time. */
export interface TrackState extends Place {
  readonly speedKmh: number
  /** Course of the movement, or of the last one while the vehicle stands; degrees clockwise from true north. */
  readonly courseDeg: number
  /** Metres above mean sea level, where the recording has them. */
  readonly altitudeM?: number
  /** Metres since the start of the track. */
  readonly odometerM: number
  /** The vehicle stands through a gap of the recording. */
  readonly parked: boolean
}

/** What a vehicle did between two times at which it vanished from the recording. */
interface Run {
  readonly startMs: number
  readonly endMs: number
  /** Metres that the track's earlier runs are long. */
  readonly odometerM: number
  readonly path: Path
  /** Metres along `path` by time. */
  readonly progress: MonotoneCubic
  /** Times at which the vehicle stood parked, as [from, to) in ms UTC. */
  readonly parked: readonly (readonly [number, number])[]
  /** Metres above mean sea level by time, where the recording has them. */
  readonly altitude: MonotoneCubic | undefined
}

/** Track of one vehicle, ready to be asked for any time. */
export interface Track {
  readonly vehicle: string
  readonly startMs: number
  readonly endMs: number
  /** Metres over all runs. */
  readonly lengthM: number
  readonly runs: readonly Run[]
}

/** After a longer silence than this the vehicle is not thought to have moved on between two fixes. */
const GAP_MAX_MS = 10 * 60_000

/** A vehicle that comes back after a gap within this distance was parked, farther away it was absent. */
const PARKED_MAX_M = 300

/** A parked vehicle moves to its first place after the gap within this time. */
const UNPARK_MS = 60_000

/** A vehicle that is this far away when it takes up another journey is not shown on the way there. */
const TRIP_CHANGE_MAX_M = 1000

/** Two fixes nearer than this are a vehicle that stands: receivers err by as much. */
const STANDING_M = 25

/** A way along the route longer than this many times the straight line, beyond a first 300 m, is a wrong match. */
const DETOUR_MAX = 2.5

/** So is one that the vehicle would have had to take faster than this: buses stop on their way. */
const ROUTE_SPEED_MAX_KMH = 65

/** @returns undefined if no two fixes of the vehicle belong together. */
export function trackOf({ vehicle, fixes }: VehicleFixes, routes: Routes = new Map()): Track | undefined {
  const runs: Run[] = []
  let odometerM = 0
  let first = 0
  for (let i = 1; i <= fixes.length; i++) {
    if (i < fixes.length && !vanishes(fixes[i - 1]!, fixes[i]!)) continue
    if (i - first >= 2) {
      const run = runOf(fixes.slice(first, i), odometerM, routes)
      runs.push(run)
      odometerM += run.path.lengthM
    }
    first = i
  }
  if (runs.length === 0) return undefined
  return { vehicle, startMs: runs[0]!.startMs, endMs: runs.at(-1)!.endMs, lengthM: odometerM, runs }
}

/** State of the vehicle at `timeMs` of the recording (ms UTC); undefined while it is absent from it. */
export function stateAt(track: Track, timeMs: number): TrackState | undefined {
  const run = track.runs.find(({ startMs, endMs }) => startMs <= timeMs && timeMs <= endMs)
  if (run === undefined) return undefined
  const { value, slope } = run.progress.at(timeMs)
  const place = run.path.at(value)
  const altitudeM = run.altitude?.at(timeMs).value
  return {
    latitudeDeg: place.latitudeDeg,
    longitudeDeg: place.longitudeDeg,
    speedKmh: slope * 3600,
    courseDeg: run.path.courseAt(value),
    ...(altitudeM === undefined ? {} : { altitudeM }),
    odometerM: run.odometerM + value,
    parked: run.parked.some(([fromMs, toMs]) => fromMs <= timeMs && timeMs < toMs),
  }
}

/** Metres that the vehicle went from the start of its track until `timeMs`, ms UTC. */
export function odometerAt(track: Track, timeMs: number): number {
  const run = track.runs.findLast(({ startMs }) => startMs <= timeMs)
  return run === undefined ? 0 : run.odometerM + run.progress.at(timeMs).value
}

/** The run of a track that lasts longest: [from, to] in ms UTC. */
export function longestRun(track: Track): readonly [number, number] {
  const longest = track.runs.reduce((a, b) => (b.endMs - b.startMs > a.endMs - a.startMs ? b : a))
  return [longest.startMs, longest.endMs]
}

function vanishes(from: Fix, to: Fix): boolean {
  const metres = metresBetween(from, to)
  if (to.timeMs - from.timeMs > GAP_MAX_MS) return metres > PARKED_MAX_M
  return (from.trip !== to.trip && metres > TRIP_CHANGE_MAX_M) || speedKmh(from, to) > SPEED_MAX_KMH
}

function runOf(fixes: readonly Fix[], odometerM: number, routes: Routes): Run {
  const alongM = placesOnRoutes(fixes, routes)
  const placeOf = (i: number): Place =>
    Number.isNaN(alongM[i]!) ? fixes[i]! : routes.get(fixes[i]!.route)!.at(alongM[i]!)

  const places = [placeOf(0)]
  let lengthM = 0
  const timesMs = [fixes[0]!.timeMs]
  const distancesM = [0]
  const parked: [number, number][] = []
  for (let i = 1; i < fixes.length; i++) {
    const { timeMs } = fixes[i]!
    const beforeMs = fixes[i - 1]!.timeMs
    if (timeMs - beforeMs > GAP_MAX_MS) {
      parked.push([beforeMs, timeMs - UNPARK_MS])
      timesMs.push(timeMs - UNPARK_MS)
      distancesM.push(lengthM)
    }
    const place = placeOf(i)
    if (metresBetween(places.at(-1)!, place) >= STANDING_M) {
      for (const next of [...wayOnRoute(fixes, alongM, i, routes), place]) {
        lengthM += metresBetween(places.at(-1)!, next)
        places.push(next)
      }
    }
    timesMs.push(timeMs)
    distancesM.push(lengthM)
  }
  return {
    startMs: fixes[0]!.timeMs,
    endMs: fixes.at(-1)!.timeMs,
    odometerM,
    path: new Path(places),
    progress: new MonotoneCubic(timesMs, distancesM),
    parked,
    altitude: altitudeOf(fixes),
  }
}

/** Metres along its route of each fix, matched journey by journey; NaN where there is no route or the fix is off it. */
function placesOnRoutes(fixes: readonly Fix[], routes: Routes): number[] {
  const alongM: number[] = []
  for (let first = 0, i = 1; i <= fixes.length; i++) {
    const { trip, route } = fixes[first]!
    if (fixes[i]?.trip === trip && fixes[i]?.route === route) continue
    const path = routes.get(route)
    const journey = fixes.slice(first, i)
    alongM.push(...(path === undefined ? journey.map(() => Number.NaN) : matchToRoute(path, journey)))
    first = i
  }
  return alongM
}

/** Places that the vehicle passes between fix `i − 1` and fix `i`; none where it goes straight. */
function wayOnRoute(
  fixes: readonly Fix[],
  alongM: readonly number[],
  i: number,
  routes: Routes,
): Iterable<Place> {
  const [from, to] = [fixes[i - 1]!, fixes[i]!]
  const path = routes.get(to.route)
  const wayM = alongM[i]! - alongM[i - 1]!
  // Written so that NaN fails too.
  if (path === undefined || from.trip !== to.trip || !(wayM > 0)) return []
  const tooFar = wayM > 300 + DETOUR_MAX * metresBetween(from, to)
  const tooFast = (wayM / (to.timeMs - from.timeMs)) * 3600 > ROUTE_SPEED_MAX_KMH
  return tooFar || tooFast ? [] : path.within(alongM[i - 1]!, alongM[i]!)
}

function altitudeOf(fixes: readonly Fix[]): MonotoneCubic | undefined {
  const known = fixes.filter(({ altitudeM }) => altitudeM !== undefined)
  if (known.length === 0) return undefined
  return new MonotoneCubic(
    known.map(({ timeMs }) => timeMs),
    known.map(({ altitudeM }) => altitudeM!),
  )
}
