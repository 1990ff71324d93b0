import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiFixture, apiFixture, type Call, PASSWORD } from './api-fixture.ts'

let api: ApiFixture
let admin: Call
let root: Call

beforeAll(async () => {
  api = await apiFixture()
  admin = api.north.as.admin
  root = api.north.as['super-admin']
})
afterAll(() => api.close())

const path = '/api/v1/users'
const password = 'a password of the tests'
const logIn = (email: string, secret: string) =>
  api.nobody('POST', '/api/v1/auth/login', { email, password: secret })

describe('users', () => {
  it('are created, log in, are changed and deleted', async () => {
    const created = await admin('POST', path, {
      email: 'new@north.example.com',
      name: 'New',
      role: 'viewer',
      password,
    })
    expect(created.status).toBe(201)
    const { id } = created.body
    expect(created.body).toEqual({
      id,
      organizationId: api.north.id,
      email: 'new@north.example.com',
      name: 'New',
      role: 'viewer',
      disabled: false,
      createdAt: expect.stringMatching(/^\d{4}-.*Z$/),
    })
    expect((await admin('GET', `${path}/${id}`)).body).toEqual(created.body)
    expect((await logIn('new@north.example.com', password)).status).toBe(200)
    const changed = await admin('PATCH', `${path}/${id}`, { name: 'Newer', role: 'manager' })
    expect(changed.body).toEqual({ ...created.body, name: 'Newer', role: 'manager' })
    expect((await admin('DELETE', `${path}/${id}`)).status).toBe(204)
    expect((await admin('GET', `${path}/${id}`)).status).toBe(404)
    expect((await logIn('new@north.example.com', password)).status).toBe(401)
  })

  it('are logged out when they are disabled or given another password', async () => {
    const email = 'manager@north.example.com'
    const id = api.north.userIds.manager
    for (const change of [{ disabled: true }, { disabled: false, password }]) {
      const { refreshToken } = (await logIn(email, PASSWORD)).body
      expect((await admin('PATCH', `${path}/${id}`, change)).status).toBe(200)
      expect((await api.nobody('POST', '/api/v1/auth/refresh', { refreshToken })).status).toBe(401)
      await admin('PATCH', `${path}/${id}`, { disabled: false })
    }
    expect((await logIn(email, PASSWORD)).status).toBe(401)
    expect((await logIn(email, password)).status).toBe(200)
    const { rows } = await api.pool.query('SELECT password_hash FROM users WHERE id = $1', [id])
    expect(rows[0].password_hash).toMatch(/^\$2b\$12\$/)
  })

  it('have an e-mail address that nobody else has, in either case', async () => {
    const answers = [
      await admin('POST', path, { email: 'Viewer@South.example.com', role: 'viewer', password }),
      await admin('PATCH', `${path}/${api.north.userIds.driver}`, { email: 'VIEWER@south.example.com' }),
    ]
    for (const { status, body } of answers) expect([status, body.code]).toEqual([409, 'email-taken'])
  })

  it('are granted no more than the role of who grants it', async () => {
    for (const answer of [
      await admin('POST', path, { email: 'boss@north.example.com', role: 'super-admin', password }),
      await admin('PATCH', `${path}/${api.north.userIds.viewer}`, { role: 'super-admin' }),
    ])
      expect([answer.status, answer.body.code]).toEqual([403, 'forbidden'])
    const peer = await admin('POST', path, { email: 'peer@north.example.com', role: 'admin', password })
    expect(peer.status).toBe(201)
  })

  it('stay super admins, or never become one', async () => {
    const second = await root('POST', path, { email: 'root2@example.com', role: 'super-admin', password })
    expect([second.status, second.body.organizationId]).toEqual([201, null])
    for (const answer of [
      await root('PATCH', `${path}/${second.body.id}`, { role: 'admin' }),
      await root('PATCH', `${path}/${api.north.userIds.viewer}`, { role: 'super-admin' }),
    ])
      expect([answer.status, answer.body.code]).toEqual([409, 'role-fixed'])
    expect((await admin('GET', `${path}/${second.body.id}`)).status).toBe(404)
  })

  it('do not lock out or promote themselves', async () => {
    const own = `${path}/${api.north.userIds.admin}`
    for (const answer of [
      await admin('DELETE', own),
      await admin('PATCH', own, { disabled: true }),
      await admin('PATCH', own, { role: 'viewer' }),
      await admin('PATCH', own, { password }),
    ])
      expect([answer.status, answer.body.code]).toEqual([403, 'own-account'])
    expect((await admin('PATCH', own, { name: 'Me' })).body.name).toBe('Me')
  })

  it('are created by a super admin in the organisation they name', async () => {
    const user = { email: 'far@south.example.com', role: 'viewer', password }
    expect((await root('POST', path, user)).body.errors[0].field).toBe('organizationId')
    expect((await root('POST', path, { ...user, organizationId: 99_999 })).body.code).toBe(
      'organization-unknown',
    )
    expect((await root('POST', path, { ...user, organizationId: api.south.id })).status).toBe(201)
    const mixed = { ...user, role: 'super-admin', organizationId: api.south.id }
    expect((await root('POST', path, mixed)).status).toBe(400)
  })

  it('are listed in pages, all or of one organisation', async () => {
    const seen: { id: number; organizationId: number }[] = []
    let cursor = ''
    do {
      const { body } = await root('GET', `${path}?limit=3&organizationId=${api.south.id}${cursor}`)
      seen.push(...body.items)
      cursor = body.next === null ? '' : `&cursor=${body.next}`
    } while (cursor !== '')
    const { rows } = await api.pool.query('SELECT id FROM users WHERE organization_id = $1 ORDER BY id', [
      api.south.id,
    ])
    expect(seen.map(({ id }) => id)).toEqual(rows.map(({ id }) => id))
    expect(seen.length).toBeGreaterThan(4)
  })

  it.each([
    [{ email: 'no address' }, 'email'],
    [{ email: 'a@b' }, 'email'],
    [{ password: 'short' }, 'password'],
    [{ role: 'king' }, 'role'],
    [{ id: 7 }, 'id'],
  ])('are refused with %j, naming the field', async (wrong, field) => {
    const { status, body } = await admin('POST', path, {
      email: 'x@y.org',
      role: 'viewer',
      password,
      ...wrong,
    })
    expect(status).toBe(400)
    expect(body.errors.map((error: { field: string }) => error.field)).toEqual([field])
    // What was given may be a password with a typing error.
    expect(JSON.stringify(body)).not.toContain('short')
  })
})
