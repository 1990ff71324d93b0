import { expect, test } from 'vitest'
import { ReplayClock } from './replay-clock.ts'

function clockOf(fromMs: number, toMs: number, knownToMs: number): ReplayClock {
  const clock = new ReplayClock()
  clock.setRange(fromMs, toMs, fromMs)
  clock.setKnownTo(knownToMs)
  return clock
}

test('runs at its speed, and stands while it is paused', () => {
  const clock = clockOf(0, 1_000_000, 1_000_000)
  clock.setSpeed(60, 0)
  clock.play(100)
  expect(clock.advance(200)).toBe(6_000)
  clock.setSpeed(10, 300)
  expect(clock.advance(400)).toBe(13_000)
  clock.pause(500)
  expect([clock.advance(9_000), clock.playing]).toEqual([14_000, false])
  clock.play(10_000)
  expect(clock.advance(10_100)).toBe(15_000)
})

test('waits where positions are not there yet, and then goes on without a jump', () => {
  const clock = clockOf(0, 1_000_000, 5_000)
  clock.setSpeed(10, 0)
  clock.play(0)
  expect([clock.advance(1_000), clock.waiting]).toEqual([5_000, true])
  clock.setKnownTo(1_000_000)
  expect(clock.waiting).toBe(false)
  expect(clock.advance(1_100)).toBe(6_000)
})

test('a page that was not drawn for long goes on where it was', () => {
  const clock = clockOf(0, 1_000_000, 1_000_000)
  clock.play(0)
  expect(clock.advance(60_000)).toBe(1_000)
  expect(clock.advance(60_100)).toBe(1_100)
})

test('stops at its end, and plays from the beginning again', () => {
  const clock = clockOf(1_000, 5_000, 9_000)
  clock.play(0)
  clock.setSpeed(10, 0)
  expect([clock.advance(1_000), clock.playing, clock.waiting]).toEqual([5_000, false, false])
  clock.play(2_000)
  expect(clock.advance(2_050)).toBe(1_500)
})

test('goes on from where it is moved to, and never leaves its range', () => {
  const clock = clockOf(1_000, 50_000, 50_000)
  clock.play(0)
  clock.seek(20_000, 100)
  expect(clock.advance(300)).toBe(20_200)
  clock.seek(-5, 300)
  expect(clock.timeMs).toBe(1_000)
  clock.seek(90_000, 300)
  expect(clock.timeMs).toBe(50_000)
})
