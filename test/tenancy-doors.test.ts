/** Doors to events, geofences and fixes let each tenant see what is theirs: asked of the database itself. */
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findEvents } from '../storage/geofences/geofence-events.ts'
import { countGeofences, countOverlaps, findGeofences } from '../storage/geofences/geofences.ts'
import { createPool } from '../storage/pools.ts'
import { fixesInBox, lastFixesInBox, nearestDevices } from '../storage/positions/nearby.ts'
import { positionsAt } from '../storage/positions/snapshot.ts'
import { trackPage } from '../storage/positions/tracks.ts'
import { asAnonymous, type Tenant, withTenant } from '../storage/tenancy.ts'
import { type TestDatabase, testDatabase } from './database.ts'
import { insertGeofence, insertTenant, type TenantFixture } from './tenants.ts'

const PERMISSION_DENIED = '42501'
const now = new Date()
const WORLD = { west: -180, south: -90, east: 180, north: 90 }

let database: TestDatabase
let owner: pg.Pool
let mine: TenantFixture
let theirs: TenantFixture
const superAdmin: Tenant = { userId: 1_000_000, organizationId: null, role: 'super-admin' }

beforeAll(async () => {
  database = await testDatabase()
  owner = createPool(database.url, { max: 4, applicationName: 'doors test' })
  mine = await makeOrganization('mine')
  theirs = await makeOrganization('theirs')
})
afterAll(async () => {
  await owner.end()
  await database.drop()
})

async function makeOrganization(name: string): Promise<TenantFixture> {
  const fixture = await insertTenant(owner, name)
  await insertGeofence(owner, fixture, now)
  await owner.query('INSERT INTO last_fixes VALUES ($1, $2, 0.5, 0.5)', [fixture.device, now])
  await owner.query(
    `INSERT INTO positions (fix_time, received_at, digest, device_id, latitude, longitude, quality, valid)
     VALUES ($1, $1, 1, $2, 0.5, 0.5, 0, true)`,
    [now, fixture.device],
  )
  return fixture
}

/** Devices and organisations that come out of each door, asked for both organisations. */
async function seen(client: pg.ClientBase): Promise<Record<string, number[]>> {
  const both = [mine, theirs]
  const organizations = [null, ...both.map(({ tenant }) => tenant.organizationId)]
  const [from, to] = [new Date(0), new Date(now.getTime() + 1000)]
  const events = []
  const geofences = []
  for (const organizationId of organizations) {
    events.push(...(await findEvents(client, { organizationId, from, to, history: true, limit: 10 })))
    for (const box of [undefined, WORLD]) {
      const found = await findGeofences(client, { organizationId, box, after: 0, limit: 10 })
      geofences.push(...found.items)
    }
  }
  const counted: number[] = []
  for (const { tenant } of both) {
    const { organizationId } = tenant
    if ((await countGeofences(client, organizationId, 10)) > 0) counted.push(organizationId)
    const overlaps = await countOverlaps(
      client,
      organizationId,
      [{ longitudeDeg: 0.5, latitudeDeg: 0.5 }],
      10,
    )
    if ((overlaps[0] ?? 0) > 0) counted.push(organizationId)
  }
  const nearest = await nearestDevices(client, {
    latitudeDeg: 0,
    longitudeDeg: 0,
    maxDistanceM: undefined,
    limit: 10,
  })
  const devices = both.map(({ device }) => device)
  const replayed = await client.query<{ device_id: number }>('SELECT device_id FROM replayed_positions')
  const replayedEvents = await client.query<{ device_id: number }>(
    'SELECT device_id FROM replayed_events(NULL, $1, $2, NULL, NULL, 10)',
    [from, to],
  )
  const next = []
  for (const device of devices) {
    const { rows } = await client.query<{ found: boolean }>(
      'SELECT next_replayed_time($1, $2, $3) IS NOT NULL AS found',
      [[device], from, to],
    )
    if (rows[0]!.found) next.push(device)
  }
  const tracked: number[] = []
  for (const device of devices) {
    const { fixes } = await trackPage(client, { device, from, to, after: null, limit: 10 })
    if (fixes.length > 0) tracked.push(device)
  }
  const unique = (ids: number[]) => [...new Set(ids)].sort((a, b) => a - b)
  return {
    events: unique(events.map(({ event }) => event.device)),
    geofences: unique(geofences.map(({ organizationId }) => organizationId)),
    counted: unique(counted),
    nearest: unique(nearest.map(({ device }) => device)),
    tracked,
    snapshot: unique((await positionsAt(client, to, devices, undefined)).map(({ device }) => device)),
    lastFixes: unique((await lastFixesInBox(client, WORLD, 0, 10)).map(({ device }) => device)),
    replayed: unique(replayed.rows.map((row) => row.device_id)),
    replayedEvents: unique(replayedEvents.rows.map((row) => row.device_id)),
    next: unique(next),
    fixes: unique(
      (await fixesInBox(client, { devices, from, to, box: WORLD, limit: 10 })).map(({ device }) => device),
    ),
  }
}

const rowsOf = (fixtures: readonly TenantFixture[]) => {
  const devices = fixtures.map(({ device }) => device)
  const organizations = fixtures.map(({ tenant }) => tenant.organizationId)
  return {
    events: devices,
    geofences: organizations,
    counted: organizations,
    nearest: devices,
    tracked: devices,
    snapshot: devices,
    lastFixes: devices,
    replayed: devices,
    replayedEvents: devices,
    next: devices,
    fixes: devices,
  }
}

it('a tenant sees its own rows through each door, a super admin all, and nobody none', async () => {
  expect(await withTenant(owner, mine.tenant, seen)).toEqual(rowsOf([mine]))
  expect(await withTenant(owner, superAdmin, seen)).toEqual(rowsOf([mine, theirs]))
  expect(await asAnonymous(owner, seen)).toEqual(rowsOf([]))
})

it('a driver sees positions of the own devices through the doors to these, and none through those to all', async () => {
  const { tenant, device } = mine
  const driver: Tenant = { ...tenant, role: 'driver' }
  const none = { tracked: [], snapshot: [], lastFixes: [], replayed: [], next: [], fixes: [], nearest: [] }
  expect(await withTenant(owner, driver, seen)).toMatchObject(none)
  const { organizationId, userId } = tenant
  await owner.query('INSERT INTO driver_devices VALUES ($1, $2, $3)', [organizationId, userId, device])
  expect(await withTenant(owner, driver, seen)).toMatchObject({
    ...none,
    tracked: [device],
    snapshot: [device],
  })
})

it('objects that stand in for ours open no door', async () => {
  const fooled = await withTenant(owner, mine.tenant, async (client) => {
    await client.query(`
      CREATE TEMPORARY TABLE devices AS
        SELECT ${theirs.device} AS id, ${mine.tenant.organizationId} AS organization_id;
      CREATE TEMPORARY TABLE organizations AS SELECT ${theirs.tenant.organizationId} AS id;
      CREATE FUNCTION pg_temp.app_sees(integer) RETURNS boolean LANGUAGE sql RETURN true;
      CREATE FUNCTION pg_temp.app_organizations() RETURNS integer[] LANGUAGE sql
        RETURN ARRAY[${theirs.tenant.organizationId}];
      CREATE FUNCTION pg_temp.current_setting(text, boolean) RETURNS text LANGUAGE sql RETURN 'super-admin';
      SET LOCAL search_path = pg_temp, public, pg_catalog`)
    return seen(client)
  })
  expect(fooled).toEqual(rowsOf([mine]))
})

it('the table of last fixes is refused to the API, and so is what fills it', async () => {
  for (const sql of [
    'SELECT FROM last_fixes',
    'INSERT INTO last_fixes VALUES (1, now(), 0, 0)',
    'UPDATE last_fixes SET latitude = 0',
    'DELETE FROM last_fixes',
    `SELECT refresh_last_fixes(ARRAY[1])`,
    'SELECT app_organizations()',
  ]) {
    for (const tenant of [mine.tenant, superAdmin]) {
      const asked = withTenant(owner, tenant, (client) => client.query(sql))
      await expect(asked, sql).rejects.toMatchObject({ code: PERMISSION_DENIED })
    }
  }
})

describe('the API', () => {
  it('runs definer functions only that are doors, each with a search path of its own', async () => {
    const { rows } = await owner.query<{ name: string; config: string[] | null }>(`
      SELECT p.proname AS name, p.proconfig AS config FROM pg_proc p
      WHERE p.prosecdef AND p.pronamespace = 'public'::regnamespace
        AND has_function_privilege('fleetflow_api', p.oid, 'EXECUTE')
      ORDER BY 1`)
    expect(rows.map(({ name }) => name)).toEqual([
      'count_geofences',
      'count_overlaps',
      'device_positions',
      'device_track',
      'find_events',
      'find_geofences',
      'fixes_in_box',
      'last_fixes_in_box',
      'last_positions',
      'login_user',
      'make_share_ticket',
      'nearest_devices',
      'next_replayed_time',
      'open_share_link',
      'positions_at',
      'redeem_stream_ticket',
      'replayed_events',
      'spend_refresh_token',
      'stream_head',
    ])
    for (const { name, config } of rows) expect(config, name).toContain('search_path=public, pg_temp')
  })

  it('may neither create objects that last, nor become another role, nor make partitions', async () => {
    // A role of its own, since the owner may become any other.
    const name = `login_${process.pid}`
    await owner.query(`CREATE ROLE ${name}; GRANT fleetflow_api TO ${name}`)
    const client = await owner.connect()
    try {
      await client.query(`SET SESSION AUTHORIZATION ${name}`)
      for (const sql of [
        'CREATE SCHEMA mine',
        'CREATE TABLE public.mine (id integer)',
        'CREATE FUNCTION public.mine() RETURNS integer LANGUAGE sql RETURN 1',
        "SELECT ensure_position_day('2020-01-01')",
        'SET ROLE postgres',
        'CREATE ROLE mine SUPERUSER',
        'ALTER TABLE public.devices DISABLE ROW LEVEL SECURITY',
      ]) {
        await client.query('SET ROLE fleetflow_api')
        await expect(client.query(sql), sql).rejects.toMatchObject({ code: PERMISSION_DENIED })
      }
    } finally {
      client.release(true)
      await owner.query(`DROP ROLE ${name}`)
    }
  })
})
