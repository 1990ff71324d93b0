import { ImportError } from './import-error.ts'
import { type ForeignFeature, isRecord, label } from './import-feature.ts'

const GEOMETRIES = [
  'Point',
  'MultiPoint',
  'LineString',
  'MultiLineString',
  'Polygon',
  'MultiPolygon',
  'GeometryCollection',
]

/** A FeatureCollection, a Feature or a bare geometry. @throws {ImportError} */
export function readGeoJson(text: string): ForeignFeature[] {
  const file = parse(text)
  if (!isRecord(file)) {
    throw new ImportError('import-not-geojson', 'the file is not GeoJSON: it must be an object')
  }
  if (file.type === 'FeatureCollection') {
    const { features } = file
    if (!Array.isArray(features)) {
      throw new ImportError('import-not-geojson', 'the FeatureCollection has no list of features')
    }
    return (features as unknown[]).map(featureOf)
  }
  if (file.type === 'Feature') return [featureOf(file)]
  if (GEOMETRIES.includes(file.type as string)) return [{ properties: {}, geometry: file }]
  throw new ImportError(
    'import-not-geojson',
    `the file is not GeoJSON: its type is ${label(file.type)}, not FeatureCollection, Feature or a geometry`,
  )
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new ImportError(
      'import-not-json',
      `the file is not JSON: ${(error as Error).message.slice(0, 200)}`,
    )
  }
}

function featureOf(feature: unknown): ForeignFeature {
  if (!isRecord(feature)) return { properties: {}, geometry: undefined }
  const { properties, geometry } = feature
  return { properties: isRecord(properties) ? properties : {}, geometry }
}
