import { expect, test } from 'vitest'
import { PointLog } from './point-log.ts'

const timesOf = (log: PointLog) => [...log.timeMs.subarray(0, log.count)]

function logOf(...times: number[]): PointLog {
  const log = new PointLog()
  for (const time of times) log.add(time, time / 1000, 0, 0, 0)
  return log
}

test('keeps points by time, whatever the order in which they come', () => {
  const times = Array.from({ length: 100 }, (_, index) => (index * 37) % 100)
  const log = logOf(...times)
  expect(timesOf(log)).toEqual([...times].sort((a, b) => a - b))
  expect([...log.x.subarray(0, log.count)]).toEqual(timesOf(log).map((time) => time / 1000))
})

test('a point of a time that is there takes its place', () => {
  const log = logOf(10, 20, 30)
  expect(log.add(20, 0.5, 0.25, 60, 90)).toBe(false)
  expect([timesOf(log), log.x[1], log.y[1], log.speedKmh[1], log.courseDeg[1]]).toEqual([
    [10, 20, 30],
    0.5,
    0.25,
    60,
    90,
  ])
})

test('finds the last point at or before a time', () => {
  const log = logOf(10, 20, 30, 40)
  expect([9, 10, 19, 20, 35, 40, 99].map((time) => log.indexAt(time))).toEqual([-1, 0, 0, 1, 2, 3, 3])
  expect(new PointLog().indexAt(5)).toBe(-1)
})

test('forgets what is before a time, but where the vehicle stood then', () => {
  const log = logOf(10, 20, 30, 40)
  expect([log.forgetBefore(5), log.forgetBefore(35), timesOf(log)]).toEqual([0, 2, [30, 40]])
  expect(log.x[0]).toBe(0.03)
})
