import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiFixture, apiFixture, type Call } from './api-fixture.ts'

let api: ApiFixture
let root: Call

beforeAll(async () => {
  api = await apiFixture()
  root = api.north.as['super-admin']
})
afterAll(() => api.close())

const path = '/api/v1/organizations'

describe('organisations', () => {
  it('are created, read, renamed and deleted with what they have', async () => {
    const created = await root('POST', path, { name: 'West' })
    expect(created.status).toBe(201)
    const { id } = created.body
    expect(created.body).toEqual({ id, name: 'West', createdAt: expect.stringMatching(/^\d{4}-.*Z$/) })
    expect((await root('GET', `${path}/${id}`)).body).toEqual(created.body)
    expect((await root('PATCH', `${path}/${id}`, { name: 'Far West' })).body).toEqual({
      ...created.body,
      name: 'Far West',
    })
    const device = await api.addDevice(id, 'of the west')
    expect((await root('DELETE', `${path}/${id}`)).status).toBe(204)
    expect((await root('GET', `${path}/${id}`)).status).toBe(404)
    expect((await root('GET', `/api/v1/devices/${device}`)).status).toBe(404)
    expect((await root('DELETE', `${path}/${id}`)).status).toBe(404)
    expect((await root('PATCH', `${path}/${id}`, { name: 'x' })).status).toBe(404)
  })

  it('have names of their own', async () => {
    for (const answer of [
      await root('POST', path, { name: 'north' }),
      await root('PATCH', `${path}/${api.south.id}`, { name: 'north' }),
    ])
      expect([answer.status, answer.body.code]).toEqual([409, 'name-taken'])
  })

  it('are seen by their own users, each one', async () => {
    for (const call of Object.values(api.north.as).slice(1)) {
      const { body } = await call('GET', path)
      expect(body.items.map(({ id }: { id: number }) => id)).toEqual([api.north.id])
      expect(body.next).toBeNull()
      expect((await call('GET', `${path}/${api.north.id}`)).body.name).toBe('north')
    }
  })

  it('are listed in pages', async () => {
    const first = (await root('GET', `${path}?limit=1`)).body
    const second = (await root('GET', `${path}?limit=1&cursor=${first.next}`)).body
    expect([...first.items, ...second.items].map(({ id }) => id)).toEqual([api.north.id, api.south.id])
    expect(second.next).toBeNull()
  })
})
