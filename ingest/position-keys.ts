/** The key of a row of `positions` (device, time of fix, digest): rows in its order, and which keys are stored. */
import type pg from 'pg'
import { type PositionBatch, ROWS_MAX } from '../schemas/position-batch.ts'
import { copyMicros, EPOCH_2000_MS } from './copy-encoder.ts'

const DAY_MS = 24 * 3600 * 1000
/** Day, device and row share the 53 bits of a sort key: 6, 31 and 16. Beyond these days, the last share a rank. */
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
 * day. The bounds leave it only the partitions in question.
 */
const FIND_STORED = `
  SELECT array_agg(place::integer - 1) AS stored
  FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bigint[])
    WITH ORDINALITY AS key (device, micros, high, low, place)
  WHERE (SELECT true FROM positions p
    WHERE p.device_id = device AND p.fix_time = timestamptz '2000-01-01Z' + micros * interval '1 microsecond'
      AND p.digest = (high << 32 | low) AND p.fix_time BETWEEN $5 AND $6)`

/** @returns Of `rows`, the indexes of those whose key is stored, in no order. */
export async function findStored(
  client: pg.ClientBase,
  batch: PositionBatch,
  rows: Uint32Array,
): Promise<readonly number[]> {
  if (rows.length === 0) return []
  const { device, fixTimeMs, digestHigh, digestLow } = batch
  // No row without a time is stored, so that any will do for it.
  const micros = Float64Array.from(rows, (row) => copyMicros(fixTimeMs[row]!) || 0)
  const [first, last] = bounds(micros)
  const values = [
    Float64Array.from(rows, (row) => device[row]!),
    micros,
    Float64Array.from(rows, (row) => digestHigh[row]!),
    Float64Array.from(rows, (row) => digestLow[row]!),
  ].map((column) => `{${column.join(',')}}`)
  const { rows: found } = await client.query<{ stored: number[] | null }>(FIND_STORED, [
    ...values,
    new Date(EPOCH_2000_MS + Math.floor(first / 1000)),
    new Date(EPOCH_2000_MS + Math.ceil(last / 1000)),
  ])
  return found[0]!.stored ?? []
}

function bounds(values: Float64Array): [first: number, last: number] {
  let first = values[0]!
  let last = first
  for (const value of values) {
    if (value < first) first = value
    else if (value > last) last = value
  }
  return [first, last]
}
