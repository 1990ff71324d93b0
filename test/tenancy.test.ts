/** No tenant reaches what is another's: asked of the database itself, as the role that the API runs as. */
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPool } from '../storage/pools.ts'
import { devicePositions, lastPositions } from '../storage/positions/positions.ts'
import { asAnonymous, type Tenant, withTenant } from '../storage/tenancy.ts'
import { type TestDatabase, testDatabase } from './database.ts'
import { insertGeofence, insertTenant, type TenantFixture } from './tenants.ts'

const PERMISSION_DENIED = '42501'

let database: TestDatabase
/** The owner of the schema. */
let owner: pg.Pool
let mine: Organization
let theirs: Organization
const superAdmin: Tenant = { userId: 1_000_000, organizationId: null, role: 'super-admin' }
const now = new Date()

beforeAll(async () => {
  database = await testDatabase()
  owner = createPool(database.url, { max: 4, applicationName: 'tenancy test' })
  await owner.query("SELECT ensure_position_day((now() AT TIME ZONE 'UTC')::date)")
  mine = await makeOrganization('mine')
  theirs = await makeOrganization('theirs')
  await owner.query(
    `INSERT INTO quarantine VALUES ('gt06', '1', 'unknown-device', now(), now(), 1, '\\x78', '127.0.0.1')`,
  )
})
afterAll(async () => {
  await owner.end()
  await database.drop()
})

interface Organization extends TenantFixture {
  /** `geofences.id`. */
  readonly geofence: number
}

/** An organisation with a row in every table that can hold one of its rows. */
async function makeOrganization(name: string): Promise<Organization> {
  const fixture = await insertTenant(owner, name)
  const { device } = fixture
  const { organizationId: organization, userId: user } = fixture.tenant
  await owner.query(
    `INSERT INTO refresh_tokens (token_hash, family_id, user_id, expires_at)
     VALUES ($1, gen_random_uuid(), $2, now() + interval '1 day')`,
    [`refresh ${name}`, user],
  )
  await owner.query(
    `INSERT INTO stream_tickets (ticket_hash, user_id, session_id, expires_at)
     VALUES ($1, $2, gen_random_uuid(), now() + interval '1 day')`,
    [`ticket ${name}`, user],
  )
  await owner.query(`INSERT INTO driver_devices (organization_id, user_id, device_id) VALUES ($1, $2, $3)`, [
    organization,
    user,
    device,
  ])
  const links = await owner.query<{ id: number }>(
    `INSERT INTO share_links (organization_id, name, delay_s, expires_at, token_hash, created_by)
     VALUES ($1, 'link', 0, now() + interval '1 day', $2, $3) RETURNING id`,
    [organization, `link ${name}`, user],
  )
  await owner.query('INSERT INTO share_link_devices VALUES ($1, $2, $3)', [
    organization,
    links.rows[0]!.id,
    device,
  ])
  await owner.query(
    `INSERT INTO commands (organization_id, device_id, type, attributes, created_by, expires_at)
     VALUES ($1, $2, 'engineStop', '{}', $3, now() + interval '1 day')`,
    [organization, device, user],
  )
  await owner.query(
    `INSERT INTO audit_events (organization_id, user_id, action, subject) VALUES ($1, $2, 'command-accepted', 'x')`,
    [organization, user],
  )
  await owner.query(
    `INSERT INTO positions (fix_time, received_at, digest, device_id, quality, valid)
     VALUES ($1, $1, 1, $2, 0, true), ('1999-01-01', $1, 2, $2, 0, true)`,
    [now, device],
  )
  return { ...fixture, geofence: await insertGeofence(owner, fixture, now) }
}

const asMe = <T>(run: (client: pg.PoolClient) => Promise<T>) => withTenant(owner, mine.tenant, run)

interface TenantTable {
  readonly table: string
  /** The column that says to which organisation a row belongs. */
  readonly column: string
  /** A column that an UPDATE may name. */
  readonly writable: string
}

/** Tables in which every row belongs to an organisation, but for those that the API reads through doors only. */
async function tenantTables(): Promise<TenantTable[]> {
  const { rows } = await owner.query<TenantTable>(
    `SELECT c.relname AS table, a.attname AS column, (
        SELECT w.attname FROM pg_attribute w
        WHERE w.attrelid = c.oid AND w.attnum > 0 AND w.attidentity = '' AND w.attgenerated = '' AND NOT w.attisdropped
        ORDER BY w.attnum LIMIT 1) AS writable
     FROM pg_class c JOIN pg_attribute a
       ON a.attrelid = c.oid AND a.attname = CASE c.relname WHEN 'organizations' THEN 'id' ELSE 'organization_id' END
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
       AND has_any_column_privilege('fleetflow_api', c.oid, 'SELECT, INSERT, UPDATE')`,
  )
  return rows
}

/** Relations that the API's role may touch in any way, as the catalogue tells. */
const REACHABLE = `
  SELECT c.oid, c.relname AS name, c.relkind AS kind FROM pg_class c
  WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    AND (has_table_privilege('fleetflow_api', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
      OR has_any_column_privilege('fleetflow_api', c.oid, 'SELECT, INSERT, UPDATE, REFERENCES'))`

/** Views that keep tenants apart themselves: test/tenancy-doors.test.ts asks them. */
const DOORS = ['replayed_positions']

async function unguarded(client: pg.ClientBase | pg.Pool): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT r.name FROM (${REACHABLE}) r JOIN pg_class c ON c.oid = r.oid
     WHERE r.kind NOT IN ('r', 'p') OR NOT c.relrowsecurity
       OR NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = r.oid)`,
  )
  return rows.map((row) => row.name)
}

describe('tables of an organisation', () => {
  it('are found by this test, each with a row of another organisation in it', async () => {
    const tables = await tenantTables()
    expect(tables.map(({ table }) => table)).toEqual(
      expect.arrayContaining(['organizations', 'users', 'devices']),
    )
    for (const { table, column } of tables) {
      const { rowCount } = await owner.query(`SELECT FROM ${table} WHERE ${column} = $1`, [
        theirs.tenant.organizationId,
      ])
      // A new table needs a row in makeOrganization.
      expect(rowCount, table).toBeGreaterThan(0)
    }
  })

  it("show, change and lose no row of another's, and take none", async () => {
    for (const { table, column, writable } of await tenantTables()) {
      const foreign = theirs.tenant.organizationId
      for (const sql of [
        `SELECT FROM ${table} WHERE ${column} = $1`,
        `UPDATE ${table} SET ${writable} = ${writable} WHERE ${column} = $1`,
        `DELETE FROM ${table} WHERE ${column} = $1`,
      ]) {
        const touched = asMe(async (client) => (await client.query(sql, [foreign])).rowCount)
        // Or refused as a whole: some tables are only added to.
        const count = await touched.catch((error) => (error.code === PERMISSION_DENIED ? 0 : error))
        expect(count, sql).toBe(0)
      }
      const { rows } = await owner.query(`SELECT to_jsonb(t) AS row FROM ${table} t WHERE ${column} = $1`, [
        foreign,
      ])
      const inserted = asMe((client) =>
        client.query(
          `INSERT INTO ${table} OVERRIDING SYSTEM VALUE SELECT * FROM jsonb_populate_record(NULL::${table}, $1)`,
          [rows[0].row],
        ),
      )
      await expect(inserted, table).rejects.toMatchObject({ code: PERMISSION_DENIED })
      const { rows: after } = await owner.query(
        `SELECT to_jsonb(t) AS row FROM ${table} t WHERE ${column} = $1`,
        [foreign],
      )
      expect(after, table).toEqual(rows)
    }
  })

  it('do not let a row of theirs be given away', async () => {
    for (const { table } of (await tenantTables()).filter(({ column }) => column === 'organization_id')) {
      const given = asMe((client) =>
        client.query(`UPDATE ${table} SET organization_id = $1`, [theirs.tenant.organizationId]),
      )
      await expect(given, table).rejects.toMatchObject({ code: PERMISSION_DENIED })
    }
  })

  it('show nothing at all before anyone has logged in', async () => {
    for (const { table } of await tenantTables()) {
      const { rowCount } = await asAnonymous(owner, (client) => client.query(`SELECT FROM ${table}`))
      expect(rowCount, table).toBe(0)
    }
  })

  it('show their own rows, and all rows to a super admin', async () => {
    for (const { table } of await tenantTables()) {
      const own = await asMe((client) => client.query(`SELECT FROM ${table}`))
      expect(own.rowCount, table).toBe(1)
      const all = await withTenant(owner, superAdmin, (client) => client.query(`SELECT FROM ${table}`))
      expect(all.rowCount, table).toBe(2)
    }
  })

  it('let no administrator make a super admin', async () => {
    const { userId } = mine.tenant
    const attempts = [
      `UPDATE users SET role = 'super-admin', organization_id = NULL WHERE id = ${userId}`,
      `INSERT INTO users (email, role, password_hash) VALUES ('s@example.org', 'super-admin', 'x')`,
    ]
    for (const sql of attempts) {
      await expect(
        asMe((client) => client.query(sql)),
        sql,
      ).rejects.toMatchObject({ code: PERMISSION_DENIED })
    }
  })
})

describe('rows of a user', () => {
  it.each(['refresh_tokens', 'stream_tickets'])(
    "in %s are nobody else's, not even a super admin's",
    async (table) => {
      for (const tenant of [mine.tenant, superAdmin]) {
        const counts = await withTenant(owner, tenant, async (client) => [
          (await client.query(`SELECT FROM ${table} WHERE user_id = $1`, [theirs.tenant.userId])).rowCount,
          (
            await client.query(`UPDATE ${table} SET expires_at = now() WHERE user_id = $1`, [
              theirs.tenant.userId,
            ])
          ).rowCount,
          (await client.query(`DELETE FROM ${table} WHERE user_id = $1`, [theirs.tenant.userId])).rowCount,
        ])
        expect(counts).toEqual([0, 0, 0])
      }
      const given = asMe((client) => client.query(`UPDATE ${table} SET user_id = $1`, [theirs.tenant.userId]))
      await expect(given).rejects.toMatchObject({ code: PERMISSION_DENIED })
    },
  )

  it('in quarantine are shown to a super admin only: they belong to no organisation', async () => {
    expect((await asMe((client) => client.query('SELECT FROM quarantine'))).rowCount).toBe(0)
    expect((await asMe((client) => client.query('DELETE FROM quarantine'))).rowCount).toBe(0)
    const seen = await withTenant(owner, superAdmin, (client) => client.query('SELECT FROM quarantine'))
    expect(seen.rowCount).toBe(1)
  })
})

describe('every relation', () => {
  it('that the API can reach has row-level security with a policy', async () => {
    expect((await unguarded(owner)).sort()).toEqual(DOORS)
  })

  it('that is a view shows no row to a condition before it is known whose it is', async () => {
    const { rows } = await owner.query<{ name: string }>(
      `SELECT relname AS name FROM pg_class WHERE relname = ANY ($1) AND reloptions @> '{security_barrier=true}'`,
      [DOORS],
    )
    expect(rows.map(({ name }) => name).sort()).toEqual(DOORS)
  })

  it('that is added without it is found by the test above', async () => {
    const client = await owner.connect()
    try {
      await client.query('BEGIN')
      await client.query(`
        CREATE TABLE forgotten (organization_id integer);
        CREATE TABLE half_done (organization_id integer);
        ALTER TABLE half_done ENABLE ROW LEVEL SECURITY;
        CREATE VIEW around AS SELECT * FROM devices;
        CREATE TABLE unreachable (organization_id integer);
        GRANT SELECT ON forgotten, half_done, around TO fleetflow_api`)
      expect((await unguarded(client)).sort()).toEqual(['around', 'forgotten', 'half_done', ...DOORS])
      await client.query('ROLLBACK')
    } finally {
      client.release()
    }
  })
})

describe('visits of geofences', () => {
  it('are shown to the organisation of device and geofence, and written by no tenant', async () => {
    const seen = (tenant: Tenant) =>
      withTenant(owner, tenant, async (client) => {
        const { rows } = await client.query<{ device_id: number }>('SELECT device_id FROM geofence_visits')
        return rows.map((row) => row.device_id).sort((a, b) => a - b)
      })
    expect(await seen(mine.tenant)).toEqual([mine.device])
    expect(await seen(superAdmin)).toEqual([mine.device, theirs.device])
    for (const sql of [
      `INSERT INTO geofence_visits (device_id, geofence_id, entered_at, version)
       VALUES (${mine.device}, ${mine.geofence}, now() - interval '1 day', 1)`,
      'UPDATE geofence_visits SET exited_at = now()',
      'DELETE FROM geofence_visits',
    ]) {
      for (const tenant of [mine.tenant, superAdmin]) {
        const asked = withTenant(owner, tenant, (client) => client.query(sql))
        await expect(asked, sql).rejects.toMatchObject({ code: PERMISSION_DENIED })
      }
    }
  })
})

describe.each(['positions', 'events'])('%s', (table) => {
  it('are refused to the API, as are the partitions or chunks that hold them', async () => {
    const { rows } = await owner.query<{ name: string }>(
      `WITH RECURSIVE tree AS (
        SELECT $1::regclass::oid AS oid
        UNION ALL SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.oid
      ) SELECT format('%I.%I', n.nspname, c.relname) AS name
        FROM tree JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace`,
      [table],
    )
    // Themselves, the day of today and either the default partition or the chunk of 1999.
    expect(rows).toHaveLength(3)
    for (const { name } of rows) {
      for (const sql of [
        `SELECT FROM ${name}`,
        `SELECT count(*) FROM ONLY ${name}`,
        `INSERT INTO ${name} (device_id) VALUES (1)`,
        `UPDATE ${name} SET device_id = device_id`,
        `DELETE FROM ${name}`,
        `TRUNCATE ${name}`,
        `COPY ${name} TO STDOUT`,
        `DROP TABLE ${name}`,
      ]) {
        for (const tenant of [mine.tenant, superAdmin]) {
          const asked = withTenant(owner, tenant, (client) => client.query(sql))
          await expect(asked, sql).rejects.toMatchObject({ code: PERMISSION_DENIED })
        }
      }
    }
  })
})

describe('positions', () => {
  it("come out of the doors for the tenant's devices only", async () => {
    const range = { from: new Date(0), to: new Date(now.getTime() + 1), limit: 10 }
    await asMe(async (client) => {
      expect((await lastPositions(client, null)).map(({ device }) => device)).toEqual([mine.device])
      expect(await lastPositions(client, [theirs.device])).toEqual([])
      expect(await lastPositions(client, [mine.device, theirs.device])).toHaveLength(1)
      expect((await devicePositions(client, { device: mine.device, ...range })).positions).toHaveLength(2)
      expect((await devicePositions(client, { device: theirs.device, ...range })).positions).toEqual([])
    })
    await asAnonymous(owner, async (client) => {
      expect(await lastPositions(client, null)).toEqual([])
      expect((await devicePositions(client, { device: mine.device, ...range })).positions).toEqual([])
    })
    expect(await withTenant(owner, superAdmin, (client) => lastPositions(client, null))).toHaveLength(2)
  })

  it('come out of no door by objects that stand in for ours', async () => {
    await asMe(async (client) => {
      // What a temporary schema may hold, and a search path that prefers it.
      await client.query(`
        CREATE TEMPORARY TABLE devices AS
          SELECT ${theirs.device} AS id, ${mine.tenant.organizationId} AS organization_id;
        CREATE TEMPORARY TABLE organizations (id integer);
        CREATE FUNCTION pg_temp.app_sees(integer) RETURNS boolean LANGUAGE sql RETURN true;
        CREATE FUNCTION pg_temp.current_setting(text, boolean) RETURNS text LANGUAGE sql RETURN 'super-admin';
        SET LOCAL search_path = pg_temp, public, pg_catalog`)
      expect(await lastPositions(client, [theirs.device])).toEqual([])
      const range = { from: new Date(0), to: now, limit: 10 }
      expect((await devicePositions(client, { device: theirs.device, ...range })).positions).toEqual([])
      expect((await client.query('SELECT FROM public.devices')).rowCount).toBe(1)
    })
  })
})
