/** Web Mercator as the map has it: the world is the unit square, x east, y south. */

/** Latitudes beyond have no place on the map. */
const LATITUDE_MAX = 85.051129
const EARTH_CIRCUMFERENCE_M = 40_075_016.686

export function mercatorX(longitudeDeg: number): number {
  return (180 + longitudeDeg) / 360
}

export function mercatorY(latitudeDeg: number): number {
  const latitude = Math.max(-LATITUDE_MAX, Math.min(LATITUDE_MAX, latitudeDeg))
  return (180 - (180 / Math.PI) * Math.log(Math.tan(Math.PI / 4 + (latitude * Math.PI) / 360))) / 360
}

export function longitudeOf(x: number): number {
  return x * 360 - 180
}

export function latitudeOf(y: number): number {
  return (360 / Math.PI) * Math.atan(Math.exp(((180 - y * 360) * Math.PI) / 180)) - 90
}

/** Length on the ground, m, of a small distance on the map at `y`. */
export function groundM(distance: number, y: number): number {
  return distance * EARTH_CIRCUMFERENCE_M * Math.cos((latitudeOf(y) * Math.PI) / 180)
}

/** Degrees clockwise from north of the way from one point to another; the projection keeps angles. */
export function bearingDeg(fromX: number, fromY: number, toX: number, toY: number): number {
  return ((Math.atan2(toX - fromX, fromY - toY) * 180) / Math.PI + 360) % 360
}
