/** The key of a row of `positions` (device, time of fix, digest): rows in its order, and which keys are stored. */
import pg from 'pg'
import { type PositionBatch, ROWS_MAX } from '../../schemas/position-batch.ts'
import { writeTimestamp } from './copy-encoder.ts'

const DAY_MS = 24 * 3600 * 1000
/** Day, device and row share the 53 bits of a sort key: 6, 31 and 16. Days beyond the limit share the last rank. */
const DAYS_MAX = 64
const DEVICES_MAX = 2 ** 31

export interface KeyOrder {
  /** Rows by day, device, time of fix and digest, each key once. */
  readonly order: Uint32Array
  /** Rows whose key another row of the batch has, which is in `order`: row to that row. */
  readonly twins: ReadonlyMap<number, number>
}

/**
 * Orders the rows of a batch by their keys. Neighbours in the index are then neighbours in the batch, and two
 * connections that write the same rows come upon them in the same order: one waits for the other, never both. The
 * day goes first since COPY fills one partition after another.
 */
export function orderByKey(batch: PositionBatch): KeyOrder {
  const { length } = batch
  const keys = sortKeys(batch)
  // Without a comparator: 10 times faster.
  keys.sort()
  const order = new Uint32Array(length)
  for (let i = 0; i < length; i++) order[i] = keys[i]! - prefixOf(keys[i]!) * ROWS_MAX
  const compare = (a: number, b: number) => compareRecords(batch, a, b)
  for (let start = 0, end: number; start < length; start = end) {
    // Rows of one device are in order already, mostly.
    let ascending = true
    for (end = start + 1; end < length && prefixOf(keys[start]!) === prefixOf(keys[end]!); end++) {
      if (compare(order[end - 1]!, order[end]!) > 0) ascending = false
    }
    if (!ascending) order.subarray(start, end).sort(compare)
  }
  const twins = new Map<number, number>()
  let kept = 0
  for (let i = 0; i < length; i++) {
    const row = order[i]!
    const before = order[kept - 1]!
    if (kept > 0 && batch.device[row] === batch.device[before] && compare(row, before) === 0) {
      twins.set(row, before)
    } else order[kept++] = row
  }
  return { order: order.subarray(0, kept), twins }
}

function prefixOf(key: number): number {
  return Math.floor(key / ROWS_MAX)
}

function sortKeys({ length, fixTimeMs, device }: PositionBatch): Float64Array {
  const days = new Set<number>()
  const keys = new Float64Array(length)
  let before = Number.NaN
  for (let row = 0; row < length; row++) {
    const day = Math.floor(fixTimeMs[row]! / DAY_MS)
    keys[row] = day
    if (day !== before) days.add(day)
    before = day
  }
  const ranks = new Map([...days].sort((a, b) => a - b).map((day, i) => [day, Math.min(i, DAYS_MAX - 1)]))
  let rank = 0
  before = Number.NaN
  for (let row = 0; row < length; row++) {
    if (keys[row] !== before) {
      before = keys[row]!
      rank = ranks.get(before)!
    }
    keys[row] = (rank * DEVICES_MAX + device[row]!) * ROWS_MAX + row
  }
  return keys
}

function compareRecords({ fixTimeMs, digestHigh, digestLow }: PositionBatch, a: number, b: number): number {
  return (
    fixTimeMs[a]! - fixTimeMs[b]! || digestHigh[a]! - digestHigh[b]! || digestLow[a]! - digestLow[b]! || 0
  )
}

/**
 * A look-up by the primary key for each row, written so that the planner has no choice: as a join it may read a whole
 * day. The bounds leave it only the partition in question.
 */
const LOOK_UP = `
  SELECT string_agg(CASE WHEN (
      SELECT true FROM positions p
      WHERE p.device_id = device AND p.fix_time = time AND p.digest = key.digest AND p.fix_time BETWEEN $4 AND $5
    ) THEN '1' ELSE '0' END, '' ORDER BY place) AS stored
  FROM unnest($1::integer[], $2::timestamptz[], $3::bigint[]) WITH ORDINALITY AS key (device, time, digest, place)`

/** @returns Those of `rows` whose key is not stored, in their order, which must be by day. */
export async function notStored(
  client: pg.ClientBase,
  batch: PositionBatch,
  rows: Uint32Array,
): Promise<Uint32Array> {
  let stored = ''
  for (const run of dayByDay(batch, rows)) stored += await lookUp(client, batch, run)
  return rows.filter((_, i) => stored[i] === '0')
}

/** Rows of one day each, so that the planner looks at one partition only; those of days beyond the limit are together. */
function* dayByDay({ fixTimeMs }: PositionBatch, rows: Uint32Array): Generator<Uint32Array> {
  const dayOf = (i: number) => Math.floor(fixTimeMs[rows[i]!]! / DAY_MS)
  for (let start = 0, end: number, days = 1; start < rows.length; start = end, days++) {
    for (end = start + 1; end < rows.length; end++) {
      if (dayOf(end) !== dayOf(start) && days < DAYS_MAX) break
    }
    yield rows.subarray(start, end)
  }
}

/** @returns `1` for each row whose key is stored, else `0`. */
async function lookUp(client: pg.ClientBase, batch: PositionBatch, rows: Uint32Array): Promise<string> {
  const { device, fixTimeMs, digestHigh, digestLow } = batch
  const { INT4, TIMESTAMPTZ, INT8 } = pg.types.builtins
  let firstMs = Number.POSITIVE_INFINITY
  let lastMs = Number.NEGATIVE_INFINITY
  for (const row of rows) {
    firstMs = Math.min(firstMs, fixTimeMs[row]!)
    lastMs = Math.max(lastMs, fixTimeMs[row]!)
  }
  const { rows: found } = await client.query<{ stored: string }>(LOOK_UP, [
    binaryArray(INT4, 4, rows, (view, at, row) => view.setInt32(at, device[row]!)),
    binaryArray(TIMESTAMPTZ, 8, rows, (view, at, row) => writeTimestamp(view, at, fixTimeMs[row]!)),
    binaryArray(INT8, 8, rows, (view, at, row) => {
      view.setUint32(at, digestHigh[row]!)
      view.setUint32(at + 4, digestLow[row]!)
    }),
    new Date(Math.floor(firstMs)),
    new Date(Math.ceil(lastMs)),
  ])
  return found[0]!.stored
}

/**
 * An array parameter in PostgreSQL's binary format, several times cheaper than text on both sides: dimensions, whether
 * there are nulls, type of the elements, length, first index (i32 each); an element is its length i32 and bytes.
 */
function binaryArray(
  oid: number,
  elementBytes: number,
  rows: Uint32Array,
  write: (view: DataView, at: number, row: number) => void,
): Buffer {
  const bytes = Buffer.allocUnsafeSlow(20 + rows.length * (4 + elementBytes))
  const view = new DataView(bytes.buffer)
  for (const [i, value] of [1, 0, oid, rows.length, 1].entries()) view.setInt32(i * 4, value)
  for (let i = 0, at = 20; i < rows.length; i++, at += 4 + elementBytes) {
    view.setInt32(at, elementBytes)
    write(view, at + 4, rows[i]!)
  }
  return bytes
}
