import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { IMPORT_BYTES_MAX } from '../geofence/shapes/import.ts'
import { type Answer, type ApiFixture, apiFixture, type Call, refusedUnread } from './api-fixture.ts'

const PATH = '/api/v1/geofences'
const TEXT = { 'Content-Type': 'text/plain' }

let api: ApiFixture
let dispatcher: Call
const limitsMet = new Set<string>()

beforeAll(async () => {
  api = await apiFixture({
    geofences: { perOrganizationMax: 15_000, overlapsMax: 5, onLimit: (limit) => limitsMet.add(limit) },
  })
  dispatcher = api.north.as.dispatcher
})
afterAll(() => api.close())

const send = (text: string, query: string, call = dispatcher): Promise<Answer> =>
  call('POST', `${PATH}/import?${query}`, text, TEXT)

const count = async (): Promise<number> =>
  (await api.pool.query('SELECT count(*) FROM geofences WHERE organization_id = $1', [api.north.id])).rows[0]
    .count

function square(name: string, longitude: number, latitude: number, half = 0.01) {
  const [west, south, east, north] = [longitude - half, latitude - half, longitude + half, latitude + half]
  const coordinates = [
    [
      [west, south],
      [east, south],
      [east, north],
      [west, north],
      [west, south],
    ],
  ]
  return { type: 'Feature', properties: { name }, geometry: { type: 'Polygon', coordinates } }
}

const collection = (...features: object[]) => JSON.stringify({ type: 'FeatureCollection', features })

describe('an import', () => {
  it('makes a geofence of each feature, with the rules and the time zone that are given', async () => {
    const group = (await dispatcher('POST', '/api/v1/device-groups', { name: 'vans' })).body.id
    const rules = encodeURIComponent(JSON.stringify([{ group, dwellS: 300 }]))
    const text = collection(square('depot', 10, 50), square('harbour', 179.995, 50), {
      type: 'Feature',
      properties: { name: 'stop', radiusM: 40 },
      geometry: { type: 'Point', coordinates: [11, 50] },
    })
    const { status, body } = await send(text, `format=geojson&timeZone=Europe/Berlin&rules=${rules}`)
    expect(status, JSON.stringify(body)).toBe(201)
    expect(body.created).toBe(3)
    expect(body.features).toEqual([
      { name: 'depot', id: expect.any(Number), error: null },
      { name: 'harbour', id: expect.any(Number), error: null },
      { name: 'stop', id: expect.any(Number), error: null },
    ])
    for (const { name, id } of body.features) {
      const geofence = (await dispatcher('GET', `${PATH}/${id}`)).body
      expect(geofence).toMatchObject({
        name,
        timeZone: 'Europe/Berlin',
        rules: [{ group, dwellS: 300, enter: true }],
      })
    }
    const stop = (await dispatcher('GET', `${PATH}/${body.features[2].id}`)).body
    expect(stop.shape).toEqual({ type: 'Circle', center: [11, 50], radiusM: 40 })
    const near = await dispatcher('GET', `${PATH}?bbox=-180,49,-179.999,51`)
    expect(near.body.items.map(({ name }: { name: string }) => name)).toEqual(['harbour'])
  })

  it('reads KML and well-known text', async () => {
    const kml = `<kml xmlns="http://www.opengis.net/kml/2.2"><Placemark><name>lot</name><Polygon><outerBoundaryIs><LinearRing>
      <coordinates>20,50 20.1,50 20.1,50.1 20,50</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark></kml>`
    expect((await send(kml, 'format=kml')).body.features).toMatchObject([{ name: 'lot', error: null }])
    const wkt = 'POINT (21 50)\nLINESTRING (22 50, 22.1 50)'
    const { body } = await send(wkt, 'format=wkt&radiusM=25.5&halfWidthM=10')
    expect(body.created).toBe(2)
    const shapes = await Promise.all(
      body.features.map(
        async ({ id }: { id: number }) => (await dispatcher('GET', `${PATH}/${id}`)).body.shape,
      ),
    )
    expect(shapes).toMatchObject([
      { type: 'Circle', radiusM: 25.5 },
      { type: 'Corridor', halfWidthM: 10 },
    ])
  })

  it('is of all features or none, unless a part will do', async () => {
    const bow = square('bow', 30, 50)
    const ring = bow.geometry.coordinates[0]!
    ring.splice(1, 2, ring[2]!, ring[1]!)
    const text = collection(square('good', 31, 50), bow, square('better', 32, 50))
    const before = await count()
    const refused = await send(text, 'format=geojson')
    expect([refused.status, refused.body.code]).toEqual([422, 'import-refused'])
    expect(refused.body.features).toMatchObject([
      { name: 'good', id: null, error: null },
      { name: 'bow', id: null, error: { code: 'shape-self-crossing' } },
      { name: 'better', id: null, error: null },
    ])
    expect(await count()).toBe(before)
    const part = await send(text, 'format=geojson&partial=true')
    expect(part.status).toBe(201)
    expect(part.body.created).toBe(2)
    expect(part.body.features).toMatchObject([
      { name: 'good', id: expect.any(Number), error: null },
      { name: 'bow', id: null, error: { code: 'shape-self-crossing' } },
      { name: 'better', id: expect.any(Number), error: null },
    ])
    const none = await send(collection(bow), 'format=geojson&partial=true')
    expect([none.status, none.body.features.length]).toEqual([422, 1])
    expect(await count()).toBe(before + 2)
  })

  it('keeps to the limits of overlaps, also among its own features', async () => {
    const stack = Array.from({ length: 7 }, (_, i) => square(`stack ${i}`, 40, 50, 0.01 + i / 1000))
    const before = await count()
    const refused = await send(collection(...stack), 'format=geojson')
    expect(refused.body.features.map(({ error }: { error: object | null }) => error !== null)).toEqual(
      [0, 0, 0, 0, 0, 1, 1].map(Boolean),
    )
    expect(await count()).toBe(before)
    const part = await send(collection(...stack), 'format=geojson&partial=true')
    expect(part.body.created).toBe(5)
    const again = await send(collection(square('one more', 40, 50)), 'format=geojson')
    expect(again.body.features[0].error.code).toBe('geofence-overlaps')
    expect(limitsMet).toContain('geofenceOverlapsMax')
  })

  it('takes as many features as a file may have, and no more than there is room for', async () => {
    const many = Array.from({ length: 10_000 }, (_, i) =>
      square(`m${i}`, -100 + (i % 100) / 5, -50 + i / 500, 0.001),
    )
    const text = collection(...many)
    const { status, body } = await send(text, 'format=geojson')
    expect(status, JSON.stringify(body).slice(0, 500)).toBe(201)
    expect(body.created).toBe(10_000)
    const ids = body.features.map(({ id }: { id: number }) => id)
    const { rows } = await api.pool.query(
      'SELECT id FROM geofences WHERE id = ANY ($1) AND name = (ARRAY(SELECT unnest($2::text[])))[array_position($1, id)]',
      [ids, many.map(({ properties }) => properties.name)],
    )
    expect(rows).toHaveLength(10_000)
    const over = Array.from({ length: 10_000 }, (_, i) =>
      square(`o${i}`, 100 + (i % 100) / 5, -50 + i / 500, 0.001),
    )
    const refused = await send(collection(...over), 'format=geojson')
    expect(refused.status).toBe(422)
    expect(refused.body.features.at(-1).error.code).toBe('too-many-geofences')
  })
})

describe('an import of hostile input', () => {
  it.each([
    ['no JSON', 'geojson', '{"type":'],
    ['no GeoJSON', 'geojson', '{"type":"Topology"}'],
    ['brackets in brackets', 'geojson', `${'['.repeat(200_000)}`],
    ['nothing', 'wkt', '\n\n'],
    ['no text', 'wkt', 'POLYGON'],
    ['NaN', 'wkt', 'POLYGON ((NaN 0, 1 1, 1 0, NaN 0))'],
    ['brackets in brackets', 'wkt', `POLYGON ${'('.repeat(200_000)}`],
    ['no XML', 'kml', 'kml'],
    [
      'entities of entities',
      'kml',
      `<!DOCTYPE kml [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><kml><Placemark><name>&b;</name></Placemark></kml>`,
    ],
  ])('is refused: %s (%s)', async (_, format, text) => {
    const { status, body } = await send(text, `format=${format}`)
    expect([status, body.code]).toEqual([422, 'import-refused'])
  })

  it('is refused unread when it is too long', async () => {
    const path = `${PATH}/import?format=geojson`
    expect(await refusedUnread(api, path, IMPORT_BYTES_MAX + 1)).toBe(413)
  })

  it('is refused for parameters that are not valid', async () => {
    const text = collection(square('x', 60, 50))
    for (const query of [
      '',
      'format=shp',
      'format=geojson&partial=yes',
      'format=geojson&rules=[',
      'format=geojson&rules=[]',
      'format=geojson&rules={}',
      'format=geojson&rules=[{"dwellS":0}]',
      'format=geojson&rules=[{"group":2000000}]',
      'format=geojson&timeZone=Mars',
      'format=geojson&radiusM=-1',
    ]) {
      const { status } = await send(text, query.replaceAll('"', '%22'))
      expect(status, query).toBe(400)
    }
  })
})

describe('roles and tenants', () => {
  it('let dispatchers import, into their own organisation', async () => {
    const text = collection(square('roles', 70, 50))
    for (const role of ['viewer', 'driver'] as const) {
      expect((await send(text, 'format=geojson', api.north.as[role])).status).toBe(403)
    }
    const theirs = `format=geojson&organizationId=${api.north.id}`
    expect((await send(text, theirs, api.south.as.admin)).status).toBe(403)
    const group = (await dispatcher('POST', '/api/v1/device-groups', { name: 'ours' })).body.id
    const named = await send(text, `format=geojson&rules=[{%22group%22:${group}}]`, api.south.as.admin)
    expect([named.status, named.body.errors[0]]).toMatchObject([400, { in: 'query', field: 'rules.0.group' }])
    const root = api.north.as['super-admin']
    const unnamed = await send(text, 'format=geojson', root)
    expect([unnamed.status, unnamed.body.errors[0].in]).toEqual([400, 'query'])
    expect((await send(text, theirs, root)).status).toBe(201)
  })
})
