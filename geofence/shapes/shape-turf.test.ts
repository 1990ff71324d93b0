/** Shapes against another implementation: points at random, and at all distances from an edge. */
import { booleanPointInPolygon, distance, pointToLineDistance } from '@turf/turf'
import { expect, test } from 'vitest'
import type { GeofenceShape } from '../../schemas/geofence.ts'
import { seededRandom } from '../../test/seeded-random.ts'
import { compileShape, distanceM, edgesOf, type Shape, ShapeError } from './shape.ts'

/** Points a test; raise it for a long run. */
const POINTS = 150_000
const POINTS_A_SHAPE = 500
/** 1e-9 degrees, m: closer to an edge the two may differ. */
const NEAR_M = 1.12e-4
const NEAR_DEG = 1e-9

type Place = [longitude: number, latitude: number]
type PolygonShape = Extract<GeofenceShape, { type: 'Polygon' | 'MultiPolygon' }>

/** A ring without crossings round a centre, between two radii. */
function starRing(random: () => number, [x, y]: Place, inner: number, outer: number): Place[] {
  const count = 8 + Math.floor(random() ** 3 * 200)
  // So that vertices lie on lines with others and with points.
  const digits = random() < 0.3 ? 1e2 / inner : 0
  const ring = Array.from({ length: count }, (_, index): Place => {
    const part = (2 * Math.PI * (index + 0.9 * random())) / count
    const radius = inner + (outer - inner) * random()
    const place: Place = [x + radius * Math.cos(part), y + radius * Math.sin(part)]
    return digits === 0
      ? place
      : [Math.round(place[0] * digits) / digits, Math.round(place[1] * digits) / digits]
  })
  return [...ring, ring[0]!]
}

function randomPolygons(random: () => number): PolygonShape {
  const size = 10 ** (-4 + 4.5 * random())
  const [x, y]: Place = [-100 + 200 * random(), -60 + 120 * random()]
  const parts = random() < 0.5 ? 1 : 2 + Math.floor(3 * random())
  const coordinates = Array.from({ length: parts }, (_, part) => {
    const center: Place = [x + 2.5 * part * size, y]
    const outer = starRing(random, center, size / 2, size)
    const holes = Array.from({ length: Math.floor(3 * random()) }, (_, hole) =>
      starRing(random, [center[0] + (hole === 0 ? -0.1 : 0.1) * size, center[1]], 0.01 * size, 0.08 * size),
    )
    return [outer, ...holes]
  })
  return parts === 1
    ? { type: 'Polygon', coordinates: coordinates[0]! }
    : { type: 'MultiPolygon', coordinates }
}

/** In and round the box of the shape, on vertices, and at all distances from its edges. */
function point(random: () => number, shape: Shape, edges: Float64Array): Place {
  const { west, south, east, north } = shape.bounds
  const kind = random()
  if (kind < 0.4 || edges.length === 0) {
    const [width, height] = [east - west, north - south]
    return [west + width * (1.2 * random() - 0.1), south + height * (1.2 * random() - 0.1)]
  }
  const at = 4 * Math.floor((random() * edges.length) / 4)
  const [x0, y0, x1, y1] = edges.subarray(at, at + 4) as unknown as [number, number, number, number]
  if (kind < 0.5) return [x0, y0]
  // On the latitude of a vertex: where a ray meets it.
  if (kind < 0.6) return [west + (east - west) * random(), y0]
  const along = random()
  const away = 10 ** (-1 - 14 * random()) * (random() < 0.5 ? -1 : 1)
  return [x0 + along * (x1 - x0) - away * (y1 - y0), y0 + along * (y1 - y0) + away * (x1 - x0)]
}

/** Degrees, in the plane of longitude and latitude. */
function degreesToEdge([x, y]: Place, edges: Float64Array): number {
  let least = Number.POSITIVE_INFINITY
  for (let at = 0; at < edges.length; at += 4) {
    const [x0, y0, x1, y1] = edges.subarray(at, at + 4) as unknown as [number, number, number, number]
    const [dx, dy] = [x1 - x0, y1 - y0]
    const along = Math.min(1, Math.max(0, ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy)))
    least = Math.min(least, Math.hypot(x - x0 - along * dx, y - y0 - along * dy))
  }
  return least
}

/** Rounding lets some random rings touch themselves. */
function compiledOrRefused(shape: GeofenceShape): Shape | undefined {
  try {
    return compileShape(shape)
  } catch (error) {
    if (error instanceof ShapeError) return undefined
    throw error
  }
}

/** Runs until enough points are compared; both answers must come up often enough to mean something. */
function compare(
  seed: number,
  make: (random: () => number) => GeofenceShape,
  inside: (place: Place, shape: GeofenceShape) => boolean,
  near: (place: Place, compiled: Shape, shape: GeofenceShape) => boolean,
): void {
  const random = seededRandom(seed)
  const wrong: unknown[] = []
  let insideCount = 0
  let refused = 0
  for (let count = 0; count < POINTS; ) {
    const shape = make(random)
    const compiled = compiledOrRefused(shape)
    if (compiled === undefined) {
      refused++
      continue
    }
    const edges = edgesOf(compiled)
    for (let i = 0; i < POINTS_A_SHAPE; i++, count++) {
      const place = point(random, compiled, edges)
      const expected = inside(place, shape)
      if (expected) insideCount++
      if (compiled.contains(place[1], place[0]) !== expected && !near(place, compiled, shape)) {
        wrong.push({ place, expected, shape })
      }
    }
  }
  expect(wrong.slice(0, 3)).toEqual([])
  expect(refused).toBeLessThan(POINTS / POINTS_A_SHAPE / 4)
  expect(insideCount / POINTS).toBeGreaterThan(0.2)
  expect(insideCount / POINTS).toBeLessThan(0.8)
}

test('polygons with holes and multipolygons contain the points that turf says', () => {
  compare(
    1,
    randomPolygons,
    (place, shape) => booleanPointInPolygon(place, shape as PolygonShape),
    (place, compiled) => degreesToEdge(place, edgesOf(compiled)) < NEAR_DEG,
  )
}, 600_000)

test('circles contain the points that turf says', () => {
  compare(
    2,
    (random) => ({
      type: 'Circle',
      center: [-179 + 358 * random(), -80 + 160 * random()],
      radiusM: 10 ** (6 * random()),
    }),
    (place, shape) => {
      const { center, radiusM } = shape as Extract<GeofenceShape, { type: 'Circle' }>
      return distance(center, place, { units: 'meters' }) <= radiusM
    },
    (place, compiled, shape) => {
      const { radiusM } = shape as Extract<GeofenceShape, { type: 'Circle' }>
      return Math.abs(distanceM(compiled, place[1], place[0]) - radiusM) < NEAR_M
    },
  )
}, 600_000)

test('corridors contain the points that turf says, along lines of any length', () => {
  compare(
    3,
    (random) => {
      const step = 10 ** (-4 + 5.3 * random())
      let place: Place = [-170 + 340 * random(), -60 + 120 * random()]
      const coordinates = Array.from({ length: 2 + Math.floor(6 * random()) }, () => {
        const here = place
        place = [
          here[0] + step * (random() - 0.5),
          Math.max(-85, Math.min(85, here[1] + step * (random() - 0.5))),
        ]
        return here
      })
      return { type: 'Corridor', coordinates, halfWidthM: Math.min(50_000, step * 30_000 * (0.1 + random())) }
    },
    (place, shape) => {
      const { coordinates, halfWidthM } = shape as Extract<GeofenceShape, { type: 'Corridor' }>
      return (
        pointToLineDistance(place, { type: 'LineString', coordinates }, { units: 'meters' }) <= halfWidthM
      )
    },
    (place, compiled, shape) => {
      const { halfWidthM } = shape as Extract<GeofenceShape, { type: 'Corridor' }>
      return Math.abs(distanceM(compiled, place[1], place[0]) - halfWidthM) < NEAR_M
    },
  )
}, 600_000)
