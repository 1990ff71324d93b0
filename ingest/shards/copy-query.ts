/**
 * A COPY FROM STDIN whose data is at hand: the query and all its data leave in one write, so that a batch costs one
 * round trip. The protocol allows it: a server that refuses the COPY passes over the data that follows. Statements may
 * stand before the COPY; they are of its transaction.
 */
import type pg from 'pg'

/** What `pg` calls on a query of ours ("Submittable"); its types leave out what a COPY answers. */
interface WireConnection {
  readonly stream: NodeJS.WritableStream & { cork(): void; uncork(): void }
}

export interface CopyAnswer {
  /** Rows of each command of the query, as its command tag says: `COPY 10`, `INSERT 0 8`. */
  readonly counts: readonly number[]
  /** What the statements of the query that are not the COPY return, as text. */
  readonly rows: readonly (readonly (string | null)[])[]
}

const beforeCopy = new WeakSet<Error>()

/** Whether an error of {@link copyQuery} came before the COPY: it is of the statements before it, or of the connection. */
export function failedBeforeCopy(error: Error): boolean {
  return beforeCopy.has(error)
}

/**
 * @param sql One simple query with one COPY FROM STDIN BINARY in it; what stands before it is done before it, and where
 *   that fails, there is no COPY.
 * @param data CopyData and CopyDone messages, see CopyEncoder. Must stay as it is until the promise settles.
 * @throws pg.DatabaseError as the server has it, or the error of the connection.
 */
export function copyQuery(client: pg.ClientBase, sql: string, data: Buffer): Promise<CopyAnswer> {
  return new Promise((resolve, reject) => {
    client.query(new CopyQuery(sql, data, resolve, reject) as unknown as pg.Submittable)
  })
}

class CopyQuery {
  private readonly sql: string
  private readonly data: Buffer
  private readonly counts: number[] = []
  private readonly rows: (readonly (string | null)[])[] = []
  private copying = false
  private readonly resolve: (answer: CopyAnswer) => void
  private readonly reject: (error: Error) => void

  constructor(
    sql: string,
    data: Buffer,
    resolve: (answer: CopyAnswer) => void,
    reject: (error: Error) => void,
  ) {
    this.sql = sql
    this.data = data
    this.resolve = resolve
    this.reject = reject
  }

  submit(connection: WireConnection): void {
    const query = Buffer.allocUnsafe(6 + Buffer.byteLength(this.sql))
    query.write('Q')
    query.writeInt32BE(query.length - 1, 1)
    query.write(this.sql, 5)
    query[query.length - 1] = 0
    connection.stream.cork()
    connection.stream.write(query)
    connection.stream.write(this.data)
    connection.stream.uncork()
  }

  /** Nothing to do: values of a simple query are text. */
  handleRowDescription(): void {}

  handleDataRow({ fields }: { readonly fields: readonly (string | null)[] }): void {
    this.rows.push(fields)
  }

  /** The data is on its way. */
  handleCopyInResponse(): void {
    this.copying = true
  }

  handleCommandComplete(message: { readonly text: string }): void {
    this.counts.push(Number(/\d+$/.exec(message.text)?.[0] ?? 0))
  }

  /** `pg` calls nothing more after an error, and sends the next query when the server is ready for it. */
  handleError(error: Error): void {
    if (!this.copying) beforeCopy.add(error)
    this.reject(error)
  }

  handleReadyForQuery(): void {
    this.resolve({ counts: this.counts, rows: this.rows })
  }
}
