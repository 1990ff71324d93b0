/**
 * The clock of a replay: the time of the fleet as it goes on at so many times the speed of life. At speed 0 it has none of
 * its own, and is where it was put last.
 */
export class ReplayClock {
  private readonly nowMs: () => number
  /** Time of the fleet at `sinceMs`. */
  private atMs: number
  private sinceMs: number
  private currentSpeed: number
  private isPaused = false

  /**
   * @param nowMs Time of the wall.
   * @param timeMs Time of the fleet to begin with, ms UTC.
   */
  constructor(nowMs: () => number, timeMs: number, speed: number) {
    this.nowMs = nowMs
    this.atMs = timeMs
    this.sinceMs = nowMs()
    this.currentSpeed = speed
  }

  /** Time of the fleet, ms UTC. */
  get timeMs(): number {
    return this.isPaused ? this.atMs : this.atMs + (this.nowMs() - this.sinceMs) * this.currentSpeed
  }

  get speed(): number {
    return this.currentSpeed
  }

  set speed(speed: number) {
    this.moveTo(this.timeMs)
    this.currentSpeed = speed
  }

  get paused(): boolean {
    return this.isPaused
  }

  set paused(paused: boolean) {
    this.moveTo(this.timeMs)
    this.isPaused = paused
  }

  moveTo(timeMs: number): void {
    this.atMs = timeMs
    this.sinceMs = this.nowMs()
  }

  /** Sets it back to a time that it has passed, if it has. */
  holdAt(timeMs: number): void {
    if (this.timeMs > timeMs) this.moveTo(timeMs)
  }
}
