/** What the replay page shows, and how its address says it: a link shows the same to whoever opens it. */

/** Whose past is shown. */
export type Who =
  | { readonly kind: 'all' }
  | { readonly kind: 'group'; readonly group: number }
  | { readonly kind: 'devices'; readonly devices: readonly number[] }

export interface ReplayView {
  readonly who: Who
  readonly fromMs: number
  readonly toMs: number
  /** Where the clock stands, ms UTC. */
  readonly timeMs: number
  /** Times the speed of life. */
  readonly speed: number
  /** Length of the trail behind a vehicle, minutes; 0 = none. */
  readonly trailMinutes: number
  /** Vehicle whose figures are shown; null = none. */
  readonly vehicle: number | null
}

/** Speeds that can be chosen, times the speed of life. */
export const SPEEDS = [0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600] as const
export const TRAIL_MINUTES = [0, 1, 5, 15, 60] as const

/** Most vehicles of one link. */
export const CHOSEN_MAX = 200

const SPEED_FIRST = 60
const TRAIL_FIRST_MINUTES = 5
const HOUR_MS = 3_600_000
/** Longest time that is replayed at once. */
export const RANGE_MAX_MS = 31 * 24 * HOUR_MS
const ID = /^[1-9]\d{0,9}$/

/**
 * The view of an address; what it does not say, or says wrongly, is as at first: the whole fleet in the last hour.
 * @param nowMs Now by the server's clock.
 */
export function readView(parameters: URLSearchParams, nowMs: number): ReplayView {
  const toMs = Math.min(timeOf(parameters.get('to')) ?? nowMs, nowMs)
  const fromMs = timeOf(parameters.get('from')) ?? toMs - HOUR_MS
  const right = fromMs < toMs && toMs - fromMs <= RANGE_MAX_MS
  const [startMs, endMs] = right ? [fromMs, toMs] : [nowMs - HOUR_MS, nowMs]
  const vehicle = parameters.get('vehicle') ?? ''
  return {
    who: readWho(parameters),
    fromMs: startMs,
    toMs: endMs,
    timeMs: Math.max(startMs, Math.min(endMs, timeOf(parameters.get('time')) ?? startMs)),
    speed: nearest(SPEEDS, parameters.get('speed')) ?? SPEED_FIRST,
    trailMinutes: nearest(TRAIL_MINUTES, parameters.get('trail')) ?? TRAIL_FIRST_MINUTES,
    vehicle: ID.test(vehicle) ? Number(vehicle) : null,
  }
}

/** The address of a view; times to the second. */
export function writeView(view: ReplayView): URLSearchParams {
  const parameters = new URLSearchParams()
  if (view.who.kind === 'group') parameters.set('group', String(view.who.group))
  if (view.who.kind === 'devices') parameters.set('devices', view.who.devices.join(','))
  parameters.set('from', secondOf(view.fromMs))
  parameters.set('to', secondOf(view.toMs))
  parameters.set('time', secondOf(view.timeMs))
  parameters.set('speed', String(view.speed))
  parameters.set('trail', String(view.trailMinutes))
  if (view.vehicle !== null) parameters.set('vehicle', String(view.vehicle))
  return parameters
}

function readWho(parameters: URLSearchParams): Who {
  const group = parameters.get('group') ?? ''
  if (ID.test(group)) return { kind: 'group', group: Number(group) }
  const named = (parameters.get('devices') ?? '').split(',').filter((id) => ID.test(id))
  const devices = [...new Set(named.map(Number))].slice(0, CHOSEN_MAX)
  return devices.length === 0 ? { kind: 'all' } : { kind: 'devices', devices }
}

function timeOf(text: string | null): number | null {
  const timeMs = Date.parse(text ?? '')
  return Number.isNaN(timeMs) ? null : timeMs
}

function secondOf(timeMs: number): string {
  return `${new Date(timeMs).toISOString().slice(0, 19)}Z`
}

/** The choice that is closest by ratio; null without a number. */
function nearest(choices: readonly number[], text: string | null): number | null {
  const wanted = Number(text || Number.NaN)
  if (Number.isNaN(wanted)) return null
  const far = (choice: number) => Math.abs(Math.log((choice + 0.01) / (Math.max(0, wanted) + 0.01)))
  return choices.reduce((best, choice) => (far(choice) < far(best) ? choice : best))
}
