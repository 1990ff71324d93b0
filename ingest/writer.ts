/**
 * Writes batches to `positions`, exactly once in effect. A batch goes directly into the table; when a row of it is
 * there already (23505, nothing of the batch is stored then), the same bytes go once more through a temporary table
 * that drops what is there. Where the database fails or is lost, the connection is opened anew and the batch sent
 * again, until it is stored or the writer is closed: whether a commit got through before the loss does not matter,
 * since a row is stored once by its key.
 */
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import type { PositionBatch } from '../schemas/position-batch.ts'
import { PositionDays } from '../storage/position-days.ts'
import { COPY_COLUMNS, CopyEncoder } from './copy-encoder.ts'
import { copyQuery } from './copy-query.ts'

const COLUMNS = COPY_COLUMNS.join(', ')
const COPY_DIRECT = `COPY positions (${COLUMNS}) FROM STDIN (FORMAT binary)`
const COPY_STAGED = `COPY staged_positions (${COLUMNS}) FROM STDIN (FORMAT binary);
INSERT INTO positions (${COLUMNS}) SELECT ${COLUMNS} FROM staged_positions ON CONFLICT DO NOTHING`
const CREATE_STAGE = `CREATE TEMPORARY TABLE staged_positions (LIKE positions) ON COMMIT DELETE ROWS`

const UNIQUE_VIOLATION = '23505'
const RECONNECT_MS_MIN = 100
const RECONNECT_MS_MAX = 5_000
const CONNECT_TIMEOUT_MS = 10_000
/** A statement that waits longer for a lock fails, and is tried again. */
const LOCK_TIMEOUT_MS = 60_000
/** A server that does not answer a COPY is taken for lost: TCP alone takes a quarter of an hour to find out. */
const ANSWER_TIMEOUT_MS = 90_000
/** Device and row share the 53 bits of a sort key. */
const ROW_BITS = 2 ** 17

export interface Written {
  readonly rows: number
  /** Rows that were stored before. */
  readonly duplicates: number
}

export interface WriterEvents {
  /** The database is away or back; `error` says why it is away. */
  onDatabase(up: boolean, error?: Error): void
}

export class PositionWriter {
  private readonly url: string
  private readonly applicationName: string
  private readonly events: WriterEvents
  private readonly answerTimeoutMs: number
  private readonly days = new PositionDays()
  /** Encoders whose bytes nobody needs any more. The next batch is encoded while those before are on their way. */
  private readonly idleEncoders: CopyEncoder[] = []
  private client: pg.Client | undefined
  private last: Promise<unknown> = Promise.resolve()
  private closed = false

  constructor(
    url: string,
    applicationName: string,
    events: WriterEvents,
    answerTimeoutMs = ANSWER_TIMEOUT_MS,
  ) {
    this.answerTimeoutMs = answerTimeoutMs
    this.url = url
    this.applicationName = applicationName
    this.events = events
    this.last = this.reconnect()
  }

  /**
   * Stores all rows of a batch; batches are stored in the order of the calls.
   * @throws pg.DatabaseError if the database refuses the batch for what is in it; nothing of it is stored then. And
   *   the last error, if the writer was closed meanwhile; whether it is stored is not known then.
   */
  write(batch: PositionBatch): Promise<Written> {
    const encoder = this.idleEncoders.pop() ?? new CopyEncoder()
    const data = encoder.encode(batch, orderByDevice(batch), batch.length)
    const written = this.last
      .then(() => this.store(batch, data))
      .finally(() => this.idleEncoders.push(encoder))
    this.last = written.catch(() => undefined)
    return written
  }

  async close(): Promise<void> {
    this.closed = true
    await this.last
    await this.client?.end().catch(() => undefined)
  }

  private async store(batch: PositionBatch, data: Buffer): Promise<Written> {
    for (let waitMs = RECONNECT_MS_MIN; ; waitMs = Math.min(RECONNECT_MS_MAX, waitMs * 2)) {
      const client = await this.connected()
      try {
        return await this.copy(client, batch, data)
      } catch (error) {
        if (isFaultOfBatch(error) || this.closed) throw error
        this.drop(client, error as Error)
      }
      // A database that is there but fails, with a full disk for example, is not asked as fast as it answers.
      await delay(waitMs)
    }
  }

  private async copy(client: pg.Client, batch: PositionBatch, data: Buffer): Promise<Written> {
    await this.days.ensure(client, batch.fixTimeMs, batch.length)
    const silent = setTimeout(
      () => this.drop(client, new Error(`no answer within ${this.answerTimeoutMs} ms`)),
      this.answerTimeoutMs,
    )
    try {
      await copyQuery(client, COPY_DIRECT, data)
      return { rows: batch.length, duplicates: 0 }
    } catch (error) {
      if ((error as pg.DatabaseError).code !== UNIQUE_VIOLATION) throw error
      const [, inserted = 0] = await copyQuery(client, COPY_STAGED, data)
      return { rows: batch.length, duplicates: batch.length - inserted }
    } finally {
      clearTimeout(silent)
    }
  }

  /** @throws Error of the last attempt, if the writer was closed meanwhile. */
  private async connected(): Promise<pg.Client> {
    for (let waitMs = RECONNECT_MS_MIN; ; waitMs = Math.min(RECONNECT_MS_MAX, waitMs * 2)) {
      if (this.client !== undefined) return this.client
      try {
        this.client = await this.connect()
        this.events.onDatabase(true)
      } catch (error) {
        this.events.onDatabase(false, error as Error)
        if (this.closed) throw error
        await delay(waitMs)
      }
    }
  }

  private async connect(): Promise<pg.Client> {
    const client = new pg.Client({
      connectionString: this.url,
      application_name: this.applicationName,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      lock_timeout: LOCK_TIMEOUT_MS,
      keepAlive: true,
    })
    client.on('error', (error) => this.drop(client, error))
    try {
      await client.connect()
      await client.query(CREATE_STAGE)
    } catch (error) {
      client.end().catch(() => undefined)
      throw error
    }
    return client
  }

  private drop(client: pg.Client, error: Error): void {
    client.end().catch(() => undefined)
    if (this.client !== client) return
    this.client = undefined
    this.days.forget()
    this.events.onDatabase(false, error)
    // Also with nothing to store: whether the database is there is to be known before it is needed.
    this.last = this.last.then(() => this.reconnect())
  }

  private async reconnect(): Promise<void> {
    if (!this.closed) await this.connected().catch(() => undefined)
  }
}

/** Rows ordered by device: neighbours in the index are then neighbours in the batch. */
function orderByDevice(batch: PositionBatch): Uint32Array {
  const keys = new Float64Array(batch.length)
  for (let row = 0; row < batch.length; row++) keys[row] = batch.device[row]! * ROW_BITS + row
  // Without a comparator: 10 times faster.
  keys.sort()
  const order = new Uint32Array(batch.length)
  for (let i = 0; i < order.length; i++) order[i] = keys[i]! % ROW_BITS
  return order
}

/**
 * Class 22 (data) and 23 (constraints): the same batch would fail again. All else is the database's or the network's,
 * and so is 23514 without a constraint: a row was on its way to the default partition when its day got one of its own.
 */
function isFaultOfBatch(error: unknown): boolean {
  const { code, constraint } = error as { code?: string; constraint?: string }
  if (code === '23514' && constraint === undefined) return false
  return code !== undefined && /^2[23]...$/.test(code)
}
