import { expect, test } from 'vitest'
import { summarize, type TrackPoint, trackFeatures } from './track.ts'

const MINUTE_MS = 60_000

function point(minute: number, longitude: number, speedKmh: number | null = 30): TrackPoint {
  return { timeMs: minute * MINUTE_MS, latitude: 0, longitude, speedKmh }
}

test('a track is one line from its start', () => {
  const { features } = trackFeatures([point(0, 1), point(1, 2), point(2, 3)])
  expect(features.map(({ properties, geometry }) => [properties!.kind, geometry.type])).toEqual([
    ['drive', 'LineString'],
    ['start', 'Point'],
  ])
})

test('a silence of more than five minutes is a gap in the track', () => {
  const { features } = trackFeatures([point(0, 1), point(5, 2), point(11, 3), point(12, 4)])
  expect(features.map(({ properties }) => properties!.kind)).toEqual(['gap', 'drive', 'drive', 'start'])
  expect(features[0]!.geometry).toEqual({
    type: 'LineString',
    coordinates: [
      [2, 0],
      [3, 0],
    ],
  })
})

test('no positions are no track', () => {
  expect(trackFeatures([]).features).toEqual([])
  expect(summarize([])).toEqual({ lengthM: 0, fastestKmh: null })
})

test('the length leaves out the wandering of a receiver at rest', () => {
  const metre = 1 / 111_319.49
  const resting = [0, 1, 2, 1, 0, 2].map((metres, minute) => point(minute, metres * metre))
  expect(summarize(resting).lengthM).toBe(0)
  const { lengthM, fastestKmh } = summarize([point(0, 0, null), point(1, 500 * metre), point(2, 0, 48)])
  expect(lengthM).toBeCloseTo(1_000, 0)
  expect(fastestKmh).toBe(48)
})
