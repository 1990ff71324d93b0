import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../test/database.ts'
import { createPool } from './pools.ts'
import { asAnonymous, withTenant } from './tenancy.ts'

describe('withTenant', () => {
  let database: TestDatabase
  let pool: pg.Pool
  const admin = { userId: 7, organizationId: 3, role: 'admin' } as const
  const superAdmin = { userId: 1, organizationId: null, role: 'super-admin' } as const
  const WHO = `SELECT current_user AS who, current_setting('app.user_id', true) AS "user",
    current_setting('app.organization_id', true) AS organization, current_setting('app.role', true) AS role`

  beforeAll(async () => {
    database = await testDatabase()
    // One connection, so that every transaction gets what the one before left on it.
    pool = createPool(database.url, { max: 1, applicationName: 'tenancy test' })
  })
  afterAll(async () => {
    await pool.end()
    await database.drop()
  })

  it('runs as the API with the tenant, and leaves neither on the connection', async () => {
    const inside = await withTenant(pool, admin, (client) => client.query(WHO))
    expect(inside.rows).toEqual([{ who: 'fleetflow_api', user: '7', organization: '3', role: 'admin' }])
    const anonymous = await asAnonymous(pool, (client) => client.query(WHO))
    expect(anonymous.rows).toEqual([{ who: 'fleetflow_api', user: '', organization: '', role: '' }])
    const outside = await pool.query(WHO)
    expect(outside.rows).toEqual([{ who: 'postgres', user: '', organization: '', role: '' }])
  })

  it('commits what ran, and rolls it back when it fails', async () => {
    await withTenant(pool, superAdmin, (client) =>
      client.query("INSERT INTO organizations (name) VALUES ('kept')"),
    )
    const failed = withTenant(pool, superAdmin, async (client) => {
      await client.query("INSERT INTO organizations (name) VALUES ('lost')")
      throw new Error('refused')
    })
    await expect(failed).rejects.toThrow('refused')
    expect((await pool.query('SELECT name FROM organizations')).rows).toEqual([{ name: 'kept' }])
  })

  it('does not call a transaction committed whose error was swallowed', async () => {
    const swallowed = withTenant(pool, admin, async (client) => {
      await client.query('SELECT 1/0').catch(() => {})
    })
    await expect(swallowed).rejects.toThrow(/rolled back/)
    expect((await pool.query(WHO)).rows[0].who).toBe('postgres')
  })

  it('gives up a connection that broke in the middle', async () => {
    const broken = withTenant(pool, admin, (client) =>
      client.query('SELECT pg_terminate_backend(pg_backend_pid())'),
    )
    await expect(broken).rejects.toThrow()
    expect((await withTenant(pool, admin, (client) => client.query(WHO))).rows[0].user).toBe('7')
  })

  it('passes a tenant as a value, never as SQL', async () => {
    const odd = { ...admin, role: "x', true); RESET ROLE; SELECT ('" as 'admin' }
    const inside = await withTenant(pool, odd, (client) => client.query(WHO))
    expect(inside.rows[0]).toMatchObject({ who: 'fleetflow_api', role: odd.role })
  })
})
