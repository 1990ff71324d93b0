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
