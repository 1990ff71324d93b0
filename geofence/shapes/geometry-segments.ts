/** Parts of a straight way that lie inside geometry of a region (layout in geometry.ts). */
import { orient2d } from 'robust-predicates'
import { BODY, containsAt, distanceAtM, KIND } from './geometry.ts'
import { POLYGON_HEADER } from './geometry-polygons.ts'
import { corridorDistanceM, EARTH_RADIUS_M, RADIANS } from './geometry-sphere.ts'

/** Fractions of the way, from 0 to 1, `from` <= `to`. */
export type Interval = readonly [from: number, to: number]

/** Intervals that are no further apart are one: that much is lost where a shape is cut at the antimeridian. */
const APART_MIN = 1e-12
/** A piece of a way that counts as straight on the sphere: it is, to some centimetres. */
const PIECE_M = 2000
/** A bound for ways of thousands of kilometres along a boundary, whose pieces are longer. */
const PIECES_MAX = 512
const BISECTIONS = 40

/** See `Shape.segmentIntervals`. The way is taken in the longitudes' shorter direction. */
export function segmentIntervalsAt(
  numbers: Float64Array,
  start: number,
  fromLatitudeDeg: number,
  fromLongitudeDeg: number,
  toLatitudeDeg: number,
  toLongitudeDeg: number,
): Interval[] {
  let to = toLongitudeDeg
  while (to - fromLongitudeDeg > 180) to -= 360
  while (to - fromLongitudeDeg < -180) to += 360
  if (fromLatitudeDeg === toLatitudeDeg && fromLongitudeDeg === to) {
    return containsAt(numbers, start, fromLatitudeDeg, fromLongitudeDeg) ? [[0, 1]] : []
  }
  const intervals =
    numbers[start] === KIND.polygons
      ? polygonIntervals(numbers, start + BODY, fromLongitudeDeg, fromLatitudeDeg, to, toLatitudeDeg)
      : intervalsWithin(numbers, start, fromLatitudeDeg, fromLongitudeDeg, toLatitudeDeg, to)
  return merged(intervals)
}

function polygonIntervals(
  numbers: Float64Array,
  body: number,
  x0: number,
  y0: number,
  x1: number,
  y1: number,
): Interval[] {
  const intervals: Interval[] = []
  let polygon = body + 1
  for (let count = numbers[body]!; count > 0; count--) {
    const west = numbers[polygon + 1]!
    const east = numbers[polygon + 3]!
    if (Math.max(y0, y1) >= numbers[polygon + 2]! && Math.min(y0, y1) <= numbers[polygon + 4]!) {
      // From −720: the way itself may lie a turn beyond the longitudes of a fix.
      for (let turn = -720; Math.min(x0, x1) + turn <= east; turn += 360) {
        if (Math.max(x0, x1) + turn < west) continue
        addIntervals(numbers, polygon, x0 + turn, y0, x1 + turn, y1, intervals)
      }
    }
    polygon += numbers[polygon]!
  }
  return intervals
}

/**
 * Inside changes wherever an edge passes from one side of the line through both places to the other; an edge's end on
 * the line counts as left of it, so that a line through a vertex is passed once or twice, as it must be.
 */
function addIntervals(
  numbers: Float64Array,
  polygon: number,
  x0: number,
  y0: number,
  x1: number,
  y1: number,
  intervals: Interval[],
): void {
  const passes: number[] = []
  const dx = x1 - x0
  const dy = y1 - y0
  const square = dx * dx + dy * dy
  const fraction = (x: number, y: number) => ((x - x0) * dx + (y - y0) * dy) / square
  let at = polygon + POLYGON_HEADER
  for (let rings = numbers[polygon + 5]!; rings > 0; rings--) {
    const end = at + 1 + 2 * numbers[at]!
    let ax = numbers[at + 1]!
    let ay = numbers[at + 2]!
    let sideA = orient2d(x0, y0, x1, y1, ax, ay)
    for (at += 3; at < end; at += 2) {
      const bx = numbers[at]!
      const by = numbers[at + 1]!
      const sideB = orient2d(x0, y0, x1, y1, bx, by)
      if (sideA > 0 !== sideB > 0) {
        const part = sideA / (sideA - sideB)
        passes.push(fraction(ax + part * (bx - ax), ay + part * (by - ay)))
      } else if (sideA === 0 && sideB === 0) {
        const [from, to] = [fraction(ax, ay), fraction(bx, by)]
        add(intervals, Math.min(from, to), Math.max(from, to))
      }
      ax = bx
      ay = by
      sideA = sideB
    }
    at = end
  }
  passes.sort((a, b) => a - b)
  // Holes at the cut of a ring round a pole stand out of its sheet.
  const [west, east] = [numbers[polygon + 1]!, numbers[polygon + 3]!]
  const clip = east - west >= 360 && dx !== 0
  const ends = clip ? [(west - x0) / dx, (east - x0) / dx].sort((a, b) => a - b) : [0, 1]
  for (let i = 0; i + 1 < passes.length; i += 2) {
    const from = Math.max(passes[i]!, ends[0]!)
    const to = Math.min(passes[i + 1]!, ends[1]!)
    if (from < to || !clip) add(intervals, from, to)
  }
}

/**
 * Circles and corridors. A place on the way is at most its length away from any other, which decides most of it. A
 * piece near a boundary is so short that it is straight: along it the distance from a convex part, which is the centre
 * or a segment of the line, falls and then rises.
 */
function intervalsWithin(
  numbers: Float64Array,
  start: number,
  y0: number,
  x0: number,
  y1: number,
  x1: number,
): Interval[] {
  const body = start + BODY
  const isCircle = numbers[start] === KIND.circle
  const limitM = isCircle ? numbers[body + 2]! : numbers[body]!
  const parts = isCircle ? 1 : numbers[body + 3]! - 1
  const latitude = (t: number) => y0 + t * (y1 - y0)
  const longitude = (t: number) => x0 + t * (x1 - x0)
  const distanceM = (t: number) => distanceAtM(numbers, start, latitude(t), longitude(t))
  const partDistanceM = (part: number) => (t: number) =>
    isCircle ? distanceM(t) : corridorDistanceM(numbers, body, latitude(t), longitude(t), part, part + 1)
  const widest = y0 > 0 === y1 > 0 ? Math.cos(Math.min(Math.abs(y0), Math.abs(y1)) * RADIANS) : 1
  const lengthM = EARTH_RADIUS_M * RADIANS * Math.hypot(y1 - y0, (x1 - x0) * widest)
  const piece = Math.max(PIECE_M / lengthM, 1 / PIECES_MAX)
  const intervals: Interval[] = []
  const visit = (a: number, distanceA: number, b: number, distanceB: number) => {
    const reachM = lengthM * (b - a)
    if ((distanceA + distanceB - reachM) / 2 > limitM) return
    if ((distanceA + distanceB + reachM) / 2 <= limitM) return add(intervals, a, b)
    const middle = (a + b) / 2
    if (b - a > piece) {
      const distance = distanceM(middle)
      visit(a, distanceA, middle, distance)
      visit(middle, distance, b, distanceB)
      return
    }
    for (let part = 0; part < parts; part++) {
      const partM = partDistanceM(part)
      if (partM(middle) - reachM / 2 <= limitM) addWithin(intervals, partM, limitM, a, b)
    }
  }
  visit(0, distanceM(0), 1, distanceM(1))
  return intervals
}

/** The part of [a, b] where the distance, which falls and then rises, is at most the limit. */
function addWithin(
  intervals: Interval[],
  distanceM: (t: number) => number,
  limitM: number,
  a: number,
  b: number,
): void {
  const inside = placeWithin(distanceM, limitM, a, b)
  if (inside === undefined) return
  const end = (outside: number) => {
    if (distanceM(outside) <= limitM) return outside
    let [near, far] = [inside, outside]
    for (let i = 0; i < BISECTIONS; i++) {
      const middle = (near + far) / 2
      if (distanceM(middle) <= limitM) near = middle
      else far = middle
    }
    return near
  }
  add(intervals, end(a), end(b))
}

function placeWithin(
  distanceM: (t: number) => number,
  limitM: number,
  a: number,
  b: number,
): number | undefined {
  if (distanceM(a) <= limitM) return a
  if (distanceM(b) <= limitM) return b
  let [from, to] = [a, b]
  for (let i = 0; i < BISECTIONS; i++) {
    const left = from + (to - from) / 3
    const right = to - (to - from) / 3
    const [leftM, rightM] = [distanceM(left), distanceM(right)]
    if (leftM <= limitM) return left
    if (rightM <= limitM) return right
    if (leftM < rightM) to = right
    else from = left
  }
  return undefined
}

function add(intervals: Interval[], from: number, to: number): void {
  if (to >= 0 && from <= 1) intervals.push([Math.max(0, from), Math.min(1, to)])
}

function merged(intervals: Interval[]): Interval[] {
  intervals.sort((a, b) => a[0] - b[0])
  const result: [number, number][] = []
  for (const [from, to] of intervals) {
    const last = result[result.length - 1]
    if (last !== undefined && from - last[1] <= APART_MIN) last[1] = Math.max(last[1], to)
    else result.push([from, to])
  }
  return result
}
