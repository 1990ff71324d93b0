/**
 * Writes batches to `positions`, exactly once in effect. A batch is one COPY; when a row of it is there already (23505,
 * nothing of the batch is stored then), the database is asked which, and the others are copied. A batch that is refused
 * for what is in it is halved, and its halves, until the rows at fault are alone. Where the database fails or is lost,
 * the connection is opened anew and what is not stored sent again, until it is or the writer is closed: whether a commit
 * got through before the loss does not matter, since a row is stored once by its key. What rows mean for geofences is
 * worked out before they are sent, and committed with them.
 */
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { TooManyChanges } from '../../geofence/visits/changes.ts'
import { orderCommit } from '../../schemas/commit-order.ts'
import type { Commit } from '../../schemas/live-port.ts'
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { PositionDays } from '../../storage/positions/position-days.ts'
import type { Evaluator } from '../geofences/evaluation/evaluator.ts'
import { BatchNumbers } from './batch-numbers.ts'
import { commitStatement } from './commit-statement.ts'
import { COPY_COLUMNS, CopyEncoder } from './copy-encoder.ts'
import { copyQuery } from './copy-query.ts'
import { Delivery, type RefusedRow } from './delivery.ts'
import { notStored } from './position-keys.ts'

const COLUMNS = COPY_COLUMNS.join(', ')
const COPY = `COPY positions (${COLUMNS}) FROM STDIN (FORMAT binary)`
/**
 * For the look-ups of notStored: compiling one takes longer than thousands of them, and TimescaleDB would choose the
 * chunks anew for each row. And a batch of late rows may unpack as many rows of compressed chunks as it needs to.
 * A server without TimescaleDB takes its settings, too.
 */
const SET_UP = `SET jit = off; SET timescaledb.enable_runtime_exclusion = off;
SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0`

const UNIQUE_VIOLATION = '23505'
const CHECK_VIOLATION = '23514'
/** Serialization failure, deadlock: PostgreSQL asks to try again. */
const TRY_AGAIN: readonly (string | undefined)[] = ['40001', '40P01']
/** How often in a row a batch is tried again at once; after that, the database counts as failing. */
const AT_ONCE_MAX = 3
/**
 * Data, constraints, an exception that a trigger raises, limits such as the length of an index entry: the same row would
 * fail again. All else is the database's or the network's.
 */
const FAULT_OF_ROWS = /^(?:2[23]...|P0001|54...)$/
const RECONNECT_MS_MIN = 100
const RECONNECT_MS_MAX = 5_000
const CONNECT_TIMEOUT_MS = 10_000
/** A statement that waits longer for a lock fails, and is tried again. */
const LOCK_TIMEOUT_MS = 60_000
/** Events of a batch that are handed on, but for those of its last commit: it may bring a thousand times as many. */
const EVENTS_MAX = 10_000
/** A server that does not answer a COPY is taken for lost: TCP alone takes a quarter of an hour to find out. */
const ANSWER_TIMEOUT_MS = 90_000

export interface Written {
  /** Rows of the batch. */
  readonly rows: number
  /** Rows of those that were stored before, or are in the batch twice. */
  readonly duplicates: number
  /** Rows of those that the database does not take. */
  readonly refused: readonly RefusedRow[]
  /**
   * What was committed, in its order: a commit that got through without an answer is not among it, nor are the first ones
   * where there are very many events. All of them are in the table `batches`.
   */
  readonly commits: readonly Commit[]
}

export interface WriterEvents {
  /** The database is away or back; `error` says why it is away. */
  onDatabase(up: boolean, error?: Error): void
}

export class PositionWriter {
  private readonly url: string
  private readonly applicationName: string
  private readonly events: WriterEvents
  private readonly evaluator: Evaluator | undefined
  private readonly answerTimeoutMs: number
  private readonly days = new PositionDays()
  private readonly numbers = new BatchNumbers()
  /** Encoders whose bytes nobody needs any more. The next batch is encoded while those before are on their way. */
  private readonly idleEncoders: CopyEncoder[] = []
  private client: pg.Client | undefined
  /** Whether batches bring rows that are stored already: it is cheaper then to ask than to run into them. */
  private replayed = false
  private last: Promise<unknown> = Promise.resolve()
  private closed = false

  constructor(
    url: string,
    applicationName: string,
    events: WriterEvents,
    evaluator?: Evaluator,
    answerTimeoutMs = ANSWER_TIMEOUT_MS,
  ) {
    this.evaluator = evaluator
    this.answerTimeoutMs = answerTimeoutMs
    this.url = url
    this.applicationName = applicationName
    this.events = events
    this.last = this.reconnect()
  }

  /**
   * Stores the rows of a batch; batches are stored in the order of the calls. The batch must stay as it is meanwhile.
   * @throws Error the last one, if the writer was closed meanwhile; how much is stored is not known then.
   */
  write(batch: PositionBatch): Promise<Written> {
    const encoder = this.idleEncoders.pop() ?? new CopyEncoder()
    const delivery = new Delivery(batch, encoder)
    // Encoded while those before are on their way, unless it may not be needed.
    if (!this.replayed) delivery.encodeAhead(this.numbers.takeReserved())
    const written = this.last.then(() => this.store(delivery)).finally(() => this.idleEncoders.push(encoder))
    this.last = written.catch(() => undefined)
    return written
  }

  /**
   * Runs `work` on the connection between two batches; not at all while there is none.
   * @throws Error of `work`.
   */
  between(work: (client: pg.Client) => Promise<void>): Promise<void> {
    const done = this.last.then(async () => {
      const { client } = this
      if (client !== undefined) await this.answered(client, () => work(client))
    })
    this.last = done.catch(() => undefined)
    return done
  }

  async close(): Promise<void> {
    this.closed = true
    await this.last
    await this.client?.end().catch(() => undefined)
  }

  private async store(delivery: Delivery): Promise<Written> {
    const refused: RefusedRow[] = []
    const commits: Commit[] = []
    let inserted = 0
    let failures = 0
    // The last one is the next.
    const pieces = [delivery.rows]
    for (let piece = pieces.pop(); piece !== undefined; piece = pieces.pop()) {
      const client = await this.connected()
      try {
        const commit = await this.copy(client, delivery, piece)
        if (commit !== undefined) {
          inserted += commit.rows.length
          commits.push(commit)
          while (commits.length > 1 && countEvents(commits) > EVENTS_MAX) commits.shift()
        }
        failures = 0
        continue
      } catch (error) {
        if (this.closed) throw error
        if (error instanceof RowsRefused) {
          const { code, message } = error
          if (piece.length === 1) refused.push({ row: piece[0]!, code, message })
          else pieces.push(...halves(piece))
          failures = 0
          continue
        }
        if (error instanceof TooManyChanges) {
          pieces.push(...halves(piece))
          continue
        }
        pieces.push(piece)
        failures++
        if (isTransient(error as pg.DatabaseError) && failures <= AT_ONCE_MAX) continue
        this.drop(client, error as Error)
      }
      // A database that is there but fails, with a full disk for example, is not asked as fast as it answers.
      await delay(Math.min(RECONNECT_MS_MAX, RECONNECT_MS_MIN * 2 ** (failures - 1)))
    }
    refused.push(...delivery.twinsOf(refused))
    const rows = delivery.batch.length
    return { rows, duplicates: rows - inserted - refused.length, refused, commits }
  }

  /**
   * Stores those rows of a piece that are not stored yet, in one transaction.
   * @returns undefined where all of them are.
   * @throws RowsRefused
   */
  private async copy(client: pg.Client, delivery: Delivery, piece: Uint32Array): Promise<Commit | undefined> {
    const { batch } = delivery
    return this.answered(client, async (heard) => {
      await this.days.ensure(client, batch.fixTimeMs, batch.length)
      await this.numbers.reserve(client)
      return this.copyNew(client, delivery, piece, heard).catch((error) => {
        throw isFaultOfRows(error) ? new RowsRefused(error) : error
      })
    })
  }

  /** Gives the connection up when `work` takes too long, counted from when it last said that it heard an answer. */
  private async answered<T>(client: pg.Client, work: (heard: () => void) => Promise<T>): Promise<T> {
    const silent = setTimeout(
      () => this.drop(client, new Error(`no answer within ${this.answerTimeoutMs} ms`)),
      this.answerTimeoutMs,
    )
    try {
      return await work(() => silent.refresh())
    } finally {
      clearTimeout(silent)
    }
  }

  private async copyNew(
    client: pg.Client,
    delivery: Delivery,
    piece: Uint32Array,
    heard: () => void,
  ): Promise<Commit | undefined> {
    const { batch } = delivery
    let rest = piece
    let unstored = false
    const leaveOutStored = async () => {
      const before = rest
      rest = await notStored(client, batch, before)
      this.evaluator?.stored(batch, before, rest)
      this.replayed = rest.length < before.length
      unstored = true
    }
    if (this.replayed) await leaveOutStored()
    while (rest.length > 0) {
      const evaluation = await this.evaluator?.evaluate(client, batch, rest, unstored, heard)
      rest = evaluation?.rows ?? rest
      if (rest.length === 0) break
      // A number that may have been committed is not used again: it would name two transactions.
      if (!this.numbers.holds(delivery.number)) delivery.number = await this.numbers.take(client)
      const number = delivery.number!
      try {
        const committed = rest.slice()
        orderCommit(batch, committed)
        const before = evaluation?.statements(number) ?? ''
        const query = `${before}${COPY}; ${commitStatement(batch, committed, number)}`
        const { counts, rows } = await copyQuery(client, query, delivery.message(rest))
        this.numbers.spend(number)
        const events = evaluation?.committed({ counts, rows: rows.slice(0, -1) }) ?? []
        return { sequence: Number(rows.at(-1)![0]), rows: committed, events }
      } catch (error) {
        if (await evaluation?.failed(error as Error)) continue
        if ((error as pg.DatabaseError).code !== UNIQUE_VIOLATION) throw error
        const before = rest.length
        await leaveOutStored()
        // It is not the key of the table that they ran into.
        if (rest.length === before) throw error
      }
    }
    return undefined
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
      await client.query(SET_UP)
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
    this.numbers.forget()
    this.events.onDatabase(false, error)
    // Also with nothing to store: whether the database is there is to be known before it is needed.
    this.last = this.last.then(() => this.reconnect())
  }

  private async reconnect(): Promise<void> {
    if (!this.closed) await this.connected().catch(() => undefined)
  }
}

function countEvents(commits: readonly Commit[]): number {
  return commits.reduce((sum, { events }) => sum + events.length, 0)
}

/** The database does not take a piece for what is in it; nothing of the piece is stored. */
class RowsRefused extends Error {
  override readonly name = 'RowsRefused'
  readonly code: string

  constructor(cause: pg.DatabaseError) {
    super(cause.message, { cause })
    this.code = cause.code!
  }
}

function isFaultOfRows(error: pg.DatabaseError): boolean {
  return error.code !== undefined && FAULT_OF_ROWS.test(error.code) && !isTransient(error)
}

/** 23514 without a constraint: a row was on its way to the default partition when its day got one of its own. */
function isTransient({ code, constraint }: pg.DatabaseError): boolean {
  return TRY_AGAIN.includes(code) || (code === CHECK_VIOLATION && constraint === undefined)
}

/** The second one first: what is pushed last is next. */
function halves(piece: Uint32Array): [Uint32Array, Uint32Array] {
  const middle = piece.length >>> 1
  return [piece.subarray(middle), piece.subarray(0, middle)]
}
