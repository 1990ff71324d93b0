/**
 * Cursors of the log: what a client goes on with. One says a commit by its sequence and, where the message ended inside
 * of it, the key of the last row or the id of the last event. So it means the same in memory, in storage, in every
 * process and after a restart. To clients it is opaque.
 */
import type { PositionBatch } from '../../schemas/position-batch.ts'

/** Key of a row in the order of the database: device, fix time, digest, a signed 64-bit number in two halves. */
export interface RowKey {
  readonly device: number
  readonly fixTimeMs: number
  readonly digestHigh: number
  readonly digestLow: number
}

export interface LogCursor {
  /** All commits before it were sent, and it as far as the others say. */
  readonly sequence: number
  /** Rows of the commit were sent up to this one, and none of its events. */
  readonly row?: RowKey
  /** All rows were sent, and events up to the one of this id. */
  readonly event?: number
}

/** First letter of what a cursor of the log holds; that of a replay is another. */
const KIND = 'l'
const PATTERN = /^l(\d{1,16})(?:r(\d{1,10}),(-?\d{1,16}),([0-9a-f]{1,8}),([0-9a-f]{1,8})|e(\d{1,16}))?$/

export function wholeCommit(sequence: number): LogCursor {
  return { sequence }
}

/** @param event Id, if the item is an event and not the row. */
export function behindItem(sequence: number, batch: PositionBatch, row: number, event?: number): LogCursor {
  if (event !== undefined) return { sequence, event }
  return { sequence, row: keyOf(batch, row) }
}

export function keyOf(batch: PositionBatch, row: number): RowKey {
  return {
    device: batch.device[row]!,
    fixTimeMs: batch.fixTimeMs[row]!,
    digestHigh: batch.digestHigh[row]!,
    digestLow: batch.digestLow[row]!,
  }
}

/** Negative if row `row` of the batch comes before the key in the order of the database, 0 if it is that row. */
export function compareKey(batch: PositionBatch, row: number, key: RowKey): number {
  return (
    batch.device[row]! - key.device ||
    batch.fixTimeMs[row]! - key.fixTimeMs ||
    (batch.digestHigh[row]! | 0) - (key.digestHigh | 0) ||
    batch.digestLow[row]! - key.digestLow
  )
}

export function writeCursor({ sequence, row, event }: LogCursor): string {
  let text = `${KIND}${sequence}`
  if (event !== undefined) text += `e${event}`
  else if (row !== undefined) {
    text += `r${row.device},${row.fixTimeMs},${row.digestHigh.toString(16)},${row.digestLow.toString(16)}`
  }
  return Buffer.from(text, 'latin1').toString('base64url')
}

/** @returns undefined if the text is no cursor of the log. */
export function readCursor(text: string): LogCursor | undefined {
  const parts = PATTERN.exec(Buffer.from(text, 'base64url').toString('latin1'))
  if (parts === null) return undefined
  const sequence = Number(parts[1])
  const [, , device, fixTimeMs, digestHigh, digestLow, event] = parts
  if (!Number.isSafeInteger(sequence)) return undefined
  if (event !== undefined) return { sequence, event: Number(event) }
  if (device === undefined) return { sequence }
  return {
    sequence,
    row: {
      device: Number(device),
      fixTimeMs: Number(fixTimeMs),
      digestHigh: Number.parseInt(digestHigh!, 16),
      digestLow: Number.parseInt(digestLow!, 16),
    },
  }
}
