/**
 * Outlines that cross the 180th meridian: the atlas has them jump from 179 to -179, which a flat map would draw as a
 * line across the world. Here they run on beyond 180, and the map puts the part beyond on the other side.
 */
import type { Feature, FeatureCollection, Geometry, Position } from 'geojson'

/** Copies of features or of a geometry without jumps; other geometries than lines and areas stay as they are. */
export function unwrapped<Shape extends FeatureCollection | Feature | Geometry>(shape: Shape): Shape {
  if (shape.type === 'FeatureCollection') return { ...shape, features: shape.features.map(unwrapped) }
  if (shape.type === 'Feature') return { ...shape, geometry: unwrapped(shape.geometry) }
  if (shape.type === 'MultiLineString') return { ...shape, coordinates: shape.coordinates.map(unwrapLine) }
  if (shape.type === 'Polygon') return { ...shape, coordinates: shape.coordinates.map(unwrapRing) }
  if (shape.type === 'MultiPolygon') {
    return { ...shape, coordinates: shape.coordinates.map((rings) => rings.map(unwrapRing)) }
  }
  return shape
}

/** A line whose longitudes run on where they would jump by a turn. */
export function unwrapLine(line: readonly Position[]): Position[] {
  let turns = 0
  return line.map(([longitude, latitude], index) => {
    const step = index === 0 ? 0 : longitude! - line[index - 1]![0]!
    if (step > 180) turns--
    else if (step < -180) turns++
    return [longitude! + turns * 360, latitude!]
  })
}

/** As {@link unwrapLine} for a closed ring; one around a pole, such as Antarctica, is led along the pole. */
export function unwrapRing(ring: readonly Position[]): Position[] {
  const line = unwrapLine(ring)
  const [first, last] = [line[0]!, line.at(-1)!]
  if (Math.abs(first[0]! - last[0]!) < 180) return line
  const pole = first[1]! < 0 ? -90 : 90
  return [...line, [last[0]!, pole], [first[0]!, pole], first]
}
