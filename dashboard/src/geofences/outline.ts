/** Geofences as the map draws them: circles become polygons, corridors lines as wide as they are. */
import type { Feature, Position } from 'geojson'
import type { GeofenceShape } from '../../../schemas/geofence.ts'

const EARTH_RADIUS_M = 6_371_008.8
const DEGREE_RAD = Math.PI / 180
/** Metres of a pixel at the equator where the world is one tile of 512 px. */
const METRES_PER_PX_ZOOM_0 = 78_271.517
const CIRCLE_CORNERS = 72

/** Box of a shape: west, south, east, north in degrees. Where it crosses the antimeridian, east is beyond 180. */
export type ShapeBox = readonly [west: number, south: number, east: number, north: number]

/** Longitude and latitude, degrees, of the place that lies `distanceM` away in a direction clockwise from north. */
export function placeAway([longitude, latitude]: Position, courseDeg: number, distanceM: number): Position {
  const angle = distanceM / EARTH_RADIUS_M
  const course = courseDeg * DEGREE_RAD
  const from = latitude! * DEGREE_RAD
  const sine = Math.sin(from) * Math.cos(angle) + Math.cos(from) * Math.sin(angle) * Math.cos(course)
  const turn = Math.atan2(
    Math.sin(course) * Math.sin(angle) * Math.cos(from),
    Math.cos(angle) - Math.sin(from) * sine,
  )
  return [longitude! + turn / DEGREE_RAD, Math.asin(Math.max(-1, Math.min(1, sine))) / DEGREE_RAD]
}

/** Great-circle distance of two places, m. */
export function distanceM([aLongitude, aLatitude]: Position, [bLongitude, bLatitude]: Position): number {
  const a = aLatitude! * DEGREE_RAD
  const b = bLatitude! * DEGREE_RAD
  const half =
    Math.sin((b - a) / 2) ** 2 +
    Math.cos(a) * Math.cos(b) * Math.sin(((bLongitude! - aLongitude!) * DEGREE_RAD) / 2) ** 2
  return 2 * EARTH_RADIUS_M * Math.asin(Math.min(1, Math.sqrt(half)))
}

/** Ring of a circle on the sphere. */
export function circleRing(center: Position, radiusM: number): Position[] {
  const ring = Array.from({ length: CIRCLE_CORNERS }, (_, corner) =>
    placeAway(center, -(corner * 360) / CIRCLE_CORNERS, radiusM),
  )
  return [...ring, ring[0]!]
}

/**
 * What is drawn of a shape: a polygon, or for a corridor its line with `widthPx`, its whole width at zoom 0.
 * @param properties Of the feature, beside that.
 */
export function shapeFeature(shape: GeofenceShape, properties: Record<string, unknown>): Feature {
  if (shape.type === 'Circle') {
    const coordinates = [circleRing(shape.center, shape.radiusM)]
    return { type: 'Feature', properties, geometry: { type: 'Polygon', coordinates } }
  }
  if (shape.type === 'Corridor') {
    const [, south, , north] = shapeBox(shape)
    const scale = Math.cos(((south + north) / 2) * DEGREE_RAD)
    const widthPx = (2 * shape.halfWidthM) / (METRES_PER_PX_ZOOM_0 * scale)
    const coordinates = shape.coordinates.map((place) => place.slice(0, 2))
    return {
      type: 'Feature',
      properties: { ...properties, widthPx },
      geometry: { type: 'LineString', coordinates },
    }
  }
  return { type: 'Feature', properties, geometry: shape }
}

/** The box that holds a shape. */
export function shapeBox(shape: GeofenceShape): ShapeBox {
  const places = placesOf(shape)
  const longitudes = places.map(([longitude]) => longitude!)
  const latitudes = places.map(([, latitude]) => latitude!)
  let [west, south, east, north] = [
    Math.min(...longitudes),
    Math.min(...latitudes),
    Math.max(...longitudes),
    Math.max(...latitudes),
  ]
  if (shape.type === 'Corridor') {
    const marginDeg = shape.halfWidthM / EARTH_RADIUS_M / DEGREE_RAD
    const widest = Math.cos(Math.min(89, Math.max(Math.abs(south), Math.abs(north))) * DEGREE_RAD)
    west -= marginDeg / widest
    east += marginDeg / widest
    south -= marginDeg
    north += marginDeg
  }
  return [west, south, east, north]
}

/** Where the name of a shape stands. */
export function shapeMiddle(shape: GeofenceShape): Position {
  if (shape.type === 'Circle') return shape.center
  if (shape.type === 'Corridor') return shape.coordinates[Math.floor(shape.coordinates.length / 2)]!
  const [west, south, east, north] = shapeBox(shape)
  return [(west + east) / 2, (south + north) / 2]
}

function placesOf(shape: GeofenceShape): readonly Position[] {
  if (shape.type === 'Circle') return circleRing(shape.center, shape.radiusM)
  if (shape.type === 'Corridor') return shape.coordinates
  if (shape.type === 'Polygon') return shape.coordinates.flat()
  return shape.coordinates.flat(2)
}
