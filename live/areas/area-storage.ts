/** Geofences and groups in the database, for those who subscribe to them. */
import type pg from 'pg'
import type { GeofenceShape } from '../../schemas/geofence.ts'

export interface StoredGeofence {
  readonly id: number
  readonly organizationId: number
  readonly shape: GeofenceShape
}

/** Either throws an Error if the database can not be read. */
export interface AreaReader {
  /** Those of the geofences that are there. */
  geofences(ids: readonly number[]): Promise<readonly StoredGeofence[]>
  /** Those of the groups that are not there, or not of the organisation; null = of any. */
  missingGroups(ids: readonly number[], organizationId: number | null): Promise<readonly number[]>
}

export class AreaStorage implements AreaReader {
  private readonly pool: pg.Pool

  /** @param pool Of the owner of the schema. */
  constructor(pool: pg.Pool) {
    this.pool = pool
  }

  async geofences(ids: readonly number[]): Promise<StoredGeofence[]> {
    const { rows } = await this.pool.query<StoredGeofence>(
      'SELECT id, organization_id AS "organizationId", shape FROM geofences WHERE id = ANY ($1)',
      [ids],
    )
    return rows
  }

  async missingGroups(ids: readonly number[], organizationId: number | null): Promise<number[]> {
    const { rows } = await this.pool.query<{ id: number }>(
      'SELECT id FROM device_groups WHERE id = ANY ($1) AND organization_id = coalesce($2, organization_id)',
      [ids, organizationId],
    )
    const found = new Set(rows.map(({ id }) => id))
    return ids.filter((id) => !found.has(id))
  }
}
