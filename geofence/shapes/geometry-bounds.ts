/** Boxes of longitude and latitude on a globe, where longitude has no end. */

/** Degrees; `west` > `east` where the box lies across the antimeridian. */
export interface Bounds {
  readonly west: number
  readonly south: number
  readonly east: number
  readonly north: number
}

/** A box whose east is never below its west: beyond 180 over the antimeridian. */
export type UnwrappedBounds = Bounds

/** The smallest unwrapped box that holds all of these. */
export function unionOf(boxes: readonly UnwrappedBounds[]): UnwrappedBounds {
  const sorted = [...boxes].sort((a, b) => a.west - b.west)
  let south = 90
  let north = -90
  let east = Number.NEGATIVE_INFINITY
  let gap = Number.NEGATIVE_INFINITY
  let west = sorted[0]!.west
  let end = 0
  for (const box of sorted) {
    if (box.west - east > gap && east > Number.NEGATIVE_INFINITY) {
      gap = box.west - east
      west = box.west
      end = east + 360
    }
    east = Math.max(east, box.east)
    north = Math.max(north, box.north)
    south = Math.min(south, box.south)
  }
  // The gap over the antimeridian, from the last box on to the first one.
  const around = sorted[0]!.west + 360 - east
  if (around >= gap) {
    gap = around
    west = sorted[0]!.west
    end = east
  }
  if (gap <= 0) return { west: -180, south, east: 180, north }
  return { west, south, east: end, north }
}

/** As users have it: longitudes from −180 to 180. */
export function wrapped({ west, south, east, north }: UnwrappedBounds): Bounds {
  if (east - west >= 360) return { west: -180, south, east: 180, north }
  return { west, south, east: east > 180 ? east - 360 : east, north }
}
