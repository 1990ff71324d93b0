/** A batch on its way into the database: the order of its rows, and the bytes that go there. */
import type { PositionBatch } from '../../schemas/position-batch.ts'
import type { CopyEncoder } from './copy-encoder.ts'
import { orderByKey } from './position-keys.ts'

export interface RefusedRow {
  /** Its place in the batch. */
  readonly row: number
  /** SQLSTATE. */
  readonly code: string
  /** What the database said. */
  readonly message: string
}

/** A batch on its way. */
export class Delivery {
  readonly batch: PositionBatch
  /** In the order of their keys, each key once. */
  readonly rows: Uint32Array
  /** Of the transaction that is to store rows of it; undefined = not known yet. */
  number: number | undefined
  private readonly twins: ReadonlyMap<number, number>
  private readonly encoder: CopyEncoder
  private encoded: Uint32Array | undefined
  private encodedNumber: number | undefined
  private bytes: Buffer | undefined

  constructor(batch: PositionBatch, encoder: CopyEncoder) {
    this.batch = batch
    this.encoder = encoder
    const { order, twins } = orderByKey(batch)
    this.rows = order
    this.twins = twins
  }

  /** Encodes all rows before they are asked for. */
  encodeAhead(number: number | undefined): void {
    this.number = number
    if (number !== undefined) this.message(this.rows)
  }

  /** @returns CopyData of the rows with {@link number}; good until it is called with others. */
  message(rows: Uint32Array): Buffer {
    const { number } = this
    if (this.bytes === undefined || this.encoded !== rows || this.encodedNumber !== number) {
      this.bytes = this.encoder.encode(this.batch, rows, number)
      this.encoded = rows
      this.encodedNumber = number
    }
    return this.bytes
  }

  /** What is refused once is refused also where it is in the batch again. */
  twinsOf(refused: readonly RefusedRow[]): RefusedRow[] {
    if (refused.length === 0) return []
    const byRow = new Map(refused.map((one) => [one.row, one]))
    return [...this.twins].flatMap(([row, twin]) => (byRow.has(twin) ? [{ ...byRow.get(twin)!, row }] : []))
  }
}
