import { expect, test } from 'vitest'
import { seededRandom } from '../../test/seeded-random.ts'
import { compileShape, type Shape, ShapeError } from '../shapes/shape.ts'
import { placesAround } from './fence-fixture.ts'
import { beltsLength, containsByBelts, writeBelts } from './fence-index-belts.ts'

/** The shape's region, after some other number, with its belts. */
function withBelts({ numbers }: Shape): Float64Array {
  const all = new Float64Array(1 + numbers.length + beltsLength(numbers, 0))
  all.set(numbers, 1)
  writeBelts(all, 1)
  return all
}

function star(random: () => number, corners: number, [x, y]: readonly [number, number], sizeDeg: number) {
  // Coarse numbers, so that many positions have the same latitude.
  const grid = random() < 0.5 ? 2 ** 24 : 64 / sizeDeg
  const ring = Array.from({ length: corners }, (_, corner) => {
    const angle = (2 * Math.PI * corner) / corners
    const reach = sizeDeg * (0.3 + 0.7 * random())
    const longitude = Math.round((x + reach * Math.cos(angle)) * grid) / grid
    const latitude = Math.round((y + reach * Math.sin(angle)) * grid) / grid
    return [longitude > 180 ? longitude - 360 : longitude, latitude]
  })
  return [...ring, ring[0]!]
}

/** Stars of 24 to 250 edges that are valid. */
function stars(random: () => number): Shape[] {
  const shapes: Shape[] = []
  while (shapes.length < 150) {
    const corners = 24 + Math.floor(226 * random())
    const x = random() < 0.3 ? 180 : -97 + random()
    try {
      const ring = star(random, corners, [x, 60 * random()], 0.01 * 300 ** random())
      shapes.push(compileShape({ type: 'Polygon', coordinates: [ring] }))
    } catch (error) {
      // Rounding made it cross itself.
      if (!(error instanceof ShapeError)) throw error
    }
  }
  return shapes
}

test('a polygon contains by its belts the places that it contains by all of its edges', () => {
  const random = seededRandom(1)
  let inside = 0
  let outside = 0
  for (const shape of stars(random)) {
    const numbers = withBelts(shape)
    expect(numbers.length).toBeGreaterThan(shape.numbers.length + 1)
    const places = placesAround(shape, random, 300)
    for (const [latitude, longitude] of places.slice(0, 100)) {
      // At the latitude of a position, and on the boundary: half way between two of them.
      const at = 14 + 2 * Math.floor(((shape.numbers.length - 16) / 2) * random())
      const [x0, y0, x1, y1] = shape.numbers.subarray(at, at + 4) as unknown as number[]
      places.push([y0!, longitude], [(y0! + y1!) / 2, (x0! + x1!) / 2], [latitude, x0!])
    }
    for (const [latitude, longitude] of places) {
      const expected = shape.contains(latitude, longitude)
      if (expected) inside++
      else outside++
      expect(containsByBelts(numbers, 1, latitude, longitude), `${latitude} ${longitude}`).toBe(expected)
    }
  }
  expect(Math.min(inside, outside)).toBeGreaterThan(10_000)
})

test('a cap of many edges round a pole has the pole', () => {
  for (const north of [1, -1]) {
    const ring = Array.from({ length: 73 }, (_, i) => [-180 + 5 * i, north * (70 + (i % 2))])
    const corners = [180, 90, 0, -90, -180].map((x) => [x, 90 * north])
    const shape = compileShape({ type: 'Polygon', coordinates: [[...ring, ...corners, ring[0]!]] })
    const numbers = withBelts(shape)
    for (const [latitude, longitude] of [
      [90, 17],
      [80, 0],
      [80, 180],
      [-80, 0],
      [-90, 0],
      [60, 100],
      [70, 545],
    ] as const) {
      expect(containsByBelts(numbers, 1, latitude * north, longitude), `${latitude} ${longitude}`).toBe(
        shape.contains(latitude * north, longitude),
      )
    }
  }
})

test('what is no single ring of many edges has no belts, and contains the same', () => {
  const square = [0, 1, 1, 0, 0].map((x, i) => [x, [0, 0, 1, 1, 0][i]!])
  const holed = Array.from({ length: 41 }, (_, i) => {
    const angle = (2 * Math.PI * (i % 40)) / 40
    return [0.5 + 3 * Math.cos(angle), 0.5 + 3 * Math.sin(angle)]
  })
  const shapes = [
    compileShape({ type: 'Circle', center: [0, 0], radiusM: 1000 }),
    compileShape({ type: 'Polygon', coordinates: [square] }),
    compileShape({ type: 'Polygon', coordinates: [holed, square] }),
  ]
  for (const shape of shapes) {
    const numbers = withBelts(shape)
    expect(numbers.length).toBe(shape.numbers.length + 1)
    for (const place of [0, 0.5, 2].flatMap((y) => [0, 0.5, 2].map((x) => [y, x] as const))) {
      expect(containsByBelts(numbers, 1, ...place)).toBe(shape.contains(...place))
    }
  }
})
