/**
 * Decodes what a device has sent once more, out of the journal, with the adapters of this version and the device's
 * options of now, and makes the stored positions be what comes of it.
 *
 * A position counts as made by a frame of the journal if its `received_at` is that of the frame. One that no frame of
 * the journal explains is left alone: the journal may not go back as far as the database. So is one that may be of a
 * frame that cannot be read, since one of the device came in at that moment.
 */
import pg from 'pg'
import type { Adapter } from '../device-adapters/adapter.ts'
import { PositionBatch } from '../schemas/position-batch.ts'
import { FUTURE_MS, QUALITY } from '../schemas/quality.ts'
import { PositionDays } from '../storage/positions/position-days.ts'
import { loadDecoders } from './decoders.ts'
import type { JournalReader } from './journal/journal.ts'
import { BATCH_KEYS_MAX } from './shards/backlog-reader.ts'
import { COPY_COLUMNS, CopyEncoder } from './shards/copy-encoder.ts'
import { copyQuery } from './shards/copy-query.ts'
import { JournalDecoder } from './shards/journal-decoder.ts'

const COLUMNS = COPY_COLUMNS.join(', ')
/** Which rows are the same position, and which columns do not tell positions apart. */
const KEY = ['device_id', 'fix_time', 'digest']
const NOT_COMPARED = new Set([...KEY, 'received_at', 'decoder', 'quality', 'batch'])
const COMPARED = COPY_COLUMNS.filter((column) => !NOT_COMPARED.has(column))
const BATCH_ROWS = 8192
const SHOWN_AT_ONCE = 1_000

export interface ReprocessOptions {
  readonly databaseUrl: string
  readonly reader: JournalReader
  readonly adapters: ReadonlyMap<string, Adapter>
  /** The device's name. */
  readonly device: string
  /** Frames that came in from then on, and before then, ms UTC. */
  readonly fromMs: number
  readonly toMs: number
  /** Shows what would change, and changes nothing. */
  readonly dryRun: boolean
  /** A row that is added, changed (`was` has the columns that differ, as they were) or removed. */
  readonly onChange: (change: RowChange) => void
  /** So many frames are decoded. */
  readonly onProgress: (frames: number) => void
}

export interface RowChange {
  readonly change: 'added' | 'changed' | 'removed'
  /** Columns of `positions` that are not null. */
  readonly row: Readonly<Record<string, unknown>>
  readonly was?: Readonly<Record<string, unknown>>
}

export interface Reprocessed {
  readonly frames: number
  readonly added: number
  readonly changed: number
  readonly removed: number
  /** Frames that this version cannot read. */
  readonly unread: number
  /** Records of the journal that are damaged. */
  readonly damaged: number
}

/** @throws ReprocessError if there is no such device; pg.DatabaseError if a row cannot be stored: nothing is changed then. */
export async function reprocess(options: ReprocessOptions): Promise<Reprocessed> {
  const pool = new pg.Pool({
    connectionString: options.databaseUrl,
    max: 1,
    application_name: 'fleetflow reprocess',
  })
  try {
    const decoders = await loadDecoders(pool, options.adapters)
    const client = await pool.connect()
    try {
      return await new Reprocess(options, client, new JournalDecoder(options.adapters, decoders)).run()
    } finally {
      client.release(true)
    }
  } finally {
    await pool.end()
  }
}

export class ReprocessError extends Error {
  override readonly name = 'ReprocessError'
  readonly code = 'unknown-device'
}

class Reprocess {
  private readonly options: ReprocessOptions
  private readonly client: pg.PoolClient
  private readonly decoder: JournalDecoder
  private readonly encoder = new CopyEncoder()
  private readonly days = new PositionDays()
  private batch = new PositionBatch(BATCH_ROWS)
  /** Of the frames: when they came in, and whether this version can read them. */
  private receivedMs: number[] = []
  private readable: boolean[] = []
  private frames = 0
  private unread = 0
  private damaged = 0

  constructor(options: ReprocessOptions, client: pg.PoolClient, decoder: JournalDecoder) {
    this.options = options
    this.client = client
    this.decoder = decoder
  }

  async run(): Promise<Reprocessed> {
    const { client } = this
    const { rows } = await client.query<{ id: number; model: string; options: Record<string, unknown> }>(
      'SELECT id, model, options FROM devices WHERE unique_id = $1',
      [this.options.device],
    )
    const [device] = rows
    if (device === undefined) throw new ReprocessError(`there is no device "${this.options.device}"`)
    await client.query(`
      CREATE TEMPORARY TABLE decoded (LIKE positions);
      CREATE TEMPORARY TABLE frames (received_at timestamptz, readable boolean)`)
    await this.decode(device.id, { model: device.model, options: device.options })
    await client.query('BEGIN')
    try {
      const changes = await this.compare(device.id)
      if (!this.options.dryRun) await this.apply()
      await client.query(this.options.dryRun ? 'ROLLBACK' : 'COMMIT')
      const { frames, unread, damaged } = this
      return { frames, ...changes, unread, damaged }
    } catch (error) {
      await client.query('ROLLBACK').catch(() => undefined)
      throw error
    }
  }

  /** Fills the tables `decoded` and `frames`. */
  private async decode(
    device: number,
    now: { model: string; options: Record<string, unknown> },
  ): Promise<void> {
    const { reader, fromMs, toMs, onProgress } = this.options
    const wants = (id: number) => id === device
    const onDamage = (lost: number) => {
      this.damaged += lost
    }
    for await (const entries of reader.read(await reader.seek(fromMs), undefined, { wants, onDamage })) {
      for (const entry of entries) {
        if (entry.receivedMs < fromMs || entry.receivedMs >= toMs) continue
        const length = this.batch.length
        try {
          this.decoder.decode(entry, this.batch, wants, now)
          // One of several devices may have nothing of this one. All others had positions of it when they came in.
          if (this.batch.length === length && entry.device !== device) continue
          this.frames++
          this.readable.push(true)
        } catch {
          this.unread++
          this.readable.push(false)
        }
        this.receivedMs.push(entry.receivedMs)
        const { batch, receivedMs } = this
        const full = batch.length >= BATCH_ROWS || batch.keys.length >= BATCH_KEYS_MAX
        if (full || receivedMs.length >= BATCH_ROWS) await this.load()
      }
      onProgress(this.frames)
    }
    await this.load()
  }

  private async load(): Promise<void> {
    const { batch, client } = this
    for (let row = 0; row < batch.length; row++) {
      if (batch.fixTimeMs[row]! > batch.receivedMs[row]! + FUTURE_MS) batch.quality[row]! |= QUALITY.future
    }
    await this.days.ensure(client, batch.fixTimeMs, batch.length)
    const order = Uint32Array.from({ length: batch.length }, (_, row) => row)
    const data = this.encoder.encode(batch, order)
    await copyQuery(client, `COPY decoded (${COLUMNS}) FROM STDIN (FORMAT binary)`, data)
    await client.query(
      `INSERT INTO frames SELECT timestamptz 'epoch' + ms * interval '1 ms', readable
       FROM unnest($1::float8[], $2::boolean[]) AS f (ms, readable)`,
      [this.receivedMs, this.readable],
    )
    this.batch.reset()
    this.receivedMs = []
    this.readable = []
  }

  /** Makes the table `changes`, and tells of each. */
  private async compare(device: number): Promise<Pick<Reprocessed, 'added' | 'changed' | 'removed'>> {
    const { client } = this
    // As text: it has more digits than a number of JSON is read with.
    const json = (row: string) =>
      `to_jsonb(${row}) - 'batch' || jsonb_build_object('digest', ${row}.digest::text)`
    const differs = COMPARED.map((column) => `d.${column} IS DISTINCT FROM p.${column}`).join(' OR ')
    const [first, last] = [this.options.fromMs, this.options.toMs].map((ms) => new Date(ms))
    // Whether a position jumped is known from those before it only: that mark stays while the place does.
    await client.query(`
      CREATE TEMPORARY TABLE wanted ON COMMIT DROP AS
        SELECT DISTINCT ON (${KEY.join(', ')}) * FROM decoded ORDER BY ${KEY.join(', ')}, received_at;
      CREATE INDEX ON wanted (${KEY.join(', ')});
      ANALYZE wanted;
      UPDATE wanted d SET quality = d.quality | (p.quality & ${QUALITY.jump}) FROM positions p
        WHERE p.device_id = d.device_id AND p.fix_time = d.fix_time AND p.digest = d.digest
          AND p.latitude = d.latitude AND p.longitude = d.longitude;
      CREATE TEMPORARY TABLE changes ON COMMIT DROP AS
        SELECT CASE WHEN p.device_id IS NULL THEN 'added' ELSE 'changed' END AS change,
          d.device_id, d.fix_time, d.digest, ${json('d')} AS row, ${json('p')} AS was
        FROM wanted d LEFT JOIN positions p USING (${KEY.join(', ')})
        WHERE p.device_id IS NULL OR d.quality <> p.quality OR ${differs}`)
    await client.query(
      `INSERT INTO changes
       SELECT 'removed', p.device_id, p.fix_time, p.digest, ${json('p')}, NULL FROM positions p
       WHERE p.device_id = $1 AND p.received_at >= $2 AND p.received_at < $3
         AND p.received_at IN (SELECT received_at FROM frames GROUP BY received_at HAVING bool_and(readable))
         AND NOT EXISTS (SELECT FROM wanted d
           WHERE d.device_id = p.device_id AND d.fix_time = p.fix_time AND d.digest = p.digest)`,
      [device, first, last],
    )
    const counts = { added: 0, changed: 0, removed: 0 }
    await client.query(
      'DECLARE shown NO SCROLL CURSOR FOR SELECT change, row, was FROM changes ORDER BY fix_time, digest',
    )
    for (;;) {
      const { rows } = await client.query<Required<RowChange>>(`FETCH ${SHOWN_AT_ONCE} FROM shown`)
      if (rows.length === 0) return counts
      for (const { change, row, was } of rows) {
        counts[change]++
        this.options.onChange(
          change === 'changed' ? { change, ...differences(row, was) } : { change, row: present(row) },
        )
      }
    }
  }

  private async apply(): Promise<void> {
    // As a removed and an added row: so it is right whatever the columns are, also in a compressed chunk. What is added
    // is committed like what comes in, in pieces that the stream can take.
    await this.client.query(`
      WITH placed AS (
        SELECT device_id, fix_time, digest, (row_number() OVER (ORDER BY fix_time, digest) - 1) / ${BATCH_ROWS} AS piece
        FROM changes WHERE change <> 'removed'),
      pieces AS MATERIALIZED (
        SELECT piece, nextval('batch_numbers') AS number FROM (SELECT DISTINCT piece FROM placed) AS p)
      UPDATE wanted d SET batch = number FROM placed c JOIN pieces USING (piece)
        WHERE c.device_id = d.device_id AND c.fix_time = d.fix_time AND c.digest = d.digest;
      DELETE FROM positions p USING changes c WHERE c.change <> 'added'
        AND p.device_id = c.device_id AND p.fix_time = c.fix_time AND p.digest = c.digest;
      INSERT INTO positions (${COLUMNS}) SELECT ${COLUMNS} FROM wanted WHERE batch IS NOT NULL ON CONFLICT DO NOTHING;
      SELECT commit_batch(batch, row_count, ARRAY[device_id], ARRAY[span_us(fix_from)], ARRAY[span_us(fix_to)]) FROM (
        SELECT batch, device_id, count(*)::integer AS row_count, min(fix_time) AS fix_from, max(fix_time) AS fix_to
        FROM wanted WHERE batch IS NOT NULL GROUP BY batch, device_id ORDER BY batch) AS b`)
  }
}

type Row = Readonly<Record<string, unknown>>

/** Key and time of receipt, and what differs, as it is and as it was. */
function differences(row: Row, was: Row): { row: Row; was: Row } {
  const names = Object.keys(row).filter(
    (name) =>
      JSON.stringify(row[name]) !== JSON.stringify(was[name]) && name !== 'decoder' && name !== 'received_at',
  )
  const pick = (from: Row, wanted: readonly string[]) =>
    Object.fromEntries(wanted.map((name) => [name, from[name]]))
  return { row: pick(row, [...KEY, ...names]), was: pick(was, names) }
}

function present(row: Row): Row {
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null))
}
