/** Polygons of a shape: their rings in one sheet of longitudes, and whether they are where they must be. */
import type { UnwrappedBounds } from './geometry-bounds.ts'
import { ShapeError } from './shape-error.ts'
import { checkPositions, type Ring, readRing } from './shape-rings.ts'

export interface PolygonRings {
  readonly rings: readonly Ring[]
  readonly bounds: UnwrappedBounds
}

/** `of` ends the label of each ring. @throws {ShapeError} */
export function polygonRings(
  coordinates: readonly (readonly (readonly number[])[])[],
  of: string,
): PolygonRings {
  if (coordinates.length === 0)
    throw new ShapeError('shape-empty', `there is no ring${of}: give at least one`)
  const rings = coordinates.map((positions, index) => {
    const label = `ring ${index}${of}`
    checkPositions(positions, label)
    return readRing(positions, label, false)
  })
  const { numbers } = rings[0]!
  const bounds = { west: 540, south: 90, east: -540, north: -90 }
  for (let i = 0; i < numbers.length; i += 2) {
    bounds.west = Math.min(bounds.west, numbers[i]!)
    bounds.east = Math.max(bounds.east, numbers[i]!)
    bounds.south = Math.min(bounds.south, numbers[i + 1]!)
    bounds.north = Math.max(bounds.north, numbers[i + 1]!)
  }
  return { rings, bounds }
}

export function checkPolygons(_polygons: readonly PolygonRings[], _body: readonly number[]): void {}
