import { expect, test } from 'vitest'
import { boxAround, boxServes } from './viewport.ts'

const AUSTIN = { west: -98, south: 30, east: -97, north: 31 }

test('a box has a margin around the view, and ends where the world does', () => {
  expect(boxAround(AUSTIN)).toEqual([-98.35, 29.65, -96.65, 31.35])
  expect(boxAround({ west: -200, south: -80, east: 170, north: 80 })).toEqual([-180, -90, 180, 90])
})

test('a small move needs no other box, a large one and a much closer view do', () => {
  const box = boxAround(AUSTIN)
  const moved = (deg: number) => ({ ...AUSTIN, west: AUSTIN.west + deg, east: AUSTIN.east + deg })
  expect([0, 0.3, -0.3, 0.4].map((deg) => boxServes(box, moved(deg)))).toEqual([true, true, true, false])
  expect(boxServes(box, { west: -97.6, south: 30.4, east: -97.4, north: 30.6 })).toBe(false)
})

test('a view that goes beyond the edge of the world needs nothing from there', () => {
  const view = { west: -200, south: -95, east: 200, north: 95 }
  expect(boxServes(boxAround(view), view)).toBe(true)
})
