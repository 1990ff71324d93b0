/** Checks a shape and writes it as a region of geometry.ts. */
import { type GeofenceShape, VERTICES_MAX } from '../../schemas/geofence.ts'
import { BODY, KIND } from './geometry.ts'
import { type UnwrappedBounds, unionOf } from './geometry-bounds.ts'
import { ShapeError } from './shape-error.ts'
import { writeCircle, writeCorridor } from './shape-lines.ts'
import { checkPolygons, readPolygon } from './shape-polygons.ts'

type Position = readonly number[]

/** @throws {ShapeError} */
export function writeShape(shape: GeofenceShape): Float64Array {
  switch (shape.type) {
    case 'Circle':
      return region(KIND.circle, writeCircle(shape.center, shape.radiusM))
    case 'Corridor':
      checkCount(shape.coordinates.length)
      return region(KIND.corridor, writeCorridor(shape.coordinates, shape.halfWidthM))
    case 'Polygon':
      return region(KIND.polygons, writePolygons([shape.coordinates]))
    case 'MultiPolygon':
      return region(KIND.polygons, writePolygons(shape.coordinates))
  }
}

/** What is written of a shape. */
export interface Written {
  readonly bounds: UnwrappedBounds
  readonly body: ArrayLike<number>
}

function region(kind: number, { bounds, body }: Written): Float64Array {
  const numbers = new Float64Array(BODY + body.length)
  numbers.set([kind, numbers.length, bounds.west, bounds.south, bounds.east, bounds.north])
  numbers.set(body, BODY)
  return numbers
}

/** Before anything whose cost grows faster than the shape. */
function checkCount(vertices: number): void {
  if (vertices > VERTICES_MAX) {
    throw new ShapeError(
      'shape-too-many-vertices',
      `the shape has ${vertices} vertices, at most ${VERTICES_MAX} are allowed: simplify it or split it`,
    )
  }
}

function writePolygons(coordinates: readonly (readonly (readonly Position[])[])[]): Written {
  let vertices = 0
  for (const rings of coordinates) {
    // A ring without positions counts, too, or a million of them would cost nothing.
    for (const ring of rings) vertices += Math.max(1, ring.length)
  }
  checkCount(Math.max(vertices, coordinates.length))
  if (coordinates.length === 0)
    throw new ShapeError('shape-empty', 'the shape has no polygon: give at least one')
  const polygons = coordinates.map((rings, index) =>
    readPolygon(rings, coordinates.length === 1 ? '' : ` of polygon ${index}`),
  )
  checkPolygons(polygons)
  const body = new Float64Array(polygons.reduce((sum, { numbers }) => sum + numbers.length, 1))
  body[0] = polygons.length
  let at = 1
  for (const { numbers } of polygons) {
    body.set(numbers, at)
    at += numbers.length
  }
  return { bounds: unionOf(polygons.map(({ bounds }) => bounds)), body }
}
