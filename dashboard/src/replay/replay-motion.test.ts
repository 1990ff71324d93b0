import { expect, test } from 'vitest'
import { mercatorX } from '../fleet/mercator.ts'
import { STATE } from '../fleet/motion.ts'
import { ReplayClock } from './replay-clock.ts'
import { ReplayMotion } from './replay-motion.ts'

const MINUTE = 60_000

/** Trail that keeps what it is given. */
class Segments {
  readonly spans: [number, number][] = []
  add(fromMs: number, _fromX: number, _fromY: number, toMs: number): void {
    this.spans.push([fromMs, toMs])
  }
  clear(): void {
    this.spans.length = 0
  }
}

function motionOf(fixes: readonly (readonly [timeMs: number, longitude: number, speedKmh: number | null])[]) {
  const clock = new ReplayClock()
  clock.setRange(0, 100 * MINUTE, 0)
  clock.setKnownTo(100 * MINUTE)
  const trail = new Segments()
  const motion = new ReplayMotion(clock, trail)
  const row = motion.add()
  for (const [timeMs, longitude, speedKmh] of fixes) motion.put(row, timeMs, 0, longitude, speedKmh, 90)
  const at = (timeMs: number) => {
    clock.seek(timeMs, 0)
    motion.sample(0)
    return {
      x: motion.x[row],
      placed: motion.placed[row],
      state: motion.state[row],
      faint: motion.faint[row],
    }
  }
  return { clock, motion, trail, row, at }
}

test('a vehicle moves evenly from fix to fix', () => {
  const { at } = motionOf([
    [0, 0, 30],
    [MINUTE, 1, 30],
    [2 * MINUTE, 3, 30],
  ])
  expect([0, 0.25, 1, 1.5].map((minutes) => at(minutes * MINUTE).x)).toEqual(
    [0, 0.25, 1, 2].map((longitude) => mercatorX(longitude)),
  )
  // Back again.
  expect(at(MINUTE / 2).x).toBe(mercatorX(0.5))
})

test('a vehicle that said nothing for long stands at its last fix, and fades', () => {
  const { at } = motionOf([
    [MINUTE, 0, 30],
    [11 * MINUTE, 1, 30],
  ])
  expect(at(0).placed).toBe(0)
  expect(at(4 * MINUTE)).toEqual({ x: mercatorX(0), placed: 1, state: STATE.moving, faint: 0 })
  expect(at(8 * MINUTE)).toEqual({ x: mercatorX(0), placed: 1, state: STATE.silent, faint: 1 })
  expect(at(11 * MINUTE)).toEqual({ x: mercatorX(1), placed: 1, state: STATE.moving, faint: 0 })
})

test('the course turns the short way, and a speed that was not sent is that of the way', () => {
  const { motion, row, at } = motionOf([])
  motion.put(row, 0, 0, 0, null, 350)
  motion.put(row, MINUTE, 0, 0.01, null, 20)
  motion.put(row, 1.5 * MINUTE, 0, 0.01, null, 20)
  expect(at(MINUTE / 2).state).toBe(STATE.moving)
  expect(motion.courseDeg[row]).toBe(365)
  expect(at(MINUTE + 1).state).toBe(STATE.standing)
})

test('the pace on the map follows the speed of the clock, and rests with it', () => {
  const { clock, motion, row } = motionOf([
    [0, 0, 30],
    [MINUTE, 1, 30],
  ])
  const perMs = (mercatorX(1) - mercatorX(0)) / MINUTE
  clock.setSpeed(10, 0)
  clock.play(0)
  motion.sample(100)
  expect(motion.x[row]).toBeCloseTo(mercatorX(1_000 / MINUTE), 12)
  expect(motion.rate[row]).toBeCloseTo(perMs * 10, 15)
  clock.pause(100)
  motion.sample(200)
  expect(motion.rate[row]).toBe(0)
})

test('a trail has each way once as the clock enters it, and none across gaps', () => {
  const { motion, trail, at } = motionOf([
    [0, 0, 30],
    [MINUTE, 1, 30],
    [10 * MINUTE, 2, 30],
    [11 * MINUTE, 3, 30],
    [12 * MINUTE, 4, 30],
  ])
  motion.trailMs = 60 * MINUTE
  at(0)
  at(MINUTE / 2)
  expect(trail.spans).toEqual([[0, MINUTE]])
  at(10.5 * MINUTE)
  at(11.5 * MINUTE)
  const all = [
    [0, MINUTE],
    [10 * MINUTE, 11 * MINUTE],
    [11 * MINUTE, 12 * MINUTE],
  ]
  expect(trail.spans).toEqual(all)
  motion.redrawTrail()
  expect(trail.spans).toEqual(all)
  motion.trailMs = 2 * MINUTE
  motion.redrawTrail()
  expect(trail.spans).toEqual(all.slice(1))
})

test('counts what is ahead, forgets what is behind, and takes late points', () => {
  const { motion, row, at } = motionOf(
    Array.from({ length: 10 }, (_, minute) => [minute * MINUTE, minute, 30]),
  )
  at(4.5 * MINUTE)
  expect([motion.held, motion.ahead]).toEqual([10, 5])
  motion.forgetBefore(3.5 * MINUTE)
  expect([motion.held, motion.ahead, at(4.5 * MINUTE).x]).toEqual([7, 5, mercatorX(4.5)])
  motion.put(row, 4.25 * MINUTE, 0, 9, 30, 90)
  expect(motion.fixOf(row)?.timeMs).toBe(4.25 * MINUTE)
  motion.forget()
  expect([motion.held, motion.ahead, at(4.5 * MINUTE).placed]).toEqual([0, 0, 0])
})
