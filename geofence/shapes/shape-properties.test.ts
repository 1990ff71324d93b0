import fc from 'fast-check'
import { expect, test } from 'vitest'
import { containsAt } from './geometry.ts'
import { segmentIntervalsAt } from './geometry-segments.ts'
import { compileShape, edgesOf, type Shape, shapeOf } from './shape.ts'

type Place = [longitude: number, latitude: number]
type Ring = Place[]

/** Multiples of 2^-20: shifting them by 360 is exact. */
const step = (min: number, max: number) =>
  fc.integer({ min: min * 2 ** 20, max: max * 2 ** 20 }).map((value) => value / 2 ** 20)

/** A ring without crossings: its vertices are sorted by their direction from the centre. */
const ringAround = fc
  .record({
    center: fc.tuple(step(-179, 179), step(-60, 60)),
    radii: fc.array(step(1, 20), { minLength: 3, maxLength: 30 }),
  })
  .map(({ center: [x, y], radii }): Ring => {
    const ring = radii.map((radius, index): Place => {
      const part = (2 * Math.PI * index) / radii.length
      return [snapped(x + radius * Math.cos(part)), snapped(y + radius * Math.sin(part))]
    })
    return [...ring, ring[0]!]
  })
const snapped = (degrees: number) => Math.round(degrees * 2 ** 20) / 2 ** 20
const places = fc.array(fc.tuple(step(-180, 180), step(-90, 90)), { minLength: 20, maxLength: 20 })

const polygon = (...rings: Ring[]): Shape => compileShape({ type: 'Polygon', coordinates: rings })
/** The places and, since most of them are far away, some on and beside the edges. */
function probes(ring: Ring, some: Place[]): Place[] {
  const near = ring.slice(1).flatMap(([x, y], index): Place[] => {
    const [fromX, fromY] = ring[index]!
    const middle: Place = [(x + fromX) / 2, (y + fromY) / 2]
    return [[x, y], middle, [middle[0] + 2 ** -10, middle[1]], [middle[0] - 2 ** -10, middle[1]]]
  })
  return [...some, ...near].map(([x, y]) => [x > 180 ? x - 360 : x < -180 ? x + 360 : x, y])
}
const answers = (shape: Shape, at: Place[]) => at.map(([x, y]) => shape.contains(y, x))
const RUNS = { numRuns: 300 }

test('where a ring begins and which way it goes round does not matter', () => {
  fc.assert(
    fc.property(ringAround, fc.nat(29), places, (ring, start, some) => {
      const open = ring.slice(0, -1)
      const begin = start % open.length
      const rotated = [...open.slice(begin), ...open.slice(0, begin), open[begin]!]
      const at = probes(ring, some)
      const expected = answers(polygon(ring), at)
      expect(answers(polygon(rotated), at)).toEqual(expected)
      expect(answers(polygon([...ring].reverse()), at)).toEqual(expected)
      expect(polygon([...rotated].reverse()).bounds).toEqual(polygon(ring).bounds)
    }),
    RUNS,
  )
})

test('a ring may be written a turn further east or west, or wrapped at the antimeridian', () => {
  fc.assert(
    fc.property(ringAround, places, (ring, some) => {
      const at = probes(ring, some)
      const expected = answers(polygon(ring), at)
      const turns: ((x: number) => number)[] = [
        (x) => x + 360,
        (x) => x - 360,
        (x) => (x > 180 ? x - 360 : x < -180 ? x + 360 : x),
      ]
      for (const turn of turns) {
        const turned = ring.map(([x, y]): Place => [turn(x), y])
        if (turned.some(([x]) => Math.abs(x) > 360)) continue
        expect(answers(polygon(turned), at)).toEqual(expected)
        expect(polygon(turned).bounds).toEqual(polygon(ring).bounds)
      }
    }),
    RUNS,
  )
})

test('a mirrored ring has the mirrored places', () => {
  fc.assert(
    fc.property(ringAround, places, (ring, some) => {
      const at = probes(ring, some)
      const expected = answers(polygon(ring), at)
      const mirrors: ((place: Place) => Place)[] = [([x, y]) => [-x, y], ([x, y]) => [x, -y]]
      for (const mirror of mirrors)
        expect(answers(polygon(ring.map(mirror)), at.map(mirror))).toEqual(expected)
    }),
    RUNS,
  )
})

test('repeated and additional positions along edges change nothing', () => {
  fc.assert(
    fc.property(ringAround, places, (ring, some) => {
      // Halves of these numbers are exact, so that they lie on the edges.
      const finer = ring.flatMap(([x, y], index): Place[] => {
        const next = ring[index + 1]
        return next === undefined
          ? [[x, y]]
          : [
              [x, y],
              [x, y],
              [(x + next[0]) / 2, (y + next[1]) / 2],
            ]
      })
      const at = probes(ring, some)
      expect(answers(polygon(finer), at)).toEqual(answers(polygon(ring), at))
    }),
    RUNS,
  )
})

test('a region in the middle of a longer array answers as the shape does', () => {
  fc.assert(
    fc.property(ringAround, places, step(1, 60), fc.nat(50), (ring, some, metres, start) => {
      const shapes = [
        polygon(ring),
        compileShape({ type: 'Circle', center: ring[0]!, radiusM: metres * 10_000 }),
        compileShape({ type: 'Corridor', coordinates: ring, halfWidthM: metres * 800 }),
      ]
      for (const { numbers } of shapes) {
        const array = new Float64Array(new SharedArrayBuffer(8 * (start + numbers.length + 9))).fill(7)
        array.set(numbers, start)
        const at = probes(ring, some)
        expect(numbers[1]).toBe(numbers.length)
        expect(at.map(([x, y]) => containsAt(array, start, y, x))).toEqual(answers(shapeOf(numbers), at))
        const [[x0, y0], [x1, y1]] = at as [Place, Place]
        expect(segmentIntervalsAt(array, start, y0, x0, y1, x1)).toEqual(
          shapeOf(numbers).segmentIntervals(y0, x0, y1, x1),
        )
      }
    }),
    RUNS,
  )
})

test('intervals of a way are where points along it lie inside', () => {
  fc.assert(
    fc.property(ringAround, places, step(1, 60), (ring, some, metres) => {
      const shapes = [
        polygon(ring),
        compileShape({ type: 'Circle', center: ring[0]!, radiusM: metres * 15_000 }),
        compileShape({ type: 'Corridor', coordinates: ring, halfWidthM: metres * 800 }),
      ]
      const ends = [
        ...probes(ring, []),
        ...some.map(([x, y], index): Place => near(ring[index % ring.length]!, x, y)),
      ]
      for (const shape of shapes) {
        for (let i = 0; i + 7 < ends.length; i += 5) check(shape, ends[i]!, ends[i + 7]!)
      }
    }),
    { numRuns: 60 },
  )
})

const near = ([x, y]: Place, dx: number, dy: number): Place => [
  x + dx / 8,
  Math.max(-90, Math.min(90, y + dy / 8)),
]

/** Between the ends of intervals one place stands for all; a little beside an end both answers show. */
function check(shape: Shape, [x0, y0]: Place, [x1, y1]: Place): void {
  let dx = x1 - x0
  if (dx > 180) dx -= 360
  if (dx < -180) dx += 360
  const intervals = shape.segmentIntervals(y0, x0, y1, x1)
  const inside = (t: number) => shape.contains(y0 + t * (y1 - y0), x0 + t * dx)
  for (let i = 1; i < 100; i++) {
    const t = i / 100
    const margin = 1e-5
    if (intervals.some(([from, to]) => Math.abs(t - from) < margin || Math.abs(t - to) < margin)) continue
    const expected = intervals.some(([from, to]) => t > from && t < to)
    if (inside(t) !== expected) expect(grazes(shape, [x0 + t * dx, y0 + t * (y1 - y0)])).toBe(true)
  }
  for (const [index, [from, to]] of intervals.entries()) {
    expect(from).toBeGreaterThanOrEqual(0)
    expect(to).toBeLessThanOrEqual(1)
    expect(from).toBeLessThanOrEqual(to)
    if (index > 0) expect(from).toBeGreaterThan(intervals[index - 1]![1])
  }
}

/** A way along an edge of a polygon is beside it by rounding. */
function grazes(shape: Shape, [x, y]: Place): boolean {
  if (shape.kind !== 'polygons') return false
  const edges = edgesOf(shape)
  for (const turn of [-360, 0, 360]) {
    for (let at = 0; at < edges.length; at += 4) {
      const [x0, y0, x1, y1] = edges.subarray(at, at + 4) as unknown as [number, number, number, number]
      const [dx, dy] = [x1 - x0, y1 - y0]
      const along = ((x + turn - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy)
      const part = Math.min(1, Math.max(0, along))
      if (Math.hypot(x + turn - x0 - part * dx, y - y0 - part * dy) < 1e-9) return true
    }
  }
  return false
}
