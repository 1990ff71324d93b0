/**
 * Shapes of geofences, checked and made fit for tests of points. Edges of polygons are straight lines in longitude and
 * latitude, as GeoJSON has them; circles and corridors are measured on the sphere, corridors from the great-circle arcs
 * between positions of the line. A boundary counts as inside.
 */
import type { GeofenceShape } from '../../schemas/geofence.ts'
import { containsAt, distanceAtM, KIND } from './geometry.ts'
import { type Bounds, wrapped } from './geometry-bounds.ts'
import { edgesAt } from './geometry-edges.ts'
import { type Interval, segmentIntervalsAt } from './geometry-segments.ts'
import { writeShape } from './shape-writer.ts'

export type { Bounds } from './geometry-bounds.ts'
export type { Interval } from './geometry-segments.ts'
export { ShapeError, type ShapeErrorCode } from './shape-error.ts'

/** A shape that is valid. Its `numbers` are all that it is: they may be copied into a shared array, see geometry.ts. */
export interface Shape {
  readonly kind: 'polygons' | 'circle' | 'corridor'
  /** Region of geometry.ts, from 0 to the end. */
  readonly numbers: Float64Array
  /** `west` > `east` across the antimeridian; a shape round a pole or the globe has −180 and 180. */
  readonly bounds: Bounds
  /** Degrees; true on the boundary, false for NaN. */
  contains(latitudeDeg: number, longitudeDeg: number): boolean
  /**
   * Parts of the way from one place to the other, the shorter way round the globe and straight in longitude and
   * latitude, that lie inside: fractions of it from 0 to 1, ascending, apart from each other.
   */
  segmentIntervals(
    fromLatitudeDeg: number,
    fromLongitudeDeg: number,
    toLatitudeDeg: number,
    toLongitudeDeg: number,
  ): Interval[]
}

/** @throws {ShapeError} where the shape encloses nothing, or not for certain what; the message is for the user. */
export function compileShape(shape: GeofenceShape): Shape {
  return shapeOf(writeShape(shape))
}

/** The shape of a region that `compileShape` made. */
export function shapeOf(numbers: Float64Array): Shape {
  return {
    kind: numbers[0] === KIND.polygons ? 'polygons' : numbers[0] === KIND.circle ? 'circle' : 'corridor',
    numbers,
    bounds: wrapped({ west: numbers[2]!, south: numbers[3]!, east: numbers[4]!, north: numbers[5]! }),
    contains: (latitudeDeg, longitudeDeg) => containsAt(numbers, 0, latitudeDeg, longitudeDeg),
    segmentIntervals: (...places) => segmentIntervalsAt(numbers, 0, ...places),
  }
}

/**
 * Edges of polygons and segments of a corridor's line: longitude, latitude, longitude, latitude of each, degrees, with
 * no jump within an edge, longitudes from −180 to 540 and more round a pole. Empty for a circle.
 */
export function edgesOf({ numbers }: Shape): Float64Array {
  return edgesAt(numbers, 0)
}

/**
 * Metres from the place to the centre of a circle or to the line of a corridor; NaN for polygons. A cell whose corners
 * are within c of its centre, which is at distance d, lies inside where d + c is at most the radius or half width, and
 * outside where d − c is more.
 */
export function distanceM({ numbers }: Shape, latitudeDeg: number, longitudeDeg: number): number {
  return distanceAtM(numbers, 0, latitudeDeg, longitudeDeg)
}
