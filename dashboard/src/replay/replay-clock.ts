/**
 * The clock of a replay, on this page: it runs smoothly between frames, and waits where the positions are not there
 * yet, or where the page was not drawn for long, so that nothing is skipped.
 */

/** What a frame may take of the time; of a longer one the rest is not played. */
const FRAME_MAX_MS = 1_000

export class ReplayClock {
  #fromMs = 0
  #toMs = 0
  #timeMs = 0
  /** When `#timeMs` was, by `performance.now()`. */
  #sinceMs = 0
  #speed = 1
  #playing = false
  #knownToMs = 0

  get fromMs(): number {
    return this.#fromMs
  }

  get toMs(): number {
    return this.#toMs
  }

  get speed(): number {
    return this.#speed
  }

  get playing(): boolean {
    return this.#playing
  }

  /** Where it stood when it was last advanced, ms UTC. */
  get timeMs(): number {
    return this.#timeMs
  }

  /** Whether it waits for positions. */
  get waiting(): boolean {
    return this.#playing && this.#timeMs >= this.#knownToMs && this.#knownToMs < this.#toMs
  }

  /** Takes another range; the clock stands at `timeMs`, and knows nothing. */
  setRange(fromMs: number, toMs: number, timeMs: number): void {
    this.#fromMs = fromMs
    this.#toMs = toMs
    this.#timeMs = timeMs
    this.#knownToMs = fromMs
    this.#playing = false
  }

  /** All positions up to that time are here. */
  setKnownTo(timeMs: number): void {
    this.#knownToMs = Math.min(timeMs, this.#toMs)
  }

  /** @param nowMs `performance.now()`. */
  play(nowMs: number): void {
    this.advance(nowMs)
    if (this.#timeMs >= this.#toMs) this.#timeMs = this.#fromMs
    this.#sinceMs = nowMs
    this.#playing = true
  }

  pause(nowMs: number): void {
    this.advance(nowMs)
    this.#playing = false
  }

  setSpeed(speed: number, nowMs: number): void {
    this.advance(nowMs)
    this.#speed = speed
  }

  /** Moves to a time of the range; it goes on from there if it was running. */
  seek(timeMs: number, nowMs: number): void {
    this.#timeMs = Math.max(this.#fromMs, Math.min(this.#toMs, timeMs))
    this.#sinceMs = nowMs
  }

  /**
   * Brings the clock to the instant `nowMs` of `performance.now()`; at the end it stops.
   * @returns The time, ms UTC.
   */
  advance(nowMs: number): number {
    if (!this.#playing) return this.#timeMs
    const elapsedMs = Math.max(0, Math.min(FRAME_MAX_MS, nowMs - this.#sinceMs))
    const dueMs = this.#timeMs + elapsedMs * this.#speed
    // What it waited is not made up for later: that would be a jump.
    this.#timeMs = Math.max(this.#timeMs, Math.min(dueMs, this.#knownToMs))
    this.#sinceMs = nowMs
    if (this.#timeMs >= this.#toMs) this.#playing = false
    return this.#timeMs
  }
}
