/** The order of rows within a commit, which cursors of the stream count by: device, time of fix, digest as signed. */
import type { PositionBatch } from './position-batch.ts'

/** Puts the rows of one commit into their order, in place. */
export function orderCommit(batch: PositionBatch, rows: Uint32Array): void {
  const compare = (a: number, b: number) => compareKeys(batch, a, b)
  for (let i = 1; i < rows.length; i++) {
    // They are, where they are of one day and no two records of one moment.
    if (compare(rows[i - 1]!, rows[i]!) > 0) {
      rows.sort(compare)
      return
    }
  }
}

function compareKeys(batch: PositionBatch, a: number, b: number): number {
  const { device, fixTimeMs, digestHigh, digestLow } = batch
  return (
    device[a]! - device[b]! ||
    fixTimeMs[a]! - fixTimeMs[b]! ||
    // The upper half has the sign.
    (digestHigh[a]! | 0) - (digestHigh[b]! | 0) ||
    digestLow[a]! - digestLow[b]!
  )
}
