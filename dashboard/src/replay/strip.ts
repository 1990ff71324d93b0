/** What is drawn over the timeline: the speed of a vehicle, or how many events there were. */
import type { TrackPoint } from '../fleet/track.ts'
import { formatCount } from '../ui/format.ts'

/** More places than this are not told apart on a screen. */
const PLACES = 480
/** Between positions further apart nothing is known. */
const GAP_MS = 5 * 60_000
/** The scale ends at a multiple of this. */
const SCALE_STEP_KMH = 20
const COUNTED_MIN = 60

/** How high the strip is at a time; null where nothing is known. */
export interface StripPoint {
  readonly timeMs: number
  /** 0 to 1. */
  readonly height: number | null
}

export interface Strip {
  readonly points: readonly StripPoint[]
  /** What the full height means. */
  readonly scale: string
}

export const NO_STRIP: Strip = { points: [], scale: '' }

/** The speed of a track, the fastest of each place; oldest point first. */
export function speedStrip(track: readonly TrackPoint[], fromMs: number, toMs: number): Strip {
  const known = track.filter((point) => point.speedKmh !== null)
  if (known.length === 0) return NO_STRIP
  const fastestKmh = known.reduce((most, point) => Math.max(most, point.speedKmh!), 0)
  const topKmh = Math.max(SCALE_STEP_KMH, Math.ceil(fastestKmh / SCALE_STEP_KMH) * SCALE_STEP_KMH)
  const placeMs = (toMs - fromMs) / PLACES
  const points: StripPoint[] = []
  let lastMs = Number.NEGATIVE_INFINITY
  let place = -1
  for (const { timeMs, speedKmh } of known) {
    const height = speedKmh! / topKmh
    const its = Math.floor((timeMs - fromMs) / placeMs)
    const before = points.at(-1)
    if (timeMs - lastMs > Math.max(GAP_MS, 2 * placeMs)) {
      points.push({ timeMs: lastMs, height: null }, { timeMs, height })
    } else if (its !== place) points.push({ timeMs, height })
    else if (height > before!.height!) points[points.length - 1] = { timeMs, height }
    lastMs = timeMs
    place = its
  }
  return { points, scale: `${topKmh} km/h` }
}

/** How many of the times lie in each part of the range; of few, the ticks say it better. */
export function countStrip(timesMs: readonly number[], fromMs: number, toMs: number): Strip {
  if (timesMs.length < COUNTED_MIN) return NO_STRIP
  const places = 96
  const counts = new Array<number>(places).fill(0)
  for (const timeMs of timesMs) {
    const place = Math.min(places - 1, Math.floor(((timeMs - fromMs) / (toMs - fromMs)) * places))
    if (place >= 0) counts[place]! += 1
  }
  const most = Math.max(...counts)
  const placeMs = (toMs - fromMs) / places
  const points = counts.flatMap((count, place) => [
    { timeMs: fromMs + place * placeMs, height: count / most },
    { timeMs: fromMs + (place + 1) * placeMs, height: count / most },
  ])
  return { points, scale: `${formatCount(most)} events` }
}
