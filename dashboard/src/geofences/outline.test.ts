import { expect, test } from 'vitest'
import { circleRing, distanceM, placeAway, shapeBox, shapeFeature } from './outline.ts'

const AUSTIN = [-97.74, 30.27]

test('a place away is as far away as it was asked for, in every direction', () => {
  for (const courseDeg of [0, 37, 90, 180, 271]) {
    expect(distanceM(AUSTIN, placeAway(AUSTIN, courseDeg, 12_345))).toBeCloseTo(12_345, 3)
  }
  const [longitude, latitude] = placeAway(AUSTIN, 90, 1_000)
  expect(longitude).toBeGreaterThan(AUSTIN[0]!)
  expect(latitude).toBeCloseTo(AUSTIN[1]!, 4)
})

test('a circle is a closed ring of its radius, counter-clockwise', () => {
  const ring = circleRing(AUSTIN, 250)
  expect(ring.at(-1)).toEqual(ring[0])
  for (const place of ring) expect(distanceM(AUSTIN, place)).toBeCloseTo(250, 3)
  const turn = ring.slice(1).reduce((sum, [x, y], i) => sum + (ring[i]![0]! * y! - x! * ring[i]![1]!), 0)
  expect(turn).toBeGreaterThan(0)
})

test('a corridor is drawn as wide as it is', () => {
  const coordinates = [AUSTIN, [-97.7, 30.27]]
  const feature = shapeFeature({ type: 'Corridor', coordinates, halfWidthM: 500 }, { id: 7 })
  expect(feature.geometry).toEqual({ type: 'LineString', coordinates })
  // At zoom 14, a pixel is 78271.5 × cos 30.27° / 2 ** 14 = 4.126 m.
  expect((feature.properties!.widthPx as number) * 2 ** 14).toBeCloseTo(1_000 / 4.126, 0)
  expect(feature.properties!.id).toBe(7)
})

test('the box of a shape holds all of it', () => {
  const [west, south, east, north] = shapeBox({ type: 'Circle', center: AUSTIN, radiusM: 1_000 })
  expect(distanceM(AUSTIN, [AUSTIN[0]!, north])).toBeCloseTo(1_000, 0)
  expect(distanceM(AUSTIN, [AUSTIN[0]!, south])).toBeCloseTo(1_000, 0)
  expect(distanceM(AUSTIN, [west, AUSTIN[1]!])).toBeCloseTo(1_000, 0)
  expect(east - AUSTIN[0]!).toBeCloseTo(AUSTIN[0]! - west, 9)
  const corridor = shapeBox({ type: 'Corridor', coordinates: [AUSTIN, [-97.7, 30.3]], halfWidthM: 100 })
  expect(distanceM(AUSTIN, [AUSTIN[0]!, corridor[1]])).toBeCloseTo(100, 0)
})
