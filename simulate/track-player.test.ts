import { describe, expect, test } from 'vitest'
import { metresBetween, Path } from './geometry.ts'
import { longestRun, stateAt, trackOf } from './track-player.ts'
import type { Fix } from './tracks.ts'

const MINUTE = 60_000
const START = Date.UTC(2016, 10, 25, 13)
/** A fix `north` and `east` metres from Austin's centre, `minute` minutes after 13:00 UTC. */
const fix = (minute: number, north: number, east: number, trip = 'a'): Fix => ({
  timeMs: START + minute * MINUTE,
  latitudeDeg: 30.2672 + north / 111_195,
  longitudeDeg: -97.7431 + east / (111_195 * Math.cos((30.2672 * Math.PI) / 180)),
  trip,
  route: '1 North',
})
const trackFrom = (fixes: Fix[], routes?: Map<string, Path>) => trackOf({ vehicle: '1', fixes }, routes)!
const at = (track: ReturnType<typeof trackFrom>, minute: number) => stateAt(track, START + minute * MINUTE)

describe('a track', () => {
  test('passes its fixes at their times', () => {
    const fixes = [fix(0, 0, 0), fix(4, 1000, 0), fix(8, 1000, 2000), fix(12, 3000, 2000)]
    const track = trackFrom(fixes)
    for (const { timeMs, ...place } of fixes) {
      expect(metresBetween(stateAt(track, timeMs)!, place)).toBeLessThan(1)
    }
    expect(track.lengthM).toBeCloseTo(5000, -1)
    expect(longestRun(track)).toEqual([START, START + 12 * MINUTE])
  })

  test('moves without a jump of place or speed, in the direction of its course', () => {
    const track = trackFrom([fix(0, 0, 0), fix(4, 1000, 0), fix(8, 1000, 2000), fix(12, 3000, 2000)])
    let before = at(track, 0)!
    for (let second = 1; second <= 12 * 60; second++) {
      const state = at(track, second / 60)!
      const metres = metresBetween(before, state)
      expect(metres).toBeCloseTo((before.speedKmh + state.speedKmh) / 2 / 3.6, 0)
      expect(Math.abs(state.speedKmh - before.speedKmh)).toBeLessThan(2)
      expect(state.odometerM).toBeGreaterThanOrEqual(before.odometerM)
      before = state
    }
    expect(at(track, 2)!.courseDeg).toBeCloseTo(0)
    expect(at(track, 6)!.courseDeg).toBeCloseTo(90)
    expect(at(track, 6)!.speedKmh).toBeGreaterThan(25)
  })

  test('stands where the recording stands, with its last course', () => {
    const track = trackFrom([fix(0, 0, 0), fix(4, 0, 900), fix(8, 5, 910), fix(12, 0, 2000)])
    const states = [4, 5, 6, 8].map((minute) => at(track, minute)!)
    for (const state of states) {
      expect(state.speedKmh).toBe(0)
      expect(state.courseDeg).toBeCloseTo(90, 0)
      expect(metresBetween(state, states[0]!)).toBe(0)
      expect(state.parked).toBe(false)
    }
  })

  test('is absent through a long gap and comes back elsewhere', () => {
    const track = trackFrom([fix(0, 0, 0), fix(4, 0, 900), fix(30, 5000, 0), fix(34, 6000, 0)])
    expect(at(track, 4)).toBeDefined()
    expect(at(track, 5)).toBeUndefined()
    expect(at(track, 29)).toBeUndefined()
    expect(at(track, 30)!.odometerM).toBeCloseTo(900, 0)
    expect(at(track, 35)).toBeUndefined()
  })

  test('stands parked through a long gap at one place', () => {
    const track = trackFrom([fix(0, 0, 0), fix(4, 0, 900), fix(40, 100, 900), fix(44, 1000, 900)])
    expect(at(track, 20)).toMatchObject({ parked: true, speedKmh: 0 })
    expect(metresBetween(at(track, 38.9)!, fix(0, 0, 900))).toBeLessThan(1)
    expect(at(track, 41)!.parked).toBe(false)
  })

  test('does not slide across town to another journey', () => {
    const track = trackFrom([fix(0, 0, 0), fix(4, 0, 900), fix(8, 2500, 900, 'b'), fix(12, 3500, 900, 'b')])
    expect(at(track, 6)).toBeUndefined()
    expect(at(track, 8)).toBeDefined()
  })

  test('eases between altitudes', () => {
    const track = trackFrom([
      { ...fix(0, 0, 0), altitudeM: 150 },
      { ...fix(4, 1000, 0), altitudeM: 140 },
    ])
    expect(at(track, 2)!.altitudeM).toBeCloseTo(145)
    expect(at(trackFrom([fix(0, 0, 0), fix(4, 900, 0)]), 2)).not.toHaveProperty('altitudeM')
  })

  test('of a vehicle that never moves on is none', () => {
    expect(trackOf({ vehicle: '1', fixes: [fix(0, 0, 0), fix(40, 5000, 0)] })).toBeUndefined()
  })
})

describe('a track on a known route', () => {
  // North 1000 m, east 2000 m, and back the same way.
  const corners = [fix(0, 0, 0), fix(0, 1000, 0), fix(0, 1000, 2000), fix(0, 1000, 0), fix(0, 0, 0)]
  const routes = new Map([['1 North', new Path(corners)]])

  test('follows the route around its corners', () => {
    const track = trackFrom([fix(0, 200, 20), fix(4, 1010, 800), fix(8, 990, 1900)], routes)
    expect(track.lengthM).toBeCloseTo(800 + 1900, -2)
    const nearest = Math.min(
      ...Array.from({ length: 240 }, (_, second) => metresBetween(at(track, second / 60)!, corners[1]!)),
    )
    expect(nearest).toBeLessThan(10)
  })

  test('tells the way out from the way back on the same street', () => {
    const out = trackFrom([fix(0, 200, 0), fix(4, 1000, 500), fix(8, 1000, 1500)], routes)
    const back = trackFrom([fix(0, 1000, 1500), fix(4, 1000, 500), fix(8, 200, 0)], routes)
    expect(at(out, 6)!.courseDeg).toBeCloseTo(90, 0)
    expect(at(back, 2)!.courseDeg).toBeCloseTo(270, 0)
    expect(back.lengthM).toBeCloseTo(2300, -2)
  })

  test('goes straight where the vehicle is off the route', () => {
    const track = trackFrom([fix(0, 200, 0), fix(4, 600, 500), fix(8, 1000, 900)], routes)
    expect(metresBetween(at(track, 4)!, fix(0, 600, 500))).toBeLessThan(1)
    expect(track.lengthM).toBeCloseTo(640 + 566, -1)
  })
})
