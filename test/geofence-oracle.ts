/** What happened, straight from all fixes of a device: written apart from the evaluation, to be compared with it. */

export interface OracleFix {
  readonly timeMs: number
  /** Of fixes of one time the one with the lowest digest counts, as an unsigned number. */
  readonly digest: bigint
  readonly latitudeDeg: number
  readonly longitudeDeg: number
  /** NaN where it was not reported. */
  readonly speedKmh: number
}

/** A box without its edges, and the rule for all devices. */
export interface OracleFence {
  readonly id: number
  readonly west: number
  readonly south: number
  readonly east: number
  readonly north: number
  readonly dwellS?: number
  readonly debounceFixes?: number
  readonly debounceS?: number
  readonly speedLimitKmh?: number
}

export interface OracleEvent {
  readonly geofence: number
  readonly type: 'enter' | 'exit' | 'dwell' | 'speeding'
  readonly timeMs: number
}

/**
 * @param fixes In any order.
 * @param nowMs Until then timers have told of who is inside still.
 * @returns In the order of time, geofence and type.
 */
export function eventsOf(
  fixes: readonly OracleFix[],
  fences: readonly OracleFence[],
  nowMs = Number.NEGATIVE_INFINITY,
): OracleEvent[] {
  const track = fixes
    .toSorted((a, b) => a.timeMs - b.timeMs || (a.digest < b.digest ? -1 : 1))
    .filter((fix, i, all) => fix.timeMs !== all[i - 1]?.timeMs)
  return fences
    .flatMap((fence) => eventsAt(track, fence, nowMs))
    .sort((a, b) => a.timeMs - b.timeMs || a.geofence - b.geofence || (a.type < b.type ? -1 : 1))
}

function eventsAt(track: readonly OracleFix[], fence: OracleFence, nowMs: number): OracleEvent[] {
  const {
    id: geofence,
    dwellS = Infinity,
    debounceFixes = 1,
    debounceS = 0,
    speedLimitKmh = Infinity,
  } = fence
  const events: OracleEvent[] = []
  let enteredMs = Number.NaN
  let run: OracleFix[] = []
  let wasSpeeding = false
  const dwelt = (untilMs: number) => {
    const timeMs = enteredMs + dwellS * 1000
    if (timeMs <= untilMs) events.push({ geofence, type: 'dwell', timeMs })
  }
  for (const fix of track) {
    const inside =
      fix.longitudeDeg > fence.west &&
      fix.longitudeDeg < fence.east &&
      fix.latitudeDeg > fence.south &&
      fix.latitudeDeg < fence.north
    run = inside === !Number.isNaN(enteredMs) ? [] : [...run, fix]
    const [first] = run
    if (run.length >= debounceFixes && fix.timeMs - first!.timeMs >= debounceS * 1000) {
      if (!inside) dwelt(first!.timeMs)
      events.push({ geofence, type: inside ? 'enter' : 'exit', timeMs: first!.timeMs })
      enteredMs = inside ? first!.timeMs : Number.NaN
      run = []
    }
    const speeding = inside && !Number.isNaN(enteredMs) && fix.speedKmh > speedLimitKmh
    if (speeding && !wasSpeeding) events.push({ geofence, type: 'speeding', timeMs: fix.timeMs })
    wasSpeeding = speeding
  }
  if (!Number.isNaN(enteredMs)) dwelt(nowMs)
  return events
}
