/** Random numbers of a seed: the same seed makes the same frames on every machine. Mulberry32. */
export class Random {
  private state = 0

  /** Starts the sequence of `part` of `seed`, whatever was drawn before. */
  start(seed: number, part: number): void {
    this.state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(part + 1, 0xc2b2ae35)
    this.next()
  }

  /** 0 to 2^32 − 1. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return (t ^ (t >>> 14)) >>> 0
  }

  /** 0 to `limit` − 1; 0 if there is none. */
  below(limit: number): number {
    return limit <= 1 ? 0 : this.next() % limit
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.next() % times === 0
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)]!
  }
}
