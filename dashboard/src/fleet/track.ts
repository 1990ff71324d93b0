/** The way a vehicle came: the line of its positions, with gaps where it said nothing. */
import type { Feature, FeatureCollection } from 'geojson'
import { groundM, mercatorX, mercatorY } from './mercator.ts'

/** One position of a track. */
export interface TrackPoint {
  readonly timeMs: number
  readonly latitude: number
  readonly longitude: number
  readonly speedKmh: number | null
}

/** Between positions further apart in time, no one knows the way: the line is dashed there. */
const GAP_MS = 5 * 60_000
/** Receivers wander at rest; steps below this are not counted as distance. */
const STEP_MIN_M = 5

/** Figures of a track. */
export interface TrackSummary {
  readonly lengthM: number
  readonly fastestKmh: number | null
}

export function summarize(points: readonly TrackPoint[]): TrackSummary {
  let lengthM = 0
  let fastestKmh: number | null = null
  let last = points[0]
  for (const point of points) {
    const stepM = distanceM(last!, point)
    if (stepM >= STEP_MIN_M) {
      lengthM += stepM
      last = point
    }
    if (point.speedKmh !== null) fastestKmh = Math.max(fastestKmh ?? 0, point.speedKmh)
  }
  return { lengthM, fastestKmh }
}

/**
 * The track as features: lines of kind `drive` and `gap`, and a point of kind `start`.
 * @param gaps Whether a long time between two points means that nothing is known of it: not in a simplified track.
 */
export function trackFeatures(points: readonly TrackPoint[], gaps = true): FeatureCollection {
  const features: Feature[] = []
  let run: number[][] = []
  for (const [index, point] of points.entries()) {
    const place = [point.longitude, point.latitude]
    const before = points[index - 1]
    if (gaps && before !== undefined && point.timeMs - before.timeMs > GAP_MS) {
      features.push(line('gap', [[before.longitude, before.latitude], place]))
      if (run.length > 1) features.push(line('drive', run))
      run = []
    }
    run.push(place)
  }
  if (run.length > 1) features.push(line('drive', run))
  const first = points[0]
  if (first !== undefined) {
    features.push({
      type: 'Feature',
      properties: { kind: 'start' },
      geometry: { type: 'Point', coordinates: [first.longitude, first.latitude] },
    })
  }
  return { type: 'FeatureCollection', features }
}

/** West, south, east and north of a track on the unit square; null = it has no point. */
export function trackExtent(points: readonly TrackPoint[]): [number, number, number, number] | null {
  if (points.length === 0) return null
  let [west, south, east, north] = [1, 0, 0, 1]
  for (const { latitude, longitude } of points) {
    const [x, y] = [mercatorX(longitude), mercatorY(latitude)]
    west = Math.min(west, x)
    east = Math.max(east, x)
    north = Math.min(north, y)
    south = Math.max(south, y)
  }
  return [west, south, east, north]
}

function line(kind: 'drive' | 'gap', coordinates: number[][]): Feature {
  return { type: 'Feature', properties: { kind }, geometry: { type: 'LineString', coordinates } }
}

function distanceM(a: TrackPoint, b: TrackPoint): number {
  const y = mercatorY(a.latitude)
  return groundM(Math.hypot(mercatorX(b.longitude) - mercatorX(a.longitude), mercatorY(b.latitude) - y), y)
}
