/** Finds how far along its route a vehicle was at each fix of a journey. */
import { metresBetween, type Path, type Place, type Projection } from './geometry.ts'

/** Farther from the route than this the vehicle is not on it, metres. */
const REACH_M = 60

/** The receiver's error may set a standing vehicle back by this, metres. */
const BACK_M = 25

/** Metres that a metre too many along the route weighs, beside a metre away from it. */
const DETOUR_WEIGHT = 0.2

interface Step {
  readonly projection: Projection
  readonly cost: number
  readonly before: Step | undefined
}

/**
 * Distances along `route` of the places of one journey, metres; NaN where the vehicle was not on it. A street that
 * the route takes twice is told apart by the way that the whole journey makes: of all sequences that lead forward
 * the one that stays nearest to the route, and makes the fewest detours, is taken.
 *
 * @param places In the order of the journey.
 */
export function matchToRoute(route: Path, places: readonly Place[], reachM = REACH_M): number[] {
  const alongM = places.map(() => Number.NaN)
  let steps: Step[] = []
  let end = 0
  const settle = () => {
    let step = cheapest(steps)
    for (let i = end - 1; step !== undefined; i--, step = step.before) alongM[i] = step.projection.alongM
  }
  for (const [i, place] of places.entries()) {
    const passes = route.passes(place, reachM)
    const straightM = i === 0 ? 0 : metresBetween(places[i - 1]!, place)
    let next = passes.flatMap((projection) => nextStep(steps, projection, straightM) ?? [])
    if (next.length === 0) {
      // The chain breaks: what follows starts anew.
      settle()
      next = passes.map((projection) => ({ projection, cost: projection.awayM, before: undefined }))
    }
    steps = next
    end = i + 1
  }
  settle()
  return alongM
}

function nextStep(steps: readonly Step[], projection: Projection, straightM: number): Step | undefined {
  let best: Step | undefined
  for (const before of steps) {
    const wayM = projection.alongM - before.projection.alongM
    if (wayM < -BACK_M) continue
    const cost = before.cost + projection.awayM + DETOUR_WEIGHT * Math.max(0, wayM - straightM)
    if (best === undefined || cost < best.cost) best = { projection, cost, before }
  }
  return best
}

function cheapest(steps: readonly Step[]): Step | undefined {
  return steps.reduce<Step | undefined>(
    (best, step) => (best === undefined || step.cost < best.cost ? step : best),
    undefined,
  )
}
