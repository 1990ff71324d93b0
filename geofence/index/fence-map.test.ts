import { expect, test } from 'vitest'
import { GeofenceRule } from '../../schemas/geofence.ts'
import { seededRandom } from '../../test/seeded-random.ts'
import { compileShape, shapeOf } from '../shapes/shape.ts'
import { placesAround, randomShape } from './fence-fixture.ts'
import { fenceIds } from './fence-ids.ts'
import { buildFenceIndex, type FenceSource } from './fence-index.ts'
import { FenceMap, type Terms } from './fence-map.ts'

const TERMS: Terms[] = ['UTC', 'Europe/Berlin'].map((timeZone) => ({
  timeZone,
  rules: [GeofenceRule.parse({})],
}))
const into = fenceIds(1)

function idsAt(map: FenceMap, organizationId: number, latitude: number, longitude: number): number[] {
  map.inside(organizationId, latitude, longitude, into)
  return Array.from(into.ids.subarray(0, into.length))
}

function circle(id: number, organizationId: number, longitude: number, crossing = false): FenceSource {
  const shape = compileShape({ type: 'Circle', center: [longitude, 10], radiusM: 1000 })
  return { id, organizationId, version: 1, terms: id % 2, crossing, shape }
}

test('a map answers as the geofences that are left and those that came, whatever was changed', () => {
  const random = seededRandom(1)
  const map = new FenceMap()
  let current = new Map<number, FenceSource>()
  let baseIds: number[] = []
  const changed = new Set<number>()
  const source = (id: number): FenceSource => ({
    id,
    organizationId: 1 + (id % 2),
    version: 1 + Math.floor(100 * random()),
    terms: id % 2,
    crossing: id % 3 === 0,
    shape: randomShape(random, 3000),
  })
  for (let round = 0; round < 40; round++) {
    const rebuild = round % 8 === 0
    for (let i = 0; i < (round === 0 ? 150 : 12); i++) {
      const id = 1 + Math.floor(200 * random())
      changed.add(id)
      if (random() < 0.3) current.delete(id)
      else current.set(id, source(id))
    }
    current = new Map([...current].sort(() => random() - 0.5))
    if (rebuild) {
      baseIds = [...current.keys()]
      changed.clear()
    }
    const delta = [...current.values()].filter(({ id }) => changed.has(id))
    map.apply({
      ...(rebuild ? { base: buildFenceIndex(current.values()) } : {}),
      delta: delta.length === 0 ? null : buildFenceIndex(delta),
      gone: Int32Array.from(baseIds.filter((id) => changed.has(id))),
      termsFrom: 0,
      terms: TERMS,
    })
    const fences = [...current.values()]
    for (const fence of fences.slice(0, 40)) {
      expect(map.find(fence.id)).toEqual({
        id: fence.id,
        organizationId: fence.organizationId,
        version: fence.version,
        terms: TERMS[fence.terms],
      })
      const [from, to] = placesAround(shapeOf(fence.shape.numbers), random, 2)
      const ofOrganization = fences
        .filter(({ organizationId }) => organizationId === fence.organizationId)
        .sort((a, b) => a.id - b.id)
      const shapes = ofOrganization.map(({ id, crossing, shape }) => ({
        id,
        crossing,
        shape: shapeOf(shape.numbers),
      }))
      expect(idsAt(map, fence.organizationId, ...from!)).toEqual(
        shapes.filter(({ shape }) => shape.contains(...from!)).map(({ id }) => id),
      )
      expect(map.crossed(fence.organizationId, ...from!, ...to!).map(({ geofence }) => geofence)).toEqual(
        shapes
          .filter(({ crossing }) => crossing)
          .flatMap(({ id, shape }) => shape.segmentIntervals(...from!, ...to!).map(() => id)),
      )
    }
    for (const id of changed) expect(map.find(id) !== undefined).toBe(current.has(id))
  }
})

test('an organisation is watched while a geofence of its own is left', () => {
  const map = new FenceMap()
  expect(map.watches(1)).toBe(false)
  expect(idsAt(map, 1, 10, 1)).toEqual([])
  const base = buildFenceIndex([circle(1, 1, 1), circle(2, 2, 1)])
  map.apply({ base, delta: null, gone: new Int32Array(), termsFrom: 0, terms: TERMS })
  expect([1, 2, 3].map((id) => map.watches(id))).toEqual([true, true, false])
  map.apply({ delta: null, gone: Int32Array.of(1), termsFrom: 2, terms: [] })
  expect([1, 2].map((id) => map.watches(id))).toEqual([false, true])
  expect(idsAt(map, 1, 10, 1)).toEqual([])
  expect(map.find(1)).toBeUndefined()
  map.apply({ delta: buildFenceIndex([circle(1, 1, 5)]), gone: Int32Array.of(1), termsFrom: 2, terms: [] })
  expect(map.watches(1)).toBe(true)
  expect([idsAt(map, 1, 10, 1), idsAt(map, 1, 10, 5), idsAt(map, 2, 10, 1)]).toEqual([[], [1], [2]])
})

test('terms before those that come stay', () => {
  const map = new FenceMap()
  const base = buildFenceIndex([circle(1, 1, 1), circle(2, 1, 1)])
  map.apply({ base, delta: null, gone: new Int32Array(), termsFrom: 0, terms: [TERMS[0]!] })
  map.apply({ delta: null, gone: new Int32Array(), termsFrom: 1, terms: [TERMS[1]!] })
  expect([map.find(1)?.terms, map.find(2)?.terms]).toEqual([TERMS[1], TERMS[0]])
})

test('what is found replaces what was there, and the list grows as needed', () => {
  const map = new FenceMap()
  const base = buildFenceIndex(Array.from({ length: 500 }, (_, i) => circle(i + 1, 1, 3)))
  map.apply({ base, delta: null, gone: new Int32Array(), termsFrom: 0, terms: TERMS })
  expect(idsAt(map, 1, 10, 3)).toEqual(Array.from({ length: 500 }, (_, i) => i + 1))
  expect(idsAt(map, 1, 10, 4)).toEqual([])
})
