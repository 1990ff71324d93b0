/** Calls at an even pace, many a second, without a timer for each. */

/** How often calls that have come due are made, ms. */
const TICK_MS = 10

/** A process that was held up longer than this does not make up for it, ms. */
const CATCH_UP_MAX_MS = 5000

/**
 * Calls `due(n, atMs)` for n = 0, 1, 2, … at `perSecond`, where `atMs` is the time at which the call was due, ms UTC.
 * Calls that a process held up for long has missed are left out.
 *
 * @returns Stops it.
 */
export function keepPace(perSecond: number, due: (n: number, atMs: number) => void): () => void {
  const stepMs = 1000 / perSecond
  const startUtcMs = Date.now()
  const startMs = performance.now()
  let next = 0
  const timer = setInterval(() => {
    const last = Math.floor((performance.now() - startMs) / stepMs)
    if ((last - next) * stepMs > CATCH_UP_MAX_MS) next = last
    for (; next <= last; next++) due(next, startUtcMs + next * stepMs)
  }, TICK_MS)
  return () => clearInterval(timer)
}
