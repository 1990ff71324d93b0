/** Those who wait for their record of the journal to be durable, in the order of the journal. */
import type { JournalPosition } from './journal/journal.ts'

export class SyncQueue {
  private readonly positions: JournalPosition[] = []
  private readonly waiting: (() => void)[] = []
  private head = 0

  get length(): number {
    return this.positions.length - this.head
  }

  /** @param position Of the record; not before that of the last one added. */
  add(position: JournalPosition, durable: () => void): void {
    this.positions.push(position)
    this.waiting.push(durable)
  }

  /** All records before `position` are durable. Those who are called may add others. */
  release(position: JournalPosition): void {
    while (this.head < this.positions.length && this.positions[this.head]! < position) {
      this.waiting[this.head++]!()
    }
    if (this.head === this.positions.length) this.head = this.positions.length = this.waiting.length = 0
    else if (this.head > 4096 && this.head * 2 > this.positions.length) {
      this.positions.splice(0, this.head)
      this.waiting.splice(0, this.head)
      this.head = 0
    }
  }
}
