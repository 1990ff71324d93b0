/** Plane geometry of a town: a path of points on the ground, and distances along it. */

/** WGS-84 degrees. */
export interface Place {
  readonly latitudeDeg: number
  readonly longitudeDeg: number
}

/** Metres per degree of latitude, on the sphere of the mean earth radius. */
const METRES_PER_DEGREE = (Math.PI / 180) * 6_371_008.8

/** Metres between two places that lie within a few hundred kilometres of each other, to 0.1 %. */
export function metresBetween(from: Place, to: Place): number {
  return Math.hypot(northM(from, to), eastM(from, to))
}

/** Course from one place to another, degrees clockwise from true north, 0..360. */
export function courseBetween(from: Place, to: Place): number {
  const course = (Math.atan2(eastM(from, to), northM(from, to)) * 180) / Math.PI
  return course < 0 ? course + 360 : course
}

/** A place on a path: how far along it, and how far a given place lies from there. */
export interface Projection {
  readonly alongM: number
  readonly awayM: number
}

/** Line through `places`, in their order. */
export class Path {
  readonly places: readonly Place[]
  /** Metres from the start of the path to each place. */
  readonly distancesM: readonly number[]

  constructor(places: readonly Place[]) {
    if (places.length === 0) throw new RangeError('a path has at least one place')
    const distancesM = [0]
    for (let i = 1; i < places.length; i++) {
      distancesM.push(distancesM[i - 1]! + metresBetween(places[i - 1]!, places[i]!))
    }
    this.places = places
    this.distancesM = distancesM
  }

  get lengthM(): number {
    return this.distancesM.at(-1)!
  }

  /** Place at a distance along the path; its ends beyond them. */
  at(alongM: number): Place {
    const { places, distancesM } = this
    if (alongM <= 0) return places[0]!
    if (alongM >= this.lengthM) return places.at(-1)!
    const next = firstAbove(distancesM, alongM)
    const share = (alongM - distancesM[next - 1]!) / (distancesM[next]! - distancesM[next - 1]!)
    return between(places[next - 1]!, places[next]!, share)
  }

  /** Course at a distance along the path, taken over `spanM` metres, so that a corner is a bend. */
  courseAt(alongM: number, spanM = 30): number {
    const from = this.at(Math.min(alongM - spanM / 2, this.lengthM - spanM))
    const to = this.at(Math.max(alongM + spanM / 2, spanM))
    return courseBetween(from, to)
  }

  /** Places of the path strictly between two distances along it. */
  *within(fromM: number, toM: number): Iterable<Place> {
    for (let i = firstAbove(this.distancesM, fromM); i < this.places.length; i++) {
      if (this.distancesM[i]! >= toM) return
      yield this.places[i]!
    }
  }

  /**
   * Where the path passes `place` within `reachM` metres: every point of it that is nearer than those before and
   * after. A street that the path takes twice gives two.
   */
  passes(place: Place, reachM: number): Projection[] {
    const { places, distancesM } = this
    const shares = distancesM.slice(1).map((_, i) => shareAlong(places[i]!, places[i + 1]!, place))
    const passes: Projection[] = []
    for (const [i, share] of shares.entries()) {
      // The nearest point of a line is no turning point of the distance where the line before or after goes on nearer.
      if ((share === 0 && i > 0) || (share === 1 && (shares[i + 1] ?? 0) > 0)) continue
      const awayM = metresBetween(place, between(places[i]!, places[i + 1]!, share))
      if (awayM > reachM) continue
      passes.push({ alongM: distancesM[i]! + share * (distancesM[i + 1]! - distancesM[i]!), awayM })
    }
    return passes
  }
}

/** Metres by which `place` lies to the left of the line from `from` to `to`; negative to the right. */
export function leftOfM(from: Place, to: Place, place: Place): number {
  const [north, east] = [northM(from, to), eastM(from, to)]
  const lengthM = Math.hypot(north, east)
  return lengthM === 0 ? 0 : (east * northM(from, place) - north * eastM(from, place)) / lengthM
}

/** Share of the way from `from` to `to` at which the line between them is nearest to `place`, 0..1. */
export function shareAlong(from: Place, to: Place, place: Place): number {
  const [north, east] = [northM(from, to), eastM(from, to)]
  const dot = north * northM(from, place) + east * eastM(from, place)
  const square = north * north + east * east
  return square === 0 ? 0 : Math.min(1, Math.max(0, dot / square))
}

/** Place on the straight line between two others. */
export function between(from: Place, to: Place, share: number): Place {
  return {
    latitudeDeg: from.latitudeDeg + (to.latitudeDeg - from.latitudeDeg) * share,
    longitudeDeg: from.longitudeDeg + (to.longitudeDeg - from.longitudeDeg) * share,
  }
}

/** Place `leftM` metres to the left of the line from `from` to `to`, after `share` of it. */
export function beside(from: Place, to: Place, share: number, leftM: number): Place {
  const on = between(from, to, share)
  const lengthM = metresBetween(from, to)
  if (lengthM === 0) return on
  const cosine = Math.cos((from.latitudeDeg * Math.PI) / 180)
  return {
    latitudeDeg: on.latitudeDeg + (leftM * eastM(from, to)) / lengthM / METRES_PER_DEGREE,
    longitudeDeg: on.longitudeDeg - (leftM * northM(from, to)) / lengthM / METRES_PER_DEGREE / cosine,
  }
}

/** The places that matter: without those that lie within `toleranceM` of the line through the others (Douglas and Peucker). */
export function simplify(places: readonly Place[], toleranceM: number): Place[] {
  if (places.length < 3) return [...places]
  const [first, last] = [places[0]!, places.at(-1)!]
  let farthest = 0
  let farthestM = toleranceM
  for (let i = 1; i + 1 < places.length; i++) {
    const awayM = metresBetween(places[i]!, between(first, last, shareAlong(first, last, places[i]!)))
    if (awayM > farthestM) [farthest, farthestM] = [i, awayM]
  }
  if (farthest === 0) return [first, last]
  return [
    ...simplify(places.slice(0, farthest + 1), toleranceM).slice(0, -1),
    ...simplify(places.slice(farthest), toleranceM),
  ]
}

/** Index of the first of the ascending `values` that is greater than `value`; their number if none is. */
export function firstAbove(values: ArrayLike<number>, value: number): number {
  let low = 0
  let high = values.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (values[middle]! > value) high = middle
    else low = middle + 1
  }
  return low
}

function northM(from: Place, to: Place): number {
  return (to.latitudeDeg - from.latitudeDeg) * METRES_PER_DEGREE
}

function eastM(from: Place, to: Place): number {
  const cosine = Math.cos((((from.latitudeDeg + to.latitudeDeg) / 2) * Math.PI) / 180)
  return (to.longitudeDeg - from.longitudeDeg) * cosine * METRES_PER_DEGREE
}
