/**
 * How long positions and events are kept, and after how long they are compressed: the same for both, since an event tells
 * what positions show.
 *
 * TimescaleDB's community edition has policies for both, which its own workers carry out. Its Apache edition and
 * PostgreSQL alone have none: there is no compression then, and whole days of them are dropped from here.
 * Nothing is ever dropped unless a number of days to keep is configured.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import type { Logger } from 'pino'

export interface PositionPolicies {
  /** Age after which a day of positions is compressed, in days; 0 = never. Whole number. */
  readonly compressAfterDays: number
  /** Age after which a day of positions is dropped, counted from its end, in days; 0 = never. Whole number. */
  readonly keepDays: number
}

/** A table that is kept day by day. */
interface DayTable {
  readonly name: string
  /** By which a row belongs to a day. */
  readonly timeColumn: string
  /** Columns that order a device's rows: with it, its key. */
  readonly order: string
}

/** Tables with a partition or chunk a day. */
export const DAY_TABLES: readonly DayTable[] = [
  { name: 'positions', timeColumn: 'fix_time', order: 'fix_time, digest' },
  { name: 'events', timeColumn: 'event_time', order: 'event_time, geofence_id, type, revision' },
]

/** What the database can do for positions; `partitions` is PostgreSQL without TimescaleDB. */
export type PositionStorage = 'partitions' | 'timescale-apache' | 'timescale-community'

/** What TimescaleDB is told already; days are null without a policy. */
export interface PolicyState {
  readonly compressed: boolean
  readonly compressAfterDays: number | null
  readonly keepDays: number | null
}

/** How often days are looked for that are to be dropped, ms. */
const DROP_INTERVAL_MS = 3600 * 1000
/** Readers and writers wait as long as the drop waits for its lock: it gives up and comes back later. */
const LOCK_TIMEOUT = '2s'
/** Rows of the default partition that are deleted at once; making a partition waits for it. */
const DELETE_ROWS = 10_000

/**
 * Brings the database's policies to these, and says in one line what the database cannot do. Changes nothing the
 * second time.
 *
 * @param pool Connections of the owner of the schema.
 * @throws pg.DatabaseError
 */
export async function applyPositionPolicies(
  pool: pg.Pool,
  policies: PositionPolicies,
  log: Logger,
): Promise<PositionStorage> {
  const storage = await findStorage(pool)
  if (storage === 'timescale-community') await changePolicies(pool, policies, log)
  else if (policies.compressAfterDays > 0) {
    log.info(
      `${storage === 'partitions' ? 'PostgreSQL without TimescaleDB' : 'the Apache edition of TimescaleDB'} does not ` +
        'compress positions: they take their full room on the disk ' +
        "(TimescaleDB's community edition does; POSITIONS_COMPRESS_AFTER_DAYS=0 ends this message)",
    )
  }
  return storage
}

/**
 * Applies the policies now, and drops days as they come due where no policy does: at once and then every hour, beside
 * the engine's work. A database that refuses is told of in the log and asked again: it is no reason not to take positions.
 *
 * @returns How to end it.
 */
export async function startPositionPolicies(
  pool: pg.Pool,
  policies: PositionPolicies,
  log: Logger,
): Promise<() => Promise<void>> {
  const ending = new AbortController()
  const told = (error: unknown) => {
    log.warn(
      { err: error, ...policies },
      'the policies of positions could not be applied; tried again in an hour',
    )
    return false
  }
  let applied = await applyPositionPolicies(pool, policies, log).then(() => true, told)
  const repeat = async () => {
    while (!ending.signal.aborted) {
      try {
        if (!applied) await applyPositionPolicies(pool, policies, log)
        applied = true
        await dropOldPositions(pool, policies.keepDays, log, ending.signal)
      } catch (error) {
        told(error)
      }
      await delay(DROP_INTERVAL_MS, undefined, { signal: ending.signal, ref: false }).catch(() => undefined)
    }
  }
  const repeated = repeat()
  return async () => {
    ending.abort()
    await repeated
  }
}

/**
 * Drops the days that ended longer ago than is kept, unless a policy of the database does.
 *
 * @param keepDays 0 = nothing is dropped.
 * @param ending Ends it between one day and the next.
 * @throws pg.DatabaseError, with 55P03 if a day is in use: what is left goes with the next drop.
 */
export async function dropOldPositions(
  pool: pg.Pool,
  keepDays: number,
  log: Logger,
  ending?: AbortSignal,
): Promise<void> {
  if (keepDays === 0) return
  const storage = await findStorage(pool)
  if (storage === 'timescale-community') return
  // By the earlier of two clocks: one that ran ahead must not cost a history.
  const { rows } = await pool.query('SELECT least(now(), $2) - make_interval(hours => 24 * $1) AS before', [
    keepDays,
    new Date(),
  ])
  const before: Date = rows[0].before
  let partitions = 0
  let rowCount = 0
  for (const table of DAY_TABLES) {
    const drops = await (storage === 'partitions' ? oldPartitions : oldChunks)(pool, table, before)
    for (const sql of drops) {
      if (ending?.aborted) return
      // One simple query is one transaction, and a day's own: its table is locked for the moment of one drop.
      await pool.query(`SET LOCAL lock_timeout = '${LOCK_TIMEOUT}'; ${sql}`)
    }
    partitions += drops.length
    if (storage === 'partitions') rowCount += await deleteOldRows(pool, table, before, ending)
  }
  if (partitions + rowCount > 0) {
    log.info({ keepDays, before, partitions, rows: rowCount }, 'old positions and events dropped')
  }
}

async function findStorage(pool: pg.Pool): Promise<PositionStorage> {
  const { rows } = await pool.query(
    `SELECT to_regclass('positions_default') IS NOT NULL AS partitions,
       current_setting('timescaledb.license', true) AS license`,
  )
  if (rows[0].partitions) return 'partitions'
  return rows[0].license === 'timescale' ? 'timescale-community' : 'timescale-apache'
}

async function changePolicies(pool: pg.Pool, policies: PositionPolicies, log: Logger): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query(`BEGIN; SET LOCAL lock_timeout = '${LOCK_TIMEOUT}'`)
    // Two processes that start at once must not both find no policy.
    await client.query(`SELECT pg_advisory_xact_lock(hashtext('fleetflow position policies'))`)
    const changes: string[] = []
    for (const table of DAY_TABLES) {
      changes.push(...policyChanges(table, await policyState(client, table), policies))
    }
    for (const sql of changes) await client.query(sql)
    await client.query('COMMIT')
    if (changes.length > 0) log.info({ ...policies, changes }, 'policies of positions changed')
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined)
    throw error
  } finally {
    client.release()
  }
}

/** What TimescaleDB is told about a table already. */
export async function policyState(client: pg.ClientBase | pg.Pool, { name }: DayTable): Promise<PolicyState> {
  const days = (policy: string, age: string) =>
    `(SELECT extract(epoch FROM (j.config ->> '${age}')::interval) / 86400 FROM timescaledb_information.jobs j
      WHERE j.proc_name = '${policy}' AND j.hypertable_schema = h.hypertable_schema
        AND j.hypertable_name = h.hypertable_name)::double precision`
  const { rows } = await client.query<PolicyState>(
    `SELECT h.compression_enabled AS compressed,
       ${days('policy_compression', 'compress_after')} AS "compressAfterDays",
       ${days('policy_retention', 'drop_after')} AS "keepDays"
     FROM timescaledb_information.hypertables h
     WHERE format('%I.%I', h.hypertable_schema, h.hypertable_name)::regclass = $1::regclass`,
    [name],
  )
  return rows[0]!
}

/** The statements that lead from what TimescaleDB is told to what it is to be told. Understood since version 2.11. */
export function policyChanges(
  { name, order }: DayTable,
  state: PolicyState,
  wanted: PositionPolicies,
): string[] {
  const changes: string[] = []
  if (wanted.compressAfterDays > 0 && !state.compressed) {
    // All columns that order a device's rows: the key of a late row is then found without unpacking others.
    changes.push(
      `ALTER TABLE ${name} SET (timescaledb.compress, timescaledb.compress_segmentby = 'device_id',
         timescaledb.compress_orderby = '${order}')`,
    )
  }
  const change = (policy: string, age: string, have: number | null, days: number) => {
    if ((have ?? 0) === days) return
    if (have !== null) changes.push(`SELECT remove_${policy}_policy('${name}', if_exists => true)`)
    if (days > 0)
      changes.push(`SELECT add_${policy}_policy('${name}', ${age} => INTERVAL '${days * 24} hours')`)
  }
  change('compression', 'compress_after', state.compressAfterDays, wanted.compressAfterDays)
  change('retention', 'drop_after', state.keepDays, wanted.keepDays)
  return changes
}

/** The statements that drop the days that ended before. */
async function oldPartitions(pool: pg.Pool, { name: table }: DayTable, before: Date): Promise<string[]> {
  const { rows } = await pool.query<{ name: string }>(
    `SELECT c.oid::regclass::text AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = '${table}'::regclass AND c.relname ~ '^${table}_\\d{8}$'
       AND (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' <= $1
     ORDER BY c.relname`,
    [before],
  )
  return rows.map(({ name }) => `DROP TABLE ${name}`)
}

/** The same for TimescaleDB. */
async function oldChunks(pool: pg.Pool, { name }: DayTable, before: Date): Promise<string[]> {
  const { rows } = await pool.query<{ end: string }>(
    `SELECT range_end::text AS end FROM timescaledb_information.chunks
     WHERE format('%I.%I', hypertable_schema, hypertable_name)::regclass = '${name}'::regclass AND range_end <= $1
     ORDER BY range_end`,
    [before],
  )
  return rows.map(({ end }) => `SELECT drop_chunks('${name}', older_than => timestamptz '${end}')`)
}

/**
 * Deletes what has no partition of its day: rows of clocks that went wrong, or that came long after their time.
 * @returns Number of rows.
 */
async function deleteOldRows(
  pool: pg.Pool,
  { name, timeColumn }: DayTable,
  before: Date,
  ending?: AbortSignal,
): Promise<number> {
  for (let sum = 0; ; ) {
    const { rowCount } = await pool.query(
      `DELETE FROM ${name}_default WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM ${name}_default WHERE ${timeColumn} < $1 LIMIT ${DELETE_ROWS}))`,
      [before],
    )
    sum += rowCount ?? 0
    if (rowCount !== DELETE_ROWS || ending?.aborted) return sum
  }
}
