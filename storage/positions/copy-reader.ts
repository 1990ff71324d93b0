/**
 * Rows of `positions` by COPY TO STDOUT in binary, straight into column batches: no object a row. What is not yet taken is
 * bounded, since the socket is not read meanwhile, and the server waits.
 */
import type pg from 'pg'
import { type CopiedRows, CopyDecoder } from './copy-decoder.ts'

export { COPIED_COLUMNS, type CopiedRows } from './copy-decoder.ts'

export interface CopyOptions {
  /** Rows of a batch at most; the last one may have fewer. */
  readonly rowsMax: number
  /** Columns of type bigint, below 2^53, that the query has behind {@link COPIED_COLUMNS}; 0 by default. */
  readonly numberCount?: number
}

/** What `pg` hands on to a query of ours ("Submittable"); its types leave it out. */
interface WireConnection {
  readonly stream: { pause(): void; resume(): void }
  query(sql: string): void
}

/**
 * Rows of a query in its order. At most a batch and what one reading of the socket brings is held beyond what the caller
 * took. The connection is busy until the last batch is taken, or the caller ends the loop; what is left of the answer is
 * read and thrown away then, so a query is to ask for no more than is wanted.
 *
 * @param query SELECT of {@link COPIED_COLUMNS} and further `numberCount` columns. It has no parameters: a COPY takes none.
 * @throws pg.DatabaseError as the server has it, or the error of the connection.
 */
export async function* copyPositions(
  client: pg.ClientBase,
  query: string,
  { rowsMax, numberCount = 0 }: CopyOptions,
): AsyncGenerator<CopiedRows, void, undefined> {
  const read = new CopyRead(
    `COPY (${query}) TO STDOUT (FORMAT binary)`,
    new CopyDecoder(rowsMax, numberCount),
  )
  client.query(read as unknown as pg.Submittable)
  try {
    for (let rows = await read.next(); rows !== undefined; rows = await read.next()) yield rows
  } finally {
    await read.discard()
  }
}

class CopyRead {
  private readonly sql: string
  private readonly decoder: CopyDecoder
  private readonly ready: CopiedRows[] = []
  private connection: WireConnection | undefined
  private paused = false
  private discarding = false
  private ended = false
  private error: Error | undefined
  private wake: () => void = () => undefined

  constructor(sql: string, decoder: CopyDecoder) {
    this.sql = sql
    this.decoder = decoder
  }

  /** @returns undefined at the end. */
  async next(): Promise<CopiedRows | undefined> {
    for (;;) {
      const rows = this.ready.shift()
      if (rows !== undefined) return rows
      if (this.error !== undefined) throw this.error
      if (this.ended) return undefined
      await this.change()
    }
  }

  /** Reads to the end and keeps nothing. */
  async discard(): Promise<void> {
    this.discarding = true
    while (!this.ended) await this.change()
  }

  private change(): Promise<void> {
    this.resume()
    return new Promise((resolve) => {
      this.wake = resolve
    })
  }

  submit(connection: WireConnection): void {
    this.connection = connection
    connection.query(this.sql)
  }

  handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    if (this.discarding) return
    try {
      if (this.decoder.read(chunk)) this.hand(this.decoder.take())
    } catch (error) {
      this.error ??= error as Error
      this.discarding = true
      this.wake()
    }
  }

  handleCommandComplete(): void {
    if (!this.discarding) this.hand(this.decoder.take())
  }

  /** `pg` calls nothing more after an error. */
  handleError(error: Error): void {
    this.error ??= error
    this.end()
  }

  handleReadyForQuery(): void {
    this.end()
  }

  private end(): void {
    this.ended = true
    // What comes next is the next query's.
    this.resume()
    this.wake()
  }

  private resume(): void {
    if (this.paused) this.connection!.stream.resume()
    this.paused = false
  }

  private hand(rows: CopiedRows | undefined): void {
    if (rows === undefined) return
    this.ready.push(rows)
    this.connection!.stream.pause()
    this.paused = true
    this.wake()
  }
}
