/** What an index of geofences is made of: typed arrays over SharedArrayBuffers, and the keys of its cells. */

import type { Shape } from '../shapes/shape.ts'
import { FINEST } from './cells.ts'

/** A geofence as the index takes it. */
export interface FenceSource {
  readonly id: number
  readonly organizationId: number
  readonly version: number
  /** Index of its terms in the list that `FenceMap` has. */
  readonly terms: number
  /** Whether a way through between two fixes counts. */
  readonly crossing: boolean
  readonly shape: Pick<Shape, 'numbers'>
}

/** What `buildFenceIndex` makes: posted to other threads without a copy. Its parts are of no interest outside. */
export interface FenceIndexData {
  readonly count: number
  /** By geofence, in the order of their ids. */
  readonly ids: Int32Array
  readonly organizations: Int32Array
  readonly versions: Int32Array
  readonly terms: Int32Array
  /** Of each geofence its id, its region (geometry.ts), its belts (fence-index-belts.ts); those that are near to each other lie side by side. */
  readonly numbers: Float64Array
  /** By organisation: its id, how many geofences it has, and the resolutions of their cells as bits. */
  readonly organizationIds: Int32Array
  readonly organizationCounts: Int32Array
  readonly organizationLevels: Int32Array
  /** Hash table of cell-table.ts: where the block of a cell of BLOCK_RESOLUTION or above begins in `blocks`. */
  readonly slots: Uint32Array
  /**
   * Of each block:
   * - two words with a bit for each of its cells that has a list, see `bitOf`;
   * - the resolutions of cells above it that have a list, as bits, if it is of BLOCK_RESOLUTION; else 0;
   * - where the lists of these begin;
   * - where the list of each of its own cells begins, counted from the beginning of the block;
   * - its lists: how many geofences the cell is inside of, how many it has a part of the boundary of; ids of the former;
   *   where the region of each of the latter begins and its box; both by ascending id.
   *
   * Nothing begins at 0.
   */
  readonly blocks: Int32Array
  /** Organisations, by number, whose geofences have `crossing`; where their tree begins, bytes, and their items. */
  readonly crossingOrganizations: Int32Array
  readonly crossingTrees: Float64Array
  readonly crossingItems: Int32Array
  /** Flatbush trees of bounds, one an organisation. */
  readonly trees: SharedArrayBuffer
  /** Where the regions of the items begin. */
  readonly items: Int32Array
}

/** Geofences of more organisations than that do not fit into a key. */
export const ORGANIZATIONS_MAX = 1 << 23

/**
 * A cell of this resolution and those below it are one block, side by side in memory: a look-up waits for memory far more
 * than it computes. Cells above are a block each.
 */
export const BLOCK_RESOLUTION = FINEST - 2

/** Words of a block before what it has any number of. */
export const BLOCK_HEADER = 3

/** Number of the bit of a cell in its block, 0 to 56; `hi` and `lo` are halves of it or of one of its descendants. */
export function bitOf(lo: number, resolution: number): number {
  if (resolution <= BLOCK_RESOLUTION) return 0
  const first = (lo >>> (45 - 3 * (BLOCK_RESOLUTION + 1))) & 7
  if (resolution === BLOCK_RESOLUTION + 1) return 1 + first
  return 8 + 7 * first + ((lo >>> (45 - 3 * FINEST)) & 7)
}

/** Bits of the halves of a finest cell that a parent keeps, and those that it sets; by resolution. */
const keptHi = new Int32Array(BLOCK_RESOLUTION + 1)
const setHi = new Int32Array(BLOCK_RESOLUTION + 1)
const keptLo = new Int32Array(BLOCK_RESOLUTION + 1)
const setLo = new Int32Array(BLOCK_RESOLUTION + 1)
for (let r = 0; r <= BLOCK_RESOLUTION; r++) {
  const unusedHi = r < 5 ? (1 << (13 - 3 * r)) - 1 : 0
  const unusedLo = r < 5 ? -1 : 2 ** (45 - 3 * r) - 1
  keptHi[r] = 0xfffff & ~unusedHi
  setHi[r] = (r << 20) | unusedHi
  keptLo[r] = ~unusedLo
  setLo[r] = unusedLo
}

/** First word of the key of a cell's ancestor at `resolution`, which is BLOCK_RESOLUTION at most. */
export function keyHi(organization: number, hi: number, resolution: number): number {
  return ((hi & keptHi[resolution]!) | setHi[resolution]! | (organization << 24)) >>> 0
}

/** Second word. Below the finest resolution all bits of an index are set. */
export function keyLo(organization: number, lo: number, resolution: number): number {
  return ((((lo & keptLo[resolution]!) | setLo[resolution]!) >>> 15) | ((organization >> 8) << 17)) >>> 0
}

/** Key of an ancestor of a block's cell. */
export function ancestorKeyHi(hi: number, resolution: number): number {
  return (keyHi(0, hi, resolution) | (hi & 0xff000000)) >>> 0
}

export function ancestorKeyLo(lo: number, resolution: number): number {
  return (keyLo(0, lo << 15, resolution) | (lo & 0xfffe0000)) >>> 0
}

/** Resolution of a cell. */
export function resolutionOf(hi: number): number {
  return (hi >> 20) & 15
}

/**
 * Units a degree in which the boxes of a list count, by resolution of the cell: some 32 are as wide as a cell, and 360°
 * are a multiple of 256 of them, so that boxes and places may be compared by their last eight bits.
 */
export const BOX_UNITS: Float64Array = Float64Array.from({ length: FINEST + 1 }, (_, resolution) => {
  const cellDeg = 20 / 7 ** (resolution / 2)
  return (256 * Math.max(1, Math.round((360 * 32) / cellDeg / 256))) / 360
})
/** Bounds are met within this, so that rounding leaves none out that the exact test would take. */
export const MARGIN_DEG = 1e-9

/** Box of a region in units of the resolution: west, width, south and height, eight bits each. */
export function boxOf(numbers: Float64Array, resolution: number): number {
  const units = BOX_UNITS[resolution]!
  const [west, width] = side(numbers[2]!, numbers[4]!, units)
  const [south, height] = side(numbers[3]!, numbers[5]!, units)
  return west | (width << 8) | (south << 16) | (height << 24)
}

function side(from: number, to: number, units: number): [from: number, length: number] {
  const first = Math.floor((from - MARGIN_DEG) * units)
  const length = Math.floor((to + MARGIN_DEG) * units) - first
  return [first & 255, Math.min(length, 255)]
}

/** A typed array that all threads share. */
export function sharedInt32(length: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * length))
}
