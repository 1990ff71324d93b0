import { expect, test } from 'vitest'
import { compileShape, distanceM, edgesOf } from './shape.ts'

const SQUARE = [
  [0, 0],
  [10, 0],
  [10, 10],
  [0, 10],
  [0, 0],
]
const HOLE = [
  [4, 4],
  [6, 4],
  [6, 6],
  [4, 6],
  [4, 4],
]

test('a polygon contains its inside and boundaries, and not its hole', () => {
  const shape = compileShape({ type: 'Polygon', coordinates: [SQUARE, HOLE] })
  expect(shape.kind).toBe('polygons')
  expect(shape.bounds).toEqual({ west: 0, south: 0, east: 10, north: 10 })
  for (const [longitude, latitude] of [
    [1, 1],
    [0, 0],
    [10, 10],
    [10, 3],
    [3, 10],
    [3, 0],
    [0, 3],
    [4, 4],
    [4, 5],
    [5, 6],
  ]) {
    expect(shape.contains(latitude!, longitude!), `${longitude} ${latitude}`).toBe(true)
  }
  for (const [longitude, latitude] of [
    [5, 5],
    [-1, 0],
    [11, 10],
    [11, 0],
    [5, 11],
    [5, -1],
    [Number.NaN, 5],
    [5, Number.NaN],
  ]) {
    expect(shape.contains(latitude!, longitude!), `${longitude} ${latitude}`).toBe(false)
  }
  expect(edgesOf(shape).length).toBe(8 * 4)
})

test('a way through a polygon with a hole has an interval on either side of the hole', () => {
  const shape = compileShape({ type: 'Polygon', coordinates: [SQUARE, HOLE] })
  expect(shape.segmentIntervals(5, -10, 5, 10)).toEqual([
    [0.5, 0.7],
    [0.8, 1],
  ])
  expect(shape.segmentIntervals(-5, -10, -5, 10)).toEqual([])
  expect(shape.segmentIntervals(1, 1, 1, 1)).toEqual([[0, 1]])
  expect(shape.segmentIntervals(0, -10, 0, 10)).toEqual([[0.5, 1]])
})

test('circles and corridors are measured in metres', () => {
  const circle = compileShape({ type: 'Circle', center: [20, 50], radiusM: 1000 })
  expect([circle.contains(50, 20.0139), circle.contains(50, 20.014)]).toEqual([true, false])
  const corridor = compileShape({
    type: 'Corridor',
    coordinates: [
      [20, 0],
      [21, 0],
    ],
    halfWidthM: 1000,
  })
  expect([corridor.contains(0.0089, 20.5), corridor.contains(0.009, 20.5)]).toEqual([true, false])
  expect(distanceM(corridor, 1, 20.5)).toBeCloseTo(111_195.08, 1)
  const [[from, to]] = circle.segmentIntervals(50, 19.98, 50, 20.02) as [[number, number]]
  expect(circle.contains(50, 19.98 + 0.04 * (from + 1e-9))).toBe(true)
  expect(circle.contains(50, 19.98 + 0.04 * (from - 1e-9))).toBe(false)
  expect(circle.contains(50, 19.98 + 0.04 * (to + 1e-9))).toBe(false)
})
