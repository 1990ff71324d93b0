/** What main and a thread that builds indexes of geofences tell each other. */
import type { FenceIndexData } from '../../../geofence/index/fence-index.ts'
import type { Terms } from '../../../geofence/index/fence-map.ts'

/** `workerData` of the thread. */
export interface BuildThreadOptions {
  readonly databaseUrl: string
}

export interface BuildTask {
  /** Geofences to read; undefined = all. */
  readonly ids: readonly number[] | undefined
  /** Number of the first of the terms that the geofences name. */
  readonly termsFrom: number
  /** One number in shared memory: geofences that are read so far. */
  readonly progress: Int32Array
}

/** A geofence that cannot be evaluated. */
export interface RefusedFence {
  readonly id: number
  readonly version: number
  readonly code: string
  readonly message: string
}

export interface BuiltFences {
  readonly index: FenceIndexData
  /** How many are in the index. */
  readonly fences: number
  /** From number `termsFrom` on. */
  readonly terms: readonly Terms[]
  /** How many are left out. */
  readonly refusedCount: number
  /** The first of those. */
  readonly refused: readonly RefusedFence[]
}
