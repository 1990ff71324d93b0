/**
 * Numbers of the transactions that store positions, see migrations/0008-commit-order.sql. They are in every row that is
 * sent, so they are reserved before the rows are encoded, many at once.
 */
import type pg from 'pg'

/** INCREMENT of the sequence. */
const BLOCK = 64
/** More are reserved when fewer are left. */
const FREE_MIN = 16

export class BatchNumbers {
  private readonly free: number[] = []
  private readonly taken = new Set<number>()

  /** Sees to it that some can be taken. Not inside a transaction that may fail. */
  async reserve(client: pg.ClientBase): Promise<void> {
    if (this.free.length >= FREE_MIN) return
    const { rows } = await client.query<{ first: string }>("SELECT nextval('batch_numbers') AS first")
    const first = Number(rows[0]!.first)
    for (let number = first; number < first + BLOCK; number++) this.free.push(number)
  }

  /** @returns undefined where none is reserved. */
  takeReserved(): number | undefined {
    const number = this.free.shift()
    if (number !== undefined) this.taken.add(number)
    return number
  }

  async take(client: pg.ClientBase): Promise<number> {
    await this.reserve(client)
    return this.takeReserved()!
  }

  /** Whether the number was taken, and no transaction of that number can have been committed. */
  holds(number: number | undefined): boolean {
    return number !== undefined && this.taken.has(number)
  }

  /** The transaction of the number is committed. */
  spend(number: number): void {
    this.taken.delete(number)
  }

  /** The connection is lost: nobody knows what was committed, and the next one may lead to another database. */
  forget(): void {
    this.free.length = 0
    this.taken.clear()
  }
}
