/** A fleet on the move for the question about areas: buses of Austin, each in one of many towns, and who watches where. */

import { seededRandom } from '../test/seeded-random.ts'
import { busTracks, type Fix, placeIn, type Town, townAt } from './geofence-fences.ts'
import { SEED } from './measure.ts'

/** Devices of a town. */
const TOWN_DEVICES = 1000
/** Widths of maps, degrees: a quarter of a town, a town, a few streets. */
export const VIEWPORT_WIDTHS_DEG = [0.06, 0.2, 0.02] as const
const HEIGHT_OF_WIDTH = 0.6
/** A map is moved by so much of its width. */
const MOVE = 0.5

/** Each so many-th map stays where it is. */
export const STAYS_EVERY = 10

/** West, south, east, north, degrees. */
export type Viewport = readonly [west: number, south: number, east: number, north: number]

/** Drives along the track of a bus over and over, to its end and from its start again. */
export class Fleet {
  readonly devices: number
  private readonly tracks: (readonly Fix[])[]
  private readonly towns: Town[]
  /** By device: number of the fix that it sends next. */
  private readonly next: Uint32Array

  constructor(devices: number) {
    this.devices = devices
    const random = seededRandom(SEED)
    const tracks = [...busTracks().values()].filter(({ length }) => length > 100)
    this.tracks = Array.from({ length: devices }, () => tracks[Math.floor(random() * tracks.length)]!)
    this.towns = Array.from({ length: Math.ceil(devices / TOWN_DEVICES) }, (_, town) => townAt(town, town))
    this.next = Uint32Array.from(this.tracks, ({ length }) => Math.floor(random() * length))
  }

  /** Moves the device on. @returns Longitude and latitude, degrees. */
  drive(device: number): [longitudeDeg: number, latitudeDeg: number] {
    const track = this.tracks[device]!
    const at = this.next[device]!
    this.next[device] = at + 1 === track.length ? 0 : at + 1
    return placeIn(this.towns[Math.floor(device / TOWN_DEVICES)]!, track[at]!.offset)
  }
}

/** Maps that people look at: each in one of the towns of `devices`, of one of the widths. */
export function viewports(count: number, devices: number): Viewport[] {
  const random = seededRandom(SEED + 1)
  const towns = Math.ceil(devices / TOWN_DEVICES)
  return Array.from({ length: count }, (_, i) => {
    const town = Math.floor(random() * towns)
    const [longitude, latitude] = placeIn(townAt(town, town), [
      8000 * (random() - 0.5),
      8000 * (random() - 0.5),
    ])
    const width = VIEWPORT_WIDTHS_DEG[i % VIEWPORT_WIDTHS_DEG.length]!
    const height = width * HEIGHT_OF_WIDTH
    return [longitude - width / 2, latitude - height / 2, longitude + width / 2, latitude + height / 2]
  })
}

/** The viewport after somebody has dragged the map, there and back by turns. */
export function dragged([west, south, east, north]: Viewport, drag: number): Viewport {
  const angle = drag * 2.4
  const x = MOVE * (east - west) * Math.cos(angle)
  const y = MOVE * (north - south) * Math.sin(angle)
  return [west + x, south + y, east + x, north + y]
}

/** Whether the map shows the place. */
export function isOn(
  [west, south, east, north]: Viewport,
  longitudeDeg: number,
  latitudeDeg: number,
): boolean {
  return longitudeDeg >= west && longitudeDeg <= east && latitudeDeg >= south && latitudeDeg <= north
}
