/** Points and straight lines in longitude and latitude against polygons of a region (layout in geometry.ts). */
import { orient2d } from 'robust-predicates'

/** Numbers of a polygon before its first ring. */
export const POLYGON_HEADER = 6

/** `at` is the body of the region. */
export function polygonsContain(
  numbers: Float64Array,
  at: number,
  latitudeDeg: number,
  longitudeDeg: number,
): boolean {
  let polygon = at + 1
  for (let count = numbers[at]!; count > 0; count--) {
    if (sideOnGlobe(numbers, polygon, latitudeDeg, longitudeDeg) >= 0) return true
    polygon += numbers[polygon]!
  }
  return false
}

/** 1 inside the polygon that begins at `polygon`, 0 on its boundary, −1 outside. */
export function sideOnGlobe(
  numbers: Float64Array,
  polygon: number,
  latitudeDeg: number,
  longitudeDeg: number,
): -1 | 0 | 1 {
  if (!(latitudeDeg >= numbers[polygon + 2]! && latitudeDeg <= numbers[polygon + 4]!)) return -1
  // At a pole all longitudes are one place: a ring that reaches it has it on its boundary.
  if (latitudeDeg === 90 || latitudeDeg === -90) return 0
  const west = numbers[polygon + 1]!
  const east = numbers[polygon + 3]!
  let side: -1 | 0 | 1 = -1
  // A longitude that needs no turn stays as it is to the last bit: turns are added to it, not to the sum.
  for (let turn = -360; side < 1 && longitudeDeg + turn <= east; turn += 360) {
    const x = longitudeDeg + turn
    if (x >= west) side = Math.max(side, sideOfPolygon(numbers, polygon, x, latitudeDeg)) as -1 | 0 | 1
  }
  return side
}

/** 1 inside, 0 on the boundary of a ring, −1 outside. `x` is unwrapped as the polygon is. Exact for these numbers. */
export function sideOfPolygon(numbers: Float64Array, polygon: number, x: number, y: number): -1 | 0 | 1 {
  let passed = 0
  let at = polygon + POLYGON_HEADER
  for (let rings = numbers[polygon + 5]!; rings > 0; rings--) {
    const end = at + 1 + 2 * numbers[at]!
    const edges = edgesPassed(numbers, at + 1, end, x, y)
    if (edges === ON_EDGE) return 0
    passed ^= edges
    at = end
  }
  return passed === 1 ? 1 : -1
}

/** What `edgesPassed` has of a place on one of the edges. */
export const ON_EDGE = 2

/**
 * Whether the way east from (x, y) passes an even number of edges, 0, or an odd one, 1. Edges whose latitudes are all
 * above or all below y do not count.
 * @param at Where the first position begins.
 * @param end Where the last one ends.
 */
export function edgesPassed(
  numbers: Float64Array,
  at: number,
  end: number,
  x: number,
  y: number,
): 0 | 1 | typeof ON_EDGE {
  let odd = false
  let x0 = numbers[at]!
  let y0 = numbers[at + 1]!
  let above0 = y0 > y
  for (let next = at + 2; next < end; next += 2) {
    const x1 = numbers[next]!
    const y1 = numbers[next + 1]!
    const above1 = y1 > y
    if (above0 !== above1) {
      if (x < x0 && x < x1) odd = !odd
      else if (x <= x0 || x <= x1) {
        const side = orient2d(x0, y0, x1, y1, x, y)
        if (side === 0) return ON_EDGE
        if (side > 0 === above0) odd = !odd
      }
    } else if (y1 === y) {
      // The edge lies at this latitude or ends here from below; all else is decided by the edges that pass it.
      if (x1 === x || (y0 === y && x > x0 !== x > x1)) return ON_EDGE
    }
    x0 = x1
    y0 = y1
    above0 = above1
  }
  return odd ? 1 : 0
}
