import { expect, test } from 'vitest'
import type { GeofenceShape } from '../../schemas/geofence.ts'
import { seededRandom } from '../../test/seeded-random.ts'
import { compileShape, type Shape } from '../shapes/shape.ts'
import { FINEST, findCell } from './cells.ts'
import { coverShape, emptyCover } from './cover.ts'
import { type Place, placesAround, randomPlace, randomShape } from './fence-fixture.ts'
import { BLOCK_RESOLUTION, bitOf, keyHi, keyLo, resolutionOf } from './fence-index-data.ts'

const cover = emptyCover()
const cell = { hi: 0, lo: 0 }
const INTERIOR = 1
const BOUNDARY = 0

/** Cells of the shape by key, with whether each is inside. */
function cellsOf(shape: Shape): Map<string, number> {
  coverShape(shape.numbers, 0, cover)
  const cells = new Map<string, number>()
  for (let i = 0; i < cover.length; i++) cells.set(keyAt(cover.hi[i]!, cover.lo[i]!), cover.interior[i]!)
  return cells
}

function keyAt(hi: number, lo: number, resolution = resolutionOf(hi)): string {
  const above = Math.min(resolution, BLOCK_RESOLUTION)
  return `${keyHi(0, hi, above)} ${keyLo(0, lo, above)} ${bitOf(lo, resolution)}`
}

/** What the cover has for the place, by its finest cell and the ancestors of that. */
function found(cells: ReadonlyMap<string, number>, [latitude, longitude]: Place): number[] {
  findCell(latitude, longitude, FINEST, cell)
  return Array.from({ length: FINEST + 1 }, (_, resolution) =>
    cells.get(keyAt(cell.hi, cell.lo, resolution)),
  ).filter((value) => value !== undefined)
}

/** Places for which the cover is wrong. */
function wrongPlaces(shape: Shape, places: readonly Place[]): string[] {
  const cells = cellsOf(shape)
  return places.flatMap((place) => {
    const values = found(cells, place)
    const inside = shape.contains(...place)
    if (values.length > 1) return [`${place} is in ${values.length} cells`]
    if (inside && values.length === 0) return [`${place} is missed`]
    if (!inside && values[0] === INTERIOR) return [`${place} is outside`]
    return []
  })
}

test('every place in a shape is in one of its cells, and cells inside have no place outside', () => {
  const random = seededRandom(1)
  for (let i = 0; i < 3000; i++) {
    const shape = randomShape(random)
    const places = [...placesAround(shape, random, 60), randomPlace(random)]
    expect(wrongPlaces(shape, places), `shape ${i}: ${shape.numbers}`).toEqual([])
  }
})

test.each<[string, GeofenceShape, number]>([
  ['the whole world', rectangle(-180, -90, 180, 90), 122],
  ['a hemisphere', rectangle(-180, 0, 180, 90), 122],
  ['a band round the equator', rectangle(-180, -5, 180, 5), 122],
  ['half of all longitudes', rectangle(0, -90, 180, 90), 122],
  ['the northern cap', rectangle(-180, 80, 180, 90), 60],
  ['a circle of 1,000 km round the pole', { type: 'Circle', center: [0, 90], radiusM: 1_000_000 }, 60],
  ['a circle over the antimeridian', { type: 'Circle', center: [180, 0], radiusM: 300_000 }, 12],
  ['a rectangle over the antimeridian', rectangle(170, -10, -170, 10), 12],
  ['a strip of 1 m along a meridian', rectangle(10, -60, 10.00001, 60), 60],
])('%s has few cells, and the right ones', (_, given, cellsMax) => {
  const shape = compileShape(given)
  const random = seededRandom(2)
  const places = [
    ...placesAround(shape, random, 2000),
    ...Array.from({ length: 2000 }, () => randomPlace(random)),
    [90, 0],
    [-90, 12],
    [0, 180],
    [0, -180],
  ] as Place[]
  expect(wrongPlaces(shape, places)).toEqual([])
  expect(cover.length).toBeLessThanOrEqual(cellsMax)
})

test('a small shape has few cells, one with many edges has some inside', () => {
  const random = seededRandom(3)
  let cells = 0
  for (let i = 0; i < 300; i++) {
    const radiusM = 20 + 300 * random()
    const shape = compileShape({ type: 'Circle', center: [-97.7 + random(), 30 + random()], radiusM })
    cells += cellsOf(shape).size
    expect(cover.length).toBeLessThanOrEqual(6)
  }
  expect(cells / 300).toBeLessThan(4)
  const round = Array.from({ length: 200 }, (_, i) => {
    const angle = (2 * Math.PI * i) / 200
    return [13 + 0.2 * Math.cos(angle), 52 + 0.1 * Math.sin(angle)]
  })
  const values = [
    ...cellsOf(compileShape({ type: 'Polygon', coordinates: [[...round, round[0]!]] })).values(),
  ]
  expect(values.filter((value) => value === INTERIOR).length).toBeGreaterThan(5)
  expect(values.filter((value) => value === BOUNDARY).length).toBeGreaterThan(5)
  expect(values.length).toBeLessThanOrEqual(190)
})

/** Edges have corners at each 90° at most, since longer ones go the other way round. */
function rectangle(west: number, south: number, east: number, north: number): GeofenceShape {
  const width = east < west ? east + 360 - west : east - west
  const steps = Math.max(1, Math.ceil(width / 90))
  const longitudes = Array.from({ length: steps + 1 }, (_, step) => {
    const longitude = west + (width * step) / steps
    return longitude > 180 ? longitude - 360 : longitude
  })
  const ring = [
    ...longitudes.map((longitude) => [longitude, south]),
    ...longitudes.toReversed().map((longitude) => [longitude, north]),
  ]
  return { type: 'Polygon', coordinates: [[...ring, ring[0]!]] }
}
