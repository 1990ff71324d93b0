/** Where the processes of one fleet meet on a Redis that others may use, too: made of their database, so nobody has to configure it. */
import { createHash } from 'node:crypto'
import type pg from 'pg'

/** Channels of a fleet. A shard always publishes on the same one, so that what it stored comes in its order. */
const CHANNELS = 8

export interface BusAddress {
  /** `fleetflow:ID:stream:0` and so on. */
  readonly channels: readonly string[]
  /** Tells subscribers nothing; ingest publishes on it to see whether it can. */
  readonly probeChannel: string
  /** Seals messages; see schemas/bus-message.ts. */
  readonly key: Uint8Array
}

/**
 * Channels and key of the fleet of a database. A database that was restored from a dump is another fleet, although it
 * has the same key in its table; one that was copied file by file, as replicas are, is the same.
 *
 * @param pool Of the owner of the schema.
 */
export async function readBusAddress(pool: pg.Pool): Promise<BusAddress> {
  const { rows } = await pool.query<{ key: Buffer; server: string; database: string }>(
    `SELECT bus.key, c.system_identifier::text AS server, d.oid::text AS database
     FROM bus, pg_control_system() c, pg_database d WHERE d.datname = current_database()`,
  )
  const { key, server, database } = rows[0]!
  const hash = (purpose: string) =>
    createHash('sha256').update(key).update(`/${server}/${database}/${purpose}`).digest()
  const prefix = `fleetflow:${hash('name').toString('hex', 0, 8)}`
  return {
    channels: Array.from({ length: CHANNELS }, (_, channel) => `${prefix}:stream:${channel}`),
    probeChannel: `${prefix}:probe`,
    key: hash('seal'),
  }
}
