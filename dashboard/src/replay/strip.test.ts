import { expect, test } from 'vitest'
import { countStrip, NO_STRIP, speedStrip } from './strip.ts'

const MINUTE = 60_000
const point = (minute: number, speedKmh: number | null) => ({
  timeMs: minute * MINUTE,
  latitude: 0,
  longitude: 0,
  speedKmh,
})

test('speeds are drawn to a round scale, with gaps where nothing is known', () => {
  const { points, scale } = speedStrip(
    [point(0, 10), point(1, 45), point(2, null), point(20, 30)],
    0,
    60 * MINUTE,
  )
  expect(scale).toBe('60 km/h')
  expect(points.filter(({ height }) => height !== null)).toEqual([
    { timeMs: 0, height: 10 / 60 },
    { timeMs: MINUTE, height: 45 / 60 },
    { timeMs: 20 * MINUTE, height: 0.5 },
  ])
  expect(points.findLastIndex(({ height }) => height === null)).toBe(points.length - 2)
})

test('of many speeds at one place of the screen the fastest is drawn', () => {
  const track = Array.from({ length: 86_400 }, (_, second) => ({
    ...point(0, second === 43_210 ? 120 : 50),
    timeMs: second * 1000,
  }))
  const { points, scale } = speedStrip(track, 0, 86_400_000)
  expect(points.length).toBeLessThan(500)
  expect([scale, Math.max(...points.map(({ height }) => height ?? 0))]).toEqual(['120 km/h', 1])
})

test('without speeds nothing is drawn, nor of so few events that their ticks say it better', () => {
  expect(speedStrip([point(0, null)], 0, MINUTE)).toBe(NO_STRIP)
  expect(countStrip([0, 10, 20], 0, MINUTE)).toBe(NO_STRIP)
})

test('events are counted by parts of the range', () => {
  const times = [...Array.from({ length: 60 }, (_, index) => index), 95.5 * MINUTE, 96 * MINUTE, 96 * MINUTE]
  const { points, scale } = countStrip(times, 0, 96 * MINUTE)
  expect(scale).toBe('60 events')
  expect([points[0]!.height, points[2]!.height, points.at(-1)!.height]).toEqual([1, 0, 3 / 60])
})
