/**
 * Cells of areas and places, as one small integer each: V8 keeps those below 2^31 without an object, so that they are
 * cheap keys of a Map. A key has the base cell and the directions down to {@link AREA_FINEST}; the key of an ancestor is
 * the upper part of it, so one look-up of a place gives its cells of all resolutions.
 */
import { type Cell, FINEST, findCell } from '../../geofence/index/cells.ts'

/** Finest resolution of cells of areas: some 0.9 km wide. Smaller areas are told apart by the exact test. */
export const AREA_FINEST = 8

const DIGIT_BITS = 3
const FINEST_BITS = AREA_FINEST * DIGIT_BITS
/** Directions that the upper half of an index has. */
const HIGH_DIGITS_MASK = 0x1fff
const BASE_CELL_SHIFT = 13
const BASE_CELL_MASK = 127
const RESOLUTION_SHIFT = 20
const RESOLUTION_MASK = 15
const LOW_SHIFT = 45 - FINEST_BITS
const HIGH_SHIFT = 32 - LOW_SHIFT

const found: Cell = { hi: 0, lo: 0 }

/** Key of the cell of {@link AREA_FINEST} that has the place, degrees. */
export function placeKey(latitudeDeg: number, longitudeDeg: number): number {
  // Cells of H3 do not nest exactly: covers are made for the ancestors of the finest cell.
  findCell(latitudeDeg, longitudeDeg, FINEST, found)
  return finestKey(found.hi, found.lo)
}

/** Key of the ancestor, or the cell itself, of this resolution. */
export function ancestorKey(key: number, resolution: number): number {
  return key >> (DIGIT_BITS * (AREA_FINEST - resolution))
}

/** Resolution of the cell with this upper half of its index. */
export function resolutionOf(hi: number): number {
  return (hi >>> RESOLUTION_SHIFT) & RESOLUTION_MASK
}

/** Key of the cell with these halves of its index, or of its ancestor where it is finer than {@link AREA_FINEST}. */
export function cellKey(hi: number, lo: number): number {
  return ancestorKey(finestKey(hi, lo), Math.min(AREA_FINEST, resolutionOf(hi)))
}

function finestKey(hi: number, lo: number): number {
  const baseCell = (hi >>> BASE_CELL_SHIFT) & BASE_CELL_MASK
  return (baseCell << FINEST_BITS) | ((hi & HIGH_DIGITS_MASK) << HIGH_SHIFT) | (lo >>> LOW_SHIFT)
}
