/** The table `decoders`: which version of which adapter made a row. */
import type pg from 'pg'
import type { Adapter } from '../device-adapters/adapter.ts'

/**
 * Enters the versions of these adapters that the database does not know yet.
 * @returns `decoders.id` by id of the adapter, for the column `decoder` of a batch.
 */
export async function loadDecoders(
  pool: pg.Pool,
  adapters: ReadonlyMap<string, Pick<Adapter, 'id' | 'version'>>,
): Promise<ReadonlyMap<string, number>> {
  const all = [...adapters.values()]
  const wanted = [all.map(({ id }) => id), all.map(({ version }) => version)]
  // A row that meets a conflict takes an id, too, and there are 32,767: only what is missing may be inserted.
  await pool.query(
    `INSERT INTO decoders (adapter, version)
     SELECT wanted.adapter, wanted.version FROM unnest($1::text[], $2::integer[]) AS wanted (adapter, version)
     WHERE NOT EXISTS (SELECT FROM decoders d WHERE d.adapter = wanted.adapter AND d.version = wanted.version)
     ON CONFLICT DO NOTHING`,
    wanted,
  )
  const { rows } = await pool.query<{ adapter: string; id: number }>(
    `SELECT d.adapter, d.id FROM decoders d
     JOIN unnest($1::text[], $2::integer[]) AS wanted (adapter, version) USING (adapter, version)`,
    wanted,
  )
  return new Map(rows.map(({ adapter, id }) => [adapter, id]))
}
