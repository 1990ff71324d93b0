import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiFixture, apiFixture, type Call } from './api-fixture.ts'
import { databaseProblem } from './database-error.ts'

const PATH = '/api/v1/device-groups'
const CIRCLE = { type: 'Circle', center: [10, 50], radiusM: 100 }

let api: ApiFixture
let dispatcher: Call
let viewer: Call
let added = 0

beforeAll(async () => {
  api = await apiFixture()
  dispatcher = api.north.as.dispatcher
  viewer = api.north.as.viewer
})
afterAll(() => api.close())

async function addGroup(
  call: Call = dispatcher,
  name = `group ${++added}`,
  more: object = {},
): Promise<number> {
  const { status, body } = await call('POST', PATH, { name, ...more })
  expect(status).toBe(201)
  return body.id
}

async function addGeofence(rules: object[]): Promise<number> {
  const { status, body } = await dispatcher('POST', '/api/v1/geofences', {
    name: 'yard',
    shape: CIRCLE,
    rules,
  })
  expect(status).toBe(201)
  return body.id
}

describe('a group of devices', () => {
  it('is made, shown, listed, renamed and deleted', async () => {
    const { status, body } = await dispatcher('POST', PATH, { name: 'Lorries' })
    expect(status).toBe(201)
    expect(body).toEqual({
      id: expect.any(Number),
      organizationId: api.north.id,
      name: 'Lorries',
      deviceCount: 0,
      createdAt: expect.any(String),
    })
    expect((await viewer('GET', `${PATH}/${body.id}`)).body).toEqual(body)
    expect((await viewer('GET', PATH)).body.items).toContainEqual(body)
    const renamed = await dispatcher('PATCH', `${PATH}/${body.id}`, { name: 'Vans' })
    expect(renamed.body).toEqual({ ...body, name: 'Vans' })
    expect((await dispatcher('DELETE', `${PATH}/${body.id}`)).status).toBe(204)
    expect((await viewer('GET', `${PATH}/${body.id}`)).status).toBe(404)
    expect((await dispatcher('DELETE', `${PATH}/${body.id}`)).status).toBe(404)
    expect((await dispatcher('PATCH', `${PATH}/${body.id}`, { name: 'x' })).status).toBe(404)
  })

  it('has a name of its own in its organisation', async () => {
    await addGroup(dispatcher, 'one name')
    const again = await dispatcher('POST', PATH, { name: 'one name' })
    expect([again.status, again.body.code]).toEqual([409, 'name-taken'])
    await addGroup(api.south.as.dispatcher, 'one name')
  })

  it('takes devices, each once, and lists them in pages', async () => {
    const group = await addGroup()
    const devices = [await api.addDevice(api.north.id, 'g1'), await api.addDevice(api.north.id, 'g2')]
    for (const device of [...devices, devices[0]]) {
      expect((await dispatcher('PUT', `${PATH}/${group}/devices/${device}`)).status).toBe(204)
    }
    expect((await viewer('GET', `${PATH}/${group}`)).body.deviceCount).toBe(2)
    const first = (await viewer('GET', `${PATH}/${group}/devices?limit=1`)).body
    expect(first.items).toEqual([{ deviceId: devices[0], uniqueId: 'g1', name: 'g1' }])
    const second = (await viewer('GET', `${PATH}/${group}/devices?limit=1&cursor=${first.next}`)).body
    expect(second).toEqual({ items: [{ deviceId: devices[1], uniqueId: 'g2', name: 'g2' }], next: null })
    for (let i = 0; i < 2; i++) {
      expect((await dispatcher('DELETE', `${PATH}/${group}/devices/${devices[0]}`)).status).toBe(204)
    }
    expect((await viewer('GET', `${PATH}/${group}`)).body.deviceCount).toBe(1)
    expect((await dispatcher('PUT', `${PATH}/${group}/devices/2000000`)).status).toBe(404)
    expect((await dispatcher('PUT', `${PATH}/2000000/devices/${devices[0]}`)).status).toBe(404)
    expect((await dispatcher('DELETE', `${PATH}/2000000/devices/${devices[0]}`)).status).toBe(404)
  })

  it('is not deleted while rules of geofences name it', async () => {
    const group = await addGroup()
    const geofence = await addGeofence([{ group }, { group: null }])
    const other = await addGeofence([{}])
    const changed = await dispatcher('PATCH', `/api/v1/geofences/${other}`, { rules: [{ group }] })
    expect(changed.status).toBe(200)
    const refused = await dispatcher('DELETE', `${PATH}/${group}`)
    expect([refused.status, refused.body.code]).toEqual([409, 'group-in-use'])
    expect(refused.body.detail).toContain(`${geofence} (yard), ${other} (yard)`)
    // Not even at the same moment: the database holds it, and the API knows the error.
    const error = await api.pool
      .query('DELETE FROM device_groups WHERE id = $1', [group])
      .catch((reason: unknown) => reason)
    expect(databaseProblem(error)).toMatchObject({ status: 409, code: 'group-in-use' })
    expect((await dispatcher('PATCH', `/api/v1/geofences/${other}`, { rules: [{}] })).status).toBe(200)
    expect((await dispatcher('DELETE', `/api/v1/geofences/${geofence}`)).status).toBe(204)
    expect((await dispatcher('DELETE', `${PATH}/${group}`)).status).toBe(204)
  })

  it('goes with its organisation, geofences that name it too', async () => {
    const root = api.north.as['super-admin']
    const made = await root('POST', '/api/v1/organizations', { name: 'short-lived' })
    const organizationId = made.body.id
    const group = await addGroup(root, 'g', { organizationId })
    const body = { name: 'x', shape: CIRCLE, rules: [{ group }], organizationId }
    expect((await root('POST', '/api/v1/geofences', body)).status).toBe(201)
    expect((await root('DELETE', `/api/v1/organizations/${organizationId}`)).status).toBe(204)
  })
})

describe('roles and tenants', () => {
  it('let viewers read, dispatchers edit and drivers neither', async () => {
    const group = await addGroup()
    const device = await api.addDevice(api.north.id, `role ${group}`)
    const { driver } = api.north.as
    for (const call of [viewer, driver]) {
      expect((await call('POST', PATH, { name: 'x' })).status).toBe(403)
      expect((await call('PATCH', `${PATH}/${group}`, { name: 'x' })).status).toBe(403)
      expect((await call('DELETE', `${PATH}/${group}`)).status).toBe(403)
      expect((await call('PUT', `${PATH}/${group}/devices/${device}`)).status).toBe(403)
      expect((await call('DELETE', `${PATH}/${group}/devices/${device}`)).status).toBe(403)
    }
    for (const path of [PATH, `${PATH}/${group}`, `${PATH}/${group}/devices`]) {
      expect((await driver('GET', path)).status).toBe(403)
      expect((await viewer('GET', path)).status).toBe(200)
      expect((await api.nobody('GET', path)).status).toBe(401)
    }
  })

  it('keep groups and devices of another organisation unseen and unchanged', async () => {
    const group = await addGroup()
    const device = await api.addDevice(api.north.id, `member ${group}`)
    await dispatcher('PUT', `${PATH}/${group}/devices/${device}`)
    const before = (await viewer('GET', `${PATH}/${group}`)).body
    const { admin } = api.south.as
    const theirs = await addGroup(admin)
    const theirDevice = await api.addDevice(api.south.id, `theirs ${group}`)
    for (const [method, path, body] of [
      ['GET', `${PATH}/${group}`],
      ['PATCH', `${PATH}/${group}`, { name: 'theirs' }],
      ['DELETE', `${PATH}/${group}`],
      ['GET', `${PATH}/${group}/devices`],
      ['PUT', `${PATH}/${group}/devices/${theirDevice}`],
      ['DELETE', `${PATH}/${group}/devices/${device}`],
      ['PUT', `${PATH}/${theirs}/devices/${device}`],
    ] as const) {
      expect((await admin(method, path, body)).status, `${method} ${path}`).toBe(404)
    }
    expect((await admin('GET', `${PATH}?organizationId=${api.north.id}`)).body.items).toEqual([])
    const geofence = { name: 'x', shape: CIRCLE, rules: [{ group }] }
    const named = await admin('POST', '/api/v1/geofences', geofence)
    expect([named.status, named.body.errors[0].field]).toEqual([400, 'rules.0.group'])
    expect((await admin('POST', PATH, { name: 'x', organizationId: api.north.id })).status).toBe(403)
    expect((await viewer('GET', `${PATH}/${group}`)).body).toEqual(before)
  })

  it('keep a super admin from mixing two organisations', async () => {
    const root = api.north.as['super-admin']
    expect((await root('POST', PATH, { name: 'x' })).status).toBe(400)
    const group = await addGroup(root, 'of root', { organizationId: api.north.id })
    const device = await api.addDevice(api.south.id, `south ${group}`)
    const mixed = await root('PUT', `${PATH}/${group}/devices/${device}`)
    expect([mixed.status, mixed.body.code]).toEqual([409, 'organization-differs'])
    const geofence = { name: 'x', shape: CIRCLE, rules: [{ group }], organizationId: api.south.id }
    expect((await root('POST', '/api/v1/geofences', geofence)).status).toBe(400)
    const unknown = await root('POST', PATH, { name: 'x', organizationId: 2_000_000 })
    expect([unknown.status, unknown.body.code]).toEqual([409, 'organization-unknown'])
  })
})
