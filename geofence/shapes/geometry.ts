/**
 * Exact geometry as a region of a Float64Array, so that thousands of shapes share one SharedArrayBuffer and points are
 * tested right there, without objects. A region may be copied anywhere: it holds no absolute offset.
 *
 *     + 0  kind: a value of KIND
 *     + 1  length of the region, numbers
 *     + 2  west, south, east, north, degrees; −180 <= west < 180, east >= west (beyond 180 over the antimeridian)
 *     + 6  body
 *
 *     polygons     + 0  count of polygons, then these, each
 *                       + 0  length of this polygon, numbers
 *                       + 1  west, south, east, north, as above
 *                       + 5  count of rings: the outer one, then holes; then these, each
 *                            + 0  count of positions n, the first one again at the end
 *                            + 1  n times longitude, latitude, degrees; longitudes unwrapped into west … east: no edge
 *                                 jumps, edges are straight lines between these numbers
 *     circle       + 0  latitude, longitude of the centre, degrees; radius, m
 *                  + 3  latitude of the centre, radians; its cosine; square of the sine of half the radius as an angle
 *     corridor     + 0  half width, m; sine of it as an angle; square of the chord of it
 *                  + 3  count of positions n
 *                  + 4  n times longitude (unwrapped), latitude, degrees; unit vector x, y, z of the position; unit
 *                       normal x, y, z of the great circle from here to the next position (0, 0, 0 at the last)
 */

import { polygonsContain } from './geometry-polygons.ts'
import { circleContains, circleDistanceM, corridorContains, corridorDistanceM } from './geometry-sphere.ts'

export const KIND = { polygons: 1, circle: 2, corridor: 3 } as const

/** Where the body of a region begins. */
export const BODY = 6

/**
 * Whether the place lies in the geometry at `start` of `numbers`; its boundary counts as inside. Longitudes are −180 to
 * 180 (further ones are taken round the globe), the poles have every longitude.
 */
export function containsAt(
  numbers: Float64Array,
  start: number,
  latitudeDeg: number,
  longitudeDeg: number,
): boolean {
  switch (numbers[start]) {
    case KIND.polygons:
      return polygonsContain(numbers, start + BODY, latitudeDeg, longitudeDeg)
    case KIND.circle:
      return circleContains(numbers, start + BODY, latitudeDeg, longitudeDeg)
    default:
      return corridorContains(numbers, start + BODY, latitudeDeg, longitudeDeg)
  }
}

/**
 * Metres from the place to the centre of the circle or to the line of the corridor at `start`, so that a cell whose
 * centre is at distance d and whose corners are within c of it lies inside where d + c <= radius or half width, and
 * outside where d − c is more. NaN for polygons.
 */
export function distanceAtM(
  numbers: Float64Array,
  start: number,
  latitudeDeg: number,
  longitudeDeg: number,
): number {
  switch (numbers[start]) {
    case KIND.circle:
      return circleDistanceM(numbers, start + BODY, latitudeDeg, longitudeDeg)
    case KIND.corridor:
      return corridorDistanceM(numbers, start + BODY, latitudeDeg, longitudeDeg)
    default:
      return Number.NaN
  }
}
