/**
 * What replays read: undoubted positions with a place, and current events, by the time of their fix, of devices that the
 * tenant sees. A replay asks for one window of time after the other; no transaction outlives one.
 */
import type pg from 'pg'
import type { GeofenceEvent } from '../../schemas/geofence-event.ts'
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { type EventRow, eventOfRow } from '../geofences/geofence-events.ts'
import { type Tenant, withTenant } from '../tenancy.ts'
import { COPIED_COLUMNS, copyPositions } from './copy-reader.ts'

/** What a row costs by the index on fix time, whosever it is, and by the key, µs; and a device by the key. Measured. */
const ROW_BY_TIME_US = 2
const ROW_BY_KEY_US = 3
const DEVICE_BY_KEY_US = 15
/** Rows of a window that these costs are compared for. */
const USUAL_ROWS = 20_000

/**
 * For the plans of windows, which may not depend on what is known of the day of today: by an index, never by reading a day,
 * and page by page, since rows of a time lie together: row by row takes three times as long.
 */
const PLANNER = ['jit', 'enable_seqscan', 'enable_indexscan']
  .map((name) => `SET LOCAL ${name} = off`)
  .join('; ')

export interface ReplayScope {
  readonly tenant: Tenant
  /** Ids; null = all that the tenant sees, read by time: see {@link readsByTime}. Those that it does not see have no rows. */
  readonly devices: readonly number[] | null
}

/** Key of a row in the order of replays. */
export interface ReplayRowKey {
  /** µs since 1970. */
  readonly fixTimeUs: number
  readonly device: number
  readonly digestHigh: number
  readonly digestLow: number
}

/** Key of an event in the order of replays. */
export interface ReplayEventKey {
  readonly timeUs: number
  readonly id: number
}

export interface ReplayWindow {
  /** Time of its first row, and time before which its last one lies, µs since 1970. */
  readonly fromUs: number
  readonly toUs: number
  /** All rows are after this one: then they come in order, and no more than asked for. */
  readonly after?: ReplayRowKey | undefined
  /** Rows at most. */
  readonly rowsMax: number
  /** Which events go with the rows; undefined = none. */
  readonly events?: ReplayEventWindow | undefined
}

export interface ReplayEventWindow {
  /** As of {@link ReplayWindow}. */
  readonly fromUs: number
  readonly toUs: number
  /** All are after this one. */
  readonly after?: ReplayEventKey | undefined
}

/** Events of one page; the database holds the same limit. */
const EVENTS_PAGE = 10_000

/** Whether many devices are read faster by time, with the rows of all others, than one after the other. */
export function readsByTime(deviceCount: number, allDeviceCount: number): boolean {
  const byTimeUs = (ROW_BY_TIME_US * allDeviceCount) / deviceCount
  const byKeyUs = ROW_BY_KEY_US + (DEVICE_BY_KEY_US * deviceCount) / USUAL_ROWS
  return byTimeUs < byKeyUs
}

/** What is stored of a window of time. */
export interface ReplayStretch {
  /** undefined = no row. As many rows as `rowsMax` mean that there may be more. */
  readonly batch: PositionBatch | undefined
  /** In the order of their times and ids. */
  readonly events: readonly ReplayEvent[]
  /** Place in the order of commits: all up to it is in here, and nothing behind it. */
  readonly head: number
}

export interface ReplayEvent {
  /** Its time to the microsecond, since 1970. */
  readonly timeUs: number
  readonly event: GeofenceEvent
}

/**
 * Rows of a window: in the order of fix time, device and digest if `ordered`, else in any; and its events, if they are
 * asked for.
 * @throws pg.DatabaseError, or the error of the connection.
 */
export function readReplayWindow(
  pool: pg.Pool,
  scope: ReplayScope,
  window: ReplayWindow,
  ordered: boolean,
): Promise<ReplayStretch> {
  const sql = windowQuery(scope, window, ordered)
  const { rowsMax, events: wanted } = window
  return withTenant(
    pool,
    scope.tenant,
    async (client) => {
      const { rows } = await client.query<{ head: number }>('SELECT stream_head() AS head')
      const batch = await copied(client, sql, rowsMax)
      const events = wanted === undefined ? [] : await eventsOf(client, scope, wanted)
      return { batch, events, head: rows[0]!.head }
    },
    { settings: PLANNER, oneSnapshot: true },
  )
}

/**
 * Events alone.
 * @throws pg.DatabaseError, or the error of the connection.
 */
export function readReplayEvents(
  pool: pg.Pool,
  scope: ReplayScope,
  window: ReplayEventWindow,
): Promise<ReplayEvent[]> {
  return withTenant(pool, scope.tenant, (client) => eventsOf(client, scope, window))
}

/**
 * Fix time of the first row at or after `fromUs` and before `toUs`, µs since 1970; undefined = there is none.
 * @throws pg.DatabaseError, or the error of the connection.
 */
export function nextReplayedUs(
  pool: pg.Pool,
  { tenant, devices }: ReplayScope,
  fromUs: number,
  toUs: number,
): Promise<number | undefined> {
  return withTenant(pool, tenant, async (client) => {
    const { rows } = await client.query<{ us: number | null }>(
      `SELECT (extract(epoch FROM next_replayed_time($1, ${time(fromUs)}, ${time(toUs)})) * 1000000)::bigint AS us`,
      [devices],
    )
    return rows[0]!.us ?? undefined
  })
}

/** Ids of the devices that the tenant sees, and the number of all that there are. */
export async function countDevices(
  pool: pg.Pool,
  tenant: Tenant,
): Promise<{ readonly ids: number[]; readonly all: number }> {
  const ids = await withTenant(pool, tenant, async (client) => {
    const { rows } = await client.query<{ ids: number[] }>(
      "SELECT coalesce(array_agg(id ORDER BY id), '{}') AS ids FROM devices",
    )
    return rows[0]!.ids
  })
  const { rows } = await pool.query<{ count: number }>('SELECT count(*) FROM devices')
  return { ids, all: rows[0]!.count }
}

async function copied(
  client: pg.ClientBase,
  sql: string,
  rowsMax: number,
): Promise<PositionBatch | undefined> {
  let batch: PositionBatch | undefined
  for await (const rows of copyPositions(client, sql, { rowsMax })) {
    if (batch === undefined) batch = rows.batch
    else batch.appendFrom(rows.batch, 0, rows.batch.length)
  }
  return batch
}

/** A COPY takes no parameters: all that is written into it are numbers. */
function windowQuery({ devices }: ReplayScope, window: ReplayWindow, ordered: boolean): string {
  const { fromUs, toUs, after, rowsMax } = window
  const conditions = [
    `fix_time >= ${time(fromUs)}`,
    `fix_time < ${time(toUs)}`,
    'quality = 0',
    'latitude IS NOT NULL',
  ]
  if (devices !== null) conditions.push(`device_id = ANY ('{${devices.map(Number).join()}}'::integer[])`)
  if (after !== undefined) {
    const { fixTimeUs, device, digestHigh, digestLow } = after
    const digest = BigInt.asIntN(64, (BigInt(digestHigh) << 32n) | BigInt(digestLow))
    conditions.push(`(fix_time, device_id, digest) > (${time(fixTimeUs)}, ${device}, '${digest}'::bigint)`)
  }
  const order = ordered || after !== undefined ? 'ORDER BY fix_time, device_id, digest' : ''
  return `SELECT ${COPIED_COLUMNS} FROM replayed_positions WHERE ${conditions.join(' AND ')} ${order} LIMIT ${rowsMax}`
}

async function eventsOf(
  client: pg.ClientBase,
  { devices }: ReplayScope,
  { fromUs, toUs, after }: ReplayEventWindow,
): Promise<ReplayEvent[]> {
  const events: ReplayEvent[] = []
  let last = after
  for (;;) {
    const afterTime = last === undefined ? 'NULL' : time(last.timeUs)
    const { rows } = await client.query<EventRow & { readonly time_us: number }>(
      `SELECT *, (extract(epoch FROM event_time) * 1000000)::bigint AS time_us
       FROM replayed_events($1, ${time(fromUs)}, ${time(toUs)}, ${afterTime}, $2, ${EVENTS_PAGE})
       ORDER BY event_time, id`,
      [devices, last?.id],
    )
    for (const row of rows) events.push({ timeUs: row.time_us, event: eventOfRow(row) })
    if (rows.length < EVENTS_PAGE) return events
    last = { timeUs: events.at(-1)!.timeUs, id: events.at(-1)!.event.id }
  }
}

/** A timestamp as SQL: exact, which a Date is not to the microsecond. */
function time(us: number): string {
  const seconds = Math.floor(us / 1e6)
  const rest = String(us - seconds * 1e6).padStart(6, '0')
  return `timestamptz '${new Date(seconds * 1000).toISOString().slice(0, 19)}.${rest}Z'`
}
