import { expect, test } from 'vitest'
import type { GeofenceShape } from '../../schemas/geofence.ts'
import { compileShape, distanceM, type Shape } from './shape.ts'

type Place = [longitude: number, latitude: number]

const box = (west: number, south: number, east: number, north: number): Place[] => [
  [west, south],
  [east, south],
  [east, north],
  [west, north],
  [west, south],
]
const polygon = (...coordinates: Place[][]): Shape => compileShape({ type: 'Polygon', coordinates })
const circle = (longitude: number, latitude: number, radiusM: number): Shape =>
  compileShape({ type: 'Circle', center: [longitude, latitude], radiusM })

/** Which of the longitudes lie inside at that latitude. */
function insideAt(shape: Shape, latitude: number, longitudes: readonly number[]): number[] {
  return longitudes.filter((longitude) => shape.contains(latitude, longitude))
}

const AROUND = [-180, -179, -175, -170, -169, -90, 0, 90, 169, 170, 175, 179, 180]
const OVER = [-180, -179, -175, -170, 170, 175, 179, 180]

test('a polygon over the antimeridian is the same in all the ways that tools draw it', () => {
  const ways: Shape[] = [
    polygon(box(170, 0, -170, 10)),
    polygon(box(170, 0, 190, 10)),
    polygon(box(-190, 0, -170, 10)),
    polygon(box(-190, 0, 190 - 360, 10).reverse()),
    polygon([
      [170, 0],
      [180, 0],
      [-180, 0],
      [-170, 0],
      [-170, 10],
      [-180, 10],
      [180, 10],
      [170, 10],
      [170, 0],
    ]),
    compileShape({ type: 'MultiPolygon', coordinates: [[box(170, 0, 180, 10)], [box(-180, 0, -170, 10)]] }),
    compileShape({ type: 'MultiPolygon', coordinates: [[box(170, 0, 180, 10)], [box(180, 0, 190, 10)]] }),
  ]
  for (const shape of ways) {
    expect(insideAt(shape, 5, AROUND)).toEqual(OVER)
    expect(insideAt(shape, 11, AROUND)).toEqual([])
    expect(shape.bounds).toEqual({ west: 170, south: 0, east: -170, north: 10 })
  }
})

test('a hole over the antimeridian is a hole on both sides of it', () => {
  const shape = polygon(box(170, 0, -170, 10), box(-178, 4, 178, 6).reverse())
  expect(insideAt(shape, 5, [171, 178, 179, 180, -180, -179, -178, -171])).toEqual([171, 178, -178, -171])
})

test('a way over the antimeridian has one interval in a polygon that is cut there', () => {
  const shape = compileShape({
    type: 'MultiPolygon',
    coordinates: [[box(170, 0, 180, 10)], [box(-180, 0, -170, 10)]],
  })
  for (const way of [
    shape.segmentIntervals(5, 160, 5, -160),
    polygon(box(170, 0, -170, 10)).segmentIntervals(5, -160, 5, 160),
  ]) {
    expect(way.length).toBe(1)
    expect(way[0]![0]).toBeCloseTo(0.25, 12)
    expect(way[0]![1]).toBeCloseTo(0.75, 12)
  }
})

test('polygons that end at 180° or at −180° have that meridian under both names', () => {
  expect(insideAt(polygon(box(170, 0, 180, 10)), 5, AROUND)).toEqual([-180, 170, 175, 179, 180])
  expect(insideAt(polygon(box(-180, 0, -170, 10)), 5, AROUND)).toEqual([-180, -179, -175, -170, 180])
})

test('the whole world has every place', () => {
  const world = polygon(box(-180, -90, 180, 90))
  for (const latitude of [-90, -45, 0, 45, 90]) expect(insideAt(world, latitude, AROUND)).toEqual(AROUND)
  expect(world.bounds).toEqual({ west: -180, south: -90, east: 180, north: 90 })
  expect(world.segmentIntervals(10, 170, 20, -170)).toEqual([[0, 1]])
  expect(world.segmentIntervals(10, 180, 10, -180)).toEqual([[0, 1]])
  const band = polygon(box(-180, -10, 180, 10))
  expect(insideAt(band, 0, AROUND)).toEqual(AROUND)
  expect(insideAt(band, 11, AROUND)).toEqual([])
})

/** A ring round a pole, its latitude from 60 to 70 or from −60 to −70. */
function roundPole(sign: 1 | -1, start: number, direction: 1 | -1): Place[] {
  const ring = Array.from({ length: 36 }, (_, step): Place => {
    const longitude = start + direction * 10 * step
    const wrapped = ((((longitude + 180) % 360) + 360) % 360) - 180
    return [wrapped, sign * (65 + 5 * Math.sin((longitude * Math.PI) / 60))]
  })
  return [...ring, ring[0]!]
}

test.each([1, -1] as const)('a ring that goes round a pole encloses it, with no seam (%d)', (sign) => {
  for (const start of [-180, -175, 0, 3, 90]) {
    for (const direction of [1, -1] as const) {
      const shape = polygon(roundPole(sign, start, direction))
      const [north, south] = sign > 0 ? [90, shape.bounds.south] : [shape.bounds.north, -90]
      expect(shape.bounds).toEqual({ west: -180, south, east: 180, north })
      for (let longitude = -180; longitude <= 180; longitude += 2.5) {
        for (const latitude of [72, 80, 89.9, 90]) {
          expect(shape.contains(sign * latitude, longitude), `${start} ${longitude} ${latitude}`).toBe(true)
        }
        for (const latitude of [59, 0, -72, -90]) {
          expect(shape.contains(sign * latitude, longitude), `${start} ${longitude} ${latitude}`).toBe(false)
        }
      }
      expect(shape.segmentIntervals(sign * 80, -170, sign * 85, 170)).toEqual([[0, 1]])
      expect(shape.segmentIntervals(sign * 80, 100, sign * 85, -100)).toEqual([[0, 1]])
    }
  }
})

test('a ring round a pole may have holes anywhere, also where it is cut', () => {
  for (let longitude = -180; longitude < 180; longitude += 10) {
    const hole = box(longitude - 7, 75, longitude + 7, 80)
    const shape = polygon(roundPole(1, 0, 1), hole)
    const distances = [-20, -8, -6.5, -3.3, -0.7, 0.6, 3.4, 6.5, 8, 20]
    const outside = distances.filter((distance) => {
      const at = longitude + distance
      return !shape.contains(77, at > 180 ? at - 360 : at < -180 ? at + 360 : at)
    })
    expect(outside, `${longitude}`).toEqual([-6.5, -3.3, -0.7, 0.6, 3.4, 6.5])
    const intervals = shape.segmentIntervals(77, longitude - 14, 77, longitude + 14)
    expect(intervals.length).toBe(2)
    for (const [index, expected] of [0, 0.25, 0.75, 1].entries()) {
      expect(intervals[index >> 1]![index & 1]).toBeCloseTo(expected, 9)
    }
  }
})

test('a pole is inside a polygon that reaches it, whatever the longitude', () => {
  const shape = polygon(box(0, 80, 10, 90))
  expect([shape.contains(90, 5), shape.contains(90, 120), shape.contains(89.9, 120)]).toEqual([
    true,
    true,
    false,
  ])
})

/** Antarctica as maps in the plane have it: down to the pole along both sides of the antimeridian. */
test('a polygon that is cut at the antimeridian and runs along a pole has no seam', () => {
  const shape = polygon([
    [-180, -90],
    [-180, -84],
    [-90, -70],
    [0, -70],
    [90, -66],
    [180, -84],
    [180, -90],
    [-180, -90],
  ])
  expect(insideAt(shape, -85, AROUND)).toEqual(AROUND)
  expect(insideAt(shape, -90, AROUND)).toEqual(AROUND)
  expect(insideAt(shape, -75, AROUND)).toEqual([-90, 0, 90])
  expect(shape.segmentIntervals(-86, 170, -86, -170)).toEqual([[0, 1]])
})

test('circles are right over the antimeridian and over a pole', () => {
  const over = circle(180, 0, 111_195)
  expect(insideAt(over, 0, [-180, -179.01, -178.99, 178.99, 179.01, 180])).toEqual([
    -180, -179.01, 179.01, 180,
  ])
  expect(over.bounds.west).toBeCloseTo(179, 5)
  expect(over.bounds.east).toBeCloseTo(-179, 5)
  const pole = circle(30, 89.5, 111_195)
  expect(pole.bounds).toMatchObject({ west: -180, east: 180, north: 90 })
  expect(pole.contains(90, 77)).toBe(true)
  expect(pole.contains(89.51, -150)).toBe(true)
  expect(pole.contains(89.49, -150)).toBe(false)
  expect(over.segmentIntervals(0, 178, 0, -178)).toHaveLength(1)
})

test('corridors are right over the antimeridian and over a pole', () => {
  const line = (...coordinates: Place[]) =>
    compileShape({ type: 'Corridor', coordinates, halfWidthM: 11_119 })
  const over = line([179, 0], [-179, 0])
  expect(insideAt(over, 0.05, [-180, -179.5, -178.8, 178.8, 179.5, 180])).toEqual([-180, -179.5, 179.5, 180])
  expect([over.bounds.west, over.bounds.east].map((edge) => Math.round(edge * 10) / 10)).toEqual([
    178.9, -178.9,
  ])
  expect(over.segmentIntervals(1, 180, -1, -180)).toHaveLength(1)
  const pole = line([0, 88], [180, 88])
  expect([
    pole.contains(90, 55),
    pole.contains(89, 0),
    pole.contains(89, 180),
    pole.contains(89, 90),
  ]).toEqual([true, true, true, false])
  expect(pole.bounds).toMatchObject({ west: -180, east: 180, north: 90 })
})

test('bounds hold all of a circle and of a corridor', () => {
  let state = 7
  const random = () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
  for (let i = 0; i < 300; i++) {
    const center: Place = [-180 + 360 * random(), -90 + 180 * random()]
    const shape: GeofenceShape =
      random() < 0.5
        ? { type: 'Circle', center, radiusM: 10 ** (2 + 4 * random()) }
        : {
            type: 'Corridor',
            coordinates: [center, [center[0] + 60 * random(), -90 + 180 * random()]],
            halfWidthM: 10 ** (2 + 2.6 * random()),
          }
    const compiled = compileShape(shape)
    const { west, south, east, north } = compiled.bounds
    for (let j = 0; j < 300; j++) {
      const longitude = center[0] + 120 * (random() - 0.5) ** (j % 3 === 0 ? 1 : 3)
      const latitude = Math.max(-90, Math.min(90, center[1] + 60 * (random() - 0.5) ** (j % 3 === 0 ? 1 : 3)))
      const at = longitude > 180 ? longitude - 360 : longitude < -180 ? longitude + 360 : longitude
      if (!compiled.contains(latitude, at)) continue
      const across =
        west <= east ? at >= west - 1e-9 && at <= east + 1e-9 : at >= west - 1e-9 || at <= east + 1e-9
      expect(across && latitude >= south - 1e-9 && latitude <= north + 1e-9).toBe(true)
    }
  }
})

test('distances are those to the centre and to the line', () => {
  expect(distanceM(circle(0, 0, 1), 0, 1)).toBeCloseTo(111_195.08, 1)
  expect(distanceM(polygon(box(0, 0, 1, 1)), 0, 1)).toBeNaN()
})
