/**
 * Leaves out fixes of a track that lie near enough to the line through the others, in one pass and constant memory.
 *
 * A cone stands on the fix that was kept last: all directions whose great circle passes each fix since within the
 * tolerance. A fix that lies in the cone, and no nearer than any since, may end the segment; the first that does not
 * closes it at the one before, on which the next cone stands. (Sector or sleeve fitting, with the bound on distances that
 * also holds where a track turns back.) So every fix that is left out is within the tolerance of the segment of a great
 * circle between the two kept fixes around it.
 */
import { EARTH_RADIUS_M, RADIANS } from '../geofence/shapes/geometry-sphere.ts'

interface Place {
  readonly latitudeDeg: number
  readonly longitudeDeg: number
}

/**
 * Longest segment with fixes between its ends, radians: up to a quarter of the globe, a fix of the cone that is no further
 * from its beginning than the end lies beside it, not behind it.
 */
const SEGMENT_MAX = 1
/** What rounding may add, of the tolerance. */
const MARGIN = 1e-9

export class TrackSimplifier<Fix extends Place> {
  /** Radians. */
  private readonly tolerance: number
  private kept: Fix | undefined
  private last: Fix | undefined
  /** Of the fixes since the one that was kept: the greatest distance from it, radians. */
  private furthest = 0
  /** The cone, radians from `axis`, the direction of the first fix outside of the tolerance; undefined = any direction. */
  private axis: number | undefined
  private left = 0
  private right = 0

  /** @param toleranceM Above 0. */
  constructor(toleranceM: number) {
    this.tolerance = (toleranceM / EARTH_RADIUS_M) * (1 - MARGIN)
  }

  /** @returns The fix that is kept now: the first, later one of those before; undefined = none. */
  push(fix: Fix): Fix | undefined {
    const { kept, last } = this
    this.last = fix
    if (kept === undefined || last === undefined) {
      this.kept = fix
      return fix
    }
    const distance = distanceRad(kept, fix)
    // Where nothing lies between, the segment may end here, however long it is.
    if (last === kept || this.mayEndIn(kept, fix, distance)) {
      this.pass(kept, fix, distance)
      return undefined
    }
    this.kept = last
    this.furthest = 0
    this.axis = undefined
    this.pass(last, fix, distanceRad(last, fix))
    return last
  }

  /** @returns The last fix, if it is not kept yet. */
  end(): Fix | undefined {
    return this.last === this.kept ? undefined : this.last
  }

  private mayEndIn(from: Fix, fix: Fix, distance: number): boolean {
    if (this.furthest <= this.tolerance && distance <= SEGMENT_MAX) return true
    if (distance < this.furthest || distance > SEGMENT_MAX) return false
    const turn = turnRad(this.axis!, directionRad(from, fix))
    return turn >= this.left && turn <= this.right
  }

  /** From here on the segment has to pass the fix. */
  private pass(from: Fix, fix: Fix, distance: number): void {
    this.furthest = Math.max(this.furthest, distance)
    if (distance <= this.tolerance) return
    const direction = directionRad(from, fix)
    if (this.axis === undefined) {
      this.axis = direction
      this.left = -Math.PI
      this.right = Math.PI
    }
    const turn = turnRad(this.axis, direction)
    // A great circle that is turned by this angle passes the fix in the distance of the tolerance.
    const angle = Math.asin(Math.min(1, Math.sin(this.tolerance) / Math.sin(distance)))
    this.left = Math.max(this.left, turn - angle)
    this.right = Math.min(this.right, turn + angle)
  }
}

/** Great circle distance, radians. */
function distanceRad(a: Place, b: Place): number {
  const sinLatitude = Math.sin(((b.latitudeDeg - a.latitudeDeg) * RADIANS) / 2)
  const sinLongitude = Math.sin(((b.longitudeDeg - a.longitudeDeg) * RADIANS) / 2)
  const square =
    sinLatitude * sinLatitude +
    Math.cos(a.latitudeDeg * RADIANS) * Math.cos(b.latitudeDeg * RADIANS) * sinLongitude * sinLongitude
  return 2 * Math.asin(Math.min(1, Math.sqrt(square)))
}

/** In which direction `b` lies from `a`, radians from north; of near places as exact as of far ones. */
function directionRad(a: Place, b: Place): number {
  const latitudeA = a.latitudeDeg * RADIANS
  const latitudeB = b.latitudeDeg * RADIANS
  const longitudes = (b.longitudeDeg - a.longitudeDeg) * RADIANS
  const half = Math.sin(longitudes / 2)
  const east = Math.sin(longitudes) * Math.cos(latitudeB)
  const north =
    Math.sin((b.latitudeDeg - a.latitudeDeg) * RADIANS) +
    2 * Math.sin(latitudeA) * Math.cos(latitudeB) * half * half
  return Math.atan2(east, north)
}

/** From one direction to the other, -π to π. */
function turnRad(from: number, to: number): number {
  const turn = to - from
  if (turn > Math.PI) return turn - 2 * Math.PI
  return turn < -Math.PI ? turn + 2 * Math.PI : turn
}
