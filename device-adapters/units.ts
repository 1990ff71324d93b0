/** Conversions from what trackers send to the units of `PositionBatch`. NaN in, NaN out. */

/** One international knot is 1852 m per hour. */
export function kmhFromKnots(knots: number): number {
  return knots * 1.852
}

/**
 * Metres per second, by way of knots at the customary 1.94384: phones' speeds reach every other tracking server so,
 * and recorded values hold it. It is 2.3 millionths below 3.6, far inside what a receiver can tell.
 */
export function kmhFromMetersPerSecond(metersPerSecond: number): number {
  return kmhFromKnots(metersPerSecond * 1.94384)
}

/**
 * `ddmm.mmmm` or `dddmm.mmmm` and its hemisphere N, S, E or W, to signed degrees. Degrees and minutes are taken apart
 * as text, where nothing is rounded.
 */
export function degreesFromNmea(value = '', hemisphere: string | undefined): number {
  if (value === '') return Number.NaN
  const point = value.indexOf('.')
  const minutesAt = Math.max(0, (point < 0 ? value.length : point) - 2)
  const sign = hemisphere === 'S' || hemisphere === 'W' ? -1 : 1
  return sign * (Number(value.slice(0, minutesAt)) + Number(value.slice(minutesAt)) / 60)
}

/** `yyyyMMddHHmmss`, UTC, of ms since 1970-01-01T00:00Z. */
export function utcDigits(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(/\D/g, '').slice(0, 14)
}

/** `ddmmyy` and `hhmmss`, UTC, to ms since 1970-01-01T00:00Z. */
export function utcFromNmea(date = '', time = ''): number {
  const two = (text: string, at: number) => Number(text.slice(at, at + 2))
  return Date.UTC(
    2000 + two(date, 4),
    two(date, 2) - 1,
    two(date, 0),
    two(time, 0),
    two(time, 2),
    two(time, 4),
  )
}
