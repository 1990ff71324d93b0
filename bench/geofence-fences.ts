/** Geofences of towns, and vehicles that drive among them; the same for the same seed. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { demoFile } from '../demo/files.ts'
import type { FenceSource } from '../geofence/fence-index.ts'
import { compileShape, type Shape } from '../geofence/shape.ts'
import type { GeofenceShape } from '../schemas/geofence.ts'
import { projectRoot } from '../storage/project-root.ts'
import { SEED, seededRandom } from './measure.ts'

export const ORGANIZATION = 1
const TOWNS = 40
/** Each so many-th geofence is a real one, until there are no more. */
const REAL_EVERY = 3
const STOP_RADIUS_M = 60
/** Standard deviation of the places of geofences in a town, degrees of latitude: 9 km. */
const TOWN_DEG = 0.08
const DEGREE_M = 111_320
const FIX_EVERY_MS = 30_000
const FIXES_A_PACKET = 5
/** Noon in Austin, when its buses are all out. */
const FROM_MS = Date.UTC(2016, 10, 25, 18)

type Place = readonly [latitudeDeg: number, longitudeDeg: number]

const AUSTIN: Place = [30.27, -97.74]
const WASHINGTON: Place = [38.9, -77.02]

/**
 * Parcels, circles round stops and yards, zones of a few streets, districts: up to which share they are, and what radius
 * they have, m, and how many vertices; zones and districts have as many as those of Washington have.
 */
const KINDS = [
  { upTo: 0.73, circle: false, fromM: 15, toM: 60, vertices: 8 },
  { upTo: 0.979, circle: true, fromM: 30, toM: 150, vertices: 0 },
  { upTo: 0.999, circle: false, fromM: 300, toM: 1200, vertices: 100 },
  { upTo: 1, circle: false, fromM: 1200, toM: 4800, vertices: 200 },
]

function towns(): Place[] {
  const random = seededRandom(SEED)
  const others = Array.from({ length: TOWNS - 2 }, (): Place => [30 + 17 * random(), -120 + 42 * random()])
  return [AUSTIN, WASHINGTON, ...others]
}

/** Geofences 1 to `count`, one at a time. */
export function* fences(count: number): Generator<FenceSource> {
  const random = seededRandom(SEED)
  const places = towns()
  const real = realShapes()
  for (let id = 1; id <= count; id++) {
    const given = id % REAL_EVERY === 0 ? real[id / REAL_EVERY - 1] : undefined
    yield fence(id, given ?? shapeInTown(places[id % places.length]!, random))
  }
}

/** The geofence as it is after a change: a circle of 100 m at the place. */
export function changedFence(id: number, [latitudeDeg, longitudeDeg]: Place): FenceSource {
  return fence(id, { type: 'Circle', center: [longitudeDeg, latitudeDeg], radiusM: 100 })
}

function fence(id: number, shape: GeofenceShape): FenceSource {
  const compiled: Shape = compileShape(shape)
  return { id, organizationId: ORGANIZATION, version: 1, terms: 0, crossing: false, shape: compiled }
}

function shapeInTown([latitude, longitude]: Place, random: () => number): GeofenceShape {
  const kindAt = random()
  const kind = KINDS.find(({ upTo }) => kindAt < upTo)!
  const radiusM = kind.fromM * (kind.toM / kind.fromM) ** random()
  const widening = Math.cos((latitude * Math.PI) / 180)
  const y = latitude + TOWN_DEG * gaussian(random)
  const x = longitude + (TOWN_DEG * gaussian(random)) / widening
  if (kind.circle) return { type: 'Circle', center: [x, y], radiusM }
  const ring = Array.from({ length: kind.vertices }, (_, vertex) => {
    const angle = (2 * Math.PI * (vertex + 0.7 * random())) / kind.vertices
    const reachDeg = (radiusM / DEGREE_M) * (0.6 + 0.5 * random())
    return [x + (reachDeg * Math.cos(angle)) / widening, y + reachDeg * Math.sin(angle)]
  })
  return { type: 'Polygon', coordinates: [[...ring, ring[0]!]] }
}

function gaussian(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}

/** Zones of Washington and circles round the stops of Austin's buses, in a seeded order. */
function realShapes(): GeofenceShape[] {
  const zones = linesOf(new URL('bench/data/dc-zones.geojsonl.gz', projectRoot)).map(
    (line) => (JSON.parse(line) as { geometry: GeofenceShape }).geometry,
  )
  const { features } = JSON.parse(gunzipSync(readFileSync(demoFile('overlay.geojson.gz'))).toString()) as {
    features: { properties: { kind: string }; geometry: { coordinates: [number, number] } }[]
  }
  const stops = features
    .filter(({ properties }) => properties.kind === 'stop')
    .map(
      ({ geometry }): GeofenceShape => ({
        type: 'Circle',
        center: geometry.coordinates,
        radiusM: STOP_RADIUS_M,
      }),
    )
  const random = seededRandom(SEED)
  return [...zones, ...stops]
    .map((shape) => ({ shape, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ shape }) => shape)
}

function linesOf(file: URL | string): string[] {
  return gunzipSync(readFileSync(file))
    .toString()
    .split('\n')
    .filter((line) => line !== '')
}

/**
 * Latitude and longitude of one position after the other: two packets of each of Austin's buses, five fixes half a minute
 * apart in each, as its track has them; the same buses in every town. Packets of one time come in no order.
 */
export function positions(): { readonly places: Float64Array; readonly vehicles: number } {
  const random = seededRandom(SEED)
  const tracks = [...busTracks().values()].map(interpolate).filter((track) => track.length > 0)
  const all: number[] = []
  for (let packet = 0; packet < 2; packet++) {
    const packets = towns().flatMap((town) =>
      tracks.map((track) => ({ town, track: track.slice(FIXES_A_PACKET * packet), at: random() })),
    )
    for (const { town, track } of packets.sort((a, b) => a.at - b.at)) {
      for (const place of track.slice(0, FIXES_A_PACKET)) all.push(...moved(place, town))
    }
  }
  return { places: Float64Array.from(all), vehicles: tracks.length * TOWNS }
}

function busTracks(): Map<string, { ms: number; place: Place }[]> {
  const tracks = new Map<string, { ms: number; place: Place }[]>()
  for (const line of linesOf(demoFile('tracks.csv.gz')).slice(1)) {
    const [vehicle, time, , , , latitude, longitude] = line.split(',')
    const track = tracks.get(vehicle!) ?? []
    track.push({ ms: Date.parse(time!), place: [Number(latitude), Number(longitude)] })
    tracks.set(vehicle!, track)
  }
  return tracks
}

/** Places of one bus, or none if its track has a hole there. */
function interpolate(track: { ms: number; place: Place }[]): Place[] {
  const sorted = track.toSorted((a, b) => a.ms - b.ms)
  const places: Place[] = []
  for (let i = 0; i < 2 * FIXES_A_PACKET; i++) {
    const ms = FROM_MS + i * FIX_EVERY_MS
    const after = sorted.findIndex((fix) => fix.ms > ms)
    if (after < 1) return []
    const [a, b] = [sorted[after - 1]!, sorted[after]!]
    const share = (ms - a.ms) / (b.ms - a.ms)
    places.push([
      a.place[0] + share * (b.place[0] - a.place[0]),
      a.place[1] + share * (b.place[1] - a.place[1]),
    ])
  }
  return places
}

/** The place in Austin, as far from the middle of another town. */
function moved([latitude, longitude]: Place, town: Place): Place {
  const narrowing = Math.cos((AUSTIN[0] * Math.PI) / 180) / Math.cos((town[0] * Math.PI) / 180)
  return [town[0] + latitude - AUSTIN[0], town[1] + (longitude - AUSTIN[1]) * narrowing]
}
