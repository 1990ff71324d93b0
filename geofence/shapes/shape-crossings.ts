/**
 * Finds edges of rings that cross, touch or overlap: a line sweeps over them from west to east and keeps those that it
 * stands on in their order; only neighbours can meet next. Exact, and n log n for any shape. As long as nothing
 * crosses, edges that touch or overlap do not disturb the order.
 */
import { orient2d } from 'robust-predicates'
import type { Ring } from './shape-rings.ts'

export type Meeting = 'touch' | 'cross' | 'overlap'

/** An edge, by its ring and the position that it begins at. */
export interface EdgeName {
  readonly ring: number
  readonly position: number
}

interface Edges {
  readonly count: number
  /** x0, y0, x1, y1 of each, from west to east and of vertical ones from south to north. */
  readonly places: Float64Array
  readonly ring: Int32Array
  readonly position: Int32Array
  /** Edges from this one on stand a turn further east, for what meets over the end of the sheet. */
  readonly firstTurned: number
}

/**
 * Calls `meet` for pairs of edges that have a place in common; it must throw where they cross. Where many meet in one
 * place not all pairs of them are named. Edges that follow each other are named only where they overlap. `turned` = the
 * second edge stands a turn further east. Edges along which a ring was closed at a pole are not there.
 */
export function eachMeeting(
  rings: readonly Ring[],
  meet: (kind: Meeting, a: EdgeName, b: EdgeName, turned: boolean) => void,
): void {
  const edges = edgesOfRings(rings)
  const { count, places, ring, position, firstTurned } = edges
  const name = (edge: number) => ({ ring: ring[edge]!, position: position[edge]! })
  const check = (a: number, b: number) => {
    const kind = meeting(places, 4 * a, 4 * b)
    const [first, second] = a < b ? [a, b] : [b, a]
    if (kind === undefined || first >= firstTurned) return
    const turned = second >= firstTurned
    if (!turned && ring[a] === ring[b] && kind === 'touch') {
      const distance = position[second]! - position[first]!
      if (distance === 1 || distance === rings[ring[a]!]!.numbers.length / 2 - 2) return
    }
    meet(kind, name(first), name(second), turned)
  }
  const standing = new Int32Array(count)
  let length = 0
  let before = -1
  for (const event of eventsOf(edges)) {
    const edge = event >> 1
    const ends = (event & 1) === 0
    // What ends where another begins is never its neighbour.
    const [x, y] = [placeOf(places, event, 0), placeOf(places, event, 1)]
    if (before >= 0 && placeOf(places, before, 0) === x && placeOf(places, before, 1) === y) {
      check(before >> 1, edge)
    }
    before = event
    let at = rank(places, standing, length, edge)
    if (ends) {
      if (standing[at] !== edge) at = standing.indexOf(edge)
      standing.copyWithin(at, at + 1, length)
      length--
      if (at > 0 && at < length) check(standing[at - 1]!, standing[at]!)
    } else {
      standing.copyWithin(at + 1, at, length)
      standing[at] = edge
      length++
      if (at > 0) check(standing[at - 1]!, edge)
      if (at + 1 < length) check(edge, standing[at + 1]!)
    }
  }
}

/** Twice the edge, plus 1 where it begins, in the order of the sweep; what ends in a place is first. */
function eventsOf({ count, places }: Edges): Int32Array {
  const events = new Int32Array(2 * count).map((_, index) => index)
  return events.sort(
    (a, b) =>
      placeOf(places, a, 0) - placeOf(places, b, 0) ||
      placeOf(places, a, 1) - placeOf(places, b, 1) ||
      (a & 1) - (b & 1),
  )
}

/** Longitude (0) or latitude (1) of an event. */
function placeOf(places: Float64Array, event: number, axis: 0 | 1): number {
  return places[4 * (event >> 1) + ((event & 1) === 0 ? 2 : 0) + axis]!
}

/** Where the edge stands, or is to stand, among the `length` ones that are standing, from south to north. */
function rank(places: Float64Array, standing: Int32Array, length: number, edge: number): number {
  let low = 0
  let high = length
  while (low < high) {
    const middle = (low + high) >> 1
    if (isNorthOf(places, edge, standing[middle]!)) low = middle + 1
    else high = middle
  }
  return low
}

/** By the beginning of the one that begins later; if that is on the other one, by where it goes. */
function isNorthOf(places: Float64Array, edge: number, other: number): boolean {
  if (edge === other) return false
  const a = 4 * edge
  const b = 4 * other
  const later = places[a]! > places[b]! || (places[a]! === places[b]! && places[a + 1]! >= places[b + 1]!)
  const side = later ? sideOf(places, b, a) : -sideOf(places, a, b)
  return side === 0 ? edge > other : side > 0
}

/** Above 0 where `edge` goes on north of `line`. */
function sideOf(places: Float64Array, line: number, edge: number): number {
  const x0 = places[line]!
  const y0 = places[line + 1]!
  const x1 = places[line + 2]!
  const y1 = places[line + 3]!
  // The sign is that of a plane whose y goes down.
  return (
    -orient2d(x0, y0, x1, y1, places[edge]!, places[edge + 1]!) ||
    -orient2d(x0, y0, x1, y1, places[edge + 2]!, places[edge + 3]!)
  )
}

function edgesOfRings(rings: readonly Ring[]): Edges {
  let [most, west, east] = [0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const { numbers } of rings) {
    most += numbers.length / 2 - 1
    for (let i = 0; i < numbers.length; i += 2) {
      west = Math.min(west, numbers[i]!)
      east = Math.max(east, numbers[i]!)
    }
  }
  const turns = east - west >= 360 ? 2 : 1
  const places = new Float64Array(4 * most * turns)
  const ring = new Int32Array(most * turns)
  const position = new Int32Array(most * turns)
  let count = 0
  let firstTurned = 0
  for (let turn = 0; turn < turns; turn++) {
    if (turn === 1) firstTurned = count
    for (const [index, { numbers, given }] of rings.entries()) {
      for (let i = 0; i + 1 < given.length; i++) {
        if (given[i]! < 0 || given[i + 1]! < 0) continue
        const [x0, x1] = [numbers[2 * i]! + 360 * turn, numbers[2 * i + 2]! + 360 * turn]
        if (turn === 1 && Math.min(x0, x1) > east) continue
        const [y0, y1] = [numbers[2 * i + 1]!, numbers[2 * i + 3]!]
        const forward = x0 < x1 || (x0 === x1 && y0 < y1)
        places.set(forward ? [x0, y0, x1, y1] : [x1, y1, x0, y0], 4 * count)
        ring[count] = index
        position[count] = i
        count++
      }
    }
  }
  return { count, places, ring, position, firstTurned: turns === 1 ? count : firstTurned }
}

/** What two segments have in common, exactly; `a` and `b` are where they begin in `places`. */
function meeting(places: Float64Array, a: number, b: number): Meeting | undefined {
  const ax = places[a]!
  const ay = places[a + 1]!
  const aX = places[a + 2]!
  const aY = places[a + 3]!
  const bx = places[b]!
  const by = places[b + 1]!
  const bX = places[b + 2]!
  const bY = places[b + 3]!
  const b0 = orient2d(ax, ay, aX, aY, bx, by)
  const b1 = orient2d(ax, ay, aX, aY, bX, bY)
  if ((b0 > 0 && b1 > 0) || (b0 < 0 && b1 < 0)) return undefined
  const a0 = orient2d(bx, by, bX, bY, ax, ay)
  const a1 = orient2d(bx, by, bX, bY, aX, aY)
  if ((a0 > 0 && a1 > 0) || (a0 < 0 && a1 < 0)) return undefined
  if (a0 !== 0 && a1 !== 0 && b0 !== 0 && b1 !== 0) return 'cross'
  if (a0 !== 0 || a1 !== 0 || b0 !== 0 || b1 !== 0) return 'touch'
  // On one line: the later beginning against the earlier end.
  const vertical = ax === aX
  const common = vertical ? Math.min(aY, bY) - Math.max(ay, by) : Math.min(aX, bX) - Math.max(ax, bx)
  return common > 0 ? 'overlap' : common === 0 ? 'touch' : undefined
}
