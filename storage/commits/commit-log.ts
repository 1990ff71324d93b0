/**
 * Commits of positions and events in their order, as the database has it: what the stream goes on with where it has lost
 * something, or where a client comes back. See migrations/0008-commit-order.sql.
 */
import type pg from 'pg'
import { orderCommit } from '../../schemas/commit-order.ts'
import type { Commit, LiveEvent } from '../../schemas/live-port.ts'
import { type PositionBatch, ROWS_MAX } from '../../schemas/position-batch.ts'
import { liveEvent, type StoredEvent } from '../geofences/stored-event.ts'
import { COPIED_COLUMNS, copyPositions } from '../positions/copy-reader.ts'

/** Commits of one page, at most. */
const COMMITS_MAX = 1_000

/**
 * A day of rows may not be analysed yet: without the settings it may be read whole, where the primary key leads to the
 * rows. TimescaleDB would choose the chunks anew for each span; a server without it takes its settings, too.
 */
const BEGIN = `BEGIN READ ONLY;
SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off;
SET LOCAL timescaledb.enable_runtime_exclusion = off`

export interface CommitHead {
  /** Of the newest commit; 0 if there was none yet. All commits up to it are visible. */
  readonly last: number
  /** Of the oldest commit that is kept; 0 if there was none yet. What was before it can no longer be read. */
  readonly first: number
}

/** A page of commits: as a shard sends them to live. */
export interface CommitPage {
  /** Rows of all commits; null where there are none. As COPIED_COLUMNS of copy-reader.ts has them. */
  readonly batch: PositionBatch | null
  /** In their order, without a gap that is not there in the database. Empty: there are none yet. */
  readonly commits: readonly Commit[]
}

/** @param client Of the owner of the schema. */
export async function readHead(client: pg.ClientBase): Promise<CommitHead> {
  const { rows } = await client.query<{ last: string | number; first: string | number }>(
    'SELECT coalesce(max(sequence), 0) AS last, coalesce(min(sequence), 0) AS first FROM batches',
  )
  return { last: Number(rows[0]!.last), first: Number(rows[0]!.first) }
}

/** Positions and events behind a sequence. @param client Of the owner of the schema. */
export async function countBehind(client: pg.ClientBase, after: number): Promise<number> {
  const { rows } = await client.query<{ count: string | number }>(
    'SELECT coalesce(sum(position_count + event_count), 0) AS count FROM batches WHERE sequence > $1',
    [after],
  )
  return Number(rows[0]!.count)
}

/**
 * The commits that follow `after`, with what of them is still stored.
 *
 * @param client Of the owner of the schema, in no transaction.
 * @param options.rowsMax Positions and events, at most, of several commits; a single commit may have more. Up to
 *   {@link ROWS_MAX}.
 * @throws pg.DatabaseError
 */
export async function readCommits(
  client: pg.ClientBase,
  after: number,
  options: { readonly rowsMax: number },
): Promise<CommitPage> {
  await client.query(BEGIN)
  try {
    const stored = await nextCommits(client, after, Math.min(options.rowsMax, ROWS_MAX))
    const positions = await readRows(client, stored)
    const events = await readEvents(client, stored)
    await client.query('COMMIT')
    const commits = stored.map(({ sequence, batch }) => {
      const rows = positions?.rows.get(batch) ?? new Uint32Array(0)
      if (positions !== undefined) orderCommit(positions.batch, rows)
      return { sequence, rows, events: events.get(batch) ?? [] }
    })
    return { batch: positions?.batch ?? null, commits }
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined)
    throw error
  }
}

/** Of `batches`. */
interface StoredCommit {
  readonly sequence: number
  readonly batch: number
  readonly positionCount: number
  readonly eventCount: number
  /** Of the least and the greatest fix time of its positions; null without positions. UTC, as PostgreSQL writes it. */
  readonly dayFrom: string | null
  readonly dayTo: string | null
}

/** At least one, if there is one. */
async function nextCommits(client: pg.ClientBase, after: number, rowsMax: number): Promise<StoredCommit[]> {
  const { rows } = await client.query<Record<keyof StoredCommit, string>>(
    `SELECT sequence, batch, position_count AS "positionCount", event_count AS "eventCount",
       date(fix_from AT TIME ZONE 'UTC')::text AS "dayFrom", (date(fix_to AT TIME ZONE 'UTC') + 1)::text AS "dayTo"
     FROM (
       SELECT *, sum(position_count + event_count) OVER (ORDER BY sequence) AS total, row_number() OVER (ORDER BY sequence) AS place
       FROM (SELECT sequence, batch, position_count, event_count, fix_from, fix_to FROM batches WHERE sequence > $1 ORDER BY sequence LIMIT ${COMMITS_MAX}) AS next) AS summed
     WHERE total <= $2 OR place = 1
     ORDER BY sequence`,
    [after, rowsMax],
  )
  return rows.map((row) => ({
    sequence: Number(row.sequence),
    batch: Number(row.batch),
    positionCount: Number(row.positionCount),
    eventCount: Number(row.eventCount),
    dayFrom: row.dayFrom,
    dayTo: row.dayTo,
  }))
}

interface RowsOfBatches {
  readonly batch: PositionBatch
  /** By number of the batch. */
  readonly rows: ReadonlyMap<number, Uint32Array>
}

async function readRows(
  client: pg.ClientBase,
  commits: readonly StoredCommit[],
): Promise<RowsOfBatches | undefined> {
  const spans = new Map<string, number[]>()
  for (const { sequence, dayFrom, dayTo } of commits) {
    if (dayFrom === null) continue
    const span = `fix_time >= '${dayFrom} 00:00Z' AND fix_time < '${dayTo} 00:00Z'`
    spans.set(span, [...(spans.get(span) ?? []), sequence])
  }
  if (spans.size === 0) return undefined
  // Most are of one day. One that has a row of a clock that went wrong must not make all others look into every day.
  const queries = Array.from(
    spans,
    ([span, sequences]) =>
      `SELECT ${COPIED_COLUMNS}, batch FROM (
         SELECT p.* FROM batches b
         CROSS JOIN LATERAL unnest(b.devices, b.from_us, b.to_us) AS s (device, from_us, to_us)
         CROSS JOIN LATERAL (
           SELECT * FROM positions
           WHERE device_id = s.device AND fix_time >= span_time(s.from_us) AND fix_time <= span_time(s.to_us)
             AND batch = b.batch AND ${span} OFFSET 0) AS p
         WHERE b.sequence = ANY ('{${sequences}}'::bigint[])) AS rows`,
  )
  const query = queries.join(' UNION ALL ')
  for await (const { batch, numbers } of copyPositions(client, query, {
    rowsMax: ROWS_MAX,
    numberCount: 1,
  })) {
    // A page has no more rows than a batch takes.
    return { batch, rows: rowsByBatch(numbers[0]!, batch.length, commits) }
  }
  return undefined
}

function rowsByBatch(
  batchOfRow: Float64Array,
  length: number,
  commits: readonly StoredCommit[],
): Map<number, Uint32Array> {
  const rows = new Map(commits.map(({ batch, positionCount }) => [batch, new Uint32Array(positionCount)]))
  const counts = new Map<number, number>()
  let number = Number.NaN
  let of = new Uint32Array(0)
  let count = 0
  for (let row = 0; row < length; row++) {
    // Rows of a batch lie together, mostly.
    if (batchOfRow[row] !== number) {
      counts.set(number, count)
      number = batchOfRow[row]!
      of = rows.get(number)!
      count = counts.get(number) ?? 0
    }
    of[count++] = row
  }
  counts.set(number, count)
  // Some may have been deleted since.
  for (const [batch, all] of rows) rows.set(batch, all.subarray(0, counts.get(batch) ?? 0))
  return rows
}

async function readEvents(
  client: pg.ClientBase,
  commits: readonly StoredCommit[],
): Promise<Map<number, LiveEvent[]>> {
  const batches = commits.filter(({ eventCount }) => eventCount > 0).map(({ batch }) => batch)
  if (batches.length === 0) return new Map()
  const { rows } = await client.query<{ batch: string | number; events: readonly StoredEvent[] }>(
    'SELECT batch, events FROM batch_events WHERE batch = ANY ($1::bigint[])',
    [batches],
  )
  return new Map(rows.map(({ batch, events }) => [Number(batch), events.map(liveEvent)]))
}
