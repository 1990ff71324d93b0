import { expect, test } from 'vitest'
import { metresBetween } from './geometry.ts'
import { thereAndBack } from './there-and-back.ts'
import { trackOf } from './track-player.ts'
import type { Fix } from './tracks.ts'

const MINUTE = 60_000
const START = Date.UTC(2016, 10, 25, 13)
const fix = (minute: number, latitudeDeg: number): Fix => ({
  timeMs: START + minute * MINUTE,
  latitudeDeg,
  longitudeDeg: -97.74,
  trip: 'a',
  route: '1',
})
const track = trackOf({ vehicle: '1', fixes: [fix(0, 30.2), fix(4, 30.21), fix(8, 30.23)] })!
const span = [START + MINUTE, START + 7 * MINUTE] as const
const at = (minute: number) => thereAndBack(track, span, minute * MINUTE)!

test('turns at the end of its span, on the same place', () => {
  expect(metresBetween(at(6 - 1e-6), at(6 + 1e-6))).toBeLessThan(0.1)
  expect(at(5).courseDeg).toBeCloseTo(0)
  expect(at(7).courseDeg).toBeCloseTo(180)
  expect(metresBetween(at(5), at(7))).toBeLessThan(0.1)
  expect(metresBetween(at(0), at(12))).toBeLessThan(0.1)
})

test('moves without a jump, and its odometer counts on, over many turns', () => {
  let before = at(0)
  for (let second = 1; second < 60 * 60; second++) {
    const state = at(second / 60)
    const metres = metresBetween(before, state)
    expect(metres).toBeLessThan(20)
    expect(state.odometerM - before.odometerM).toBeGreaterThanOrEqual(metres - 0.1)
    before = state
  }
})
