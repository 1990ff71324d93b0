import { expect, test } from 'vitest'
import { GeofenceShape, VERTICES_MAX } from '../../schemas/geofence.ts'
import { compileShape, ShapeError } from './shape.ts'

type Place = number[]

const box = (west: number, south: number, east: number, north: number): Place[] => [
  [west, south],
  [east, south],
  [east, north],
  [west, north],
  [west, south],
]
const polygon = (...coordinates: Place[][]): GeofenceShape => ({ type: 'Polygon', coordinates })
const polygons = (...coordinates: Place[][][]): GeofenceShape => ({ type: 'MultiPolygon', coordinates })

/** Code and message, or undefined where the shape is taken. */
function refusal(shape: GeofenceShape): { code: string; message: string } | undefined {
  try {
    compileShape(shape)
    return undefined
  } catch (error) {
    if (error instanceof ShapeError) return { code: error.code, message: error.message }
    throw error
  }
}

const REFUSED: [why: string, shape: GeofenceShape, code: string, message: RegExp][] = [
  ['no ring', polygon(), 'shape-empty', /no ring/],
  ['an empty ring', polygon([]), 'shape-empty', /ring 0 is empty/],
  ['no polygon', polygons(), 'shape-empty', /no polygon/],
  ['an empty polygon', polygons([box(0, 0, 1, 1)], []), 'shape-empty', /no ring of polygon 1/],
  ['an open ring', polygon(box(0, 0, 1, 1).slice(0, 4)), 'shape-ring-open', /ring 0 is not closed/],
  [
    'a ring of three positions',
    polygon([
      [0, 0],
      [1, 0],
      [0, 0],
    ]),
    'shape-ring-short',
    /3 positions/,
  ],
  ['NaN', polygon([[Number.NaN, 0], ...box(0, 0, 1, 1)]), 'shape-not-a-number', /vertex 0 of ring 0/],
  ['infinity', polygon([...box(0, 0, 1, 1), [0, 1 / 0]]), 'shape-not-a-number', /vertex 5/],
  ['a missing latitude', polygon([[0], ...box(0, 0, 1, 1)]), 'shape-not-a-number', /vertex 0/],
  ['latitude 91', polygon(box(100, 0, 101, 91)), 'shape-out-of-range', /vertex 2 of ring 0 has latitude 91/],
  ['longitude 361', polygon(box(0, 0, 361, 1)), 'shape-out-of-range', /longitude 361/],
  ['Sydney with latitude first', polygon(box(-34, 150, -33, 151)), 'shape-coordinates-swapped', /swapped/],
  [
    'a swapped centre',
    { type: 'Circle', center: [-34, 151], radiusM: 1 },
    'shape-coordinates-swapped',
    /centre/,
  ],
  ['one position again and again', polygon(box(1, 1, 1, 1)), 'shape-zero-area', /ring 0 has no area/],
  ['a line there and back', polygon(box(1, 1, 2, 1)), 'shape-zero-area', /no area/],
  [
    'a bow tie',
    polygon([
      [0, 0],
      [1, 1],
      [1, 0],
      [0, 1],
      [0, 0],
    ]),
    'shape-self-crossing',
    /after vertex 0 of ring 0 crosses the edge after vertex 2 of ring 0/,
  ],
  [
    'a ring with a spike',
    polygon([
      [0, 0],
      [2, 0],
      [4, 0],
      [2, 0],
      [2, 2],
      [0, 0],
    ]),
    'shape-self-crossing',
    /overlaps/,
  ],
  [
    'two squares that touch in a vertex as one ring',
    polygon([
      [0, 0],
      [1, 0],
      [1, 1],
      [2, 1],
      [2, 2],
      [1, 2],
      [1, 1],
      [0, 1],
      [0, 0],
    ]),
    'shape-self-crossing',
    /touches/,
  ],
  [
    'a vertex on another edge of its ring',
    polygon([
      [0, 0],
      [4, 0],
      [4, 4],
      [2, 0],
      [0, 4],
      [0, 0],
    ]),
    'shape-self-crossing',
    /touches/,
  ],
  [
    'a ring twice round',
    polygon([...box(0, 0, 1, 1), ...box(0, 0, 1, 1).slice(1)]),
    'shape-self-crossing',
    /overlaps|touches/,
  ],
  [
    'a ring twice round the globe',
    polygon([
      [0, 10],
      [120, 11],
      [240, 12],
      [360, 13],
      [120, 14],
      [240, 15],
      [0, 10],
    ]),
    'shape-self-crossing',
    /more than once/,
  ],
  [
    'a spiral beyond the globe',
    polygon([
      [-200, 0],
      [-80, 0],
      [40, 0],
      [160, 0],
      [200, 0],
      [200, 10],
      [160, 10],
      [40, 10],
      [-80, 10],
      [-200, 10],
      [-200, 0],
    ]),
    'shape-too-wide',
    /360°/,
  ],
  ['a hole outside', polygon(box(0, 0, 1, 1), box(2, 2, 3, 3)), 'shape-hole-outside', /ring 1 is a hole/],
  ['a hole round it', polygon(box(0, 0, 1, 1), box(-1, -1, 3, 3)), 'shape-hole-outside', /ring 1/],
  ['a hole across', polygon(box(0, 0, 2, 2), box(1, 1, 3, 1.5)), 'shape-rings-crossing', /crosses/],
  ['a hole along an edge', polygon(box(0, 0, 4, 4), box(0, 1, 1, 2)), 'shape-rings-crossing', /overlaps/],
  [
    'a hole that leaves and comes back in vertices of its own',
    polygon(box(0, 0, 4, 4), [
      [1, 1],
      [2, 0],
      [2.5, -1],
      [3, 0],
      [3, 1],
      [1, 1],
    ]),
    'shape-hole-outside',
    /ring 1/,
  ],
  [
    'equal holes',
    polygon(box(0, 0, 9, 9), box(1, 1, 2, 2), box(1, 1, 2, 2)),
    'shape-rings-crossing',
    /overlaps/,
  ],
  [
    'a hole in a hole',
    polygon(box(0, 0, 9, 9), box(1, 1, 5, 5), box(2, 2, 3, 3)),
    'shape-rings-crossing',
    /ring 2 lies inside ring 1/,
  ],
  [
    'polygons that cross',
    polygons([box(0, 0, 2, 2)], [box(1, 1, 3, 3)]),
    'shape-polygons-crossing',
    /ring 0 of polygon [01] crosses/,
  ],
  [
    'polygons that cross over the antimeridian',
    polygons([box(170, 0, 190, 2)], [box(-175, 1, -160, 3)]),
    'shape-polygons-crossing',
    /crosses/,
  ],
  [
    'a polygon in another',
    polygons([box(0, 0, 9, 9)], [box(1, 1, 3, 3)]),
    'shape-polygons-crossing',
    /ring 0 of polygon 1 lies inside ring 0 of polygon 0/,
  ],
  ['an empty line', { type: 'Corridor', coordinates: [], halfWidthM: 1 }, 'shape-empty', /line is empty/],
  [
    'a line of one place',
    { type: 'Corridor', coordinates: [[1, 1]], halfWidthM: 1 },
    'shape-line-short',
    /2/,
  ],
  [
    'a line that stays',
    {
      type: 'Corridor',
      coordinates: [
        [180, 1],
        [-180, 1],
      ],
      halfWidthM: 1,
    },
    'shape-line-short',
    /no length/,
  ],
  [
    'a line to the other side of the globe',
    {
      type: 'Corridor',
      coordinates: [
        [0, 10],
        [180, -10],
      ],
      halfWidthM: 1,
    },
    'shape-line-antipodal',
    /vertices 0 and 1/,
  ],
  ['a radius of 0', { type: 'Circle', center: [0, 0], radiusM: 0 }, 'shape-zero-area', /radiusM is 0/],
]

test.each(REFUSED)('%s is refused with the place and what to do', (_why, shape, code, message) => {
  const refused = refusal(shape)
  expect(refused?.code).toBe(code)
  expect(refused?.message).toMatch(message)
})

const TAKEN: [why: string, shape: GeofenceShape][] = [
  ['the whole world', polygon(box(-180, -90, 180, 90))],
  ['a band round the world', polygon(box(-180, -10, 180, 10))],
  ['repeated positions', polygon([[0, 0], [0, 0], ...box(0, 0, 1, 1), [0, 0]])],
  ['a ring the other way', polygon(box(0, 0, 1, 1).reverse())],
  ['vertices along one line', polygon([[0, 0], [0.5, 0], [0.7, 0], ...box(0, 0, 1, 1).slice(1)])],
  [
    'a hole that touches in a vertex',
    polygon(box(0, 0, 4, 4), [
      [0, 2],
      [1, 1],
      [1, 3],
      [0, 2],
    ]),
  ],
  ['holes that touch in a vertex', polygon(box(0, 0, 9, 9), box(1, 1, 2, 2), box(2, 2, 3, 3))],
  ['polygons that share an edge', polygons([box(0, 0, 1, 1)], [box(1, 0, 2, 1)])],
  ['polygons that share a vertex', polygons([box(0, 0, 1, 1)], [box(1, 1, 2, 2)])],
  ['a polygon in the hole of another', polygons([box(0, 0, 9, 9), box(1, 1, 8, 8)], [box(2, 2, 3, 3)])],
  [
    'a polygon that fills the hole of another',
    polygons([box(0, 0, 9, 9), box(1, 1, 8, 8)], [box(1, 1, 8, 8)]),
  ],
  ['a polygon cut at the antimeridian', polygons([box(170, 0, 180, 9)], [box(-180, 0, -170, 9)])],
  [
    'an eight that does not quite close',
    polygon([
      [0, 0],
      [1, 1 - 1e-15],
      [2, 0],
      [2, 2],
      [1, 1],
      [0, 2],
      [0, 0],
    ]),
  ],
  ['a corridor that crosses itself', { type: 'Corridor', coordinates: box(0, 0, 1, 1), halfWidthM: 50_000 }],
  ['the largest circle at a pole', { type: 'Circle', center: [0, 90], radiusM: 1_000_000 }],
]

test.each(TAKEN)('%s is taken', (_why, shape) => {
  expect(GeofenceShape.safeParse(shape).error).toBeUndefined()
  expect(refusal(shape)).toBeUndefined()
})

/** A closed ring of as many vertices as a shape may have, by its place at each step. */
function longRing(place: (part: number, index: number) => Place, count: number = VERTICES_MAX - 1): Place[] {
  const ring = Array.from({ length: count }, (_, index) => place((2 * Math.PI * index) / count, index))
  return [...ring, ring[0]!]
}

test('shapes of the most vertices are taken, and of one more refused', () => {
  const star = (part: number, index: number) => {
    const radius = index % 2 === 0 ? 20 : 1
    return [radius * Math.cos(part), radius * Math.sin(part)]
  }
  expect(refusal(polygon(longRing(star)))).toBeUndefined()
  expect(refusal(polygon(longRing(star, VERTICES_MAX)))?.code).toBe('shape-too-many-vertices')
  const comb = (_part: number, index: number) => [
    index % 2 === 0 ? index / 1e4 : 20 + index / 1e4,
    index / 1e4,
  ]
  expect(refusal(polygon(longRing(comb)))?.code).toBe('shape-self-crossing')
  const line = (part: number) => [part, part]
  expect(refusal({ type: 'Corridor', coordinates: longRing(line), halfWidthM: 1 })).toBeUndefined()
  expect(refusal({ type: 'Corridor', coordinates: longRing(line, VERTICES_MAX), halfWidthM: 1 })?.code).toBe(
    'shape-too-many-vertices',
  )
  expect(refusal(polygons(...Array(VERTICES_MAX + 1).fill([])))?.code).toBe('shape-too-many-vertices')
  expect(refusal(polygon(...Array(VERTICES_MAX + 1).fill([])))?.code).toBe('shape-too-many-vertices')
})
