/**
 * How long the order of commits is kept, and with it how old a cursor may be that a client of the stream comes back with.
 * The positions themselves are kept by position-policies.ts.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import type { Logger } from 'pino'

/** How often it is looked for what is too old, ms. */
const PRUNE_INTERVAL_MS = 600 * 1000
/** Commits that are forgotten by one statement. */
const PRUNE_COMMITS = 10_000

/**
 * Forgets commits that are older than that, but for the last one of all, now and then every ten minutes. A database that
 * refuses is told of in the log and asked again.
 *
 * @param pool Connections of the owner of the schema.
 * @returns How to end it.
 */
export function startCommitPruning(pool: pg.Pool, resumeHours: number, log: Logger): () => Promise<void> {
  const ending = new AbortController()
  const repeat = async () => {
    while (!ending.signal.aborted) {
      await pruneCommits(pool, resumeHours, ending.signal).catch((error) =>
        log.warn({ err: error }, 'old commits could not be forgotten; tried again in ten minutes'),
      )
      await delay(PRUNE_INTERVAL_MS, undefined, { signal: ending.signal, ref: false }).catch(() => undefined)
    }
  }
  const repeated = repeat()
  return async () => {
    ending.abort()
    await repeated
  }
}

/**
 * @param ending Ends it between one statement and the next.
 * @returns How many commits were forgotten.
 * @throws pg.DatabaseError
 */
export async function pruneCommits(
  pool: pg.Pool,
  resumeHours: number,
  ending?: AbortSignal,
): Promise<number> {
  for (let sum = 0; ; ) {
    const { rows } = await pool.query<{ count: number }>(
      'SELECT forget_batches(now() - make_interval(hours => $1), $2) AS count',
      [resumeHours, PRUNE_COMMITS],
    )
    sum += rows[0]!.count
    if (rows[0]!.count < PRUNE_COMMITS || ending?.aborted) return sum
  }
}
