/**
 * Corrections: fixes that are older than the last one of their device change what happened. They are put in their place
 * among the stored ones, the visits found anew from there on, until they are again what was recorded; the difference is
 * what is stored. A backfill of one geofence is the same without late fixes.
 */
import type { GeofenceEventType } from '../schemas/geofence-event.ts'
import type { GeofenceChanges } from './changes.ts'
import type { FenceFinder, RecordedVisit } from './loading.ts'
import type { LookBack } from './rules.ts'
import type { DeviceState, Fix, WatchedDevice } from './visits-state.ts'

export type { FenceFinder, RecordedVisit } from './loading.ts'

/** A row of `events`, whether it is current or not. */
export interface RecordedEvent {
  readonly id: number
  readonly geofence: number
  readonly type: GeofenceEventType
  readonly timeMs: number
  /** NaN where there is none; so are place and speed. */
  readonly fixTimeMs: number
  readonly latitudeDeg: number
  readonly longitudeDeg: number
  readonly speedKmh: number
  readonly crossing: boolean
  readonly revision: number
  /** Neither superseded nor a retraction. */
  readonly current: boolean
}

/**
 * What is stored of one device. All of it is read as of before the changes, and nothing of the device is stored by
 * others meanwhile but by timers. Fixes are those that count (quality 0), ordered by time and then digest, which is
 * unsigned (high, low).
 */
export interface History {
  /** The last fixes before a time, the oldest first: `limit` of them, or all if there are fewer. */
  fixesBefore(timeMs: number, limit: number): Promise<readonly Fix[]>
  /** The first fixes at a time or after it, the oldest first: `limit` of them, or all if there are fewer. */
  fixesFrom(timeMs: number, limit: number): Promise<readonly Fix[]>
  /** Visits that were entered at `toMs` or before and are open or were left at `fromMs` or after. */
  visits(fromMs: number, toMs: number): Promise<readonly RecordedVisit[]>
  /**
   * Of each of these geofences the last visit that was left before `beforeMs`, and the first that was entered after
   * `afterMs`, which may be Infinity: then there is none.
   */
  neighbours(
    geofences: readonly number[],
    beforeMs: number,
    afterMs: number,
  ): Promise<readonly RecordedVisit[]>
  /** All events of these geofences, current or not, with times from `fromMs` to `toMs`, which may be Infinity. */
  events(geofences: readonly number[], fromMs: number, toMs: number): Promise<readonly RecordedEvent[]>
}

export interface RevisionOptions {
  readonly fences: FenceFinder
  readonly history: History
  /** At least as far as the rules of the organisation's geofences ask; see `lookBackOf`. */
  readonly lookBack: LookBack
  /** As far as timers may have come, ms UTC. */
  readonly nowMs: number
  /** Most fixes read at once. */
  readonly pageRows?: number
}

/**
 * Evaluates late fixes of a device. Those that are stored already change nothing.
 *
 * @param state Before the piece that brings the fixes. It stays as it is.
 * @param fixes Ordered by time and digest; not stored yet, or stored already.
 * @param changes Where the difference is added.
 * @returns State after them, to be advanced by the other fixes of the piece.
 */
export async function revise(
  state: DeviceState,
  _fixes: readonly Fix[],
  _options: RevisionOptions,
  _changes: GeofenceChanges,
): Promise<DeviceState> {
  return state.clone()
}

/**
 * Evaluates one geofence anew for a device over a span of time, with the geofence as it is now. Visits and events of it
 * in the span become what the fixes say. A visit that is recorded at `fromMs` goes on from there; without one, the device
 * is seen for the first time, as it is when a geofence is new. A visit at `toMs` is joined with what is recorded after
 * it: evaluation goes on until both agree.
 *
 * @param span From `fromMs` on, before `toMs`.
 */
export async function backfill(
  _device: WatchedDevice,
  _geofence: number,
  _span: { readonly fromMs: number; readonly toMs: number },
  _options: RevisionOptions,
  _changes: GeofenceChanges,
): Promise<void> {}
