import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiFixture, apiFixture, type Call } from './api-fixture.ts'

const PATH = '/api/v1/geofences'

let api: ApiFixture
let dispatcher: Call
let viewer: Call
const limitsMet: string[] = []

beforeAll(async () => {
  api = await apiFixture({
    geofences: { perOrganizationMax: 60, overlapsMax: 3, onLimit: (limit) => limitsMet.push(limit) },
  })
  dispatcher = api.north.as.dispatcher
  viewer = api.north.as.viewer
})
afterAll(() => api.close())

type Ring = [number, number][]

/** A square round a place, degrees. */
function square(longitude: number, latitude: number, half = 0.1) {
  const [west, south, east, north] = [longitude - half, latitude - half, longitude + half, latitude + half]
  const ring: Ring = [
    [west, south],
    [east, south],
    [east, north],
    [west, north],
    [west, south],
  ]
  return { type: 'Polygon', coordinates: [ring] }
}

async function add(call: Call, name: string, shape: unknown, more: object = {}): Promise<number> {
  const { status, body } = await call('POST', PATH, { name, shape, ...more })
  expect(status, JSON.stringify(body)).toBe(201)
  return body.id
}

const ids = (body: { items: { id: number }[] }) => body.items.map(({ id }) => id)

describe('a geofence', () => {
  it('is made with defaults, shown and listed', async () => {
    const shape = square(-97.7, 30.2)
    const { status, body } = await dispatcher('POST', PATH, { name: 'Depot', shape })
    expect(status).toBe(201)
    expect(body).toEqual({
      id: expect.any(Number),
      organizationId: api.north.id,
      name: 'Depot',
      shape,
      timeZone: 'UTC',
      rules: [
        {
          group: null,
          enter: true,
          exit: true,
          dwellS: null,
          absenceS: null,
          insideBy: null,
          debounceFixes: 1,
          debounceS: 0,
          crossingGapS: 0,
          speedLimitKmh: null,
          windows: [],
        },
      ],
      disabled: false,
      version: 1,
      createdAt: expect.any(String),
      updatedAt: body.createdAt,
    })
    expect((await viewer('GET', `${PATH}/${body.id}`)).body).toEqual(body)
    expect((await viewer('GET', `${PATH}?name=DEP`)).body).toEqual({ items: [body], next: null })
  })

  it('is of each kind of shape', async () => {
    for (const shape of [
      { type: 'Circle', center: [-97, 30], radiusM: 250 },
      { type: 'Corridor', coordinates: [[10, 50], [11, 50.5]], halfWidthM: 100 }, // biome-ignore format: one line
      { type: 'MultiPolygon', coordinates: [square(20, 20).coordinates, square(30, 20).coordinates] },
    ]) {
      const id = await add(dispatcher, 'kind', shape)
      expect((await viewer('GET', `${PATH}/${id}`)).body.shape).toEqual(shape)
    }
  })

  it('has a version more after a change of all but its name, and tells what it was', async () => {
    const first = square(5, 5)
    const id = await add(dispatcher, 'first', first)
    const renamed = await dispatcher('PATCH', `${PATH}/${id}`, { name: 'second' })
    expect(renamed.body).toMatchObject({ name: 'second', version: 1, shape: first })
    const shape = { type: 'Circle', center: [179.99, 5], radiusM: 5000 }
    const moved = await dispatcher('PATCH', `${PATH}/${id}`, { shape })
    expect(moved.body).toMatchObject({ version: 2, shape, name: 'second' })
    const ruled = await dispatcher('PATCH', `${PATH}/${id}`, {
      rules: [{ dwellS: 60 }],
      timeZone: 'Europe/Berlin',
      disabled: true,
    })
    expect(ruled.body).toMatchObject({ version: 3, disabled: true, timeZone: 'Europe/Berlin' })
    expect(ruled.body.rules).toMatchObject([{ dwellS: 60, debounceFixes: 1 }])

    const { body } = await viewer('GET', `${PATH}/${id}/versions`)
    expect(body.next).toBeNull()
    expect(body.items).toEqual([
      {
        version: 3,
        shape,
        timeZone: 'Europe/Berlin',
        rules: ruled.body.rules,
        disabled: true,
        replacedAt: null,
      },
      {
        version: 2,
        shape,
        timeZone: 'UTC',
        rules: moved.body.rules,
        disabled: false,
        replacedAt: expect.any(String),
      },
      {
        version: 1,
        shape: first,
        timeZone: 'UTC',
        rules: moved.body.rules,
        disabled: false,
        replacedAt: expect.any(String),
      },
    ])
    const page = (await viewer('GET', `${PATH}/${id}/versions?limit=2`)).body
    expect(page.items).toEqual(body.items.slice(0, 2))
    const rest = (await viewer('GET', `${PATH}/${id}/versions?limit=2&cursor=${page.next}`)).body
    expect(rest).toEqual({ items: body.items.slice(2), next: null })
    // The box moved along.
    expect(ids((await viewer('GET', `${PATH}?bbox=4,4,6,6`)).body)).not.toContain(id)
    expect(ids((await viewer('GET', `${PATH}?bbox=-180,4,-179.99,6`)).body)).toEqual([id])
  })

  it('is gone when it is deleted', async () => {
    const id = await add(dispatcher, 'short', square(1, 1))
    expect((await dispatcher('DELETE', `${PATH}/${id}`)).status).toBe(204)
    expect((await dispatcher('DELETE', `${PATH}/${id}`)).status).toBe(404)
    expect((await viewer('GET', `${PATH}/${id}`)).status).toBe(404)
    expect((await viewer('GET', `${PATH}/${id}/versions`)).status).toBe(404)
    expect((await dispatcher('PATCH', `${PATH}/${id}`, { name: 'x' })).status).toBe(404)
  })
})

describe('the list', () => {
  it('has the geofences whose box meets the asked one, also across the antimeridian', async () => {
    const west = await add(dispatcher, 'box west', square(-179.5, -40))
    const east = await add(dispatcher, 'box east', square(179.5, -40))
    const across = await add(dispatcher, 'box across', {
      type: 'Circle',
      center: [180, -40],
      radiusM: 20_000,
    })
    const far = await add(dispatcher, 'box far', square(0, -40))
    const world = await add(dispatcher, 'box world', {
      type: 'Polygon',
      coordinates: [[[-180, -60], [0, -60], [180, -60], [180, -39], [0, -39], [-180, -39], [-180, -60]]], // biome-ignore format: one line
    })
    const inBox = async (box: string) => ids((await viewer('GET', `${PATH}?name=box&bbox=${box}`)).body)
    expect(await inBox('179,-41,-179,-39.5')).toEqual([west, east, across, world])
    expect(await inBox('-180,-41,-179.9,-39.5')).toEqual([across, world])
    expect(await inBox('179.9,-41,180,-39.5')).toEqual([across, world])
    expect(await inBox('-1,-41,1,-39.5')).toEqual([far, world])
    expect(await inBox('1,-41,-1,-39.5')).toEqual([west, east, across, world])
    expect(await inBox('-180,-90,180,90')).toEqual([west, east, across, far, world])
    expect(await inBox('10,10,11,11')).toEqual([])
    for (const box of [
      '1,2,3',
      '1,2,3,4,5',
      'a,b,c,d',
      '0,10,1,5',
      '0,0,181,1',
      '0,0,1,91',
      '1e1,0,20,1',
      ',,,',
    ]) {
      expect((await viewer('GET', `${PATH}?bbox=${box}`)).status, box).toBe(400)
    }
  })

  it('comes in pages, and a page ends where its shapes get long', async () => {
    const first = await add(dispatcher, 'page 1', square(100, 10))
    const second = await add(dispatcher, 'page 2', square(101, 10))
    const page = (await viewer('GET', `${PATH}?name=page&limit=1`)).body
    expect(ids(page)).toEqual([first])
    const next = (await viewer('GET', `${PATH}?name=page&limit=1&cursor=${page.next}`)).body
    expect(ids(next)).toEqual([second])
    expect(next.next).toBeNull()

    // As long as they can be stored: three are more than an answer holds.
    const long = JSON.stringify({ ...square(102, 10), note: 'x'.repeat(900_000) })
    const { rows } = await api.pool.query(
      `INSERT INTO geofences (organization_id, name, shape, west, south, east, north, time_zone, rules)
       SELECT $1, 'long ' || i, $2, 101, 10, 103, 11, 'UTC', '[]' FROM generate_series(1, 3) i RETURNING id`,
      [api.north.id, long],
    )
    const longIds = rows.map(({ id }) => id)
    const start = (await viewer('GET', `${PATH}?name=long`)).body
    expect(ids(start)).toEqual(longIds.slice(0, 2))
    const end = (await viewer('GET', `${PATH}?name=long&cursor=${start.next}`)).body
    expect(ids(end)).toEqual(longIds.slice(2))
    expect(end.next).toBeNull()
    await api.pool.query('DELETE FROM geofences WHERE id = ANY ($1)', [longIds])
  })
})

describe('limits', () => {
  it('hold one place free of more geofences than can be told apart there', async () => {
    for (let i = 0; i < 3; i++)
      await add(dispatcher, 'stack', { type: 'Circle', center: [140, 0], radiusM: 100 + i })
    const fourth = { name: 'stack', shape: { type: 'Circle', center: [140, 0], radiusM: 50 } }
    limitsMet.length = 0
    const refused = await dispatcher('POST', PATH, fourth)
    expect([refused.status, refused.body.code]).toEqual([409, 'geofence-overlaps'])
    expect(limitsMet).toEqual(['geofenceOverlapsMax'])
    const aside = await add(dispatcher, 'stack', { type: 'Circle', center: [141, 0], radiusM: 50 })
    expect((await dispatcher('PATCH', `${PATH}/${aside}`, { shape: fourth.shape })).body.code).toBe(
      'geofence-overlaps',
    )
    // Another organisation has none there, and one of the three may change.
    expect((await api.south.as.dispatcher('POST', PATH, fourth)).status).toBe(201)
    const [one] = ids((await viewer('GET', `${PATH}?name=stack`)).body)
    expect((await dispatcher('PATCH', `${PATH}/${one}`, { shape: fourth.shape })).status).toBe(200)
  })

  it('hold also for requests that come at once, and for the number of geofences', async () => {
    const { rows } = await api.pool.query('SELECT count(*) FROM geofences WHERE organization_id = $1', [
      api.south.id,
    ])
    const room = 60 - rows[0].count
    const answers = await Promise.all(
      Array.from({ length: room + 5 }, (_, i) =>
        api.south.as.dispatcher('POST', PATH, { name: 'full', shape: square(i * 2 - 80, 70) }),
      ),
    )
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(room)
    const refused = answers.filter(({ status }) => status !== 201)
    expect(refused.map(({ status, body }) => [status, body.code])).toEqual(
      Array(5).fill([409, 'too-many-geofences']),
    )
  })
})

describe('roles and tenants', () => {
  it('let viewers read, dispatchers edit and drivers neither', async () => {
    const id = await add(dispatcher, 'roles', square(-120, 10))
    const { driver } = api.north.as
    for (const call of [viewer, driver]) {
      expect((await call('POST', PATH, { name: 'x', shape: square(-121, 10) })).status).toBe(403)
      expect((await call('PATCH', `${PATH}/${id}`, { name: 'x' })).status).toBe(403)
      expect((await call('DELETE', `${PATH}/${id}`)).status).toBe(403)
    }
    expect((await driver('GET', `${PATH}/${id}`)).status).toBe(403)
    expect((await driver('GET', PATH)).status).toBe(403)
    expect((await api.nobody('GET', PATH)).status).toBe(401)
  })

  it('keep geofences of another organisation unseen and unchanged', async () => {
    const id = await add(dispatcher, 'secret', square(-130, 10))
    const before = (await viewer('GET', `${PATH}/${id}`)).body
    const { admin } = api.south.as
    for (const [method, path, body] of [
      ['GET', `${PATH}/${id}`],
      ['GET', `${PATH}/${id}/versions`],
      ['PATCH', `${PATH}/${id}`, { name: 'theirs' }],
      ['PATCH', `${PATH}/${id}`, { shape: square(0, 0) }],
      ['DELETE', `${PATH}/${id}`],
    ] as const) {
      expect((await admin(method, path, body)).status, `${method} ${path}`).toBe(404)
    }
    expect((await admin('GET', `${PATH}?name=secret`)).body.items).toEqual([])
    expect((await admin('GET', `${PATH}?bbox=-131,9,-129,11`)).body.items).toEqual([])
    expect((await admin('GET', `${PATH}?organizationId=${api.north.id}`)).body.items).toEqual([])
    const given = { name: 'x', shape: square(-130, 10), organizationId: api.north.id }
    expect((await admin('POST', PATH, given)).status).toBe(403)
    expect((await viewer('GET', `${PATH}/${id}`)).body).toEqual(before)
  })

  it('ask a super admin for the organisation, and show them all', async () => {
    const root = api.north.as['super-admin']
    expect((await root('POST', PATH, { name: 'x', shape: square(-140, 10) })).status).toBe(400)
    const id = await add(root, 'by root', square(-140, 10), { organizationId: api.north.id })
    expect(ids((await root('GET', `${PATH}?name=by%20root`)).body)).toEqual([id])
    expect((await root('GET', `${PATH}?bbox=-141,9,-139,11`)).body.items).toHaveLength(1)
    expect((await root('GET', `${PATH}?name=by%20root&organizationId=${api.south.id}`)).body.items).toEqual(
      [],
    )
    const unknown = await root('POST', PATH, { name: 'x', shape: square(0, 0), organizationId: 2_000_000 })
    expect([unknown.status, unknown.body.code]).toEqual([409, 'organization-unknown'])
  })
})
