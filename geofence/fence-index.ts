/**
 * Geofences of all organisations, found by the place of a fix: typed arrays over SharedArrayBuffers, which one thread
 * builds and all threads read.
 */
import type { FenceIds } from './fence-ids.ts'
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
}

/** A straight way through a geofence; `from` and `to` are fractions of the way, 0 to 1. */
export interface Crossing {
  readonly geofence: number
  readonly from: number
  readonly to: number
}

/** Builds an index of geofences that come one by one. Memory while it builds is about that of the index. */
export class FenceIndexBuilder {
  private count = 0

  /** In any order, each id once. */
  add(_fence: FenceSource): void {
    this.count++
  }

  /** Ends the building. */
  finish(): FenceIndexData {
    return { count: this.count }
  }
}

/**
 * Builds an index of geofences that are at hand.
 *
 * @param fences in any order, each id once.
 * @param onProgress is told how many were taken, from time to time.
 */
export function buildFenceIndex(
  fences: Iterable<FenceSource>,
  onProgress?: (count: number) => void,
): FenceIndexData {
  const builder = new FenceIndexBuilder()
  let count = 0
  for (const fence of fences) {
    builder.add(fence)
    onProgress?.(++count)
  }
  return builder.finish()
}

/** Reads an index; many may read the same data, in any thread. */
export class FenceIndex {
  /** Geofences in it. */
  readonly count: number

  constructor(data: FenceIndexData) {
    this.count = data.count
  }

  /** How many geofences an organisation has in this index. */
  countOf(_organizationId: number): number {
    return 0
  }

  /** Appends the ids of the organisation's geofences that the place is inside of, ascending. Degrees. */
  inside(_organizationId: number, _latitudeDeg: number, _longitudeDeg: number, _into: FenceIds): void {}

  /**
   * Ways through the organisation's geofences with `crossing`, along the straight line in longitude and latitude, the
   * shorter way round the globe; by geofence, then along the line.
   */
  crossed(
    _organizationId: number,
    _fromLatitudeDeg: number,
    _fromLongitudeDeg: number,
    _toLatitudeDeg: number,
    _toLongitudeDeg: number,
  ): Crossing[] {
    return []
  }

  /** Number of the geofence in this index, −1 = none; to be handed to the functions below. */
  find(_id: number): number {
    return -1
  }

  organizationAt(_fence: number): number {
    return 0
  }

  versionAt(_fence: number): number {
    return 0
  }

  termsAt(_fence: number): number {
    return 0
  }
}
