/** The speed of the last hour as a small chart. */
import type { TrackPoint } from '../fleet/track.ts'
import { element } from './dom.ts'
import { formatClock } from './format.ts'

const WIDTH = 300
const HEIGHT = 56
const HOUR_MS = 3_600_000
/** A chart of less time would be made of noise. */
const SHORTEST_MS = 5 * 60_000
const GAP_MS = 5 * 60_000
/** The scale ends at a multiple of this, so that it does not change with every position. */
const SCALE_STEP_KMH = 20

/**
 * The chart, from the first position to now.
 * @param points At least one, oldest first.
 * @param endMs Now, ms UTC.
 */
export function speedChart(points: readonly TrackPoint[], endMs: number): HTMLElement {
  const startMs = Math.max(endMs - HOUR_MS, Math.min(points[0]!.timeMs, endMs - SHORTEST_MS))
  const spanMs = endMs - startMs
  const known = points.filter((point) => point.speedKmh !== null && point.timeMs >= startMs)
  const fastestKmh = known.reduce((most, point) => Math.max(most, point.speedKmh!), 0)
  const topKmh = Math.max(SCALE_STEP_KMH, Math.ceil(fastestKmh / SCALE_STEP_KMH) * SCALE_STEP_KMH)
  const svg = svgElement('svg', {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: 'none',
    role: 'img',
    'aria-label': `Speed in the last hour, at most ${Math.round(fastestKmh)} km/h`,
  })
  for (const run of runsOf(known)) {
    const places = run.map((point) => {
      const x = ((point.timeMs - startMs) / spanMs) * WIDTH
      return `${x.toFixed(1)},${(HEIGHT - (point.speedKmh! / topKmh) * (HEIGHT - 2) - 1).toFixed(1)}`
    })
    const left = places[0]!.split(',')[0]
    const right = places.at(-1)!.split(',')[0]
    svg.append(
      svgElement('path', {
        class: 'chart-area',
        d: `M${left},${HEIGHT} L${places.join(' ')} L${right},${HEIGHT}Z`,
      }),
      svgElement('polyline', { class: 'chart-line', points: places.join(' ') }),
    )
  }
  return element(
    'div',
    { class: 'chart' },
    element('span', { class: 'chart-top' }, `${topKmh} km/h`),
    svg,
    element(
      'div',
      { class: 'chart-axis' },
      element('span', {}, formatClock(startMs)),
      element('span', {}, formatClock(startMs + spanMs / 2)),
      element('span', {}, formatClock(endMs)),
    ),
  )
}

function runsOf(points: readonly TrackPoint[]): TrackPoint[][] {
  const runs: TrackPoint[][] = []
  for (const [index, point] of points.entries()) {
    const before = points[index - 1]
    if (before === undefined || point.timeMs - before.timeMs > GAP_MS) runs.push([])
    runs.at(-1)!.push(point)
  }
  return runs
}

function svgElement(tag: string, attributes: Record<string, string>): SVGElement {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  return made
}
