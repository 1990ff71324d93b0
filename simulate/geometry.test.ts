import { describe, expect, test } from 'vitest'
import { beside, courseBetween, leftOfM, metresBetween, Path, simplify } from './geometry.ts'

const place = (latitudeDeg: number, longitudeDeg: number) => ({ latitudeDeg, longitudeDeg })
const austin = place(30.2672, -97.7431)
/** A place `north` and `east` metres from Austin's centre. */
const off = (north: number, east: number) =>
  place(
    austin.latitudeDeg + north / 111_195,
    austin.longitudeDeg + east / (111_195 * Math.cos((austin.latitudeDeg * Math.PI) / 180)),
  )

describe('geometry', () => {
  test('measures distances and courses', () => {
    // Capitol to airport, against the haversine formula.
    expect(metresBetween(place(30.2747, -97.7404), place(30.1975, -97.6664))).toBeCloseTo(11_143, -2)
    expect(courseBetween(austin, off(100, 0))).toBeCloseTo(0)
    expect(courseBetween(austin, off(0, 100))).toBeCloseTo(90)
    expect(courseBetween(austin, off(-100, 0))).toBeCloseTo(180)
    expect(courseBetween(austin, off(0, -100))).toBeCloseTo(270)
  })

  test('puts a place beside a line and finds it there', () => {
    const to = off(1000, 1000)
    const left = beside(austin, to, 0.5, 40)
    expect(leftOfM(austin, to, left)).toBeCloseTo(40, 1)
    expect(left.latitudeDeg).toBeGreaterThan(off(500, 500).latitudeDeg)
  })

  test('walks a path, and stays at its ends', () => {
    const path = new Path([austin, off(100, 0), off(100, 200)])
    expect(path.lengthM).toBeCloseTo(300, 1)
    expect(metresBetween(path.at(200), off(100, 100))).toBeLessThan(0.1)
    expect(path.at(-5)).toEqual(austin)
    expect(path.at(1e6)).toEqual(path.places[2])
    expect([...path.within(50, 250)]).toEqual([path.places[1]])
  })

  test('turns a corner in a bend, and keeps its course at the ends', () => {
    const path = new Path([austin, off(100, 0), off(100, 200)])
    expect(path.courseAt(0)).toBeCloseTo(0)
    expect(path.courseAt(100)).toBeCloseTo(45, 0)
    expect(path.courseAt(300)).toBeCloseTo(90)
  })

  test('finds both passes of a street that is taken twice', () => {
    const path = new Path([austin, off(1000, 0), off(1000, 200), off(1000, 0), austin])
    const alongs = path.passes(off(500, 10), 30).map(({ alongM }) => Math.round(alongM))
    expect(alongs).toEqual([500, 1900])
  })

  test('simplifies a line within its tolerance', () => {
    const line = [austin, off(50, 2), off(100, 0), off(100, 100)]
    expect(simplify(line, 5)).toEqual([line[0], line[2], line[3]])
    expect(simplify(line, 1)).toEqual(line)
  })
})
