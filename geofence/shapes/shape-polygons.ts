/** Polygons of a shape: their rings in one sheet of longitudes, and whether all of them are where they must be. */
import type { UnwrappedBounds } from './geometry-bounds.ts'
import { POLYGON_HEADER, sideOfPolygon, sideOnGlobe } from './geometry-polygons.ts'
import { eachMeeting } from './shape-crossings.ts'
import { ShapeError } from './shape-error.ts'
import { checkPositions, hasFullTurn, type Ring, readRing } from './shape-rings.ts'

export interface PolygonRings {
  /** Such as ` of polygon 2`; empty where there is one. */
  readonly of: string
  /** The outer one, then the holes. */
  readonly rings: readonly Ring[]
  readonly bounds: UnwrappedBounds
  /** As geometry.ts has it. */
  readonly numbers: Float64Array
}

/** So many places of a ring are tried for one that is not on the boundary of another. */
const TRIES_MAX = 16

/** @throws {ShapeError} */
export function readPolygon(
  coordinates: readonly (readonly (readonly number[])[])[],
  of: string,
): PolygonRings {
  if (coordinates.length === 0) {
    throw new ShapeError('shape-empty', `there is no ring${of}: give at least the outer one`)
  }
  const rings = coordinates.map((positions, index) => {
    const label = `ring ${index}${of}`
    checkPositions(positions, label)
    return hasFullTurn(positions) ? fullTurnRing(positions, label) : readRing(positions, label, false)
  })
  const outer = rings[0]!
  const bounds = boundsOf(outer.numbers)
  const alone = polygonOf(bounds, [outer.numbers])
  const written = [outer.numbers]
  const touching = checkRings(rings)
  for (const [index, hole] of rings.entries()) {
    if (index === 0) continue
    const copies = insideCopies(hole, alone, touching[index] === 1)
    if (copies.length === 0) {
      throw new ShapeError(
        'shape-hole-outside',
        `${hole.label} is a hole and does not lie inside ring 0${of}: move it, or give it as a polygon of its own`,
      )
    }
    written.push(...copies)
  }
  checkHoles(rings)
  return { of, rings, bounds, numbers: polygonOf(bounds, written) }
}

/** @throws {ShapeError} where polygons of one shape cross or lie in each other; they may touch. */
export function checkPolygons(polygons: readonly PolygonRings[]): void {
  if (polygons.length === 1) return
  const owners = polygons.flatMap(({ rings }, polygon) => rings.map(() => polygon))
  const rings = polygons.flatMap((polygon) => polygon.rings)
  eachMeeting(rings, (kind, a, b) => {
    if (kind !== 'cross' || owners[a.ring] === owners[b.ring]) return
    throw new ShapeError(
      'shape-polygons-crossing',
      `the edge ${edge(rings, a)} crosses the edge ${edge(rings, b)}: join these polygons or move them apart`,
    )
  })
  const found = findNested(
    polygons.map(({ rings }) => rings[0]!.numbers),
    polygons.map(({ numbers }) => numbers),
  )
  if (found === undefined) return
  const [inner, outer] = found.map((polygon) => polygons[polygon]!.rings[0]!.label)
  throw new ShapeError(
    'shape-polygons-crossing',
    `${inner} lies inside ${outer}: give it as a hole, or leave it out`,
  )
}

/**
 * A ring with an edge of exactly 360°: where a line along the antimeridian is meant, the edge is no way at all; where
 * that makes no area or a turn round a pole, it goes all the way round, as in a rectangle of the whole world.
 */
function fullTurnRing(positions: readonly (readonly number[])[], label: string): Ring {
  const rings: (Ring & { readonly polar: boolean })[] = []
  let refusal: unknown
  for (const wholeWay of [false, true]) {
    try {
      const ring = readRing(positions, label, wholeWay)
      checkRings([ring])
      rings.push(ring)
    } catch (error) {
      if (!(error instanceof ShapeError)) throw error
      refusal ??= error
    }
  }
  const ring = rings.find(({ polar }) => !polar) ?? rings[0]
  if (ring === undefined) throw refusal
  return ring
}

/** @returns for each ring whether it touches another one. @throws {ShapeError} where rings cross. */
function checkRings(rings: readonly Ring[]): Uint8Array {
  const touching = new Uint8Array(rings.length)
  eachMeeting(rings, (kind, a, b, turned) => {
    if (turned && kind !== 'cross') return
    if (a.ring === b.ring) {
      const verb = { touch: 'touches', cross: 'crosses', overlap: 'overlaps' }[kind]
      throw new ShapeError(
        'shape-self-crossing',
        `the edge ${edge(rings, a)} ${verb} the edge ${edge(rings, b)}: a ring must not meet itself, split it there`,
      )
    }
    if (kind !== 'touch') {
      throw new ShapeError(
        'shape-rings-crossing',
        `the edge ${edge(rings, a)} ${kind === 'cross' ? 'crosses' : 'overlaps'} the edge ${edge(rings, b)}: rings of a polygon may touch in single places only`,
      )
    }
    touching[a.ring] = 1
    touching[b.ring] = 1
  })
  return touching
}

function edge(rings: readonly Ring[], { ring, position }: { ring: number; position: number }): string {
  const { label, given } = rings[ring]!
  return `after vertex ${given[position]} of ${label}`
}

/**
 * The hole in the sheet of the outer ring. A ring round a pole is cut along a meridian: a hole across it is there
 * twice, once at either side. None where the hole lies outside.
 */
function insideCopies(hole: Ring, outer: Float64Array, touches: boolean): Float64Array[] {
  const { numbers } = hole
  const bounds = boundsOf(numbers)
  const copies: Float64Array[] = []
  for (const turn of [-360, 0, 360]) {
    if (bounds.east + turn < outer[1]! || bounds.west + turn > outer[3]!) continue
    let inside = false
    for (let i = 0; i < numbers.length - 2; i++) {
      const [x, y] = sample(numbers, i)
      const side = sideOfPolygon(outer, 0, x + turn, y)
      if (side > 0) inside = true
      if (side < 0 && sideOnGlobe(outer, 0, y, x) < 0) return []
      // Without a place in common one vertex stands for all; else a line through a vertex shows only here.
      if (inside && !touches) break
    }
    if (inside) copies.push(numbers.map((number, index) => (index % 2 === 0 ? number + turn : number)))
  }
  return copies
}

function checkHoles(rings: readonly Ring[]): void {
  const holes = rings.slice(1)
  const found = findNested(
    holes.map(({ numbers }) => numbers),
    holes.map(({ numbers }) => polygonOf(boundsOf(numbers), [numbers])),
  )
  if (found === undefined) return
  const [inner, outer] = found.map((hole) => holes[hole]!.label)
  throw new ShapeError(
    'shape-rings-crossing',
    `${inner} lies inside ${outer}: holes must lie beside each other`,
  )
}

/** Ring and polygon of another index that it lies in; they do not cross. Pairs are many, so boxes come first. */
function findNested(
  rings: readonly Float64Array[],
  polygons: readonly Float64Array[],
): [inner: number, outer: number] | undefined {
  const boxes = new Float64Array(4 * polygons.length)
  for (const [index, polygon] of polygons.entries()) boxes.set(polygon.subarray(1, 5), 4 * index)
  for (const [inner, ring] of rings.entries()) {
    const west = boxes[4 * inner]!
    const south = boxes[4 * inner + 1]!
    const east = boxes[4 * inner + 2]!
    const north = boxes[4 * inner + 3]!
    for (let outer = 0, box = 0; outer < polygons.length; outer++, box += 4) {
      if (south < boxes[box + 1]! || north > boxes[box + 3]! || inner === outer) continue
      const [from, to] = [boxes[box]!, boxes[box + 2]!]
      const apart = west < from || east > to
      if (apart && to - from < 360 && (west + 360 < from || east + 360 > to)) continue
      if (liesIn(ring, polygons[outer]!)) return [inner, outer]
    }
  }
  return undefined
}

/** Whether the ring, which does not cross the polygon, lies in it. */
function liesIn(ring: Float64Array, polygon: Float64Array): boolean {
  const count = Math.min(TRIES_MAX, ring.length - 2)
  for (let i = 0; i < count; i++) {
    const [x, y] = sample(ring, i)
    const side = sideOnGlobe(polygon, 0, y, x)
    if (side !== 0) return side > 0
  }
  return false
}

/** Middles of edges and vertices of a closed ring by turns, `numbers.length` − 2 of them. */
function sample(numbers: Float64Array, index: number): readonly [x: number, y: number] {
  const at = index & ~1
  const [x, y] = [numbers[at]!, numbers[at + 1]!]
  if (index !== at) return [x, y]
  return [(x + numbers[at + 2]!) / 2, (y + numbers[at + 3]!) / 2]
}

function polygonOf(bounds: UnwrappedBounds, rings: readonly Float64Array[]): Float64Array {
  const numbers = new Float64Array(rings.reduce((sum, ring) => sum + 1 + ring.length, POLYGON_HEADER))
  numbers.set([numbers.length, bounds.west, bounds.south, bounds.east, bounds.north, rings.length])
  let at = POLYGON_HEADER
  for (const ring of rings) {
    numbers[at] = ring.length / 2
    numbers.set(ring, at + 1)
    at += 1 + ring.length
  }
  return numbers
}

function boundsOf(numbers: Float64Array): UnwrappedBounds {
  const bounds = { west: 1080, south: 90, east: -1080, north: -90 }
  for (let i = 0; i < numbers.length; i += 2) {
    bounds.west = Math.min(bounds.west, numbers[i]!)
    bounds.east = Math.max(bounds.east, numbers[i]!)
    bounds.south = Math.min(bounds.south, numbers[i + 1]!)
    bounds.north = Math.max(bounds.north, numbers[i + 1]!)
  }
  return bounds
}
