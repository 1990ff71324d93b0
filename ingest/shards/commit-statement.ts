/** The end of a transaction that stores rows: its place in the order, and where its rows are found. */
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { timestampUs } from './copy-encoder.ts'

/** Rows of a device that are further apart are two spans: what others stored in between is read in vain. */
const SPAN_GAP_US = 600 * 1_000_000

/**
 * Text of the statement, which answers with the place of the commit; see migrations/0008-commit-order.sql.
 * @param rows By device and fix time.
 * @param number Under which they are stored.
 */
export function commitStatement(
  { device, fixTimeMs }: PositionBatch,
  rows: Uint32Array,
  number: number,
): string {
  const devices: number[] = []
  const fromUs: number[] = []
  const toUs: number[] = []
  for (const row of rows) {
    const us = timestampUs(fixTimeMs[row]!)
    const last = devices.length - 1
    if (devices[last] === device[row] && us - toUs[last]! <= SPAN_GAP_US) toUs[last] = us
    else {
      devices.push(device[row]!)
      fromUs.push(us)
      toUs.push(us)
    }
  }
  return `SELECT commit_batch(${number}, ${rows.length}, '{${devices}}', '{${fromUs}}', '{${toUs}}')`
}
