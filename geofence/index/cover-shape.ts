/** On which side of a shape the region of a cell lies: inside, outside, or perhaps on both. */

import { BODY, containsAt, distanceAtM, KIND } from '../shapes/geometry.ts'
import { edgesAt } from '../shapes/geometry-edges.ts'
import { EARTH_RADIUS_M } from '../shapes/geometry-sphere.ts'
import type { CellPlace } from './cover-cells.ts'

const DEGREES = 180 / Math.PI
/** For rounding, here and in the cell of a place. */
const MARGIN_DEG = 1e-9
const MARGIN_M = 0.001
/** A disc of up to this half width lies within an ellipse in degrees that is larger by this ratio. */
const ELLIPSE_MAX_DEG = 4
const ELLIPSE_RATIO = 1.005
const NO_EDGES = new Uint32Array()

/** A cell whose region may have a part of the boundary, and the offsets of edges that may be there. */
export interface Open {
  readonly cell: CellPlace
  readonly edges: Uint32Array
}

/** A shape as a cover needs it; its geometry is at `start` of `numbers`. */
export class CoverShape {
  readonly edgeCount: number
  private readonly numbers: Float64Array
  private readonly start: number
  private readonly edges: Float64Array
  private readonly allEdges: Uint32Array
  /** Half width or radius; NaN for polygons. */
  private readonly withinM: number
  /** A disc that has the shape: unit vector, radians. */
  private readonly centerX: number
  private readonly centerY: number
  private readonly centerZ: number
  private readonly radius: number
  private readonly scratch: Uint32Array
  /** Longitudes of the edges, which go on beyond 180. */
  private west = Number.POSITIVE_INFINITY
  private east = Number.NEGATIVE_INFINITY

  constructor(numbers: Float64Array, start: number) {
    this.numbers = numbers
    this.start = start
    const polygons = numbers[start] === KIND.polygons
    this.edges = polygons ? edgesAt(numbers, start) : new Float64Array()
    this.edgeCount = this.edges.length / 4
    this.allEdges = Uint32Array.from({ length: this.edgeCount }, (_, edge) => 4 * edge)
    this.scratch = new Uint32Array(this.edgeCount)
    for (let edge = 0; edge < this.edges.length; edge += 2) {
      this.west = Math.min(this.west, this.edges[edge]!)
      this.east = Math.max(this.east, this.edges[edge]!)
    }
    this.withinM = polygons
      ? Number.NaN
      : numbers[start] === KIND.circle
        ? numbers[start + BODY + 2]!
        : numbers[start + BODY]!
    const west = numbers[start + 2]!
    const south = numbers[start + 3]!
    const east = numbers[start + 4]!
    const north = numbers[start + 5]!
    const latitude = (south + north) / 2 / DEGREES
    const longitude = (west + east) / 2 / DEGREES
    this.centerX = Math.cos(latitude) * Math.cos(longitude)
    this.centerY = Math.cos(latitude) * Math.sin(longitude)
    this.centerZ = Math.sin(latitude)
    // From the middle along its meridian, then along a parallel, whose length is greatest next to the equator.
    const widest = south <= 0 && north >= 0 ? 0 : Math.min(Math.abs(south), Math.abs(north))
    this.radius =
      ((north - south) / 2 + ((east - west) / 2) * Math.cos(widest / DEGREES) + MARGIN_DEG) / DEGREES
  }

  /**
   * Puts the cell where it belongs: nowhere if its region is outside.
   * @param parent Cell that has it, which was put into `open`; null = none.
   * @returns whether it was put anywhere.
   */
  sort(cell: CellPlace, parent: Open | null, open: Open[], inside: CellPlace[]): boolean {
    const x = cell.centerX - this.centerX
    const y = cell.centerY - this.centerY
    const z = cell.centerZ - this.centerZ
    const apart = this.radius + cell.radius
    // The angle is greater than the chord.
    if (x * x + y * y + z * z > apart * apart) return false
    const latitude = Math.asin(cell.centerZ) * DEGREES
    const longitude = Math.atan2(cell.centerY, cell.centerX) * DEGREES
    if (this.edgeCount === 0) {
      const distance = distanceAtM(this.numbers, this.start, latitude, longitude)
      const radius = cell.radius * EARTH_RADIUS_M + MARGIN_M
      if (distance - radius > this.withinM) return false
      if (distance + radius < this.withinM) inside.push(cell)
      else open.push({ cell, edges: NO_EDGES })
      return true
    }
    const edges = this.edgesIn(parent?.edges ?? this.allEdges, latitude, longitude, cell.radius * DEGREES)
    if (edges.length > 0) open.push({ cell, edges })
    // No edge is in the region, so all of it is on the side of its centre.
    else if (containsAt(this.numbers, this.start, latitude, longitude)) inside.push(cell)
    else return false
    return true
  }

  /** Which of `edges` may be within `radiusDeg` of the place. */
  private edgesIn(edges: Uint32Array, latitude: number, longitude: number, radiusDeg: number): Uint32Array {
    const { numbers, start, scratch, west, east } = this
    const halfHeight = radiusDeg + MARGIN_DEG
    const polar = Math.abs(latitude) + halfHeight >= 90
    const halfWidth = polar
      ? 180
      : Math.asin(Math.sin(halfHeight / DEGREES) / Math.cos(latitude / DEGREES)) * DEGREES + MARGIN_DEG
    const south = latitude - halfHeight
    const north = latitude + halfHeight
    if (north < numbers[start + 3]! || south > numbers[start + 5]!) return NO_EDGES
    const ellipse = !polar && halfWidth <= ELLIPSE_MAX_DEG
    // Half axes: a parallel next to the pole is the shortest.
    const a = ellipse
      ? (ELLIPSE_RATIO * halfHeight) / Math.cos((Math.abs(latitude) + halfHeight) / DEGREES)
      : halfWidth
    const b = ellipse ? ELLIPSE_RATIO * halfHeight : halfHeight
    let length = 0
    for (const edge of edges) {
      const y0 = this.edges[edge + 1]!
      const y1 = this.edges[edge + 3]!
      if ((y0 < south && y1 < south) || (y0 > north && y1 > north)) continue
      if (polar) {
        scratch[length++] = edge
        continue
      }
      const x0 = this.edges[edge]!
      const x1 = this.edges[edge + 2]!
      for (let x = longitude - 360; x - halfWidth <= east; x += 360) {
        if (x + halfWidth < west) continue
        if ((x0 < x - halfWidth && x1 < x - halfWidth) || (x0 > x + halfWidth && x1 > x + halfWidth)) continue
        // How far the line is from the place, in the direction in which the ellipse (or box) is `reach` long.
        const normalX = y1 - y0
        const normalY = x0 - x1
        const distance = Math.abs(normalX * (x - x0) + normalY * (latitude - y0))
        const reach = ellipse
          ? Math.sqrt(normalX * normalX * a * a + normalY * normalY * b * b)
          : Math.abs(normalX) * a + Math.abs(normalY) * b
        if (distance > reach) continue
        scratch[length++] = edge
        break
      }
    }
    return length === edges.length ? edges : scratch.slice(0, length)
  }
}
