import { expect, test } from 'vitest'
import { type Place, randomPlace, randomShape } from '../../geofence/index/fence-fixture.ts'
import { seededRandom } from '../../test/seeded-random.ts'
import { type Area, areaOf, areaOfBox } from './area.ts'
import { placeKey } from './area-cells.ts'
import { PlaceIndex } from './place-index.ts'

const SLOTS = 3_000
const NO_PLACE = -1

test('slots within an area are those whose newest place it contains', () => {
  const random = seededRandom(1)
  const index = new PlaceIndex()
  const places = new Map<number, Place>()
  for (let step = 0; step < 30_000; step++) {
    const slot = Math.floor(SLOTS * random())
    const before = places.get(slot)
    const place = before === undefined || random() < 0.3 ? randomPlace(random) : near(before, random)
    index.set(slot, ...place)
    places.set(slot, place)
    if (step % 100 !== 0) continue
    const area = areaOf(randomShape(random))
    expect(index.within(area).sort(ascending)).toEqual(brute(places, area))
  }
})

test('areas of every size find all that is there', () => {
  const random = seededRandom(2)
  const index = new PlaceIndex()
  const places = new Map<number, Place>()
  for (let slot = 0; slot < SLOTS; slot++) {
    const place: Place = [30 + random(), -97 - random()]
    index.set(slot, ...place)
    places.set(slot, place)
  }
  for (let size = 0.001; size < 60; size *= 1.5) {
    const area = areaOfBox([-97.5 - size, 30.5 - size / 2, -97.5 + size, 30.5 + size / 2])
    expect(index.within(area).sort(ascending)).toEqual(brute(places, area))
  }
})

test('a slot tells the cell of its place, and that it has none', () => {
  const index = new PlaceIndex()
  expect(index.keyOf(7)).toBe(NO_PLACE)
  expect(index.isWithin(7, areaOfBox([9, 49, 11, 51]))).toBe(false)
  expect(index.set(7, 50, 10)).toBe(placeKey(50, 10))
  expect(index.keyOf(7)).toBe(placeKey(50, 10))
  expect(index.isWithin(7, areaOfBox([9, 49, 11, 51]))).toBe(true)
})

function brute(places: ReadonlyMap<number, Place>, area: Area): number[] {
  return [...places]
    .filter(([, place]) => area.contains(...place))
    .map(([slot]) => slot)
    .sort(ascending)
}

function near([latitude, longitude]: Place, random: () => number): Place {
  const moved = latitude + 0.02 * (random() - 0.5)
  return [Math.max(-90, Math.min(90, moved)), longitude]
}

function ascending(a: number, b: number): number {
  return a - b
}
