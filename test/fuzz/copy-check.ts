/** Stores batches in a real database, in a table like `positions` without its key, and looks at what arrived. */
import pg from 'pg'
import { COPY_COLUMNS } from '../../ingest/shards/copy-encoder.ts'
import { copyQuery } from '../../ingest/shards/copy-query.ts'

const COPY = `COPY fuzzed (${COPY_COLUMNS.join(', ')}) FROM STDIN (FORMAT binary)`
/** All rows, those that no reader should meet, and the attributes as a reader has them. */
const LOOK = `SELECT count(*)::int AS rows, count(attributes::jsonb)::int AS attributes,
  count(*) FILTER (WHERE fix_time NOT BETWEEN '1970-01-01Z' AND '2106-02-07T06:28:16Z'
    OR device_time NOT BETWEEN '1970-01-01Z' AND '2106-02-07T06:28:16Z'
    OR attributes IS NOT JSON OBJECT
    OR 'NaN' IN (latitude, longitude, odometer_m, engine_hours_ms)
    OR 'NaN' IN (altitude_m, speed_kmh, course_deg, accuracy_m, hdop, power_v, battery_v, battery_percent, fuel_l, rssi)
    OR 'Infinity' IN (abs(odometer_m), abs(engine_hours_ms), abs(altitude_m), abs(speed_kmh), abs(course_deg),
      abs(accuracy_m), abs(hdop), abs(power_v), abs(battery_v), abs(battery_percent), abs(fuel_l), abs(rssi))
    OR NOT quality BETWEEN 0 AND 255)::int AS bad
  FROM fuzzed`

export class CopyCheck {
  private readonly client: pg.Client

  private constructor(client: pg.Client) {
    this.client = client
  }

  static async connect(url: string): Promise<CopyCheck> {
    const client = new pg.Client({ connectionString: url, application_name: 'fuzz' })
    await client.connect()
    await client.query('CREATE TEMPORARY TABLE fuzzed (LIKE positions INCLUDING CONSTRAINTS)')
    return new CopyCheck(client)
  }

  /**
   * @param messages Of CopyEncoder.
   * @throws pg.DatabaseError if the database refuses it, and Error if what it stored is not what was sent.
   */
  async store(messages: Buffer, rows: number): Promise<void> {
    await copyQuery(this.client, COPY, messages)
    const { rows: found } = await this.client.query<{ rows: number; bad: number }>(LOOK)
    if (found[0]!.rows !== rows) throw new Error(`${found[0]!.rows} of ${rows} rows were stored`)
    if (found[0]!.bad > 0) throw new Error(`${found[0]!.bad} rows that no reader should meet`)
    await this.client.query('TRUNCATE fuzzed')
  }

  async close(): Promise<void> {
    await this.client.end()
  }
}
