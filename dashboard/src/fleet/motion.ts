/**
 * Where every vehicle is drawn at a given instant. A vehicle glides from where it is drawn to its new position in
 * about the time until the next one, so that it moves instead of jumping. One row a vehicle, a column a value.
 */

const COURSE_TURN_MS = 600

/** Codes of the column `state`, and the order in which they are drawn: later ones on top. */
export const STATE = { silent: 0, standing: 1, moving: 2 } as const

export class MotionTable {
  /** Rows in use. */
  count = 0
  /** Where the row is drawn, world = unit square; kept by {@link sample}. */
  x = new Float64Array(256)
  y = new Float64Array(256)
  /** Degrees clockwise from north; NaN = not known. */
  courseDeg = new Float32Array(256)
  /** Speed of the glide in worlds a millisecond; 0 = at rest. */
  rate = new Float64Array(256)
  toX = new Float64Array(256)
  toY = new Float64Array(256)
  state = new Uint8Array(256)
  /** 0: no position yet, not drawn. */
  placed = new Uint8Array(256)
  /** 1: does not match the search, drawn faint. */
  faint = new Uint8Array(256)
  #fromX = new Float64Array(256)
  #fromY = new Float64Array(256)
  #fromCourseDeg = new Float32Array(256)
  #turnDeg = new Float32Array(256)
  #startMs = new Float64Array(256)
  #durationMs = new Float64Array(256)

  /** Adds a row without a position and gives its number. */
  add(): number {
    if (this.count === this.x.length) this.#grow()
    return this.count++
  }

  /** Puts a row at a place, at once. */
  jump(row: number, x: number, y: number, courseDeg: number): void {
    this.placed[row] = 1
    this.x[row] = this.toX[row] = this.#fromX[row] = x
    this.y[row] = this.toY[row] = this.#fromY[row] = y
    this.courseDeg[row] = this.#fromCourseDeg[row] = courseDeg
    this.#turnDeg[row] = 0
    this.#durationMs[row] = 0
    this.rate[row] = 0
  }

  /** Sends a row from where it is drawn now to a place, where it arrives after `durationMs`. */
  glide(row: number, x: number, y: number, courseDeg: number, nowMs: number, durationMs: number): void {
    this.#sampleRow(row, nowMs)
    const fromCourseDeg = this.courseDeg[row]!
    this.#fromX[row] = this.x[row]!
    this.#fromY[row] = this.y[row]!
    this.toX[row] = x
    this.toY[row] = y
    const known = !Number.isNaN(fromCourseDeg) && !Number.isNaN(courseDeg)
    this.#fromCourseDeg[row] = known ? fromCourseDeg : courseDeg
    this.#turnDeg[row] = known ? shortestTurnDeg(fromCourseDeg, courseDeg) : 0
    this.#startMs[row] = nowMs
    this.#durationMs[row] = durationMs
    this.#sampleRow(row, nowMs)
  }

  /** Brings x, y, course and rate of all rows to the instant `nowMs`. */
  sample(nowMs: number): void {
    for (let row = 0; row < this.count; row++) {
      if (this.#durationMs[row] !== 0) this.#sampleRow(row, nowMs)
    }
  }

  #sampleRow(row: number, nowMs: number): void {
    const durationMs = this.#durationMs[row]!
    if (durationMs === 0) return
    const elapsedMs = nowMs - this.#startMs[row]!
    const turned = Math.min(1, elapsedMs / Math.min(COURSE_TURN_MS, durationMs))
    this.courseDeg[row] = this.#fromCourseDeg[row]! + this.#turnDeg[row]! * turned
    if (elapsedMs >= durationMs) {
      this.x[row] = this.toX[row]!
      this.y[row] = this.toY[row]!
      this.rate[row] = 0
      this.#durationMs[row] = 0
      return
    }
    const part = elapsedMs / durationMs
    const wayX = this.toX[row]! - this.#fromX[row]!
    const wayY = this.toY[row]! - this.#fromY[row]!
    this.x[row] = this.#fromX[row]! + wayX * part
    this.y[row] = this.#fromY[row]! + wayY * part
    this.rate[row] = Math.hypot(wayX, wayY) / durationMs
  }

  #grow(): void {
    const length = this.x.length * 2
    this.x = float64(this.x, length)
    this.y = float64(this.y, length)
    this.toX = float64(this.toX, length)
    this.toY = float64(this.toY, length)
    this.rate = float64(this.rate, length)
    this.courseDeg = float32(this.courseDeg, length)
    this.state = bytes(this.state, length)
    this.placed = bytes(this.placed, length)
    this.faint = bytes(this.faint, length)
    this.#fromX = float64(this.#fromX, length)
    this.#fromY = float64(this.#fromY, length)
    this.#fromCourseDeg = float32(this.#fromCourseDeg, length)
    this.#turnDeg = float32(this.#turnDeg, length)
    this.#startMs = float64(this.#startMs, length)
    this.#durationMs = float64(this.#durationMs, length)
  }
}

/** Turn from one course to another the short way round, -180 to 180 degrees. */
export function shortestTurnDeg(fromDeg: number, toDeg: number): number {
  return ((((toDeg - fromDeg) % 360) + 540) % 360) - 180
}

function float64(from: Float64Array, length: number): Float64Array<ArrayBuffer> {
  const column = new Float64Array(length)
  column.set(from)
  return column
}

function float32(from: Float32Array, length: number): Float32Array<ArrayBuffer> {
  const column = new Float32Array(length)
  column.set(from)
  return column
}

function bytes(from: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const column = new Uint8Array(length)
  column.set(from)
  return column
}
