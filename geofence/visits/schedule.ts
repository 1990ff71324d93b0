/**
 * Times of day in the time zone of a geofence, with daylight saving: windows in which events are made, and the moments
 * by which devices have to be inside.
 */
import type { GeofenceRule, GeofenceWindow } from '../../schemas/geofence.ts'
import { firstShownMs, shownMs } from './schedule-zones.ts'

type InsideBy = NonNullable<GeofenceRule['insideBy']>

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

/**
 * Whether a moment lies within one of the windows; none = always. A window is judged by what clocks show: where they
 * show a time twice (autumn), both count, and one that they leave out (spring) is not there.
 * @throws RangeError if there is no such time zone.
 */
export function inWindows(timeMs: number, timeZone: string, windows: readonly GeofenceWindow[]): boolean {
  if (windows.length === 0) return true
  const shown = shownMs(timeMs, timeZone)
  const day = Math.floor(shown / DAY_MS)
  const sinceMidnightMs = shown - day * DAY_MS
  return windows.some(({ days, from, to }) => {
    const fromMs = timeOfDayMs(from)
    const toMs = timeOfDayMs(to)
    const begun = sinceMidnightMs >= fromMs && days.includes(weekday(day))
    const ending = sinceMidnightMs < toMs
    if (toMs > fromMs) return begun && ending
    return begun || (ending && days.includes(weekday(day - 1)))
  })
}

/**
 * The next moment of `insideBy` after `afterMs`, not that moment itself; ms UTC. Where clocks show the time twice it is
 * the first, and where they leave it out the moment at which they leap.
 * @throws RangeError if there is no such time zone.
 */
export function nextInstant({ time, days }: InsideBy, timeZone: string, afterMs: number): number {
  const atMs = timeOfDayMs(time)
  // The day before, too: its time may have been leapt over.
  let day = Math.floor(shownMs(afterMs, timeZone) / DAY_MS) - 1
  for (; ; day++) {
    if (!days.includes(weekday(day))) continue
    const instantMs = firstShownMs(day * DAY_MS + atMs, timeZone)
    if (instantMs > afterMs) return instantMs
  }
}

/** @param day Days since 1970-01-01, which was a Thursday. */
function weekday(day: number): number {
  return ((((day + 3) % 7) + 7) % 7) + 1
}

function timeOfDayMs(time: string): number {
  return (Number(time.slice(0, 2)) * 60 + Number(time.slice(3))) * MINUTE_MS
}
