import { createHash } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ID_MAX } from '../schemas/text.ts'
import { type ApiFixture, apiFixture, type Call } from './api-fixture.ts'

let api: ApiFixture
let manager: Call
let root: Call

beforeAll(async () => {
  api = await apiFixture()
  manager = api.north.as.manager
  root = api.north.as['super-admin']
})
afterAll(() => api.close())

const path = '/api/v1/devices'

describe('devices', () => {
  it('are registered, read, changed and deleted', async () => {
    const created = await manager('POST', path, {
      uniqueId: '356307042441013',
      name: 'Truck 1',
      model: 'FMB130',
      options: { extended: true, timezone: 'Europe/Berlin', offset: -2.5 },
    })
    expect(created.status).toBe(201)
    const { id } = created.body
    expect(created.body).toEqual({
      id,
      organizationId: api.north.id,
      uniqueId: '356307042441013',
      name: 'Truck 1',
      model: 'FMB130',
      options: { extended: true, timezone: 'Europe/Berlin', offset: -2.5 },
      hasSecret: false,
      disabled: false,
      createdAt: expect.stringMatching(/^\d{4}-.*Z$/),
      updatedAt: created.body.createdAt,
    })
    expect((await api.north.as.viewer('GET', `${path}/${id}`)).body).toEqual(created.body)

    const changed = await manager('PATCH', `${path}/${id}`, { name: 'Lorry 1', disabled: true, options: {} })
    expect(changed.status).toBe(200)
    expect(changed.body).toMatchObject({ name: 'Lorry 1', disabled: true, options: {}, model: 'FMB130' })
    expect(changed.body.updatedAt > created.body.updatedAt).toBe(true)
    expect((await manager('PATCH', `${path}/${id}`, { disabled: false })).body.disabled).toBe(false)

    expect((await manager('DELETE', `${path}/${id}`)).status).toBe(204)
    expect((await manager('GET', `${path}/${id}`)).status).toBe(404)
    expect((await manager('DELETE', `${path}/${id}`)).status).toBe(404)
    expect((await manager('PATCH', `${path}/${id}`, { name: 'x' })).status).toBe(404)
  })

  it('show their password to nobody who may not set it', async () => {
    const options = { extended: true, devicePassword: '4321' }
    const { body } = await manager('POST', path, { uniqueId: '356307042441014', name: 'Lock', options })
    for (const role of ['super-admin', 'admin', 'manager'] as const) {
      expect((await api.north.as[role]('GET', `${path}/${body.id}`)).body.options).toEqual(options)
    }
    for (const role of ['dispatcher', 'viewer'] as const) {
      const { body: one } = await api.north.as[role]('GET', `${path}/${body.id}`)
      const { body: all } = await api.north.as[role]('GET', `${path}?search=Lock`)
      expect([one.options, all.items[0].options]).toEqual([{ extended: true }, { extended: true }])
    }
  })

  it('tell the engine of every change', async () => {
    const listener = new pg.Client({ connectionString: api.databaseUrl })
    await listener.connect()
    await listener.query('LISTEN devices')
    const told = () =>
      new Promise((resolve) => listener.once('notification', ({ payload }) => resolve(Number(payload))))
    let next = told()
    const { id } = (await manager('POST', path, { uniqueId: 'told', name: 'told' })).body
    expect(await next).toBe(id)
    next = told()
    await manager('POST', `${path}/${id}/secret`)
    expect(await next).toBe(id)
    next = told()
    await manager('DELETE', `${path}/${id}`)
    expect(await next).toBe(id)
    await listener.end()
  })

  it('have a uniqueId that no other device of any organisation has', async () => {
    await api.addDevice(api.south.id, 'taken')
    const other = await api.addDevice(api.north.id, 'free')
    for (const answer of [
      await manager('POST', path, { uniqueId: 'taken', name: 'x' }),
      await manager('PATCH', `${path}/${other}`, { uniqueId: 'taken' }),
    ])
      expect([answer.status, answer.body.code]).toEqual([409, 'unique-id-taken'])
  })

  it('are created by a super admin in the organisation they name', async () => {
    const body = { uniqueId: 'by root', name: 'x' }
    const unnamed = await root('POST', path, body)
    expect(unnamed.status).toBe(400)
    expect(unnamed.body.errors).toEqual([
      { in: 'body', field: 'organizationId', detail: expect.stringContaining('required') },
    ])
    const unknown = await root('POST', path, { ...body, organizationId: ID_MAX })
    expect([unknown.status, unknown.body.code]).toEqual([409, 'organization-unknown'])
    const created = await root('POST', path, { ...body, organizationId: api.south.id })
    expect(created.body.organizationId).toBe(api.south.id)
  })

  it.each([
    [{ uniqueId: 'a\u0000b', name: 'x' }, 'uniqueId'],
    [{ uniqueId: '', name: 'x' }, 'uniqueId'],
    [{ uniqueId: 'x'.repeat(129), name: 'x' }, 'uniqueId'],
    [{ uniqueId: 'x' }, 'name'],
    [{ uniqueId: 'x', name: ' padded' }, 'name'],
    [{ uniqueId: 'x', name: 'x', model: 7 }, 'model'],
    [{ uniqueId: 'x', name: 'x', options: [] }, 'options'],
    [{ uniqueId: 'x', name: 'x', options: { deep: { er: 1 } } }, 'options.deep'],
    [{ uniqueId: 'x', name: 'x', options: { 'no name': 1 } }, 'options.no name'],
    [{ uniqueId: 'x', name: 'x', secret_hash: 'x' }, 'secret_hash'],
    [{ uniqueId: 'x', name: 'x', organizationId: '1; DROP TABLE devices' }, 'organizationId'],
  ])('are refused as %j, naming the field', async (body, field) => {
    const answer = await manager('POST', path, body)
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid-request'])
    expect(answer.body.errors[0]).toMatchObject({ in: 'body', field })
    expect(answer.body.detail).toContain(field)
  })

  it.each([
    '0',
    '-1',
    '1.5',
    '1e3',
    '0x10',
    '2147483648',
    "1'--",
    '1;DROP TABLE devices',
    'abc',
    '%00',
    '%ff',
  ])('are not looked for by the id %s', async (id) => {
    const { status, body } = await manager('GET', `${path}/${id}`)
    expect([status, body.code]).toEqual([400, 'invalid-request'])
    expect(body.errors[0]).toMatchObject({ in: 'path', field: 'id' })
  })
})

describe('list of devices', () => {
  it('comes in pages without gaps or doubles while devices come and go', async () => {
    const call = api.south.as.manager
    const ids: number[] = []
    for (let i = 0; i < 45; i++)
      ids.push(await api.addDevice(api.south.id, `paged ${String(i).padStart(2, '0')}`))
    const seen: number[] = []
    let cursor = ''
    let pages = 0
    do {
      const { status, body } = await call('GET', `${path}?search=paged${cursor}`)
      expect(status).toBe(200)
      expect(body.items.length).toBeLessThanOrEqual(20)
      seen.push(...body.items.map(({ id }: { id: number }) => id))
      cursor = body.next === null ? '' : `&cursor=${body.next}`
      // One that was read goes away, one before the cursor changes: the pages after do not shift.
      if (pages++ === 0) await call('DELETE', `${path}/${ids[3]}`)
    } while (cursor !== '')
    expect(pages).toBe(3)
    expect(seen).toEqual(ids)
  })

  it('has no next page when the last row ends one', async () => {
    for (let i = 0; i < 4; i++) await api.addDevice(api.north.id, `even ${i}`)
    const first = (await manager('GET', `${path}?search=even&limit=2`)).body
    const second = (await manager('GET', `${path}?search=even&limit=2&cursor=${first.next}`)).body
    expect([first.items.length, second.items.length, second.next]).toEqual([2, 2, null])
  })

  it('is searched by name and uniqueId, in either case and letter by letter', async () => {
    await manager('POST', path, { uniqueId: '86-ABC_100%', name: 'Kühlwagen' })
    for (const search of ['kÜhl', 'abc_', '100%'])
      expect((await manager('GET', `${path}?search=${encodeURIComponent(search)}`)).body.items).toHaveLength(
        1,
      )
    for (const search of ['abc-', '%', "' OR true --"])
      expect((await manager('GET', `${path}?search=x${encodeURIComponent(search)}`)).body.items).toHaveLength(
        0,
      )
  })

  it.each([
    ['limit=0', 'limit'],
    ['limit=101', 'limit'],
    ['limit=ten', 'limit'],
    ['limit=1&limit=2', 'limit'],
    ['cursor=nonsense', 'cursor'],
    [`cursor=${Buffer.from('"x"').toString('base64url')}`, 'cursor'],
    ['search=', 'search'],
    ['search=%00', 'search'],
    ['organizationId=0', 'organizationId'],
  ])('is refused with %s', async (query, field) => {
    const { status, body } = await manager('GET', `${path}?${query}`)
    expect([status, body.code]).toEqual([400, 'invalid-request'])
    expect(body.errors[0]).toMatchObject({ in: 'query', field })
  })
})

describe('password of a device', () => {
  it('is shown once and stored as its hash', async () => {
    const id = await api.addDevice(api.north.id, 'secretive')
    const { status, body } = await manager('POST', `${path}/${id}/secret`)
    expect(status).toBe(201)
    expect(body.secret).toMatch(/^[\w-]{43}$/)
    const { rows } = await api.pool.query('SELECT secret_hash FROM devices WHERE id = $1', [id])
    expect(rows[0].secret_hash).toEqual(createHash('sha256').update(body.secret).digest())
    const device = await manager('GET', `${path}/${id}`)
    expect(device.body.hasSecret).toBe(true)
    expect(JSON.stringify(device.body)).not.toContain(body.secret)
    expect((await manager('POST', `${path}/${id}/secret`)).body.secret).not.toBe(body.secret)
    expect((await manager('DELETE', `${path}/${id}/secret`)).status).toBe(204)
    expect((await manager('GET', `${path}/${id}`)).body.hasSecret).toBe(false)
    expect(JSON.stringify(api.logged)).not.toContain(body.secret)
  })
})
