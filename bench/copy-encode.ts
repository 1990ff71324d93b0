/** Encoding for the database: column batches to the bytes of a binary COPY, on one thread. */
import { CopyEncoder } from '../ingest/shards/copy-encoder.ts'
import { attributesOf } from '../schemas/position.ts'
import { figure, spread, times, unitsPerProcessorSecond } from './measure.ts'
import { ATTRIBUTES_MAX, inOrder, positionBatch } from './positions.ts'
import type { Question, Row } from './question.ts'

const ROWS = 4096

export const copyEncode: Question = {
  name: 'copy-encode',
  title: 'How fast are positions encoded for COPY?',
  method:
    `Batches of ${ROWS.toLocaleString('en-US')} positions with eight readings in their columns go through \`CopyEncoder\` on one thread. The ` +
    'yardstick is `JSON.stringify` of the same rows as objects, which are at hand already: what a driver that takes objects does at least.',
  measure: async (bench) => {
    const rows: Row[] = []
    let withoutAttributes = 0
    for (const attributes of [0, 6, ATTRIBUTES_MAX]) {
      bench.progress(`copy-encode: ${attributes} attributes`)
      const batch = positionBatch({
        rows: ROWS,
        firstDevice: 1,
        deviceCount: 1000,
        fixTimeMs: Date.UTC(2026, 0, 1),
        attributes,
      })
      const order = inOrder(ROWS)
      const encoder = new CopyEncoder()
      const bytes = encoder.encode(batch, order).length
      const encoded = unitsPerProcessorSecond(() => {
        encoder.encode(batch, order)
        return ROWS
      })
      const objects = Array.from({ length: ROWS }, (_, row) => ({
        device: batch.device[row],
        fixTimeMs: batch.fixTimeMs[row],
        latitude: batch.latitudeDeg[row],
        longitude: batch.longitudeDeg[row],
        altitude: batch.altitudeM[row],
        speed: batch.speedKmh[row],
        course: batch.courseDeg[row],
        attributes: attributesOf(batch, row),
      }))
      const stringified = unitsPerProcessorSecond(() => {
        for (const object of objects) JSON.stringify(object)
        return ROWS
      })
      if (attributes === 0) withoutAttributes = encoded.mean
      rows.push({
        name: `${attributes} attributes`,
        cells: {
          'rows/s': spread(encoded),
          'slowest sample': figure(encoded.min),
          'µs/row': figure(1e6 / encoded.mean),
          'bytes/row': figure(bytes / ROWS),
          'of none': times(encoded.mean / withoutAttributes),
          'of JSON.stringify': times(encoded.mean / stringified.mean),
        },
        meaning: `Positions with ${attributes === 0 ? 'nothing but their columns' : `${attributes} attributes that have no column, as JSON in the last one`}.`,
      })
    }
    return rows
  },
}
