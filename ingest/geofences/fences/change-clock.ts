/** For how long changes wait until they are effective. */
export class ChangeClock {
  /** When the oldest was told that no build has begun for, `performance.now()`; Infinity = there is none. */
  private waitingMs = Infinity
  /** The same of those that builds have begun for. */
  private readonly underWay = new Set<{ readonly sinceMs: number }>()

  /** A change is to be made effective. */
  told(): void {
    this.waitingMs = Math.min(this.waitingMs, performance.now())
  }

  /**
   * A build begins that has all changes in it that were told of.
   * @returns To be called once when they are effective, or with `false` when they will not be by this build.
   */
  begin(): (effective: boolean) => void {
    const changes = { sinceMs: this.waitingMs }
    this.underWay.add(changes)
    this.waitingMs = Infinity
    return (effective) => {
      this.underWay.delete(changes)
      if (!effective) this.waitingMs = Math.min(this.waitingMs, changes.sinceMs)
    }
  }

  /** Of the oldest change that is not effective; 0 = there is none. */
  get ageS(): number {
    const oldestMs = Math.min(this.waitingMs, ...[...this.underWay].map(({ sinceMs }) => sinceMs))
    return oldestMs === Infinity ? 0 : (performance.now() - oldestMs) / 1000
  }
}
