/** Connection pools. */
import pg from 'pg'
import type { Logger } from 'pino'

/** How long a new connection may take, and how long a caller waits for a free one, ms. */
export const CONNECT_TIMEOUT_MS = 10_000
/** How long the server works on one statement before it gives up, ms. */
export const STATEMENT_TIMEOUT_MS = 30_000
/** How long a transaction may stand open with nothing asked in it, ms. */
export const IDLE_IN_TRANSACTION_TIMEOUT_MS = 60_000

export interface PoolOptions {
  /** Connections at most. */
  readonly max: number
  /** Shown by the server in pg_stat_activity. */
  readonly applicationName: string
  readonly log?: Logger | undefined
  /** {@link STATEMENT_TIMEOUT_MS} by default; 0 = none. */
  readonly statementTimeoutMs?: number
}

/**
 * A pool that outlives a restart of the server: an error of an idle connection is logged and the connection
 * replaced when it is next needed; one that is in use fails with its next query.
 *
 * Values come out as JavaScript has them: `timestamptz` as Date (ms), `bigint` as number (what we count stays
 * below 2^53; digests, which do not, are asked for as text), `date` as text YYYY-MM-DD, `numeric` as text.
 */
export function createPool(url: string, options: PoolOptions): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max: options.max,
    application_name: options.applicationName,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
    keepAlive: true,
    types: { getTypeParser },
  })
  pool.on('error', (error) => {
    options.log?.warn({ err: error, pool: options.applicationName }, 'idle database connection lost')
  })
  // Of one that is in use the next query tells it; between two queries nobody would, and it would end the process.
  pool.on('connect', (client) => client.on('error', () => undefined))
  return pool
}

const asNumber = (text: string): number => Number(text)
const asText = (text: string): string => text

function getTypeParser(oid: number, format?: 'text' | 'binary') {
  if (format !== 'binary') {
    if (oid === pg.types.builtins.INT8) return asNumber
    // The default would be midnight of this machine's time zone.
    if (oid === pg.types.builtins.DATE) return asText
  }
  return pg.types.getTypeParser(oid, format as 'text')
}
