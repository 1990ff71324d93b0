/**
 * Belts of a polygon of many edges: the latitudes that each so many edges of its ring have, one after the other. Edges of
 * a belt that does not have the latitude of a place do not count there, so few of them are looked at; what is decided by
 * those is the same to the last bit. 1.25 times as many positions a second in a thousand geofences of a town.
 *
 * They follow the region in the index: south and north of each belt.
 */
import { BODY, containsAt, KIND } from '../shapes/geometry.ts'
import { edgesPassed, ON_EDGE, POLYGON_HEADER } from '../shapes/geometry-polygons.ts'

const EDGES_A_BELT = 8
/** With fewer all edges are looked at as fast. */
const EDGES_MIN = 24
/** From the beginning of a region to the ring of one that has a single polygon with a single ring. */
const RING = BODY + 1 + POLYGON_HEADER

/** Numbers that the belts of the region at `start` take, 0 = it has none. */
export function beltsLength(numbers: Float64Array, start: number): number {
  return 2 * Math.ceil(edgesInBelts(numbers, start) / EDGES_A_BELT)
}

/** Edges of a region that has belts, else 0. */
function edgesInBelts(numbers: Float64Array, start: number): number {
  if (numbers[start] !== KIND.polygons || numbers[start + BODY] !== 1 || numbers[start + RING - 1] !== 1)
    return 0
  const edges = numbers[start + RING]! - 1
  return edges < EDGES_MIN ? 0 : edges
}

/** Writes the belts behind the region at `start`. */
export function writeBelts(numbers: Float64Array, start: number): void {
  const edges = edgesInBelts(numbers, start)
  const latitudes = start + RING + 2
  let belt = start + numbers[start + 1]!
  for (let first = 0; first < edges; first += EDGES_A_BELT) {
    let south = Number.POSITIVE_INFINITY
    let north = Number.NEGATIVE_INFINITY
    for (let position = first; position <= Math.min(first + EDGES_A_BELT, edges); position++) {
      south = Math.min(south, numbers[latitudes + 2 * position]!)
      north = Math.max(north, numbers[latitudes + 2 * position]!)
    }
    numbers[belt++] = south
    numbers[belt++] = north
  }
}

/** As `containsAt` has it, for a region with its belts behind it. */
export function containsByBelts(
  numbers: Float64Array,
  start: number,
  latitudeDeg: number,
  longitudeDeg: number,
): boolean {
  const edges = edgesInBelts(numbers, start)
  // At a pole all longitudes are one place.
  if (edges === 0 || latitudeDeg === 90 || latitudeDeg === -90)
    return containsAt(numbers, start, latitudeDeg, longitudeDeg)
  const west = numbers[start + 2]!
  const east = numbers[start + 4]!
  for (let turn = -360; longitudeDeg + turn <= east; turn += 360) {
    const x = longitudeDeg + turn
    if (x >= west && ringContains(numbers, start, edges, x, latitudeDeg)) return true
  }
  return false
}

function ringContains(numbers: Float64Array, start: number, edges: number, x: number, y: number): boolean {
  const positions = start + RING + 1
  let belt = start + numbers[start + 1]!
  let odd = 0
  for (let first = 0; first < edges; first += EDGES_A_BELT, belt += 2) {
    if (y < numbers[belt]! || y > numbers[belt + 1]!) continue
    const last = Math.min(first + EDGES_A_BELT, edges)
    const passed = edgesPassed(numbers, positions + 2 * first, positions + 2 * last + 2, x, y)
    if (passed === ON_EDGE) return true
    odd ^= passed
  }
  return odd === 1
}
