/** Where the marks of a time axis stand: round times of the person's own clock. */

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const STEPS_MS = [
  10_000,
  30_000,
  MINUTE_MS,
  2 * MINUTE_MS,
  5 * MINUTE_MS,
  10 * MINUTE_MS,
  15 * MINUTE_MS,
  30 * MINUTE_MS,
  HOUR_MS,
  2 * HOUR_MS,
  3 * HOUR_MS,
  6 * HOUR_MS,
  12 * HOUR_MS,
  DAY_MS,
  2 * DAY_MS,
  7 * DAY_MS,
]

/**
 * Round times between two others.
 * @param marksMax Most marks that have room.
 * @param offsetMs What the person's clock is ahead of UTC.
 */
export function axisMarks(fromMs: number, toMs: number, marksMax: number, offsetMs: number): number[] {
  const least = (toMs - fromMs) / Math.max(1, marksMax)
  const step = STEPS_MS.find((candidate) => candidate >= least) ?? STEPS_MS.at(-1)!
  const marks: number[] = []
  for (let local = Math.ceil((fromMs + offsetMs) / step) * step; local <= toMs + offsetMs; local += step) {
    marks.push(local - offsetMs)
  }
  return marks
}

/** How far the arrow keys move on a slider of that length: a round time, about a two-hundredth. */
export function keyStepMs(spanMs: number): number {
  return STEPS_MS.find((step) => step >= spanMs / 250) ?? HOUR_MS
}
