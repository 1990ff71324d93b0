/** Which box of the world is watched for a view of the map: a margin around it, so that a small move costs nothing. */
import type { View } from '../map/grid.ts'

/** Margin on each side, as a part of the view. */
const MARGIN = 0.35
/** A box more than so many times as wide as the view holds much that nobody sees. */
const WIDTH_RATIO_MAX = 4

/** West, south, east, north in degrees. */
export type Box = readonly [west: number, south: number, east: number, north: number]

/** The box to watch for a view. */
export function boxAround({ west, south, east, north }: View): Box {
  const x = (east - west) * MARGIN
  const y = (north - south) * MARGIN
  return [
    Math.max(-180, west - x),
    Math.max(-90, south - y),
    Math.min(180, east + x),
    Math.min(90, north + y),
  ]
}

/** Whether a watched box still serves a view. */
export function boxServes([west, south, east, north]: Box, view: View): boolean {
  // The map goes on beyond the world's edges, where no vehicle is.
  const holds =
    west <= Math.max(-180, view.west) &&
    south <= Math.max(-90, view.south) &&
    east >= Math.min(180, view.east) &&
    north >= Math.min(90, view.north)
  return holds && east - west <= (view.east - view.west) * WIDTH_RATIO_MAX
}
