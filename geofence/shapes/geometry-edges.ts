import { BODY, KIND } from './geometry.ts'
import { POLYGON_HEADER } from './geometry-polygons.ts'
import { STRIDE } from './geometry-sphere.ts'

/** longitude, latitude, longitude, latitude of each edge or segment of the region at `start`; empty for a circle. */
export function edgesAt(numbers: Float64Array, start: number): Float64Array {
  const edges: number[] = []
  const body = start + BODY
  if (numbers[start] === KIND.polygons) {
    let at = body + 1
    for (let polygons = numbers[body]!; polygons > 0; polygons--) {
      const rings = numbers[at + POLYGON_HEADER - 1]!
      at += POLYGON_HEADER
      for (let ring = 0; ring < rings; ring++) {
        const end = at + 1 + 2 * numbers[at]!
        for (at += 3; at < end; at += 2) {
          edges.push(numbers[at - 2]!, numbers[at - 1]!, numbers[at]!, numbers[at + 1]!)
        }
        at = end
      }
    }
  } else if (numbers[start] === KIND.corridor) {
    const last = body + 4 + STRIDE * (numbers[body + 3]! - 1)
    for (let at = body + 4; at < last; at += STRIDE) {
      edges.push(numbers[at]!, numbers[at + 1]!, numbers[at + STRIDE]!, numbers[at + STRIDE + 1]!)
    }
  }
  return Float64Array.from(edges)
}
