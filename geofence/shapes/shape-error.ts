/** Why a shape is refused. */
export type ShapeErrorCode =
  | 'shape-empty'
  | 'shape-too-many-vertices'
  | 'shape-not-a-number'
  | 'shape-coordinates-swapped'
  | 'shape-out-of-range'
  | 'shape-ring-short'
  | 'shape-ring-open'
  | 'shape-zero-area'
  | 'shape-too-wide'
  | 'shape-self-crossing'
  | 'shape-rings-crossing'
  | 'shape-hole-outside'
  | 'shape-polygons-crossing'
  | 'shape-line-short'
  | 'shape-line-antipodal'

/** The message names polygon, ring and vertex (all counted from 0) and says what to do; it is meant for the user. */
export class ShapeError extends Error {
  override readonly name = 'ShapeError'
  readonly code: ShapeErrorCode

  constructor(code: ShapeErrorCode, message: string) {
    super(message)
    this.code = code
  }
}
