/**
 * Where every vehicle was at the time of the replay's clock. Between two fixes a vehicle moves evenly; where it said
 * nothing for long, no one knows the way, so it stands at the last fix until the next.
 */
import { SILENT_AFTER_MS } from '../fleet/fleet.ts'
import { bearingDeg, groundM, mercatorX, mercatorY } from '../fleet/mercator.ts'
import { MotionTable, STATE, shortestTurnDeg } from '../fleet/motion.ts'
import { PointLog } from './point-log.ts'
import type { ReplayClock } from './replay-clock.ts'

/** Between fixes further apart, a vehicle is not moved. */
export const GAP_MS = 2 * 60_000
/** Slower is standing: receivers report a little speed at rest. */
const MOVING_ABOVE_KMH = 3
/** Below, two positions give no direction of travel. */
const BEARING_MIN_M = 8
const KMH_PER_M_MS = 3_600

/** Takes the ways of vehicles, fix to fix, as the clock comes to them. World = unit square, times ms UTC. */
export interface TrailWriter {
  add(fromMs: number, fromX: number, fromY: number, toMs: number, toX: number, toY: number): void
  clear(): void
}

/** A fix of the past, as the page shows it. */
export interface ReplayFix {
  readonly timeMs: number
  readonly x: number
  readonly y: number
  readonly speedKmh: number | null
  readonly courseDeg: number | null
}

export class ReplayMotion extends MotionTable {
  /** Length of the trails, ms. */
  trailMs = 0
  /** Vehicles go from fix to fix without moving in between. */
  still = false
  readonly #clock: ReplayClock
  readonly #trail: TrailWriter
  /** Points of each row. */
  readonly #logs: PointLog[] = []
  /** Index of the point at or before the clock; -1 = none. */
  readonly #at: number[] = []
  /** Time up to which the row's way is in the trail. */
  readonly #trailToMs: number[] = []
  #held = 0
  #sampledMs = Number.NaN

  constructor(clock: ReplayClock, trail: TrailWriter) {
    super()
    this.#clock = clock
    this.#trail = trail
  }

  /** Points in memory. */
  get held(): number {
    return this.#held
  }

  /** Points in memory that the clock has not come to. */
  get ahead(): number {
    let ahead = 0
    for (const [row, log] of this.#logs.entries()) ahead += log.count - this.#at[row]! - 1
    return ahead
  }

  override add(): number {
    const row = super.add()
    this.#logs[row] = new PointLog()
    this.#at[row] = -1
    this.#trailToMs[row] = Number.NEGATIVE_INFINITY
    return row
  }

  /** Takes a fix of a row. */
  put(
    row: number,
    timeMs: number,
    latitudeDeg: number,
    longitudeDeg: number,
    speedKmh: number | null,
    courseDeg: number | null,
  ): void {
    const log = this.#logs[row]!
    const x = mercatorX(longitudeDeg)
    const y = mercatorY(latitudeDeg)
    if (log.add(timeMs, x, y, speedKmh ?? Number.NaN, courseDeg ?? Number.NaN)) this.#held++
    // Mostly a point ahead; one behind moves the others.
    if (timeMs <= this.#sampledMs) this.#at[row] = log.indexAt(this.#sampledMs)
  }

  /** Forgets all points and trails; the rows stay. */
  forget(): void {
    for (let row = 0; row < this.count; row++) {
      this.#logs[row] = new PointLog()
      this.#at[row] = -1
      this.placed[row] = 0
    }
    this.#held = 0
    this.#sampledMs = Number.NaN
    this.#trailToMs.fill(Number.NEGATIVE_INFINITY)
    this.#trail.clear()
  }

  /** Forgets what lies before a time, but where each vehicle stood then. */
  forgetBefore(timeMs: number): void {
    for (const [row, log] of this.#logs.entries()) {
      const forgotten = log.forgetBefore(timeMs)
      this.#held -= forgotten
      this.#at[row] = this.#at[row]! - forgotten
    }
  }

  /** The trail is made anew from what is in memory: the clock was moved, or the trail is to be longer. */
  redrawTrail(): void {
    this.#trail.clear()
    const timeMs = this.#clock.timeMs
    this.#trailToMs.fill(timeMs - this.trailMs)
    for (let row = 0; row < this.count; row++) this.#extendTrail(row, timeMs)
  }

  /** The last fix of a row at the clock; null = none is known. */
  fixOf(row: number): ReplayFix | null {
    const log = this.#logs[row]
    const at = this.#at[row] ?? -1
    if (log === undefined || at < 0) return null
    return {
      timeMs: log.timeMs[at]!,
      x: log.x[at]!,
      y: log.y[at]!,
      speedKmh: orNull(log.speedKmh[at]!),
      courseDeg: orNull(log.courseDeg[at]!),
    }
  }

  /** Brings all rows to where they were at the clock. @param nowMs `performance.now()`. */
  override sample(nowMs: number): void {
    const timeMs = this.#clock.advance(nowMs)
    if (timeMs < this.#sampledMs) this.#rewind(timeMs)
    this.#sampledMs = timeMs
    const pace = this.#clock.playing && !this.#clock.waiting ? this.#clock.speed : 0
    for (let row = 0; row < this.count; row++) this.#sampleAt(row, timeMs, pace)
  }

  #rewind(timeMs: number): void {
    for (const [row, log] of this.#logs.entries()) this.#at[row] = log.indexAt(timeMs)
  }

  #sampleAt(row: number, timeMs: number, pace: number): void {
    const log = this.#logs[row]!
    let at = this.#at[row]!
    const last = log.count - 1
    if (at < last && log.timeMs[at + 1]! <= timeMs) {
      // Steps while it plays; a search after a jump.
      at++
      if (at < last && log.timeMs[at + 1]! <= timeMs) at = log.indexAt(timeMs)
      this.#at[row] = at
    }
    if (at < 0) {
      this.placed[row] = 0
      return
    }
    this.placed[row] = 1
    this.#extendTrail(row, timeMs)
    this.#move(row, log, at, timeMs, pace)
  }

  #move(row: number, log: PointLog, at: number, timeMs: number, pace: number): void {
    const fixMs = log.timeMs[at]!
    const x = log.x[at]!
    const y = log.y[at]!
    const next = at + 1
    const spanMs = next < log.count ? log.timeMs[next]! - fixMs : Number.POSITIVE_INFINITY
    let courseDeg = log.courseDeg[at]!
    let speedKmh = log.speedKmh[at]!
    this.rate[row] = 0
    if (spanMs > GAP_MS || this.still) {
      this.x[row] = this.toX[row] = x
      this.y[row] = this.toY[row] = y
    } else {
      const part = (timeMs - fixMs) / spanMs
      const wayX = log.x[next]! - x
      const wayY = log.y[next]! - y
      const way = Math.hypot(wayX, wayY)
      this.x[row] = this.toX[row] = x + wayX * part
      this.y[row] = this.toY[row] = y + wayY * part
      this.rate[row] = (way / spanMs) * pace
      const nextDeg = log.courseDeg[next]!
      if (!Number.isNaN(courseDeg) && !Number.isNaN(nextDeg)) {
        courseDeg += shortestTurnDeg(courseDeg, nextDeg) * part
      } else if (Number.isNaN(courseDeg) && groundM(way, y) >= BEARING_MIN_M) {
        courseDeg = bearingDeg(x, y, log.x[next]!, log.y[next]!)
      }
      if (Number.isNaN(speedKmh)) speedKmh = (groundM(way, y) / spanMs) * KMH_PER_M_MS
    }
    this.courseDeg[row] = courseDeg
    const silent = timeMs - fixMs > SILENT_AFTER_MS
    this.faint[row] = silent ? 1 : 0
    this.state[row] = silent ? STATE.silent : speedKmh > MOVING_ABOVE_KMH ? STATE.moving : STATE.standing
  }

  /** Writes the ways into the trail that the clock has entered. */
  #extendTrail(row: number, timeMs: number): void {
    if (this.trailMs === 0) return
    const log = this.#logs[row]!
    const sinceMs = Math.max(this.#trailToMs[row]!, timeMs - this.trailMs)
    const newest = Math.min(this.#at[row]! + (this.still ? 0 : 1), log.count - 1)
    if (newest < 1 || log.timeMs[newest]! <= sinceMs) return
    for (let to = Math.max(1, log.indexAt(sinceMs) + 1); to <= newest; to++) {
      const [fromMs, toMs] = [log.timeMs[to - 1]!, log.timeMs[to]!]
      if (toMs - fromMs > GAP_MS) continue
      this.#trail.add(fromMs, log.x[to - 1]!, log.y[to - 1]!, toMs, log.x[to]!, log.y[to]!)
    }
    this.#trailToMs[row] = log.timeMs[newest]!
  }
}

function orNull(value: number): number | null {
  return Number.isNaN(value) ? null : value
}
