/**
 * An area that a subscription watches: an exact test for places, and the few H3 cells of several resolutions that it lies
 * in. Rows are looked for by cell, so what is not near an area costs it nothing; in cells that lie inside for certain no
 * test is needed.
 *
 * A map's viewport changes with every drag, so an area must be cheap to make: a rectangle takes 12 to 60 µs, and has four
 * to six cells.
 */
import { coverShape, emptyCover } from '../../geofence/index/cover.ts'
import { KIND } from '../../geofence/shapes/geometry.ts'
import { compileShape, type Shape, ShapeError } from '../../geofence/shapes/shape.ts'
import { SCOPE_VERTICES_MAX } from '../../schemas/stream.ts'
import { AREA_FINEST, cellKey, resolutionOf } from './area-cells.ts'

/** West, south, east, north, degrees; west > east crosses the antimeridian. */
export type Box = readonly [west: number, south: number, east: number, north: number]

export interface Area {
  /** Whether the place lies inside, degrees; true on the boundary. */
  contains(latitudeDeg: number, longitudeDeg: number): boolean
  readonly cells: AreaCells
}

/** Cells that have the area: none is there twice or lies in another. */
export interface AreaCells {
  /** By cell: key of area-cells.ts, at its resolution. */
  readonly keys: Int32Array
  readonly resolutions: Uint8Array
  /** 1 = all of the cell lies inside. */
  readonly interior: Uint8Array
}

/** Cells of an area at most, as long as those of the coarsest resolution, 122 round the globe, are no more. */
export const AREA_CELLS_MAX = 64

/** A scope that is no area; the message is for the user. */
export class AreaError extends Error {
  override readonly name = 'AreaError'
}

const cover = emptyCover()

/** @throws {AreaError} if the rectangle encloses nothing. */
export function areaOfBox([west, south, east, north]: Box): Area {
  if (!(south < north)) throw new AreaError('bbox: south must be less than north')
  if (west === east || (west === 180 && east === -180)) {
    throw new AreaError('bbox: west and east must be different; all longitudes are -180 and 180')
  }
  const crosses = west > east
  return {
    contains(latitudeDeg, longitudeDeg) {
      if (!(latitudeDeg >= south && latitudeDeg <= north)) return false
      if (
        crosses ? longitudeDeg >= west || longitudeDeg <= east : longitudeDeg >= west && longitudeDeg <= east
      )
        return true
      // A pole has all longitudes, the antimeridian two.
      if (latitudeDeg === 90 || latitudeDeg === -90) return true
      return longitudeDeg === 180 ? west === -180 : longitudeDeg === -180 && east === 180
    },
    cells: cellsOf(rectangle(west, south, crosses ? east + 360 : east, north)),
  }
}

/**
 * @param coordinates Of a GeoJSON polygon.
 * @throws {AreaError} if it encloses nothing, or not for certain what, or has too many vertices.
 */
export function areaOfPolygon(coordinates: [longitude: number, latitude: number][][]): Area {
  const vertices = coordinates.reduce((sum, ring) => sum + ring.length, 0)
  if (vertices > SCOPE_VERTICES_MAX) {
    throw new AreaError(`polygon: it has ${vertices} vertices, and may have ${SCOPE_VERTICES_MAX}`)
  }
  try {
    return areaOf(compileShape({ type: 'Polygon', coordinates }))
  } catch (error) {
    if (error instanceof ShapeError) throw new AreaError(`polygon: ${error.message}`, { cause: error })
    throw error
  }
}

/** Of a shape of a geofence. */
export function areaOf({ contains, numbers }: Shape): Area {
  return { contains, cells: cellsOf(numbers) }
}

/** As geofence/shapes/geometry.ts has it; what can be wrong with rings cannot be with these, so nothing is checked. */
function rectangle(west: number, south: number, east: number, north: number): Float64Array {
  const ring = [5, west, south, east, south, east, north, west, north, west, south]
  const polygon = [6 + ring.length, west, south, east, north, 1, ...ring]
  return Float64Array.from([KIND.polygons, 7 + polygon.length, west, south, east, north, 1, ...polygon])
}

function cellsOf(numbers: Float64Array): AreaCells {
  coverShape(numbers, 0, cover, AREA_CELLS_MAX)
  const byKey = new Map<number, { resolution: number; interior: number }>()
  for (let i = 0; i < cover.length; i++) {
    const hi = cover.hi[i]!
    const tooFine = resolutionOf(hi) > AREA_FINEST
    const resolution = tooFine ? AREA_FINEST : resolutionOf(hi)
    // Keys of different resolutions may be the same number.
    byKey.set(cellKey(hi, cover.lo[i]!) * 16 + resolution, {
      resolution,
      interior: tooFine ? 0 : cover.interior[i]!,
    })
  }
  const cells = [...byKey]
  return {
    keys: Int32Array.from(cells, ([key]) => Math.floor(key / 16)),
    resolutions: Uint8Array.from(cells, ([, { resolution }]) => resolution),
    interior: Uint8Array.from(cells, ([, { interior }]) => interior),
  }
}
