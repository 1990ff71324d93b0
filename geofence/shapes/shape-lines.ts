/** Circles and corridors, checked and written as geometry.ts has them. */
import { type UnwrappedBounds, unionOf } from './geometry-bounds.ts'
import { EARTH_RADIUS_M, RADIANS } from './geometry-sphere.ts'
import { ShapeError } from './shape-error.ts'
import { checkPositions } from './shape-rings.ts'

/** Two directions this close to opposite have no shortest way between them. */
const ANTIPODAL_MAX = 1e-9

interface Line {
  readonly bounds: UnwrappedBounds
  readonly body: number[]
}

/** @throws {ShapeError} */
export function writeCircle(center: readonly number[], radiusM: number): Line {
  checkPositions([center], 'the centre')
  checkMetres(radiusM, 'radiusM')
  const longitude = turned(center[0]!)
  const latitude = center[1]!
  const angle = radiusM / EARTH_RADIUS_M
  // Beyond half the globe a circle has all of it; the sine of its half would fall again.
  const half = Math.sin(Math.min(angle, Math.PI) / 2)
  const at = latitude * RADIANS
  return {
    bounds: around(longitude, longitude, latitude, latitude, angle),
    body: [latitude, longitude, radiusM, at, Math.cos(at), half * half],
  }
}

/** @throws {ShapeError} */
export function writeCorridor(positions: readonly (readonly number[])[], halfWidthM: number): Line {
  const label = 'the line'
  if (positions.length === 0) {
    throw new ShapeError('shape-empty', 'the line is empty: give at least 2 positions')
  }
  checkPositions(positions, label)
  checkMetres(halfWidthM, 'halfWidthM')
  const angle = Math.min(halfWidthM / EARTH_RADIUS_M, Math.PI / 2)
  const chord = 2 * Math.sin(angle / 2)
  const body = [halfWidthM, Math.sin(angle), chord * chord, 0]
  let [longitude, latitude] = [turned(positions[0]![0]!), positions[0]![1]!]
  let a = unit(longitude, latitude)
  let [west, east, south, north] = [longitude, longitude, latitude, latitude]
  for (const [index, position] of positions.entries()) {
    let x = position[0]!
    while (x - longitude > 180) x -= 360
    while (x - longitude < -180) x += 360
    const b = unit(x, position[1]!)
    const way = [b[0] - a[0], b[1] - a[1], b[2] - a[2]] as const
    if (way[0] === 0 && way[1] === 0 && way[2] === 0) continue
    if (Math.hypot(a[0] + b[0], a[1] + b[1], a[2] + b[2]) < ANTIPODAL_MAX) {
      throw new ShapeError(
        'shape-line-antipodal',
        `vertices ${index - 1} and ${index} of the line are on opposite sides of the globe: add one between them`,
      )
    }
    const normal = normalised(cross(a, way))
    body.push(longitude, latitude, ...a, ...normal)
    const [lowest, highest] = latitudes(a, b, normal)
    west = Math.min(west, x)
    east = Math.max(east, x)
    south = Math.min(south, position[1]!, lowest)
    north = Math.max(north, position[1]!, highest)
    longitude = x
    latitude = position[1]!
    a = b
  }
  if (body.length === 4) {
    throw new ShapeError('shape-line-short', 'the line has no length: give at least 2 different positions')
  }
  body.push(longitude, latitude, ...a, 0, 0, 0)
  body[3] = (body.length - 4) / 8
  return { bounds: around(west, east, south, north, angle), body }
}

function checkMetres(metres: number, name: string): void {
  if (!(metres > 0 && metres < Number.POSITIVE_INFINITY)) {
    throw new ShapeError('shape-zero-area', `${name} is ${metres}: give metres above 0`)
  }
}

/** The same meridian from −180 to below 180. */
function turned(longitude: number): number {
  return longitude >= 180 ? longitude - 360 : longitude < -180 ? longitude + 360 : longitude
}

type Vector = readonly [x: number, y: number, z: number]

function unit(longitude: number, latitude: number): Vector {
  const [x, y] = [longitude * RADIANS, latitude * RADIANS]
  return [Math.cos(y) * Math.cos(x), Math.cos(y) * Math.sin(x), Math.sin(y)]
}

function cross(a: Vector, b: Vector): Vector {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

function dot(a: Vector, b: Vector): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

function normalised(vector: Vector): Vector {
  const length = Math.hypot(...vector)
  return [vector[0] / length, vector[1] / length, vector[2] / length]
}

/** Latitudes of the turning points of the great circle that the arc from `a` to `b` has; none = ±Infinity. */
function latitudes(a: Vector, b: Vector, normal: Vector): [lowest: number, highest: number] {
  const apex: Vector = [-normal[2] * normal[0], -normal[2] * normal[1], 1 - normal[2] * normal[2]]
  const apexLatitude = Math.acos(Math.min(1, Math.abs(normal[2]))) / RADIANS
  const [towardsB, towardsA] = [dot(cross(normal, a), apex), dot(cross(b, normal), apex)]
  return [
    towardsB <= 0 && towardsA <= 0 ? -apexLatitude : Number.POSITIVE_INFINITY,
    towardsB >= 0 && towardsA >= 0 ? apexLatitude : Number.NEGATIVE_INFINITY,
  ]
}

/** The box with all places within `angle` (radians) of it. */
function around(west: number, east: number, south: number, north: number, angle: number): UnwrappedBounds {
  const reach = angle / RADIANS
  const box = { south: Math.max(-90, south - reach), north: Math.min(90, north + reach) }
  if (box.south === -90 || box.north === 90) return { west: -180, east: 180, ...box }
  const latitude = Math.max(Math.abs(south), Math.abs(north)) * RADIANS
  const sideways = Math.asin(Math.min(1, Math.sin(angle) / Math.cos(latitude))) / RADIANS
  if (east - west + 2 * sideways >= 360) return { west: -180, east: 180, ...box }
  const [from, to] = [west - sideways, east + sideways]
  const turn = turned(from) - from
  return unionOf([{ west: from + turn, east: to + turn, ...box }])
}
