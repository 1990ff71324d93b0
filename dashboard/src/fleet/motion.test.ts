import { expect, test } from 'vitest'
import { MotionTable, shortestTurnDeg } from './motion.ts'

test('a vehicle glides from where it is drawn to its new position, and stays there', () => {
  const motion = new MotionTable()
  const row = motion.add()
  motion.jump(row, 0.5, 0.5, 0)
  motion.glide(row, 0.6, 0.4, 90, 1_000, 2_000)
  motion.sample(2_000)
  expect(motion.x[row]).toBeCloseTo(0.55, 12)
  expect(motion.y[row]).toBeCloseTo(0.45, 12)
  expect(motion.rate[row]).toBeCloseTo(Math.hypot(0.1, 0.1) / 2_000, 12)
  motion.sample(9_000)
  expect([motion.x[row], motion.y[row], motion.courseDeg[row], motion.rate[row]]).toEqual([0.6, 0.4, 90, 0])
})

test('a new position while gliding starts from the place that is drawn', () => {
  const motion = new MotionTable()
  const row = motion.add()
  motion.jump(row, 0, 0.5, 90)
  motion.glide(row, 0.1, 0.5, 90, 0, 1_000)
  motion.glide(row, 0.2, 0.5, 90, 500, 1_000)
  expect(motion.x[row]).toBeCloseTo(0.05, 12)
  motion.sample(1_000)
  expect(motion.x[row]).toBeCloseTo(0.125, 12)
})

test('a vehicle turns the short way round, faster than it drives', () => {
  const motion = new MotionTable()
  const row = motion.add()
  motion.jump(row, 0, 0, 350)
  motion.glide(row, 0.1, 0, 20, 0, 10_000)
  motion.sample(300)
  expect(motion.courseDeg[row]).toBeCloseTo(365, 3)
  motion.sample(600)
  expect(motion.courseDeg[row]).toBeCloseTo(380, 3)
  expect(shortestTurnDeg(350, 20)).toBe(30)
  expect(shortestTurnDeg(20, 350)).toBe(-30)
  expect(shortestTurnDeg(0, 540)).toBe(-180)
})

test('a course that becomes known is shown without a turn', () => {
  const motion = new MotionTable()
  const row = motion.add()
  motion.jump(row, 0, 0, Number.NaN)
  motion.glide(row, 0.1, 0, 90, 0, 1_000)
  expect(motion.courseDeg[row]).toBe(90)
})

test('the table grows and keeps what it holds', () => {
  const motion = new MotionTable()
  for (let i = 0; i < 1_000; i++) motion.jump(motion.add(), i / 1_000, 0.5, 0)
  motion.glide(0, 1, 0.5, 0, 0, 1_000)
  for (let i = 0; i < 1_100; i++) motion.add()
  motion.sample(500)
  expect([motion.count, motion.x[0], motion.x[999], motion.placed[999], motion.placed[1_000]]).toEqual([
    2_100, 0.5, 0.999, 1, 0,
  ])
})
