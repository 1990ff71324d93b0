/** Counts attempts by key in a fixed window, in memory, for a bounded number of keys. */

export interface AttemptLimiterOptions {
  /** Attempts of one key in a window. */
  readonly max: number
  /** Length of a window from its first attempt, ms. */
  readonly windowMs: number
  /** Keys remembered; the oldest window is forgotten for a new one. */
  readonly keysMax: number
}

export class AttemptLimiter {
  readonly #options: AttemptLimiterOptions
  /** In the order of their ends, because all windows are of one length. */
  readonly #windows = new Map<string, { endMs: number; count: number }>()

  constructor(options: AttemptLimiterOptions) {
    this.#options = options
  }

  /**
   * Counts an attempt, before it is made: many at a time cannot slip through.
   * @param nowMs Any clock that does not go back.
   * @returns How long the key has to wait, ms; 0 = the attempt may be made.
   */
  take(key: string, nowMs: number): number {
    let window = this.#windows.get(key)
    if (window === undefined || window.endMs <= nowMs) {
      this.#windows.delete(key)
      this.#forget(nowMs)
      window = { endMs: nowMs + this.#options.windowMs, count: 0 }
      this.#windows.set(key, window)
    }
    if (window.count >= this.#options.max) return window.endMs - nowMs
    window.count++
    return 0
  }

  /** Takes an attempt back that turned out well. */
  refund(key: string): void {
    const window = this.#windows.get(key)
    if (window && window.count > 0) window.count--
  }

  /** Forgets a key. */
  clear(key: string): void {
    this.#windows.delete(key)
  }

  get size(): number {
    return this.#windows.size
  }

  #forget(nowMs: number): void {
    for (const [key, { endMs }] of this.#windows) {
      if (endMs > nowMs && this.#windows.size < this.#options.keysMax) return
      this.#windows.delete(key)
    }
  }
}
