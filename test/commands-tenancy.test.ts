/** Commands and the record of them, asked of the database itself as the role that the API runs as. */
import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createPool } from '../storage/pools.ts'
import { withTenant } from '../storage/tenancy.ts'
import { type TestDatabase, testDatabase } from './database.ts'
import { insertTenant, type TenantFixture } from './tenants.ts'

const PERMISSION_DENIED = { code: '42501' }
const FOREIGN_KEY = { code: '23503' }

let database: TestDatabase
/** The owner of the schema. */
let owner: pg.Pool
let mine: TenantFixture
let theirs: TenantFixture

beforeAll(async () => {
  database = await testDatabase()
  owner = createPool(database.url, { max: 2, applicationName: 'tenancy test' })
  mine = await insertTenant(owner, 'mine')
  theirs = await insertTenant(owner, 'theirs')
}, 30_000)
afterAll(async () => {
  await owner.end()
  await database.drop()
})

const asMe = (sql: string, values: unknown[] = []) =>
  withTenant(owner, mine.tenant, (client) => client.query(sql, values))

const give = (organization: number, device: number, state = 'queued', user = mine.tenant.userId) =>
  asMe(
    `INSERT INTO commands (organization_id, device_id, type, attributes, state, created_by, expires_at)
     VALUES ($1, $2, 'engineStop', '{}', $3, $4, now() + interval '1 day')`,
    [organization, device, state, user],
  )

test("are taken for a device of one's own only, queued, and under one's own name", async () => {
  const { organizationId } = mine.tenant
  await expect(give(organizationId, theirs.device)).rejects.toMatchObject(FOREIGN_KEY)
  await expect(give(theirs.tenant.organizationId, theirs.device)).rejects.toMatchObject(PERMISSION_DENIED)
  await expect(give(organizationId, mine.device, 'sent')).rejects.toMatchObject(PERMISSION_DENIED)
  await expect(give(organizationId, mine.device, 'queued', theirs.tenant.userId)).rejects.toMatchObject(
    PERMISSION_DENIED,
  )
  expect((await give(organizationId, mine.device)).rowCount).toBe(1)
})

test('stay as they are once they are sent', async () => {
  await owner.query("UPDATE commands SET state = 'sent'")
  expect((await asMe('DELETE FROM commands')).rowCount).toBe(0)
  await expect(asMe("UPDATE commands SET state = 'queued'")).rejects.toMatchObject(PERMISSION_DENIED)
})

test('are recorded in a table that is only added to, under the name of who did it', async () => {
  const add = (user: number) =>
    asMe("INSERT INTO audit_events (organization_id, user_id, action, subject) VALUES ($1, $2, 'x', 'x')", [
      mine.tenant.organizationId,
      user,
    ])
  expect((await add(mine.tenant.userId)).rowCount).toBe(1)
  await expect(add(theirs.tenant.userId)).rejects.toMatchObject(PERMISSION_DENIED)
  for (const sql of [
    'DELETE FROM audit_events',
    "UPDATE audit_events SET action = 'y'",
    'TRUNCATE audit_events',
  ]) {
    await expect(asMe(sql), sql).rejects.toMatchObject(PERMISSION_DENIED)
  }
})

test('go with their device to another organisation', async () => {
  await owner.query('UPDATE devices SET organization_id = $1 WHERE id = $2', [
    theirs.tenant.organizationId,
    mine.device,
  ])
  expect((await asMe('SELECT FROM commands')).rowCount).toBe(0)
  const { rowCount } = await withTenant(owner, theirs.tenant, (client) =>
    client.query('SELECT FROM commands'),
  )
  expect(rowCount).toBe(1)
})
