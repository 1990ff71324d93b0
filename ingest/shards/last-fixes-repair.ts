/**
 * Puts table `last_fixes` right when the engine starts: the shards of one that was killed may not have written the last
 * seconds, and a database of an older version has none of its rows.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import type { Logger } from 'pino'

/** Devices of one statement. */
const STATEMENT_DEVICES = 200
/** Pause after a statement, in times of what it took: others need the database, too. */
const PAUSE_RATIO = 4
/** Where the database refuses, it is asked again after this, ms. */
const RETRY_MS = 30_000

/**
 * Goes through all devices once, in the background.
 * @param pool Connections of the owner of the schema.
 * @returns How to end it.
 */
export function startLastFixesRepair(pool: pg.Pool, log: Logger): () => Promise<void> {
  const ending = new AbortController()
  const { signal } = ending
  const pause = (ms: number) => delay(ms, undefined, { signal, ref: false }).catch(() => undefined)
  const repair = async () => {
    let last = 0
    let behind = 0
    while (!signal.aborted) {
      const startMs = performance.now()
      try {
        const { rows } = await pool.query<{ last: number | null; behind: number }>(
          `WITH piece AS (SELECT array_agg(id) AS ids, max(id) AS last
             FROM (SELECT id FROM devices WHERE id > $1 ORDER BY id LIMIT $2) next)
           SELECT last, refresh_last_fixes(ids) AS behind FROM piece`,
          [last, STATEMENT_DEVICES],
        )
        if (rows[0]!.last === null) {
          if (behind > 0) log.info({ devices: behind }, 'last fixes that were behind are put right')
          return
        }
        last = rows[0]!.last
        behind += rows[0]!.behind
        await pause((performance.now() - startMs) * PAUSE_RATIO)
      } catch (error) {
        if (signal.aborted) return
        log.warn({ err: error }, 'last fixes could not be put right; tried again later')
        await pause(RETRY_MS)
      }
    }
  }
  const done = repair()
  return () => {
    ending.abort()
    return done
  }
}
