/** Storage as live reads it: commits that it has not in memory, and everything as it is at one moment. */
import type pg from 'pg'
import type { Commit } from '../../schemas/live-port.ts'
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { countBehind, readCommits, readHead } from '../../storage/commits/commit-log.ts'
import { lastPositions } from '../../storage/positions/positions.ts'
import { batchOf } from './position-rows.ts'

/** Devices that one query asks for: bounds what an answer takes of memory, and for how long it keeps the thread. */
const DEVICES_MAX = 1_000

/** Commits in the order of their sequences, whose rows are all of one batch. */
export interface StoredCommits {
  readonly batch: PositionBatch | null
  readonly commits: readonly Commit[]
}

export interface CommitReader {
  /** Greatest sequence and the least that is kept; 0 if there is none. */
  head(): Promise<{ readonly newest: number; readonly oldest: number }>
  /** The commits that follow a sequence; none if there is nothing behind it. */
  commits(after: number): Promise<StoredCommits>
  /** Rows and events behind a sequence. */
  rowsBehind(sequence: number): Promise<number>
}

/** Last positions of all devices as they are behind the commit of a sequence. */
export interface StoredSnapshot {
  readonly sequence: number
  readonly batches: readonly PositionBatch[]
}

export class CommitStorage implements CommitReader {
  private readonly pool: pg.Pool
  private readonly pageRows: number

  /** @param pool Of the owner of the schema. */
  constructor(pool: pg.Pool, pageRows: number) {
    this.pool = pool
    this.pageRows = pageRows
  }

  head(): Promise<{ newest: number; oldest: number }> {
    return this.with(async (client) => {
      const { last, first } = await readHead(client)
      return { newest: last, oldest: first }
    })
  }

  commits(after: number): Promise<StoredCommits> {
    return this.with((client) => readCommits(client, after, { rowsMax: this.pageRows }))
  }

  rowsBehind(sequence: number): Promise<number> {
    return this.with((client) => countBehind(client, sequence))
  }

  /** Everything as it is now. */
  snapshot(): Promise<StoredSnapshot> {
    return this.with(async (client) => {
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
      try {
        await client.query("SELECT set_config('app.role', 'super-admin', true)")
        const { last } = await readHead(client)
        const { rows } = await client.query<{ id: number }>('SELECT id FROM devices ORDER BY id')
        const ids = rows.map(({ id }) => id)
        const batches: PositionBatch[] = []
        for (let first = 0; first < ids.length; first += DEVICES_MAX) {
          batches.push(batchOf(await lastPositions(client, ids.slice(first, first + DEVICES_MAX))))
        }
        await client.query('COMMIT')
        return { sequence: last, batches }
      } catch (error) {
        await client.query('ROLLBACK').catch(() => undefined)
        throw error
      }
    })
  }

  private async with<T>(use: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await this.pool.connect()
    let failed: Error | undefined
    try {
      return await use(client)
    } catch (error) {
      failed = error as Error
      throw error
    } finally {
      // After an error nobody knows what the connection waits for.
      client.release(failed)
    }
  }
}
