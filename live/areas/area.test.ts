import { expect, test } from 'vitest'
import { type Place, placesAround, randomPlace, randomShape } from '../../geofence/index/fence-fixture.ts'
import { SCOPE_VERTICES_MAX } from '../../schemas/stream.ts'
import { seededRandom } from '../../test/seeded-random.ts'
import { AREA_CELLS_MAX, type Area, AreaError, areaOf, areaOfBox, areaOfPolygon, type Box } from './area.ts'
import { ancestorKey, placeKey } from './area-cells.ts'
import { AreaIndex } from './area-index.ts'

const BASE_CELLS = 122

/** Number of cells of the area that have the place, and whether one of them lies inside. */
function cellsWith({ cells }: Area, place: Place): { count: number; interior: boolean } {
  const key = placeKey(...place)
  let count = 0
  let interior = false
  for (let i = 0; i < cells.keys.length; i++) {
    if (cells.keys[i] !== ancestorKey(key, cells.resolutions[i]!)) continue
    count++
    interior ||= cells.interior[i] === 1
  }
  return { count, interior }
}

/** Places for which the area is not what `inside` says. */
function wrongPlaces(area: Area, places: readonly Place[], inside: (place: Place) => boolean): string[] {
  return places.flatMap((place) => {
    const expected = inside(place)
    const { count, interior } = cellsWith(area, place)
    if (area.contains(...place) !== expected) return [`${place} is told as ${!expected}`]
    if (count > 1) return [`${place} is in ${count} cells`]
    if (expected && count === 0) return [`${place} is missed`]
    if (!expected && interior) return [`${place} is outside`]
    return []
  })
}

/** A rectangle with the place in it or near, of 10 m to the whole globe; many over the antimeridian and at poles. */
function randomBox(random: () => number): Box {
  for (;;) {
    const [latitude, longitude] = randomPlace(random)
    const height = 0.0001 * 1_800_000 ** random()
    const width = Math.min(360, height * (0.5 + 3 * random()))
    const south = Math.max(-90, latitude - height * random())
    const north = Math.min(90, south + height)
    const west = wrapped(longitude - width * random())
    const east = width === 360 ? 180 : wrapped(west + width)
    if (south < north && west !== east) return [width === 360 ? -180 : west, south, east, north]
  }
}

function wrapped(longitude: number): number {
  return longitude > 180 ? longitude - 360 : longitude < -180 ? longitude + 360 : longitude
}

/** Places in, around and on the edges of a rectangle. */
function placesOf([west, south, east, north]: Box, random: () => number): Place[] {
  const width = east > west ? east - west : east + 360 - west
  const places: Place[] = [
    [south, west],
    [north, east],
    [north, 180],
    [south, -180],
    [(south + north) / 2, 180],
    [90, 0],
    [-90, 0],
  ]
  for (let i = 0; i < 60; i++) {
    const latitude = south + (north - south) * (1.4 * random() - 0.2)
    const longitude = wrapped(wrapped(west + width * (1.4 * random() - 0.2)))
    if (Math.abs(latitude) <= 90) places.push([latitude, longitude], [latitude, west], [south, longitude])
  }
  return places
}

/** Said again in another way: by what lies outside. */
function isInBox([west, south, east, north]: Box, [latitude, longitude]: Place): boolean {
  if (latitude < south || latitude > north) return false
  if (Math.abs(latitude) === 90) return true
  const longitudes = Math.abs(longitude) === 180 ? [-180, 180] : [longitude]
  return longitudes.some((x) => (west < east ? !(x < west || x > east) : !(x < west && x > east)))
}

test('rectangles contain what their four numbers say, and every place of them is in one of their cells', () => {
  const random = seededRandom(1)
  for (let i = 0; i < 3000; i++) {
    const box = randomBox(random)
    const places = [...placesOf(box, random), randomPlace(random)]
    expect(
      wrongPlaces(areaOfBox(box), places, (place) => isInBox(box, place)),
      `${box}`,
    ).toEqual([])
  }
})

test('every place of a shape is in one of its cells, and cells inside have no place outside', () => {
  const random = seededRandom(2)
  for (let i = 0; i < 1500; i++) {
    const shape = randomShape(random)
    const places = [...placesAround(shape, random, 40), randomPlace(random)]
    const wrong = wrongPlaces(areaOf(shape), places, (place) => shape.contains(...place))
    expect(wrong, `shape ${i}: ${shape.numbers}`).toEqual([])
  }
})

test('a polygon has its holes', () => {
  const area = areaOfPolygon([ring(0, 0, 4), ring(0, 0, 1)])
  expect(area.contains(0, 3)).toBe(true)
  expect(area.contains(0, 0)).toBe(false)
})

test('an area of many vertices has few cells, and some of a large one lie inside', () => {
  const vertices = SCOPE_VERTICES_MAX - 1
  const circle = Array.from({ length: vertices }, (_, i): [number, number] => {
    const angle = (2 * Math.PI * i) / vertices
    return [10 + 5 * Math.cos(angle), 50 + 3 * Math.sin(angle)]
  })
  const { cells } = areaOfPolygon([[...circle, circle[0]!]])
  expect(cells.keys.length).toBeLessThanOrEqual(AREA_CELLS_MAX)
  expect([...cells.interior]).toContain(1)
})

test('the whole globe is the cells of the coarsest resolution', () => {
  const { cells } = areaOfBox([-180, -90, 180, 90])
  expect(cells.keys.length).toBe(BASE_CELLS)
})

test.each<[string, () => Area]>([
  ['south above north', () => areaOfBox([0, 1, 1, 0])],
  ['no height', () => areaOfBox([0, 1, 1, 1])],
  ['no width', () => areaOfBox([5, 0, 5, 1])],
  ['no width at the antimeridian', () => areaOfBox([180, 0, -180, 1])],
  ['a ring that crosses itself', () => areaOfPolygon([ring(0, 0, 1).with(2, [-2, 0.5])])],
  ['no ring', () => areaOfPolygon([])],
  ['too many vertices', () => areaOfPolygon([Array.from({ length: SCOPE_VERTICES_MAX + 1 }, () => [0, 0])])],
])('refuses an area with %s', (_, make) => {
  expect(make).toThrow(AreaError)
})

test('an index finds the watchers of a place, while areas come and go', () => {
  const random = seededRandom(3)
  const index = new AreaIndex<number>()
  const areas = new Map<number, Area>()
  for (let step = 0; step < 2000; step++) {
    const watcher = Math.floor(60 * random())
    const before = areas.get(watcher)
    if (before !== undefined) index.remove(watcher, before)
    areas.delete(watcher)
    if (random() < 0.7) {
      const area = random() < 0.5 ? areaOfBox(randomBox(random)) : areaOf(randomShape(random))
      index.add(watcher, area)
      areas.set(watcher, area)
    }
    const place = randomPlace(random)
    const found: number[] = []
    index.find(placeKey(...place), ...place, (watcher) => found.push(watcher))
    const expected = [...areas].filter(([, area]) => area.contains(...place)).map(([watcher]) => watcher)
    expect(found.sort(ascending)).toEqual(expected.sort(ascending))
  }
  for (const [watcher, area] of areas) index.remove(watcher, area)
  expect(index.empty).toBe(true)
})

function ascending(a: number, b: number): number {
  return a - b
}

function ring(longitude: number, latitude: number, half: number): [number, number][] {
  return [
    [longitude - half, latitude - half],
    [longitude + half, latitude - half],
    [longitude + half, latitude + half],
    [longitude - half, latitude + half],
    [longitude - half, latitude - half],
  ]
}
