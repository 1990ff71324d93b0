/** Random numbers of a seed: the same seed makes the same frames on every machine. */
import { seededRandom } from '../seeded-random.ts'

export class Random {
  private draw = seededRandom(0)

  /** Starts the sequence of `part` of `seed`, whatever was drawn before. */
  start(seed: number, part: number): void {
    this.draw = seededRandom(Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(part + 1, 0xc2b2ae35))
    this.next()
  }

  /** 0 to 2^32 − 1. */
  next(): number {
    return this.draw() * 2 ** 32
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
