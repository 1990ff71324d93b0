import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ROLES } from '../schemas/roles.ts'
import { ID_MAX } from '../schemas/text.ts'
import { ACCESS, type Operation } from './access.ts'
import { type ApiFixture, apiFixture } from './api-fixture.ts'
import type { OpenApiDocument } from './docs.ts'

let api: ApiFixture
let operations: { operation: Operation; method: string; path: string; hasBody: boolean }[]

beforeAll(async () => {
  api = await apiFixture()
  const { body } = await api.nobody('GET', '/api/v1/openapi.json')
  const document: OpenApiDocument = body
  operations = Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { operationId, requestBody }]) => ({
      operation: operationId,
      method: method.toUpperCase(),
      path,
      hasBody: requestBody !== undefined,
    })),
  )
})
afterAll(() => api.close())

/** A path with its ids; what is below the first one is of any id, and none of its own. */
function pathWith(path: string, id: number): string {
  return path.replace('{id}', String(id)).replace(/\{(?:command|backfill|device)Id\}/, '1')
}

/** Everything that the API could change, as text. */
async function contents(): Promise<string> {
  const tables = [
    'organizations',
    'users',
    'devices',
    'quarantine',
    'stream_tickets',
    'commands',
    'audit_events',
    'device_groups',
    'device_group_members',
    'geofences',
    'geofence_backfills',
    'driver_devices',
    'share_links',
    'share_link_devices',
  ]
  const dumps = tables.map((table) => api.pool.query(`SELECT ${table}::text FROM ${table} ORDER BY 1`))
  return JSON.stringify((await Promise.all(dumps)).map(({ rows }) => rows))
}

async function insertedBySouth(sql: string): Promise<number> {
  return (await api.pool.query<{ id: number }>(sql, [api.south.id])).rows[0]!.id
}

describe('access', () => {
  it('has a rule for every operation, and no rule for nothing', () => {
    expect(operations.map(({ operation }) => operation).sort()).toEqual(Object.keys(ACCESS).sort())
  })

  it('is refused without a token wherever it is not public', async () => {
    for (const { operation, method, path, hasBody } of operations) {
      const answer = await api.nobody(method, pathWith(path, ID_MAX), hasBody ? {} : undefined)
      expect([operation, answer.status === 401]).toEqual([operation, ACCESS[operation] !== 'public'])
    }
  })

  it('is refused to each role that the rule leaves out, and to no other', async () => {
    for (const { operation, method, path, hasBody } of operations) {
      const rule: 'public' | readonly string[] = ACCESS[operation]
      if (rule === 'public') continue
      for (const role of ROLES) {
        // An id of nothing and a body that is not valid: who may pass is told 400 or 404, and nothing changes.
        const call = api.north.as[role]
        const { status } = await call(method, pathWith(path, ID_MAX), hasBody ? {} : undefined)
        expect([operation, role, status === 403]).toEqual([operation, role, !rule.includes(role)])
      }
    }
  })
})

describe('tenancy', () => {
  it('hides what another organisation has from every route with an id, and keeps it as it is', async () => {
    const device = await api.addDevice(api.south.id, 'south device')
    const ids: Record<string, number> = {
      organizations: api.south.id,
      users: api.south.userIds.viewer,
      devices: device,
      geofences: await insertedBySouth(
        `INSERT INTO geofences (organization_id, name, shape, west, south, east, north, time_zone, rules)
         VALUES ($1, 'south depot', '{}', 0, 0, 0, 0, 'UTC', '[]') RETURNING id`,
      ),
      'device-groups': await insertedBySouth(
        `INSERT INTO device_groups (organization_id, name) VALUES ($1, 'south group') RETURNING id`,
      ),
      'share-links': await insertedBySouth(
        `INSERT INTO share_links (organization_id, name, delay_s, expires_at, token_hash, created_by)
         VALUES ($1, 'south link', 0, now() + interval '1 day', 'south', 1) RETURNING id`,
      ),
    }
    const bodies: Partial<Record<Operation, object>> = {
      updateOrganization: { name: 'mine' },
      updateUser: { name: 'mine', disabled: true, password: 'now it is mine' },
      updateDevice: { name: 'mine', uniqueId: 'mine' },
      createCommand: { type: 'engineStop' },
      updateGeofence: { name: 'mine' },
      createGeofenceBackfill: { from: '2026-01-01T00:00:00Z' },
      updateDeviceGroup: { name: 'mine' },
      putDriverDevices: { devices: [] },
    }
    const before = await contents()
    const tried = operations.filter(({ path }) => path.includes('{id}'))
    expect(tried.length).toBeGreaterThan(10)
    for (const { operation, method, path } of tried) {
      const id = ids[path.split('/')[3]!]
      expect(id, path).toBeDefined()
      for (const role of ['admin', 'manager', 'viewer'] as const) {
        const answer = await api.north.as[role](method, pathWith(path, id), bodies[operation])
        const rule: readonly string[] = ACCESS[operation] as readonly string[]
        expect([operation, role, answer.status]).toEqual([operation, role, rule.includes(role) ? 404 : 403])
        expect(JSON.stringify(answer.body)).not.toContain('south')
      }
    }
    expect(await contents()).toBe(before)
  })

  it('leaves what another organisation has out of every list', async () => {
    await api.addDevice(api.south.id, 'listed south')
    await api.addDevice(api.north.id, 'listed north')
    const lists = ['/organizations', '/users', '/devices', '/devices?search=listed', '/positions']
    lists.push('/geofences', '/device-groups', '/events', '/share-links', '/snapshot?at=2030-01-01T00:00:00Z')
    for (const path of lists) {
      for (const query of ['', `organizationId=${api.south.id}`]) {
        const url = `/api/v1${path}${path.includes('?') ? '&' : '?'}${query}`
        const { status, body } = await api.north.as.admin('GET', url)
        expect(status).toBe(200)
        expect(JSON.stringify(body)).not.toContain('south')
      }
    }
    const all = (await api.north.as['super-admin']('GET', '/api/v1/devices?search=listed')).body.items
    expect(all.map(({ name }: { name: string }) => name)).toEqual(['listed south', 'listed north'])
  })

  it('lets nobody but a super admin create in another organisation', async () => {
    const before = await contents()
    const organizationId = api.south.id
    const password = 'a good password'
    const answers = [
      await api.north.as.admin('POST', '/api/v1/devices', { organizationId, uniqueId: 'u', name: 'n' }),
      await api.north.as.admin('POST', '/api/v1/users', {
        organizationId,
        email: 'u@x.org',
        role: 'viewer',
        password,
      }),
      await api.north.as.admin('POST', '/api/v1/quarantine/claim', {
        protocol: 'gt06',
        uniqueId: 'u',
        organizationId,
        name: 'n',
      }),
    ]
    for (const { status, body } of answers) expect([status, body.code]).toEqual([403, 'forbidden'])
    expect(await contents()).toBe(before)
  })
})
