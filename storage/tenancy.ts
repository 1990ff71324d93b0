/**
 * Tenancy: every transaction of the API runs as a role that row-level security binds, with the tenant in settings
 * of the transaction. Neither outlives it, so a pooled connection carries nothing to the next caller.
 */
import pg from 'pg'
import type { Role } from '../schemas/roles.ts'

/** On whose behalf a transaction runs. */
export interface Tenant {
  readonly userId: number
  /** Null for a super admin, who sees every organisation. */
  readonly organizationId: number | null
  readonly role: Role
}

export interface TenantOptions {
  /** Statements that go before, such as `SET LOCAL jit = off`. */
  readonly settings?: string
  /** Whether all queries see the database as it is at the first of them. */
  readonly oneSnapshot?: boolean
}

/**
 * Runs `run` in a transaction that sees what the tenant may see: commits when it resolves, rolls back when it
 * rejects. All queries of `run` go through the given client.
 */
export function withTenant<T>(
  pool: pg.Pool,
  tenant: Tenant,
  run: (client: pg.PoolClient) => Promise<T>,
  { settings: further = '', oneSnapshot = false }: TenantOptions = {},
): Promise<T> {
  const settings = [
    setting('app.user_id', tenant.userId),
    setting('app.organization_id', tenant.organizationId ?? ''),
    setting('app.role', tenant.role),
  ]
  const begin = oneSnapshot
    ? BEGIN_AS_API.replace('BEGIN', 'BEGIN ISOLATION LEVEL REPEATABLE READ')
    : BEGIN_AS_API
  return transaction(pool, `${begin}; ${further}; SELECT ${settings.join(', ')}`, run)
}

/** As {@link withTenant} before anyone has logged in: sees no tenant's rows, only the doors that are functions. */
export function asAnonymous<T>(pool: pg.Pool, run: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  return transaction(pool, BEGIN_AS_API, run)
}

const BEGIN_AS_API = 'BEGIN; SET LOCAL ROLE fleetflow_api'

function setting(name: string, value: string | number): string {
  return `set_config('${name}', ${pg.escapeLiteral(String(value))}, true)`
}

async function transaction<T>(
  pool: pg.Pool,
  begin: string,
  run: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect()
  let broken: Error | undefined
  // A connection that is lost fails its query and tells the client too; unheard, that ends the process.
  const lost = (error: Error) => {
    broken = error
  }
  client.on('error', lost)
  try {
    // One round trip: a role or tenant that could not be set fails the whole message, and nothing runs.
    await client.query(begin)
    const result = await run(client)
    const end = await client.query('COMMIT')
    // A caller that swallowed the error of a query would take a rollback for a commit.
    if (end.command !== 'COMMIT') throw new Error('the transaction failed earlier and was rolled back')
    return result
  } catch (error) {
    await client.query('ROLLBACK').catch((rollbackError: Error) => {
      broken = rollbackError
    })
    throw error
  } finally {
    client.off('error', lost)
    // A connection that is lost or cannot even roll back is closed, not pooled.
    client.release(broken)
  }
}
