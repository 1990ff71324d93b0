/**
 * Where a device is: its visits of geofences, fix by fix. Pure: all that is known of a device is its {@link DeviceState},
 * what a fix changes goes to {@link GeofenceChanges}, and no clock is read.
 *
 * What is found depends on the set of fixes only, not on the order of their arrival:
 * - Fixes are in the order of time. Of those of one millisecond the one with the lowest digest counts, and no other:
 *   a device is at one place at a time, and no visit begins twice at one time.
 */
import type { GeofenceChanges } from './changes.ts'
import type { Terms } from './rules.ts'

/** A fix that counts: undoubted, with a place. What is handed in may be used again for the next one. */
export interface Fix {
  /** ms UTC. */
  readonly timeMs: number
  /** Of the record, as unsigned numbers. */
  readonly digestHigh: number
  readonly digestLow: number
  readonly latitudeDeg: number
  readonly longitudeDeg: number
  /** NaN where it was not reported. Taken as a float32, which is what the database keeps. */
  readonly speedKmh: number
}

/** Ids of geofences, ascending, in the first `length` places. */
export interface FenceIds {
  readonly ids: Int32Array
  readonly length: number
}

/** A geofence as it is now. */
export interface Fence {
  readonly id: number
  readonly version: number
  readonly terms: Terms
}

/** A way through a geofence, in parts of the segment, 0 … 1. */
export interface Passage {
  readonly geofence: number
  readonly from: number
  readonly to: number
}

/** What evaluation asks of the geofences of an organisation; `FenceMap` is one. */
export interface Fences {
  /** Counted up by each change of the geofences: what was looked up before is looked up anew. */
  readonly generation: number
  /** @returns undefined where it is gone or disabled. */
  find(geofence: number): Fence | undefined
  /** The ways of a straight segment through geofences that have a rule with `crossingGapS`. */
  crossed(
    organizationId: number,
    latitudeDeg0: number,
    longitudeDeg0: number,
    latitudeDeg1: number,
    longitudeDeg1: number,
  ): readonly Passage[]
}

/** Who is evaluated. */
export interface WatchedDevice {
  readonly device: number
  readonly organizationId: number
  /** Ids of its groups. */
  readonly groups: readonly number[]
}

/** What is known of a device after its last fix. */
export class DeviceState implements WatchedDevice {
  readonly device: number
  readonly organizationId: number
  readonly groups: readonly number[]

  constructor({ device, organizationId, groups }: WatchedDevice) {
    this.device = device
    this.organizationId = organizationId
    this.groups = groups
  }

  /**
   * For a piece that may not get stored: the clone is advanced, and takes the place of this one when it is. To be taken
   * once for each {@link GeofenceChanges}. Costs the same whatever the device is inside of.
   */
  clone(): DeviceState {
    return new DeviceState(this)
  }

  /**
   * What is to be done with a fix: `next` is for {@link advance}; `late` is for `revise`, with all that are late of the
   * piece; `passed` changes nothing, since it is the last one itself or another one of its time.
   */
  order(_fix: Fix): 'next' | 'late' | 'passed' {
    return 'next'
  }
}

/**
 * Takes a fix of {@link DeviceState.order} `next`.
 *
 * @param inside Geofences that the fix lies inside of.
 * @param nowMs As far as timers may have come, ms UTC.
 * @returns false where timers have passed what the fix changes: `state` and `changes` are then of no use for this device,
 *   and it is to be evaluated by `revise`, with all fixes of the piece.
 */
export function advance(
  _state: DeviceState,
  _fix: Fix,
  _inside: FenceIds,
  _fences: Fences,
  _nowMs: number,
  _changes: GeofenceChanges,
): boolean {
  return true
}
