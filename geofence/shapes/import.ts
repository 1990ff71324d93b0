/** Geofences of files that other programs made: GeoJSON, KML and well-known text. */
import type { GeofenceShape } from '../../schemas/geofence.ts'
import { ImportError, type ImportErrorCode } from './import-error.ts'
import { type ImportDefaults, shapeOfFeature } from './import-feature.ts'
import { readGeoJson } from './import-geojson.ts'
import { readKml } from './import-kml.ts'
import { type ReadFeature, readWkt } from './import-wkt.ts'
import { ShapeError, type ShapeErrorCode } from './shape-error.ts'

export { ImportError, type ImportErrorCode } from './import-error.ts'
export type { ImportDefaults } from './import-feature.ts'

export type ImportFormat = 'geojson' | 'kml' | 'wkt'

/** Most bytes (UTF-8) of one file. */
export const IMPORT_BYTES_MAX = 10_000_000
/** Most features of one file. */
export const IMPORT_FEATURES_MAX = 10_000
const NAME_MAX = 200

/** A feature of the file, in its order. Its name fits `GeofenceCreate`; features without one are numbered. */
export type ImportedGeofence = { readonly name: string } & (
  | { readonly shape: GeofenceShape }
  | { readonly error: { readonly code: ImportErrorCode | ShapeErrorCode; readonly message: string } }
)

/**
 * Shapes that are given compile. A point becomes a circle by its property `radiusM` (or `radius`), a line a corridor by
 * `halfWidthM`, both in metres, in KML from ExtendedData; `defaults` has them for features that do not say it, such as
 * all of well-known text.
 * @throws {ImportError} where the file as a whole cannot be read
 */
export function importGeofences(
  format: ImportFormat,
  text: string,
  defaults: ImportDefaults = {},
): ImportedGeofence[] {
  if (Buffer.byteLength(text) > IMPORT_BYTES_MAX) {
    throw new ImportError('import-too-large', `the file has more than ${IMPORT_BYTES_MAX} bytes: split it`)
  }
  const features = read(format, text.replace(/^\uFEFF/, ''))
  if (features.length === 0) throw new ImportError('import-nothing', 'there is no feature in the file')
  if (features.length > IMPORT_FEATURES_MAX) {
    throw new ImportError(
      'import-too-many-features',
      `the file has ${features.length} features, at most ${IMPORT_FEATURES_MAX} are allowed: split it`,
    )
  }
  return features.map((feature, index) => {
    const name = nameOf(feature) ?? `Geofence ${index + 1}`
    try {
      if (feature instanceof ImportError) throw feature
      return { name, shape: shapeOfFeature(feature, defaults) }
    } catch (error) {
      if (!(error instanceof ImportError || error instanceof ShapeError)) throw error
      return { name, error: { code: error.code, message: error.message } }
    }
  })
}

function read(format: ImportFormat, text: string): ReadFeature[] {
  switch (format) {
    case 'geojson':
      return readGeoJson(text)
    case 'kml':
      return readKml(text, IMPORT_FEATURES_MAX)
    case 'wkt':
      return readWkt(text)
  }
}

/** On one line, cut to what a name may have. */
function nameOf(feature: ReadFeature): string | undefined {
  if (feature instanceof ImportError || !Object.hasOwn(feature.properties, 'name')) return undefined
  const { name } = feature.properties
  if (typeof name !== 'string' && typeof name !== 'number') return undefined
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what names must not have
  const oneLine = String(name).replace(/[\s\x00-\x1f\x7f]+/g, ' ')
  return oneLine.trim().slice(0, NAME_MAX).trim() || undefined
}
