/** Conversions from what trackers send to the units of `PositionBatch`. NaN in, NaN out. */

/** One international knot is 1852 m per hour. */
export function kmhFromKnots(knots: number): number {
  return knots * 1.852
}

/** `ddmm.mmmm` or `dddmm.mmmm` and its hemisphere N, S, E or W, to signed degrees. */
export function degreesFromNmea(value: string | undefined, hemisphere: string | undefined): number {
  const raw = Number(value)
  const degrees = Math.trunc(raw / 100)
  const sign = hemisphere === 'S' || hemisphere === 'W' ? -1 : 1
  return sign * (degrees + (raw - degrees * 100) / 60)
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
