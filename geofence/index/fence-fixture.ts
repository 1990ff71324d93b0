/** Random shapes and places for tests, the same for the same seed; many where the globe is unlike a map. */
import type { GeofenceShape } from '../../schemas/geofence.ts'
import { compileShape, type Shape, ShapeError } from '../shapes/shape.ts'

/** [latitude, longitude], degrees. */
export type Place = readonly [latitudeDeg: number, longitudeDeg: number]

/** A pentagon of H3 is at each, in the sea. */
const PENTAGON_PLACES: readonly Place[] = [
  [64.7, 10.536],
  [-39.1, 122.3],
  [10.447, 58.158],
  [58.158, -169.463],
  [-64.7, -169.464],
]

/** Anywhere on the globe, and in equal parts in a town, next to a pole, at the antimeridian and round a pentagon. */
export function randomPlace(random: () => number): Place {
  const spread = 10 ** (-6 * random())
  const around = (center: number, by: number) => center + by * spread * (2 * random() - 1)
  switch (Math.floor(5 * random())) {
    case 0:
      return [around(30.27, 0.5), around(-97.74, 0.5)]
    case 1:
      return [(random() < 0.5 ? -1 : 1) * (90 - 2 * spread * random()), 360 * random() - 180]
    case 2:
      return [160 * random() - 80, wrap(around(180, 1))]
    case 3: {
      const [latitude, longitude] = PENTAGON_PLACES[Math.floor(PENTAGON_PLACES.length * random())]!
      return [around(latitude, 2), around(longitude, 2)]
    }
    default:
      return [(Math.asin(2 * random() - 1) * 180) / Math.PI, 360 * random() - 180]
  }
}

/** A valid polygon, circle or corridor of 20 m to `sizeKmMax`, many small ones. */
export function randomShape(random: () => number, sizeKmMax = 2000): Shape {
  for (;;) {
    const [latitude, longitude] = randomPlace(random)
    const sizeKm = 0.02 * (sizeKmMax / 0.02) ** random()
    try {
      return compileShape(shapeAround(random, latitude, longitude, sizeKm))
    } catch (error) {
      if (!(error instanceof ShapeError)) throw error
    }
  }
}

function shapeAround(
  random: () => number,
  latitude: number,
  longitude: number,
  sizeKm: number,
): GeofenceShape {
  const kind = Math.floor(4 * random())
  if (kind === 0) {
    return {
      type: 'Circle',
      center: [longitude, latitude],
      radiusM: Math.min(1_000_000, sizeKm * 500),
    }
  }
  const corners = 3 + Math.floor(10 * random())
  const widening = Math.max(0.02, Math.cos((latitude * Math.PI) / 180))
  const line = Array.from({ length: corners }, (_, corner) => {
    const angle = (2 * Math.PI * (corner + 0.8 * random())) / corners
    const reachDeg = (sizeKm / 111 / 2) * (0.3 + 0.7 * random())
    const x = Math.min(170, (reachDeg / widening) * Math.cos(angle))
    return [
      wrap(longitude + Math.max(-170, x)),
      Math.max(-90, Math.min(90, latitude + reachDeg * Math.sin(angle))),
    ]
  })
  if (kind === 1) {
    return { type: 'Corridor', coordinates: line, halfWidthM: Math.min(50_000, 50 * sizeKm) }
  }
  return { type: 'Polygon', coordinates: [[...line, line[0]!]] }
}

/** Places in and around the shape; some on its vertices, or next to them. */
export function placesAround(shape: Shape, random: () => number, count: number): Place[] {
  const { west, south, east, north } = shape.bounds
  const width = east < west ? east + 360 - west : east - west
  const places: Place[] = []
  while (places.length < count) {
    const latitude = south + (north - south) * (1.2 * random() - 0.1)
    const longitude = wrap(west + width * (1.2 * random() - 0.1))
    if (Math.abs(latitude) <= 90) places.push([latitude, longitude])
  }
  if (shape.kind !== 'polygons') return places
  // One polygon with one ring: see geometry.ts.
  for (let at = 14; at < shape.numbers.length; at += 2) {
    const latitude = shape.numbers[at + 1]!
    const longitude = wrap(shape.numbers[at]!)
    places.push([latitude, longitude])
    if (Math.abs(latitude) < 89) places.push([latitude + 1e-12, longitude], [latitude - 1e-9, longitude])
  }
  return places
}

/** Longitude from −180 to 180. */
function wrap(longitude: number): number {
  return longitude > 180 ? longitude - 360 : longitude < -180 ? longitude + 360 : longitude
}
