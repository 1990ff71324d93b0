/** Geofences of towns, and vehicles that drive among them; the same for the same seed. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { demoFile } from '../demo/files.ts'
import type { FenceSource } from '../geofence/index/fence-index.ts'
import { compileShape } from '../geofence/shapes/shape.ts'
import type { GeofenceShape } from '../schemas/geofence.ts'
import { projectRoot } from '../storage/project-root.ts'
import { seededRandom } from '../test/seeded-random.ts'
import { SEED } from './measure.ts'

export const ORGANIZATION = 1
/** With it a position in the first town lies in as many geofences as the mean of a thousand towns. */
const TOWNS_SEED = SEED + 4
/** Geofences of a town, and of each further part of a denser one. */
const TOWN_FENCES = 1000
/** Each so many-th is a real zone, and so many of ten are circles round real stops; the others are made. */
const ZONE_EVERY = 10
const STOPS_OF_TEN = 3
const STOP_RADIUS_M = 60
/** Standard deviation of the places of what is made, from the middle of the town. */
const TOWN_M = 8000
const SCALE_MIN = 0.9
const SCALE_MAX = 1.1
const DEGREE_M = 111_320
const RADIANS = Math.PI / 180
const FIX_EVERY_MS = 30_000
const FIXES_A_PACKET = 5
const PACKETS = 40_000
/** A bus that was not heard of for longer is not taken to be on its way. */
const HOLE_MS = 600_000

/**
 * What is made: up to which share they are, radius, m, and how many vertices. Circles, parcels, yards and, beside the
 * larger real zones, districts.
 */
const KINDS = [
  { upTo: 0.2, fromM: 30, toM: 150, vertices: [0, 0] },
  { upTo: 0.99, fromM: 15, toM: 200, vertices: [5, 12] },
  { upTo: 1, fromM: 1200, toM: 4800, vertices: [100, 200] },
] as const
const SIMPLE_KINDS = [
  { upTo: 0.5, fromM: 30, toM: 150, vertices: [0, 0] },
  { upTo: 1, fromM: 15, toM: 200, vertices: [8, 8] },
] as const

/** East and north of the middle of a town, m. */
type Offset = readonly [eastM: number, northM: number]

/** How what lies round a middle comes to lie in a town. */
export interface Town {
  readonly latitudeDeg: number
  readonly longitudeDeg: number
  readonly cos: number
  readonly sin: number
}

/** Geofences 1 to `count`, one at a time: TOWN_FENCES in each of the towns, then as many more in each. */
export function* fences(count: number, towns: number): Generator<FenceSource> {
  const random = seededRandom(TOWNS_SEED)
  const zones = realZones()
  const stops = realStops()
  const any = <Item>(items: readonly Item[]) => items[Math.floor(random() * items.length)]!
  for (let id = 1, part = 0; id <= count; part++) {
    // Those that share a place are turned and scaled on their own: one zone does not lie on itself.
    const town = townAt(part % towns, part)
    const end = Math.min(count, id + TOWN_FENCES - 1)
    for (; id <= end; id++) {
      if (id % ZONE_EVERY === 0) yield fence(id, polygonOf(any(zones), town))
      else if (id % ZONE_EVERY <= STOPS_OF_TEN)
        yield fence(id, { type: 'Circle', center: placeIn(town, any(stops)), radiusM: STOP_RADIUS_M })
      else yield fence(id, made(KINDS, town, random))
    }
  }
}

/** Circles and polygons of eight vertices, half of each. */
export function* simpleFences(count: number): Generator<FenceSource> {
  const random = seededRandom(TOWNS_SEED)
  for (let id = 1; id <= count; id++) {
    yield fence(id, made(SIMPLE_KINDS, townAt(Math.floor(id / TOWN_FENCES), 0), random))
  }
}

/** The geofence as it is after a change: a circle of 100 m at the place. */
export function changedFence(id: number, latitudeDeg: number, longitudeDeg: number): FenceSource {
  return fence(id, { type: 'Circle', center: [longitudeDeg, latitudeDeg], radiusM: 100 })
}

function fence(id: number, shape: GeofenceShape): FenceSource {
  const compiled = compileShape(shape)
  return { id, organizationId: ORGANIZATION, version: 1, terms: 0, crossing: false, shape: compiled }
}

/** The towns lie evenly over 20° by 45°: each some 80 km from the next. Turned and scaled a little, but for the first. */
export function townAt(number: number, seed: number): Town {
  const random = seededRandom(TOWNS_SEED + seed)
  const turn = seed === 0 ? 0 : 2 * Math.PI * random()
  const scale = seed === 0 ? 1 : SCALE_MIN + (SCALE_MAX - SCALE_MIN) * random()
  return {
    latitudeDeg: 28 + 20 * ((0.1135 + 0.7548776662 * number) % 1),
    longitudeDeg: -120 + 45 * ((0.4947 + 0.5698402909 * number) % 1),
    cos: scale * Math.cos(turn),
    sin: scale * Math.sin(turn),
  }
}

export function placeIn(
  { latitudeDeg, longitudeDeg, cos, sin }: Town,
  [east, north]: Offset,
): [number, number] {
  const x = (east * cos - north * sin) / Math.cos(latitudeDeg * RADIANS)
  return [longitudeDeg + x / DEGREE_M, latitudeDeg + (east * sin + north * cos) / DEGREE_M]
}

function polygonOf(rings: readonly (readonly Offset[])[], town: Town): GeofenceShape {
  return {
    type: 'Polygon',
    coordinates: rings.map((ring) => ring.map((offset) => placeIn(town, offset))),
  }
}

function made(kinds: typeof KINDS | typeof SIMPLE_KINDS, town: Town, random: () => number): GeofenceShape {
  const kindAt = random()
  const { fromM, toM, vertices } = kinds.find(({ upTo }) => kindAt < upTo)!
  const radiusM = fromM * (toM / fromM) ** random()
  const [east, north] = [TOWN_M * gaussian(random), TOWN_M * gaussian(random)]
  const [least, most] = vertices
  if (most === 0) return { type: 'Circle', center: placeIn(town, [east, north]), radiusM }
  const corners = least + Math.floor((most - least + 1) * random())
  const ring = Array.from({ length: corners }, (_, corner): Offset => {
    const angle = (2 * Math.PI * (corner + 0.7 * random())) / corners
    const reachM = radiusM * (0.6 + 0.5 * random())
    return [east + reachM * Math.cos(angle), north + reachM * Math.sin(angle)]
  })
  return polygonOf([[...ring, ring[0]!]], town)
}

function gaussian(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}

/** As m round the middle of Austin, or of Washington. */
function offsetFrom(latitude: number, longitude: number): (place: readonly number[]) => Offset {
  const widthM = DEGREE_M * Math.cos(latitude * RADIANS)
  return ([x, y]) => [(x! - longitude) * widthM, (y! - latitude) * DEGREE_M]
}

const fromAustin = offsetFrom(30.27, -97.74)
const fromWashington = offsetFrom(38.9, -77.02)

/** Rings of the zones of Washington. */
function realZones(): Offset[][][] {
  return linesOf(new URL('bench/data/dc-zones.geojsonl.gz', projectRoot)).map((line) => {
    const { geometry } = JSON.parse(line) as { geometry: { coordinates: number[][][] } }
    return geometry.coordinates.map((ring) => ring.map(fromWashington))
  })
}

/** Stops of Austin's buses. */
function realStops(): Offset[] {
  const { features } = JSON.parse(gunzipSync(readFileSync(demoFile('overlay.geojson.gz'))).toString()) as {
    features: { properties: { kind: string }; geometry: { coordinates: [number, number] } }[]
  }
  return features
    .filter(({ properties }) => properties.kind === 'stop')
    .map(({ geometry }) => fromAustin(geometry.coordinates))
}

function linesOf(file: URL | string): string[] {
  return gunzipSync(readFileSync(file))
    .toString()
    .split('\n')
    .filter((line) => line !== '')
}

/**
 * Latitude and longitude of one position after the other, as many for each number of towns: packets of five fixes, half a
 * minute apart, of any of Austin's buses at any time of its day, moved to any of the towns.
 */
export function positions(towns: number): Float64Array {
  const random = seededRandom(TOWNS_SEED)
  const tracks = [...busTracks().values()]
  const all: number[] = []
  while (all.length < 2 * PACKETS * FIXES_A_PACKET) {
    const track = tracks[Math.floor(random() * tracks.length)]!
    const number = Math.floor(random() * towns)
    const town = townAt(number, number)
    const fromMs = track[0]!.ms + random() * (track.at(-1)!.ms - track[0]!.ms)
    const offsets = packetFrom(track, fromMs)
    for (const offset of offsets) {
      const [longitude, latitude] = placeIn(town, offset)
      all.push(latitude, longitude)
    }
  }
  return Float64Array.from(all)
}

export interface Fix {
  readonly ms: number
  readonly offset: Offset
}

/** By vehicle, in the order of their times. */
export function busTracks(): Map<string, Fix[]> {
  const tracks = new Map<string, Fix[]>()
  for (const line of linesOf(demoFile('tracks.csv.gz')).slice(1)) {
    const [vehicle, time, , , , latitude, longitude] = line.split(',')
    const track = tracks.get(vehicle!) ?? []
    track.push({ ms: Date.parse(time!), offset: fromAustin([Number(longitude), Number(latitude)]) })
    tracks.set(vehicle!, track)
  }
  for (const track of tracks.values()) track.sort((a, b) => a.ms - b.ms)
  return tracks
}

/** Places of one bus, or none if its track ends or has a hole there. */
function packetFrom(track: readonly Fix[], fromMs: number): Offset[] {
  const offsets: Offset[] = []
  for (let i = 0; i < FIXES_A_PACKET; i++) {
    const ms = fromMs + i * FIX_EVERY_MS
    const next = track.findIndex((fix) => fix.ms > ms)
    if (next < 1) return []
    const [a, b] = [track[next - 1]!, track[next]!]
    if (b.ms - a.ms > HOLE_MS) return []
    const share = (ms - a.ms) / (b.ms - a.ms)
    const between = (axis: 0 | 1) => a.offset[axis] + share * (b.offset[axis] - a.offset[axis])
    offsets.push([between(0), between(1)])
  }
  return offsets
}
