/** What has happened, worked out from all fixes at once; written apart from what it is held against. */
import type { GeofenceEventType } from '../../schemas/geofence-event.ts'
import { type Box, contains, wayThrough } from './evaluation-fixture.ts'
import { inWindows, nextInstant } from './schedule.ts'
import type { Fix } from './visits-state.ts'

export interface Happened {
  readonly geofence: number
  readonly type: GeofenceEventType
  readonly timeMs: number
  readonly fixTimeMs: number
  readonly latitudeDeg: number
  readonly longitudeDeg: number
  readonly speedKmh: number
  readonly crossing: boolean
}

export interface Stay {
  readonly geofence: number
  readonly enteredMs: number
  readonly exitedMs: number
}

interface Outcome {
  readonly events: readonly Happened[]
  readonly visits: readonly Stay[]
}

/** @param fixes In any order; several may be of one time. */
export function whatHappened(boxes: readonly Box[], fixes: readonly Fix[], nowMs: number): Outcome {
  const first = new Map<number, Fix>()
  for (const fix of fixes) {
    const other = first.get(fix.timeMs)
    const isFirst =
      other === undefined ||
      fix.digestHigh < other.digestHigh ||
      (fix.digestHigh === other.digestHigh && fix.digestLow < other.digestLow)
    if (isFirst) first.set(fix.timeMs, fix)
  }
  const ticks = [...first.values()].sort((a, b) => a.timeMs - b.timeMs)
  const all = boxes.map((box) => inBox(box, ticks, nowMs))
  return { events: all.flatMap(({ events }) => events), visits: all.flatMap(({ visits }) => visits) }
}

function inBox(box: Box, ticks: readonly Fix[], nowMs: number): Outcome {
  const { rule, timeZone, id } = box
  const raw = ticks.map(({ latitudeDeg, longitudeDeg }) => contains(box, latitudeDeg, longitudeDeg))
  /** Whether the device counts as inside after each fix. */
  const counted: boolean[] = []
  /** Fixes at which a side begins, as [fix, inside]. */
  const turns: [number, boolean][] = []
  for (let i = 0; i < ticks.length; i++) {
    const before = counted[i - 1] ?? false
    let first = i
    while (first > 0 && raw[first - 1] === raw[i] && counted[first - 1] !== raw[i]) first--
    const isLong =
      i - first + 1 >= rule.debounceFixes && ticks[i]!.timeMs - ticks[first]!.timeMs >= rule.debounceS * 1000
    counted.push(raw[i] !== before && isLong ? raw[i]! : before)
    if (counted[i] !== before) turns.push([first, raw[i]!])
  }
  const visits: Stay[] = []
  const events: Happened[] = []
  const add = (type: GeofenceEventType, timeMs: number, place?: Partial<Happened>) => {
    if (!inWindows(timeMs, timeZone, rule.windows)) return
    const none = { fixTimeMs: NaN, latitudeDeg: NaN, longitudeDeg: NaN, speedKmh: NaN, crossing: false }
    events.push({ geofence: id, type, timeMs, ...none, ...place })
  }
  const at = ({ timeMs, latitudeDeg, longitudeDeg, speedKmh }: Fix) => ({
    fixTimeMs: timeMs,
    latitudeDeg,
    longitudeDeg,
    speedKmh: Math.fround(speedKmh),
  })
  turns.forEach(([i, isInside], turn) => {
    const fix = ticks[i]!
    if (isInside) {
      const end = turns[turn + 1]
      visits.push({ geofence: id, enteredMs: fix.timeMs, exitedMs: end ? ticks[end[0]]!.timeMs : NaN })
      if (rule.enter) add('enter', fix.timeMs, at(fix))
    } else if (rule.exit) add('exit', fix.timeMs, at(fix))
  })
  for (let i = 1; i < ticks.length; i++) {
    const [a, b] = [ticks[i - 1]!, ticks[i]!]
    const gapMs = b.timeMs - a.timeMs
    if (raw[i - 1] || raw[i] || rule.crossingGapS === 0 || gapMs > rule.crossingGapS * 1000) continue
    const way = wayThrough(box, a.latitudeDeg, a.longitudeDeg, b.latitudeDeg, b.longitudeDeg)
    if (way === undefined) continue
    const [enteredMs, exitedMs] = way.map((part) => Math.round(a.timeMs + part * gapMs)) as [number, number]
    if (enteredMs === exitedMs) continue
    visits.push({ geofence: id, enteredMs, exitedMs })
    const [enter, exit] = way.map((part) => ({
      fixTimeMs: b.timeMs,
      latitudeDeg: a.latitudeDeg + part * (b.latitudeDeg - a.latitudeDeg),
      longitudeDeg: a.longitudeDeg + part * (b.longitudeDeg - a.longitudeDeg),
      crossing: true,
    }))
    if (rule.enter) add('enter', enteredMs, enter)
    if (rule.exit) add('exit', exitedMs, exit)
  }
  visits.sort((a, b) => a.enteredMs - b.enteredMs)
  visits.forEach(({ enteredMs, exitedMs }, i) => {
    const dwell = enteredMs + (rule.dwellS ?? NaN) * 1000
    if (dwell <= nowMs && !(dwell > exitedMs)) add('dwell', dwell)
    const absence = exitedMs + (rule.absenceS ?? NaN) * 1000
    if (absence <= nowMs && !(absence > (visits[i + 1]?.enteredMs ?? NaN))) add('absence', absence)
  })
  const isFast = ticks.map(
    ({ speedKmh }, i) => counted[i] && raw[i] && Math.fround(speedKmh) > (rule.speedLimitKmh ?? Infinity),
  )
  isFast.forEach((fast, i) => {
    if (fast && !isFast[i - 1]) add('speeding', ticks[i]!.timeMs, at(ticks[i]!))
  })
  if (rule.insideBy !== null && ticks.length > 0) {
    let moment = nextInstant(rule.insideBy, timeZone, ticks[0]!.timeMs - 1)
    for (; moment <= nowMs; moment = nextInstant(rule.insideBy, timeZone, moment)) {
      const isInside = visits.some(({ enteredMs, exitedMs }) => enteredMs <= moment && !(exitedMs <= moment))
      if (!isInside) add('missing', moment)
    }
  }
  return { events, visits }
}
