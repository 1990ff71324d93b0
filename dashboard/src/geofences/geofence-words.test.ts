import { expect, test } from 'vitest'
import { RequestError } from '../wire/session.ts'
import { dayWords, refusalWords, ruleWords, shapeWords } from './geofence-words.ts'
import { FIRST_RULE } from './rule-form.ts'

test('shapes are told by their kind and size', () => {
  const ring = [
    [0, 0],
    [1, 0],
    [1, 1],
    [0, 0],
  ]
  expect(shapeWords({ type: 'Circle', center: [0, 0], radiusM: 120 })).toBe('Circle, 120 m')
  expect(shapeWords({ type: 'Polygon', coordinates: [ring] })).toBe('Area, 3 corners')
  expect(shapeWords({ type: 'MultiPolygon', coordinates: [[ring], [ring]] })).toBe('2 areas, 6 corners')
  const coordinates = [
    [0, 0],
    [0, 0.1],
  ]
  expect(shapeWords({ type: 'Corridor', coordinates, halfWidthM: 50 })).toBe('Corridor, 100 m wide, 11.1 km')
})

test('rules are told by the events that they make, and when', () => {
  expect(ruleWords(FIRST_RULE)).toBe('enter, leave')
  expect(ruleWords({ ...FIRST_RULE, enter: false, exit: false })).toBe('no events')
  expect(ruleWords({ ...FIRST_RULE, exit: false, dwellS: 90, absenceS: 7_200, speedLimitKmh: 30 })).toBe(
    'enter, 1 min 30 s inside, 2 h away, over 30 km/h',
  )
  const windows = [{ days: [1, 2, 3, 4, 5], from: '08:00', to: '18:00' }]
  expect(ruleWords({ ...FIRST_RULE, windows })).toBe('enter, leave; only Mo–Fr 08:00–18:00')
})

test('a refusal speaks of what is seen on the map, or as the server does', () => {
  const detail = 'the edge after vertex 0 of ring 0 crosses the edge after vertex 2 of ring 0'
  expect(refusalWords(new RequestError(422, detail, 'shape-self-crossing'))).toMatch(
    /^The edges of the area cross/,
  )
  expect(refusalWords(new RequestError(409, 'too many others', 'geofence-overlaps'))).toBe('too many others')
})

test('days in a row are told as such', () => {
  expect([[1, 2, 3, 4, 5, 6, 7], [6, 7], [3, 1, 2], [1, 3], [7]].map(dayWords)).toEqual([
    'every day',
    'Sa Su',
    'Mo–We',
    'Mo We',
    'Su',
  ])
})
