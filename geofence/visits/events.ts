/** Events of geofences as they are made: in which order, and with what. */
import type { GeofenceEventType } from '../../schemas/geofence-event.ts'
import type { NewEvent } from './changes.ts'

/** What happens to a geofence in one moment happens in this order: a visit ends before the next one begins. */
const ORDER: readonly GeofenceEventType[] = ['dwell', 'exit', 'absence', 'missing', 'enter', 'speeding']

/** By time, geofence and type. */
export function compareEvents(
  a: Pick<NewEvent, 'timeMs' | 'geofence' | 'type'>,
  b: Pick<NewEvent, 'timeMs' | 'geofence' | 'type'>,
): number {
  return a.timeMs - b.timeMs || a.geofence - b.geofence || ORDER.indexOf(a.type) - ORDER.indexOf(b.type)
}

/** Whose event it is, and by which version of the geofence. */
export interface EventSource {
  readonly device: number
  readonly geofence: number
  readonly version: number
}

/** Where and how fast the device was, and by which fix that is known. */
export interface EventPlace {
  readonly fixTimeMs: number
  readonly latitudeDeg: number
  readonly longitudeDeg: number
  readonly speedKmh: number
  readonly crossing: boolean
}

/**
 * Of the events of timers, whoever makes them: that of a shard which sees that the time has passed is the same as that
 * of the timer, so that it does not matter who is first.
 */
export const NO_PLACE: EventPlace = {
  fixTimeMs: Number.NaN,
  latitudeDeg: Number.NaN,
  longitudeDeg: Number.NaN,
  speedKmh: Number.NaN,
  crossing: false,
}

/** An event that corrects none. */
export function firstEvent(
  { device, geofence, version }: EventSource,
  type: GeofenceEventType,
  timeMs: number,
  { fixTimeMs, latitudeDeg, longitudeDeg, speedKmh, crossing }: EventPlace,
): NewEvent {
  return {
    device,
    geofence,
    version,
    type,
    timeMs,
    fixTimeMs,
    latitudeDeg,
    longitudeDeg,
    speedKmh,
    crossing,
    revision: 0,
    replaces: null,
    replacesTimeMs: Number.NaN,
    retracted: false,
  }
}
