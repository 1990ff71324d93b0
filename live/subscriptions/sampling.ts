/** When a subscription with a minimum interval may send the next row of each device. */

/** Part of the interval by which those who subscribe together are spread, so that not all are sent to at once. */
const SPREAD = 0.25
/** Fractions of it are far apart for those who follow each other: multiples of the golden ratio. */
const STEP = 0.618_033_988_749_895

let subscriptions = 0

export class Sampling {
  private readonly intervalMs: number
  private dueMs: number
  private isFirst = true

  constructor(intervalMs: number) {
    this.intervalMs = intervalMs
    this.dueMs = 0
  }

  isDue(): boolean {
    return performance.now() >= this.dueMs
  }

  /** All was sent that was due. */
  done(): void {
    const part = this.isFirst ? 1 + SPREAD * ((++subscriptions * STEP) % 1) : 1
    this.isFirst = false
    this.dueMs = performance.now() + this.intervalMs * part
  }
}
