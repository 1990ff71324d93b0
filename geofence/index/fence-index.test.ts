import { booleanPointInPolygon, point, polygon } from '@turf/turf'
import { expect, test } from 'vitest'
import { seededRandom } from '../../test/seeded-random.ts'
import { compileShape, shapeOf } from '../shapes/shape.ts'
import { placesAround, randomPlace, randomShape } from './fence-fixture.ts'
import { fenceIds } from './fence-ids.ts'
import { buildFenceIndex, FenceIndex, type FenceSource } from './fence-index.ts'

const found = fenceIds()

function idsAt(index: FenceIndex, organizationId: number, latitude: number, longitude: number): number[] {
  found.length = 0
  index.inside(organizationId, latitude, longitude, found)
  return Array.from(found.ids.subarray(0, found.length))
}

function fencesOf(random: () => number, count: number, sizeKmMax?: number): FenceSource[] {
  const fences = Array.from({ length: count }, (_, i) => ({
    id: i + 1,
    organizationId: 1 + Math.floor(3 * random()),
    version: i % 5,
    terms: i % 7,
    crossing: random() < 0.3,
    shape: randomShape(random, sizeKmMax),
  }))
  // As they may come: in no order.
  return fences.sort(() => random() - 0.5)
}

/** Ascending ids of the fences of the organisation that say that they contain the place. */
function bruteForce(
  fences: readonly FenceSource[],
  organizationId: number,
  latitude: number,
  longitude: number,
) {
  return fences
    .filter(
      (fence) =>
        fence.organizationId === organizationId && shapeOf(fence.shape.numbers).contains(latitude, longitude),
    )
    .map(({ id }) => id)
    .sort((a, b) => a - b)
}

test('an index answers what every geofence says by itself', () => {
  const random = seededRandom(1)
  for (let round = 0; round < 8; round++) {
    const fences = fencesOf(random, 300)
    const index = new FenceIndex(buildFenceIndex(fences))
    expect(index.count).toBe(300)
    const places = [
      ...fences.flatMap((fence) => placesAround(shapeOf(fence.shape.numbers), random, 3)),
      ...Array.from({ length: 200 }, () => randomPlace(random)),
    ]
    for (const [latitude, longitude] of places) {
      const organizationId = 1 + Math.floor(4 * random())
      const expected = bruteForce(fences, organizationId, latitude, longitude)
      expect(idsAt(index, organizationId, latitude, longitude), `${latitude} ${longitude}`).toEqual(expected)
    }
  }
})

test('polygons contain what turf says they contain', () => {
  const random = seededRandom(2)
  const rings = Array.from({ length: 200 }, () => {
    const [x, y, size] = [-97.8 + 0.2 * random(), 30.2 + 0.2 * random(), 0.001 + 0.05 * random()]
    const ring = Array.from({ length: 4 + Math.floor(6 * random()) }, (_, corner, all = 10) => {
      const angle = (2 * Math.PI * (corner + 0.8 * random())) / all
      return [x + size * Math.cos(angle), y + size * Math.sin(angle)]
    })
    return [...ring, ring[0]!]
  })
  const index = new FenceIndex(
    buildFenceIndex(
      rings.map((ring, i) => ({
        id: i,
        organizationId: 9,
        version: 1,
        terms: 0,
        crossing: false,
        shape: compileShape({ type: 'Polygon', coordinates: [ring] }),
      })),
    ),
  )
  const turfs = rings.map((ring) => polygon([ring]))
  let hits = 0
  for (let i = 0; i < 1000; i++) {
    const [x, y] = [-97.85 + 0.3 * random(), 30.15 + 0.3 * random()]
    const expected = turfs.flatMap((turf, id) => (booleanPointInPolygon(point([x, y]), turf) ? [id] : []))
    hits += expected.length
    expect(idsAt(index, 9, y, x)).toEqual(expected)
  }
  expect(hits).toBeGreaterThan(1000)
})

test('ten thousand geofences on one place are all found, in order', () => {
  const random = seededRandom(3)
  const fences = Array.from({ length: 10_000 }, (_, i) => ({
    id: 10_000 - i,
    organizationId: 5,
    version: 1,
    terms: 0,
    crossing: false,
    shape: compileShape({
      type: 'Circle',
      center: [13.4 + 0.001 * random(), 52.5],
      radiusM: 200 * 1000 ** random(),
    }),
  }))
  const index = new FenceIndex(buildFenceIndex(fences))
  expect(idsAt(index, 5, 52.5, 13.4005)).toEqual(Array.from({ length: 10_000 }, (_, i) => i + 1))
})

test('a place beyond the poles, or without a number, is in no geofence', () => {
  const world = [-180, -90, 0, 90, 180]
  const ring = [...world.map((x) => [x, -90]), ...world.toReversed().map((x) => [x, 90])]
  const shape = compileShape({ type: 'Polygon', coordinates: [[...ring, ring[0]!]] })
  const index = new FenceIndex(
    buildFenceIndex([{ id: 1, organizationId: 1, version: 1, terms: 0, crossing: false, shape }]),
  )
  expect(idsAt(index, 1, 90, 180)).toEqual([1])
  for (const [latitude, longitude] of [
    [91, 0],
    [-90.001, 0],
    [Number.NaN, 0],
    [0, Number.NaN],
    [0, Number.POSITIVE_INFINITY],
  ]) {
    expect(idsAt(index, 1, latitude!, longitude!)).toEqual([])
  }
})

test('ways through are those of every geofence with crossing', () => {
  const random = seededRandom(4)
  const fences = fencesOf(random, 400, 500)
  const index = new FenceIndex(buildFenceIndex(fences))
  let crossings = 0
  for (let i = 0; i < 1500; i++) {
    const near = shapeOf(fences[i % fences.length]!.shape.numbers)
    const [from, to] =
      i % 10 === 0 ? [randomPlace(random), randomPlace(random)] : placesAround(near, random, 2)
    for (let organizationId = 1; organizationId <= 4; organizationId++) {
      const expected = fences
        .filter((fence) => fence.crossing && fence.organizationId === organizationId)
        .sort((a, b) => a.id - b.id)
        .flatMap((fence) =>
          shapeOf(fence.shape.numbers)
            .segmentIntervals(...from!, ...to!)
            .map(([start, end]) => ({ geofence: fence.id, from: start, to: end })),
        )
      crossings += expected.length
      expect(index.crossed(organizationId, ...from!, ...to!), `${from} ${to}`).toEqual(expected)
    }
  }
  expect(crossings).toBeGreaterThan(500)
})

test('an index tells what it was given of each geofence', () => {
  const fences = fencesOf(seededRandom(5), 50)
  const index = new FenceIndex(buildFenceIndex(fences))
  for (const { id, organizationId, version, terms } of fences) {
    const fence = index.find(id)
    expect([index.organizationAt(fence), index.versionAt(fence), index.termsAt(fence)]).toEqual([
      organizationId,
      version,
      terms,
    ])
  }
  expect([0, 51, -1].map((id) => index.find(id))).toEqual([-1, -1, -1])
  const ofFirst = fences.filter(({ organizationId }) => organizationId === 1).length
  expect([index.countOf(1), index.countOf(77)]).toEqual([ofFirst, 0])
})

test('an index reads the same after it was cloned to another thread, and shares its memory', () => {
  const data = buildFenceIndex(fencesOf(seededRandom(6), 20))
  const cloned = structuredClone(data)
  expect(cloned.numbers.buffer).toBeInstanceOf(SharedArrayBuffer)
  cloned.versions[0] = 77
  expect(data.versions[0]).toBe(77)
})

test('an empty index has nothing', () => {
  const index = new FenceIndex(buildFenceIndex([]))
  expect(idsAt(index, 1, 0, 0)).toEqual([])
  expect(index.crossed(1, 0, 0, 1, 1)).toEqual([])
  expect(index.find(1)).toBe(-1)
})

test('an id that comes twice is refused, and progress is told', () => {
  const fences = fencesOf(seededRandom(7), 3)
  expect(() => buildFenceIndex([...fences, fences[0]!])).toThrow('comes twice')
  const told: number[] = []
  buildFenceIndex(fences, (count) => told.push(count))
  expect(told.at(-1)).toBe(3)
})
