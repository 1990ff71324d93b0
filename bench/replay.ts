/** Records that come again: a device that saw no reply sends them, and a backlog is read twice after a crash. */
import { PositionWriter } from '../ingest/shards/writer.ts'
import { PositionBatch } from '../schemas/position-batch.ts'
import { seededRandom } from '../test/seeded-random.ts'
import type { Bench } from './bench.ts'
import { figure, SEED, times } from './measure.ts'
import { positionBatch } from './positions.ts'
import type { Question, Row } from './question.ts'

const BATCH_ROWS = 8192
const BATCHES = 122
const RECORDS = BATCHES * BATCH_ROWS
const COPIES = 3
const DEVICES = 1000
/** Batches that each connection has at a time, as in the engine. */
const IN_FLIGHT = 2
const HOUR_MS = 3_600_000

export const replay: Question = {
  name: 'replay',
  title: 'What do records cost that come again?',
  method:
    `${RECORDS.toLocaleString('en-US')} positions of ${DEVICES.toLocaleString('en-US')} devices with 6 attributes are stored through two \`PositionWriter\`s, each with a connection of its own and ` +
    `${IN_FLIGHT} batches of ${BATCH_ROWS.toLocaleString('en-US')} rows at a time. Then each comes ${COPIES} times more, all shuffled. Then the same shuffled copies go into the emptied table. The table must hold each ` +
    'position once after each part. A checkpoint goes before each part; the time in which the batches are made is not counted.',
  measure: async (bench) => {
    const databaseUrl = await bench.database()
    const client = await bench.connect(databaseUrl)
    const source = makeSource()
    const order = Uint32Array.from({ length: RECORDS }, (_, record) => record)
    const copies = shuffled(Uint32Array.from({ length: RECORDS * COPIES }, (_, i) => i % RECORDS))
    const part = async (name: string, records: Uint32Array) => {
      bench.progress(`replay: ${name}`)
      await client.query('CHECKPOINT')
      const perSecond = await storeAll(bench, databaseUrl, source, records)
      const { rows } = await client.query<{ count: string }>('SELECT count(*) FROM positions')
      const stored = Number(rows[0]!.count)
      if (stored !== RECORDS) throw new Error(`${name}: ${stored} rows are stored instead of ${RECORDS}`)
      return perSecond
    }
    const first = await part('first pass', order)
    const again = await part('all again', copies)
    await client.query('TRUNCATE positions')
    const mixed = await part('copies among each other', copies)
    const row = (name: string, perSecond: number, meaning: string): Row => ({
      name,
      cells: { 'records/s': figure(perSecond), 'of the first pass': times(perSecond / first) },
      meaning,
    })
    return [
      row('first pass', first, 'Every record is new.'),
      row('all again', again, `Every record is stored already, and comes ${COPIES} times.`),
      row('copies among each other', mixed, `One record in ${COPIES} is new, at first most of them.`),
    ]
  },
}

function makeSource(): PositionBatch[] {
  const dayMs = Math.floor(Date.now() / (24 * HOUR_MS)) * 24 * HOUR_MS
  const batchMs = Math.ceil(BATCH_ROWS / DEVICES) * 1000
  return Array.from({ length: BATCHES }, (_, batch) =>
    positionBatch({
      rows: BATCH_ROWS,
      firstDevice: 1,
      deviceCount: DEVICES,
      fixTimeMs: dayMs + batch * batchMs,
      attributes: 6,
    }),
  )
}

function shuffled(records: Uint32Array): Uint32Array {
  const random = seededRandom(SEED)
  for (let i = records.length - 1; i > 0; i--) {
    const other = Math.floor(random() * (i + 1))
    const record = records[i]!
    records[i] = records[other]!
    records[other] = record
  }
  return records
}

/** @returns Records a second. */
async function storeAll(
  bench: Bench,
  databaseUrl: string,
  source: readonly PositionBatch[],
  records: Uint32Array,
): Promise<number> {
  const writers = ['first', 'second'].map(
    (name) => new PositionWriter(databaseUrl, `bench ${name}`, { onDatabase: () => undefined }),
  )
  for (const writer of writers) bench.defer(() => writer.close())
  await Promise.all(writers.map((writer) => writer.write(new PositionBatch(8))))
  let storeMs = 0
  for (let at = 0; at < records.length; ) {
    const batches = Array.from({ length: writers.length * IN_FLIGHT }, () => {
      const batch = takeRecords(source, records.subarray(at, at + BATCH_ROWS))
      at += batch.length
      return batch
    })
    const startMs = performance.now()
    await Promise.all(batches.map((batch, i) => writers[i % writers.length]!.write(batch)))
    storeMs += performance.now() - startMs
  }
  return (records.length * 1000) / storeMs
}

function takeRecords(source: readonly PositionBatch[], records: Uint32Array): PositionBatch {
  const batch = new PositionBatch(BATCH_ROWS)
  for (const record of records) {
    const row = record % BATCH_ROWS
    batch.appendFrom(source[(record - row) / BATCH_ROWS]!, row, row + 1)
  }
  return batch
}
