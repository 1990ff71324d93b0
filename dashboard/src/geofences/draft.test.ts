import { expect, test } from 'vitest'
import { draftOf, emptyDraft, shapeOf, withMovedPlace, withoutPlace, withPlace } from './draft.ts'

const TRIANGLE = [
  [-97.75, 30.26],
  [-97.74, 30.26],
  [-97.74, 30.27],
]

test('corners make a closed polygon as soon as there are three', () => {
  let draft = emptyDraft('Polygon')
  for (const place of TRIANGLE.slice(0, 2)) draft = withPlace(draft, place)
  expect(shapeOf(draft)).toBeNull()
  draft = withPlace(draft, TRIANGLE[2]!)
  expect(shapeOf(draft)).toEqual({ type: 'Polygon', coordinates: [[...TRIANGLE, TRIANGLE[0]]] })
})

test('a draft of a stored shape makes the same shape again', () => {
  const shapes = [
    { type: 'Polygon' as const, coordinates: [[...TRIANGLE, TRIANGLE[0]!]] },
    { type: 'Circle' as const, center: TRIANGLE[0]!, radiusM: 120 },
    { type: 'Corridor' as const, coordinates: TRIANGLE, halfWidthM: 60 },
  ]
  for (const shape of shapes) expect(shapeOf(draftOf(shape)!)).toEqual(shape)
})

test('a shape with holes, with parts, or with very many corners is not drawn by hand', () => {
  const ring = [...TRIANGLE, TRIANGLE[0]!]
  const many = Array.from({ length: 300 }, (_, index) => [index / 1000, 0])
  expect(draftOf({ type: 'Polygon', coordinates: [ring, ring] })).toBeNull()
  expect(draftOf({ type: 'MultiPolygon', coordinates: [[ring], [ring]] })).toBeNull()
  expect(draftOf({ type: 'MultiPolygon', coordinates: [[ring]] })!.places).toEqual(TRIANGLE)
  expect(draftOf({ type: 'Corridor', coordinates: many, halfWidthM: 5 })).toBeNull()
})

test('corners come in between, move and go; a circle has one place only', () => {
  let draft = withPlace({ ...emptyDraft('Polygon'), places: TRIANGLE }, [-97.745, 30.255], 1)
  expect(draft.places[1]).toEqual([-97.745, 30.255])
  draft = withMovedPlace(draft, 1, [-97.7451234567, 30.25])
  expect(draft.places[1]).toEqual([-97.745123, 30.25])
  expect(withoutPlace(draft, 1).places).toEqual(TRIANGLE)
  const circle = withPlace(withPlace(emptyDraft('Circle'), [1, 2]), [3, 4])
  expect(circle.places).toEqual([[3, 4]])
})

test('a place beyond the antimeridian is where it is on the globe', () => {
  expect(withPlace(emptyDraft('Circle'), [190, 5]).places).toEqual([[-170, 5]])
  expect(withPlace(emptyDraft('Circle'), [180, 5]).places).toEqual([[180, 5]])
})
