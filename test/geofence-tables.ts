/** Rows of geofences for tests that use the database without an engine: an organisation, its devices, fences and visits. */
import type pg from 'pg'
import { type GeofenceChanges, noChanges } from '../geofence/visits/changes.ts'
import { applyChanges, newOwner } from '../ingest/geofences/geofence-store.ts'
import type { LiveEvent } from '../schemas/live-port.ts'
import { createPool } from '../storage/pools.ts'
import { type TestDatabase, testDatabase } from './database.ts'

const DAY_MS = 24 * 3600 * 1000

export class GeofenceTables {
  readonly database: TestDatabase
  readonly pool: pg.Pool
  /** Of what is stored here. */
  owner = 0
  /** The first organisation, made anew by `reset`. */
  organization = 0

  private constructor(database: TestDatabase) {
    this.database = database
    this.pool = createPool(database.url, { max: 12, applicationName: 'geofence tables' })
  }

  static async make(): Promise<GeofenceTables> {
    const tables = new GeofenceTables(await testDatabase())
    tables.owner = await newOwner(tables.pool)
    return tables
  }

  async reset(): Promise<void> {
    await this.pool.query('TRUNCATE organizations CASCADE; TRUNCATE events, positions')
    this.organization = await this.addOrganization('mine')
  }

  async drop(): Promise<void> {
    await this.pool.end()
    await this.database.drop()
  }

  /** @param sql What goes behind INSERT INTO. @returns The id of the row. */
  async insert(sql: string): Promise<number> {
    return (await this.pool.query(`INSERT INTO ${sql} RETURNING id`)).rows[0].id
  }

  addOrganization(name: string): Promise<number> {
    return this.insert(`organizations (name) VALUES ('${name}')`)
  }

  addDevice(name: string, organization = this.organization): Promise<number> {
    return this.insert(
      `devices (organization_id, unique_id, name) VALUES (${organization}, '${name}', '${name}')`,
    )
  }

  addGroup(name: string): Promise<number> {
    return this.insert(`device_groups (organization_id, name) VALUES (${this.organization}, '${name}')`)
  }

  /** A device with an undoubted fix at each of the times. */
  async addReporting(name: string, organization: number, ...fixesMs: number[]): Promise<number> {
    const device = await this.addDevice(name, organization)
    await this.addFixes(device, ...fixesMs)
    await this.pool.query('INSERT INTO last_fixes VALUES ($1, $2, 0, 0)', [
      device,
      new Date(Math.max(...fixesMs)),
    ])
    return device
  }

  /** Digests are counted up from 1; longitude and speed are those numbers, too. */
  async addFixes(device: number, ...fixesMs: number[]): Promise<void> {
    await this.pool.query(
      `INSERT INTO positions (fix_time, received_at, digest, device_id, quality, valid, latitude, longitude, speed_kmh)
       SELECT t, t, place, $1, 0, true, 0.5, place, place FROM unnest($2::timestamptz[]) WITH ORDINALITY AS f (t, place)`,
      [device, fixesMs.map((timeMs) => new Date(timeMs))],
    )
  }

  /** @param rules Fields of each that are not the defaults. */
  addFence(rules: readonly object[], timeZone = 'UTC'): Promise<number> {
    return this.insert(
      `geofences (organization_id, name, shape, west, south, east, north, time_zone, rules)
       VALUES (${this.organization}, 'g', '{}', 0, 0, 1, 1, '${timeZone}', '${rulesJson(rules)}')`,
    )
  }

  async editRules(rules: readonly object[]): Promise<void> {
    await this.pool.query('UPDATE geofences SET rules = $1', [rulesJson(rules)])
  }

  /** Stores changes as a shard does. @param losses Of devices that the owner knows of. */
  async apply(changes: Partial<GeofenceChanges>, nowMs = Date.now(), losses = 0): Promise<LiveEvent[]> {
    const client = await this.pool.connect()
    try {
      return await applyChanges(client, { ...noChanges(), ...changes }, { owner: this.owner, losses }, nowMs)
    } finally {
      client.release()
    }
  }
}

export const dayMs = (days: number): number => days * DAY_MS

function rulesJson(rules: readonly object[]): string {
  return JSON.stringify(rules.map((rule) => ({ group: null, windows: [], ...rule })))
}
