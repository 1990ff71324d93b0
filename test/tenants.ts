/** Organisations, each with an administrator and a device, for tests of what keeps them apart. */
import type pg from 'pg'
import type { Tenant } from '../storage/tenancy.ts'

export interface TenantFixture {
  readonly tenant: Tenant & { readonly organizationId: number }
  /** `devices.id`. */
  readonly device: number
}

/** @param owner Connections of the owner of the tables. */
export async function insertTenant(owner: pg.Pool, name: string): Promise<TenantFixture> {
  const insert = async (sql: string, values: unknown[]): Promise<number> =>
    (await owner.query(`INSERT INTO ${sql} RETURNING id`, values)).rows[0].id
  const organizationId = await insert('organizations (name) VALUES ($1)', [name])
  const userId = await insert(
    `users (organization_id, email, role, password_hash) VALUES ($1, $2, 'admin', 'x')`,
    [organizationId, `${name}@example.org`],
  )
  const device = await insert('devices (organization_id, unique_id, name) VALUES ($1, $2, $2)', [
    organizationId,
    name,
  ])
  return { tenant: { userId, organizationId, role: 'admin' }, device }
}

/**
 * A geofence that was changed once, with all that hangs on it: the device is inside, and in the group of its rule.
 * @param entered When it entered; there is also an event of 1999.
 * @returns `geofences.id`.
 */
export async function insertGeofence(
  owner: pg.Pool,
  { tenant, device }: TenantFixture,
  entered: Date,
): Promise<number> {
  const { organizationId: organization, userId: user } = tenant
  const groups = await owner.query<{ id: number }>(
    "INSERT INTO device_groups (organization_id, name) VALUES ($1, 'all') RETURNING id",
    [organization],
  )
  const group = groups.rows[0]!.id
  await owner.query('INSERT INTO device_group_members VALUES ($1, $2, $3)', [organization, group, device])
  const { rows } = await owner.query<{ id: number }>(
    `INSERT INTO geofences (organization_id, name, shape, west, south, east, north, time_zone, rules)
     VALUES ($1, 'yard', '{}', 0, 0, 1, 1, 'UTC', '[]') RETURNING id`,
    [organization],
  )
  const geofence = rows[0]!.id
  const rules = JSON.stringify([{ group }])
  await owner.query('UPDATE geofences SET rules = $2 WHERE id = $1', [geofence, rules])
  await owner.query(
    `INSERT INTO geofence_backfills (organization_id, geofence_id, from_time, to_time, created_by)
     VALUES ($1, $2, '2000-01-01', now(), $3)`,
    [organization, geofence, user],
  )
  await owner.query(
    'INSERT INTO geofence_visits (device_id, geofence_id, entered_at, version) VALUES ($1, $2, $3, 2)',
    [device, geofence, entered],
  )
  await owner.query(
    `INSERT INTO events (event_time, device_id, geofence_id, geofence_version, type)
     VALUES ($3, $1, $2, 2, 'enter'), ('1999-01-01', $1, $2, 1, 'enter')`,
    [device, geofence, entered],
  )
  return geofence
}
