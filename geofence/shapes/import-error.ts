/** Why a file, or a feature in it, is not taken. */
export type ImportErrorCode =
  | 'import-too-large'
  | 'import-too-many-features'
  | 'import-nothing'
  | 'import-not-json'
  | 'import-not-geojson'
  | 'import-not-kml'
  | 'import-not-wkt'
  | 'import-no-geometry'
  | 'import-geometry-unknown'
  | 'import-no-radius'
  | 'import-no-half-width'
  | 'import-shape-invalid'

/** The message is meant for the user. */
export class ImportError extends Error {
  override readonly name = 'ImportError'
  readonly code: ImportErrorCode

  constructor(code: ImportErrorCode, message: string) {
    super(message)
    this.code = code
  }
}
