/** Lines of latitude and longitude over the view: where the basemap is empty, they show scale and movement. */
import type { Feature } from 'geojson'

const STEPS_DEG = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30]
/** Lines across the longer side of the view, about. */
const LINES = 9

/** An area, degrees. */
export interface View {
  readonly west: number
  readonly south: number
  readonly east: number
  readonly north: number
}

/** The step of the grid that suits a view, degrees. */
export function gridStepDeg({ west, east }: View): number {
  return STEPS_DEG.find((step) => (east - west) / step <= LINES) ?? 30
}

/** The lines of the grid for a view and a margin of one view around it. */
export function gridLines(view: View): Feature {
  const step = gridStepDeg(view)
  const width = view.east - view.west
  const height = view.north - view.south
  const west = Math.max(-180, Math.floor((view.west - width) / step) * step)
  const east = Math.min(180, Math.ceil((view.east + width) / step) * step)
  const south = Math.max(-85, Math.floor((view.south - height) / step) * step)
  const north = Math.min(85, Math.ceil((view.north + height) / step) * step)
  const coordinates: number[][][] = []
  for (let i = 0; west + i * step <= east; i++) {
    coordinates.push([
      [west + i * step, south],
      [west + i * step, north],
    ])
  }
  for (let i = 0; south + i * step <= north; i++) {
    coordinates.push([
      [west, south + i * step],
      [east, south + i * step],
    ])
  }
  return { type: 'Feature', properties: {}, geometry: { type: 'MultiLineString', coordinates } }
}
