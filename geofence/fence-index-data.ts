/** What an index of geofences is made of: typed arrays over SharedArrayBuffers, and the keys of its cells. */
import { FINEST } from './cells.ts'
import type { Shape } from './shape.ts'

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
  /** Of each geofence its id, then its region (geometry.ts); those that are near to each other lie side by side. */
  readonly numbers: Float64Array
  /** By organisation: its id, how many geofences it has, and the resolutions of their cells as bits. */
  readonly organizationIds: Int32Array
  readonly organizationCounts: Int32Array
  readonly organizationLevels: Int32Array
  /** Hash table of cell-table.ts: where the list of a cell begins. */
  readonly slots: Uint32Array
  /**
   * Of each cell: how many geofences it is inside of, how many it has a part of the boundary of; ids of the former, where
   * the regions of the latter begin, both by ascending id. Nothing begins at 0.
   */
  readonly lists: Int32Array
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

/** Bits of the halves of a finest cell that a parent keeps, and those that it sets; by resolution. */
const keptHi = new Int32Array(FINEST + 1)
const setHi = new Int32Array(FINEST + 1)
const keptLo = new Int32Array(FINEST + 1)
const setLo = new Int32Array(FINEST + 1)
for (let r = 0; r <= FINEST; r++) {
  const unusedHi = r < 5 ? (1 << (13 - 3 * r)) - 1 : 0
  const unusedLo = r < 5 ? -1 : r < 15 ? 2 ** (45 - 3 * r) - 1 : 0
  keptHi[r] = 0xfffff & ~unusedHi
  setHi[r] = (r << 20) | unusedHi
  keptLo[r] = ~unusedLo
  setLo[r] = unusedLo
}

/** First word of the key of a cell's ancestor at `resolution`, which is FINEST at most. */
export function keyHi(organization: number, hi: number, resolution: number): number {
  return (hi & keptHi[resolution]!) | setHi[resolution]! | (organization << 24)
}

/** Second word. Below the finest resolution all bits of an index are set. */
export function keyLo(organization: number, lo: number, resolution: number): number {
  return (((lo & keptLo[resolution]!) | setLo[resolution]!) >>> 15) | ((organization >> 8) << 17)
}

/** Resolution of a cell. */
export function resolutionOf(hi: number): number {
  return (hi >> 20) & 15
}

/** A typed array that all threads share. */
export function sharedInt32(length: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * length))
}
