/** The positions of one vehicle that are in memory, by time, a column a value. */

const FIRST_CAPACITY = 16

export class PointLog {
  count = 0
  timeMs = new Float64Array(FIRST_CAPACITY)
  /** World = unit square. */
  x = new Float64Array(FIRST_CAPACITY)
  y = new Float64Array(FIRST_CAPACITY)
  /** NaN = not known. */
  speedKmh = new Float32Array(FIRST_CAPACITY)
  /** NaN = not known. */
  courseDeg = new Float32Array(FIRST_CAPACITY)

  /** Puts a point at its place; one of the same time is replaced. @returns Whether there is one more now. */
  add(timeMs: number, x: number, y: number, speedKmh: number, courseDeg: number): boolean {
    const before = this.indexAt(timeMs)
    const isNew = before < 0 || this.timeMs[before] !== timeMs
    const at = isNew ? before + 1 : before
    if (isNew) this.#open(at)
    this.timeMs[at] = timeMs
    this.x[at] = x
    this.y[at] = y
    this.speedKmh[at] = speedKmh
    this.courseDeg[at] = courseDeg
    return isNew
  }

  /** Index of the last point at or before a time; -1 = none. */
  indexAt(timeMs: number): number {
    const { count } = this
    if (count === 0 || this.timeMs[0]! > timeMs) return -1
    // Points mostly come in order, and the clock is mostly asked for its end.
    if (this.timeMs[count - 1]! <= timeMs) return count - 1
    let [low, high] = [0, count - 1]
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (this.timeMs[middle]! <= timeMs) low = middle
      else high = middle
    }
    return low
  }

  /** Forgets what is before a time, but the last point of it: the vehicle still stands there. @returns How many. */
  forgetBefore(timeMs: number): number {
    const first = Math.max(0, this.indexAt(timeMs))
    if (first === 0) return 0
    for (const column of this.#columns()) column.copyWithin(0, first, this.count)
    this.count -= first
    return first
  }

  #open(at: number): void {
    if (this.count === this.timeMs.length) this.#grow()
    if (at < this.count) for (const column of this.#columns()) column.copyWithin(at + 1, at, this.count)
    this.count++
  }

  #grow(): void {
    const length = this.count * 2
    const [timeMs, x, y] = [new Float64Array(length), new Float64Array(length), new Float64Array(length)]
    const [speedKmh, courseDeg] = [new Float32Array(length), new Float32Array(length)]
    timeMs.set(this.timeMs)
    x.set(this.x)
    y.set(this.y)
    speedKmh.set(this.speedKmh)
    courseDeg.set(this.courseDeg)
    Object.assign(this, { timeMs, x, y, speedKmh, courseDeg })
  }

  #columns(): (Float64Array | Float32Array)[] {
    return [this.timeMs, this.x, this.y, this.speedKmh, this.courseDeg]
  }
}
