/** Finds the frames of positions that the database refused: the batch has rows only, the journal has the bytes. */
import { PositionBatch } from '../../schemas/position-batch.ts'
import type { JournalReader } from '../journal/journal.ts'
import type { RefusedRow } from './delivery.ts'
import type { JournalDecoder } from './journal-decoder.ts'
import type { JournalRange, RefusedFrame } from './shard-messages.ts'

const NO_BYTES = new Uint8Array(0)

/**
 * @param range Where in the journal the batch's records are.
 * @returns A frame for each refused row that could be found, and one without bytes for the others.
 */
export async function refusedFrames(
  reader: JournalReader,
  decoder: JournalDecoder,
  range: JournalRange,
  batch: PositionBatch,
  refused: readonly RefusedRow[],
): Promise<RefusedFrame[]> {
  const wanted = new Map<string, RefusedRow>()
  const devices = new Set<number>()
  for (const one of refused) {
    wanted.set(keyOf(batch, one.row), one)
    devices.add(batch.device[one.row]!)
  }
  const frames: RefusedFrame[] = []
  const wants = (device: number) => devices.has(device)
  const rows = new PositionBatch(256)
  search: for await (const entries of reader.read(range.from, range.to, { wants })) {
    for (const entry of entries) {
      rows.reset()
      try {
        decoder.decode(entry, rows, wants)
      } catch {
        // Of no row of the batch, which was decoded with the same adapters.
        continue
      }
      // Once for all rows of the frame: a large one may have hundreds.
      let frame: Buffer | undefined
      for (let row = 0; row < rows.length; row++) {
        const key = keyOf(rows, row)
        const found = wanted.get(key)
        if (found === undefined) continue
        wanted.delete(key)
        frame ??= Buffer.from(entry.frame)
        const { adapter: protocol, uniqueId } = decoder.contextOf(entry)
        const { code, message } = found
        frames.push({ protocol, uniqueId, code, message, frame })
      }
      if (wanted.size === 0) break search
    }
  }
  for (const { code, message } of wanted.values()) {
    frames.push({ protocol: '', uniqueId: '', code, message, frame: NO_BYTES })
  }
  return frames
}

/** Key of the position in the database. */
function keyOf(batch: PositionBatch, row: number): string {
  return `${batch.device[row]} ${batch.fixTimeMs[row]} ${batch.digestHigh[row]} ${batch.digestLow[row]}`
}
