import {
  cellToBoundary,
  cellToLatLng,
  getPentagons,
  getRes0Cells,
  h3IndexToSplitLong,
  latLngToCell,
} from 'h3-js'
import { expect, test } from 'vitest'
import { seededRandom } from '../../test/seeded-random.ts'
import { FINEST, findCell } from './cells.ts'
import { cellPlace, placeBaseCell, placeChild } from './cover-cells.ts'
import { type Place, randomPlace } from './fence-fixture.ts'

const cell = { hi: 0, lo: 0 }

/** As text, for messages. */
function ownCell([latitude, longitude]: Place, resolution: number): string {
  findCell(latitude, longitude, resolution, cell)
  return `${cell.hi.toString(16)}${cell.lo.toString(16).padStart(8, '0')}`
}

function different(places: Iterable<Place>, resolution: number): string[] {
  const wrong: string[] = []
  for (const place of places) {
    const expected = latLngToCell(place[0], place[1], resolution)
    if (ownCell(place, resolution) !== expected) wrong.push(`${place} ${expected}`)
  }
  return wrong
}

test.each(Array.from({ length: 16 }, (_, resolution) => resolution))(
  'places have the cells of h3-js at resolution %d',
  (resolution) => {
    const random = seededRandom(resolution + 1)
    expect(
      different(
        Array.from({ length: 12_000 }, () => randomPlace(random)),
        resolution,
      ),
    ).toEqual([])
  },
)

test('corners, edges and centres of cells have the cells of h3-js', () => {
  const random = seededRandom(1)
  const places: Place[] = []
  for (let i = 0; i < 3000; i++) {
    const [latitude, longitude] = randomPlace(random)
    const corners = cellToBoundary(latLngToCell(latitude, longitude, FINEST))
    const [a, b] = [corners[0]!, corners[1]!]
    const share = random()
    places.push(a, b, [a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])])
    places.push(cellToLatLng(latLngToCell(latitude, longitude, i % FINEST)))
  }
  expect(different(places, FINEST)).toEqual([])
})

test('places that follow one another have the cells of h3-js', () => {
  const random = seededRandom(5)
  const places: Place[] = []
  for (let walk = 0; walk < 1000; walk++) {
    let [latitude, longitude] = randomPlace(random)
    const stepDeg = 0.01 * random()
    for (let step = 0; step < 10; step++) {
      latitude = Math.max(-90, Math.min(90, latitude + stepDeg * (random() - 0.5)))
      longitude += stepDeg * (random() - 0.5)
      places.push([latitude, longitude])
    }
  }
  expect(different(places, FINEST)).toEqual([])
})

test('pentagons and all around them have the cells of h3-js', () => {
  const random = seededRandom(2)
  const wrong: string[] = []
  for (let resolution = 0; resolution <= 15; resolution++) {
    for (const pentagon of getPentagons(resolution)) {
      const [latitude, longitude] = cellToLatLng(pentagon)
      const size = 60 / 7 ** (resolution / 2)
      const places = Array.from(
        { length: 40 },
        (): Place => [latitude + size * (random() - 0.5), longitude + size * (random() - 0.5)],
      )
      wrong.push(...different([[latitude, longitude], ...places], resolution))
    }
  }
  expect(wrong).toEqual([])
})

test('poles and the ends of the longitudes have the cells of h3-js', () => {
  const places: Place[] = []
  for (const latitude of [90, -90, 89.999999999, -89.999999999, 0, -0, 45]) {
    for (const longitude of [0, -0, 90, 180, -180, 179.999999999, -179.999999999, 360, -540, 1e6]) {
      places.push([latitude, longitude])
    }
  }
  for (let resolution = 0; resolution <= 15; resolution++) expect(different(places, resolution)).toEqual([])
})

test('cells that are placed from the top down are those of h3-js, with their centres', () => {
  const random = seededRandom(3)
  const bases = getRes0Cells()
  for (let i = 0; i < 2000; i++) {
    let place = cellPlace()
    placeBaseCell(i % bases.length, place)
    while (place.resolution < FINEST) {
      const child = cellPlace()
      if (placeChild(place, Math.floor(7 * random()), child)) place = child
      const [latitude, longitude] = cellToLatLng([place.lo, place.hi])
      const [y, x] = [(latitude * Math.PI) / 180, (longitude * Math.PI) / 180]
      expect(Math.cos(y) * Math.cos(x)).toBeCloseTo(place.centerX, 12)
      expect(Math.cos(y) * Math.sin(x)).toBeCloseTo(place.centerY, 12)
      expect(Math.sin(y)).toBeCloseTo(place.centerZ, 12)
    }
  }
})

test('no place is further from the centre of an ancestor of its finest cell than the radius says', () => {
  const random = seededRandom(4)
  for (let i = 0; i < 20_000; i++) {
    const [latitude, longitude] = randomPlace(random)
    const [y, x] = [(latitude * Math.PI) / 180, (longitude * Math.PI) / 180]
    const [px, py, pz] = [Math.cos(y) * Math.cos(x), Math.cos(y) * Math.sin(x), Math.sin(y)]
    const [lo, hi] = h3IndexToSplitLong(latLngToCell(latitude, longitude, FINEST))
    let place = cellPlace()
    placeBaseCell((hi >> 13) & 127, place)
    for (let resolution = 1; resolution <= FINEST; resolution++) {
      const digits = BigInt.asUintN(32, BigInt(lo)) | (BigInt(hi) << 32n)
      const child = cellPlace()
      placeChild(place, Number((digits >> BigInt(45 - 3 * resolution)) & 7n), child)
      place = child
      const chord = Math.hypot(place.centerX - px, place.centerY - py, place.centerZ - pz)
      expect(2 * Math.asin(chord / 2)).toBeLessThan(place.radius)
    }
  }
})
