import { expect, test } from 'vitest'
import { unwrapLine, unwrapped, unwrapRing } from './unwrap.ts'

test('a line across the 180th meridian runs on beyond it', () => {
  expect(
    unwrapLine([
      [179, 1],
      [-179, 2],
      [-178, 3],
      [179, 4],
    ]),
  ).toEqual([
    [179, 1],
    [181, 2],
    [182, 3],
    [179, 4],
  ])
})

test('a ring around the pole is led along the pole', () => {
  const ring = [
    [-90, -70],
    [0, -71],
    [90, -72],
    [179, -73],
    [-91, -72],
    [-90, -70],
  ]
  const unwrappedRing = unwrapRing(ring)
  expect(unwrappedRing.slice(-3)).toEqual([
    [270, -90],
    [-90, -90],
    [-90, -70],
  ])
})

test('a ring that crosses nothing stays as it is, and so do its feature and collection', () => {
  const ring = [
    [0, 0],
    [1, 0],
    [1, 1],
    [0, 0],
  ]
  const collection = {
    type: 'FeatureCollection' as const,
    features: [
      {
        type: 'Feature' as const,
        properties: { name: 'a' },
        geometry: { type: 'MultiPolygon' as const, coordinates: [[ring]] },
      },
    ],
  }
  expect(unwrapped(collection)).toEqual(collection)
})
