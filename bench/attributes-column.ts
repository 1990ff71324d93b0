/** The column of attributes: text, json or jsonb. */
import { join } from 'node:path'
import type pg from 'pg'
import { COPY_COLUMNS, CopyEncoder } from '../ingest/shards/copy-encoder.ts'
import { copyQuery } from '../ingest/shards/copy-query.ts'
import type { Bench } from './bench.ts'
import { type CopyYardstick, findCopyYardstick } from './copy-yardstick.ts'
import { figure, type Summary, spread, summarise, times } from './measure.ts'
import { ATTRIBUTES_MAX, inOrder, positionBatch } from './positions.ts'
import type { Question, Row } from './question.ts'

const ROWS = 120_000
const BATCH_ROWS = 8000
const ROUNDS = 3
const TYPES = ['text', 'json', 'jsonb'] as const
type Type = (typeof TYPES)[number]

const COLUMNS = COPY_COLUMNS.join(', ')

export const attributesColumn: Question = {
  name: 'attributes-column',
  title: 'What type should the column of attributes be?',
  method:
    `${ROWS.toLocaleString('en-US')} positions with 6 and with ${ATTRIBUTES_MAX} attributes are copied by \`\\copy\` (FORMAT binary) into three tables that differ only in the ` +
    `type of that column; primary key and BRIN index as in \`positions\`, no partitions. ${ROUNDS} rounds in turns, a checkpoint before each.`,
  measure: async (bench) => {
    const databaseUrl = await bench.database()
    const client = await bench.connect(databaseUrl)
    const yardstick = await findCopyYardstick()
    const rows: Row[] = []
    for (const attributes of [6, ATTRIBUTES_MAX]) {
      const figures = await measureTypes(bench, client, databaseUrl, yardstick, attributes)
      const text = figures.get('text')!
      for (const type of TYPES) {
        const { microsPerRow, bytesPerRow } = figures.get(type)!
        rows.push({
          name: `${type}, ${attributes} attributes`,
          cells: {
            'µs/row': spread(microsPerRow),
            'of text': times(microsPerRow.mean / text.microsPerRow.mean),
            'rows/s': figure(1e6 / microsPerRow.mean),
            'bytes/row with indexes': figure(bytesPerRow),
          },
          meaning: MEANINGS[type],
        })
      }
    }
    return rows
  },
}

const MEANINGS: Readonly<Record<Type, string>> = {
  text: 'What the schema has: the bytes go into the row as they come.',
  json: 'PostgreSQL parses the text to see that it is JSON, and keeps the text.',
  jsonb: 'PostgreSQL parses the text and keeps a binary form, in which keys can be indexed.',
}

interface Figures {
  readonly microsPerRow: Summary
  readonly bytesPerRow: number
}

async function measureTypes(
  bench: Bench,
  client: pg.Client,
  databaseUrl: string,
  yardstick: CopyYardstick,
  attributes: number,
): Promise<Map<Type, Figures>> {
  bench.progress(`attributes-column: ${attributes} attributes, making the rows`)
  const source = `source_${attributes}`
  await client.query(`CREATE TABLE ${source} (LIKE positions)`)
  await fill(client, source, attributes)
  const file = (type: Type) => join(bench.folder, `${type}-${attributes}.copy`)
  const table = (type: Type) => `positions_${type}_${attributes}`
  for (const type of TYPES) {
    const select = COPY_COLUMNS.map((column) => (column === 'attributes' ? `attributes::${type}` : column))
    await yardstick.copyOut(databaseUrl, `(SELECT ${select.join()} FROM ${source})`, file(type))
    await client.query(`CREATE TABLE ${table(type)} (LIKE positions INCLUDING ALL)`)
    await client.query(`ALTER TABLE ${table(type)} ALTER attributes TYPE ${type} USING attributes::${type}`)
  }
  const samples = new Map<Type, number[]>(TYPES.map((type) => [type, []]))
  // The first round warms up.
  for (let round = 0; round <= ROUNDS; round++) {
    bench.progress(`attributes-column: ${attributes} attributes, round ${round} of ${ROUNDS}`)
    for (const type of TYPES) {
      await client.query(`TRUNCATE ${table(type)}`)
      await client.query('CHECKPOINT')
      const copyMs = await yardstick.copyIn(databaseUrl, `${table(type)} (${COLUMNS})`, file(type))
      if (round > 0) samples.get(type)!.push((copyMs * 1000) / ROWS)
    }
  }
  const figures = new Map<Type, Figures>()
  for (const type of TYPES) {
    const { rows } = await client.query<{ count: string; bytes: string }>(
      `SELECT count(*), pg_total_relation_size('${table(type)}') AS bytes FROM ${table(type)}`,
    )
    const { count, bytes } = rows[0]!
    if (Number(count) !== ROWS) throw new Error(`${table(type)} has ${count} rows of ${ROWS}`)
    figures.set(type, { microsPerRow: summarise(samples.get(type)!), bytesPerRow: Number(bytes) / ROWS })
  }
  return figures
}

async function fill(client: pg.Client, table: string, attributes: number): Promise<void> {
  const encoder = new CopyEncoder()
  const order = inOrder(BATCH_ROWS)
  for (let row = 0; row < ROWS; row += BATCH_ROWS) {
    const batch = positionBatch({
      rows: BATCH_ROWS,
      firstDevice: 1,
      deviceCount: 1000,
      fixTimeMs: Date.UTC(2026, 0, 1) + row * 1000,
      attributes,
    })
    const sql = `COPY ${table} (${COLUMNS}) FROM STDIN (FORMAT binary)`
    await copyQuery(client, sql, encoder.encode(batch, order))
  }
}
