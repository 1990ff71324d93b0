/** A feature of a file, of whatever format, becomes a shape. */
import { GeofenceShape, VERTICES_MAX } from '../../schemas/geofence.ts'
import { ImportError } from './import-error.ts'
import { compileShape, ShapeError } from './shape.ts'

/** What points and lines become where the feature itself does not say it. */
export interface ImportDefaults {
  /** Of the circle round a point, m. */
  readonly radiusM?: number
  /** Of the corridor along a line, m. */
  readonly halfWidthM?: number
}

/** As GeoJSON has it; nothing of it is known for certain. */
export interface ForeignFeature {
  readonly properties: Readonly<Record<string, unknown>>
  readonly geometry: unknown
}

/** A vertex is at most 4 numbers, and one entry each in a ring, a polygon and a shape. */
const ENTRIES_MAX = 7 * VERTICES_MAX

type Geometry = Readonly<Record<string, unknown>>

/**
 * Polygons stay polygons, a point becomes a circle and a line a corridor. A collection of nothing but polygons is one
 * multipolygon; any other is refused, since one geofence has one shape.
 * @throws {ImportError | ShapeError}
 */
export function shapeOfFeature(
  { properties, geometry }: ForeignFeature,
  defaults: ImportDefaults,
): GeofenceShape {
  const shape = checked(shapeOfGeometry(geometry, properties, defaults))
  compileShape(shape)
  return shape
}

function shapeOfGeometry(
  geometry: unknown,
  properties: ForeignFeature['properties'],
  defaults: ImportDefaults,
): unknown {
  if (!isRecord(geometry)) throw new ImportError('import-no-geometry', 'the feature has no geometry')
  const { type, coordinates } = geometry
  switch (type) {
    case 'Polygon':
    case 'MultiPolygon':
      return { type, coordinates }
    case 'Point': {
      const radiusM = metres(properties, 'radiusM') ?? metres(properties, 'radius') ?? defaults.radiusM
      if (radiusM === undefined) {
        throw new ImportError(
          'import-no-radius',
          'a point needs a property radiusM: the radius of a circle, m',
        )
      }
      return { type: 'Circle', center: coordinates, radiusM }
    }
    case 'LineString': {
      const halfWidthM = metres(properties, 'halfWidthM') ?? defaults.halfWidthM
      if (halfWidthM === undefined) {
        throw new ImportError(
          'import-no-half-width',
          'a line needs a property halfWidthM: how far from it is inside, m',
        )
      }
      return { type: 'Corridor', coordinates, halfWidthM }
    }
    case 'GeometryCollection':
      return { type: 'MultiPolygon', coordinates: polygonsOf(geometry) }
    default:
      throw new ImportError(
        'import-geometry-unknown',
        `geometries of type ${label(type)} are not taken: give a Polygon, MultiPolygon, Point or LineString`,
      )
  }
}

function polygonsOf({ geometries }: Geometry): unknown[] {
  const parts = Array.isArray(geometries) ? (geometries as unknown[]) : []
  return parts.flatMap((part) => {
    if (isRecord(part) && part.type === 'Polygon') return [part.coordinates]
    if (isRecord(part) && part.type === 'MultiPolygon' && Array.isArray(part.coordinates)) {
      return part.coordinates as unknown[]
    }
    throw new ImportError(
      'import-geometry-unknown',
      'a collection is taken where all of it are polygons: give other geometries as features of their own',
    )
  })
}

/** Counted first: the checks that follow list all that is wrong, and must not list a million things. */
function checked(shape: unknown): GeofenceShape {
  if (countEntries((shape as { coordinates?: unknown }).coordinates, 4) > ENTRIES_MAX) {
    throw new ShapeError(
      'shape-too-many-vertices',
      `the shape has more than ${VERTICES_MAX} vertices: simplify it or split it`,
    )
  }
  const result = GeofenceShape.safeParse(shape)
  if (result.success) return result.data
  const { path, message } = result.error.issues[0]!
  throw new ImportError('import-shape-invalid', `${path.join('.')}: ${message}`)
}

/** Entries of arrays, no deeper than a multipolygon has them. */
function countEntries(coordinates: unknown, depth: number): number {
  if (!Array.isArray(coordinates) || depth === 0) return 0
  let count = coordinates.length
  for (const part of coordinates as unknown[]) count += countEntries(part, depth - 1)
  return count
}

/** KML and some GeoJSON have numbers as text. */
function metres(properties: ForeignFeature['properties'], name: string): number | undefined {
  const value = Object.hasOwn(properties, name) ? properties[name] : undefined
  if (typeof value === 'number') return value
  return typeof value === 'string' && value.trim() !== '' ? Number(value) : undefined
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Text of a file in a message: short. */
export function label(value: unknown): string {
  return typeof value === 'string' ? `"${value.slice(0, 40)}"` : typeof value
}
