/** Decoding: recorded frames of each protocol into a column batch, on one thread. */
import type { Adapter } from '../device-adapters/adapter.ts'
import { decodeFrame } from '../device-adapters/decoder.ts'
import { loadAdapters } from '../device-adapters/registry.ts'
import { PositionBatch } from '../schemas/position-batch.ts'
import type { Bench } from './bench.ts'
import { figure, spread, times, unitsPerProcessorSecond } from './measure.ts'
import type { Question, Row } from './question.ts'
import { exchangesOf, readVectors } from './recorded-frames.ts'

/** Rows after which the batch starts anew, as it would be handed to a shard. */
const BATCH_ROWS = 4096

export const decode: Question = {
  name: 'decode',
  title: 'How fast are frames decoded?',
  method:
    "Every frame of the adapter's vectors (real messages of many devices, those that break the protocol left out) goes through " +
    '`decodeFrame` into a `PositionBatch`, attributes and digest included, over and over on one thread; seconds are those of processor time. The yardstick is ' +
    '`JSON.parse` of the same positions as the vectors write them.',
  measure: async (bench) => {
    const rows: Row[] = []
    for (const [id, adapter] of await loadAdapters()) rows.push(await measureAdapter(bench, id, adapter))
    return rows
  },
}

async function measureAdapter(bench: Bench, id: string, adapter: Adapter): Promise<Row> {
  bench.progress(`decode: ${id}`)
  const vectors = readVectors(id)
  const batch = new PositionBatch(BATCH_ROWS * 2)
  const exchanges = exchangesOf(adapter, vectors)
  const frames = exchanges.reduce((sum, exchange) => sum + exchange.frames.length, 0)
  const pass = () => {
    let positions = 0
    for (const { session, frames } of exchanges) {
      for (const frame of frames) {
        positions += decodeFrame(adapter, frame, session, batch)
        if (batch.length >= BATCH_ROWS) batch.reset()
      }
    }
    return positions
  }
  batch.reset()
  const positions = pass()
  const framesPerSecond = unitsPerProcessorSecond(() => {
    pass()
    return frames
  })
  const texts = vectors.flatMap((vector) => vector.positions.map((position) => JSON.stringify(position)))
  const parsed = unitsPerProcessorSecond(() => {
    for (const text of texts) JSON.parse(text)
    return texts.length
  })
  const positionsPerSecond = (framesPerSecond.mean * positions) / frames
  return {
    name: id,
    cells: {
      frames: String(frames),
      'frames/s': spread(framesPerSecond),
      'slowest sample': figure(framesPerSecond.min),
      'positions/s': figure(positionsPerSecond),
      'of JSON.parse': times(positionsPerSecond / parsed.mean),
    },
    meaning: `${frames} recorded frames with ${positions} positions, of which one thread decodes ${figure(positionsPerSecond)} a second.`,
  }
}
