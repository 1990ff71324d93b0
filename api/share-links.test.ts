import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type ApiFixture, apiFixture, type Call } from './api-fixture.ts'
import { LOGIN_FAILURES_ADDRESS_MAX } from './auth.ts'
import { tokenHash } from './sessions.ts'
import { SHARE_LINKS_MAX } from './share-links.ts'

const path = '/api/v1/share-links'
const DAY_MS = 24 * 3600 * 1000
const inDays = (days: number) => new Date(Date.now() + days * DAY_MS).toISOString()

let api: ApiFixture
let dispatcher: Call
let device: number
let foreign: number

beforeAll(async () => {
  api = await apiFixture({ trustedProxy: true })
  dispatcher = api.north.as.dispatcher
  device = await api.addDevice(api.north.id, 'shared & seen')
  foreign = await api.addDevice(api.south.id, 'foreign')
})
beforeEach(() => api.pool.query('DELETE FROM share_links'))
afterAll(() => api.close())

const link = (more: object = {}) => ({
  name: 'For a customer',
  devices: [device],
  expiresAt: inDays(1),
  ...more,
})
const made = async (more: object = {}) => (await dispatcher('POST', path, link(more))).body
let clients = 0
/** As somebody who has never asked before. */
const stranger = (method: string, token: string, of = '') =>
  api.nobody(method, `/api/v1/share/${token}${of}`, undefined, {
    'X-Forwarded-For': `198.51.100.${++clients}`,
  })

describe('share links', () => {
  it('are made, listed and taken back', async () => {
    const expiresAt = inDays(30)
    const { status, body } = await dispatcher('POST', path, link({ expiresAt, delayS: 300 }))
    expect(status).toBe(201)
    const { token, ...shown } = body
    expect(shown).toEqual({
      id: expect.any(Number),
      organizationId: api.north.id,
      name: 'For a customer',
      devices: [device],
      group: null,
      delayS: 300,
      expiresAt,
      createdBy: api.north.userIds.dispatcher,
      createdAt: expect.stringMatching(/Z$/),
    })
    expect((await dispatcher('GET', path)).body).toEqual({ items: [shown], next: null })
    expect((await api.south.as.admin('GET', path)).body.items).toEqual([])
    expect((await api.south.as.admin('DELETE', `${path}/${shown.id}`)).status).toBe(404)
    expect((await stranger('GET', token)).status).toBe(200)
    expect((await dispatcher('DELETE', `${path}/${shown.id}`)).status).toBe(204)
    expect((await dispatcher('DELETE', `${path}/${shown.id}`)).status).toBe(404)
    expect((await stranger('GET', token)).status).toBe(404)
    expect((await stranger('POST', token, '/tickets')).status).toBe(404)
  })

  it('show own devices or an own group, for at most 30 days', async () => {
    const group = (await api.south.as.admin('POST', '/api/v1/device-groups', { name: 'theirs' })).body.id
    for (const [wrong, status] of [
      [{ devices: [foreign] }, 404],
      [{ devices: [device, foreign] }, 404],
      [{ devices: undefined, group }, 404],
      [{ devices: [] }, 400],
      [{ devices: undefined }, 400],
      [{ group: 1 }, 400],
      [{ name: '' }, 400],
      [{ expiresAt: inDays(-1) }, 400],
      [{ expiresAt: inDays(30.1) }, 400],
      [{ expiresAt: 'soon' }, 400],
      [{ delayS: 3601 }, 400],
      [{ delayS: -1 }, 400],
      [{ organizationId: api.south.id }, 403],
    ] as const) {
      expect((await dispatcher('POST', path, link(wrong))).status, JSON.stringify(wrong)).toBe(status)
    }
    expect((await dispatcher('GET', path)).body.items).toEqual([])
  })

  it('are limited in number, and those that have expired make room', async () => {
    await api.pool.query(
      `INSERT INTO share_links (organization_id, name, delay_s, expires_at, token_hash, created_by)
       SELECT $1, n, 0, now() + CASE WHEN n = 1 THEN interval '-1 s' ELSE interval '1 day' END, n::text::bytea, 1
       FROM generate_series(1, $2) n`,
      [api.north.id, SHARE_LINKS_MAX],
    )
    expect((await dispatcher('POST', path, link())).status).toBe(201)
    const { status, body } = await dispatcher('POST', path, link())
    expect([status, body.code]).toEqual([409, 'too-many-share-links'])
    expect((await api.south.as.admin('POST', path, link({ devices: [foreign] }))).status).toBe(201)
  })

  it('keep a hash of their token only, which is in no answer and no log', async () => {
    const { id, token } = await made()
    const { rows } = await api.pool.query('SELECT token_hash FROM share_links WHERE id = $1', [id])
    expect(rows[0].token_hash).toEqual(tokenHash(token))
    await api.pool.query('ALTER FUNCTION open_share_link RENAME TO elsewhere')
    expect((await stranger('GET', token)).status).toBe(500)
    await api.pool.query('ALTER FUNCTION elsewhere RENAME TO open_share_link')
    const missing = await stranger('GET', `${token.slice(1)}x`)
    expect(missing.status).toBe(404)
    expect(JSON.stringify(missing.body)).not.toContain(token.slice(1))
    expect(api.logged.some(({ path: logged }) => logged === '/api/v1/share/…')).toBe(true)
    const dump = await api.pool.query(
      'SELECT l::text FROM share_links l UNION ALL SELECT t::text FROM stream_tickets t',
    )
    expect(JSON.stringify([api.logged, dump.rows])).not.toContain(token)
    expect(await api.registry.metrics()).not.toContain(token)
  })
})

describe('whoever has a link', () => {
  it('is told what it shows, and gets a ticket', async () => {
    const { token, expiresAt } = await made({ delayS: 60 })
    const shown = await stranger('GET', token)
    expect([shown.status, shown.body]).toEqual([
      200,
      { name: 'For a customer', expiresAt, delayS: 60, devices: [{ id: device, name: 'shared & seen' }] },
    ])
    const { status, body } = await stranger('POST', token, '/tickets')
    expect([status, body]).toEqual([
      201,
      { ticket: expect.any(String), url: 'ws://127.0.0.1:8081/api/v1/stream', expiresIn: 30 },
    ])
    const { rows } = await api.pool.query('SELECT * FROM redeem_stream_ticket($1)', [tokenHash(body.ticket)])
    expect(rows).toMatchObject([{ user_id: null, organization_id: api.north.id, role: null, delay_s: 60 }])
  })

  it('sees the devices that are in its group at the time', async () => {
    const { id: group } = (await dispatcher('POST', '/api/v1/device-groups', { name: 'shown' })).body
    const { token } = await made({ devices: undefined, group })
    const devices = async () => (await stranger('GET', token)).body.devices
    expect(await devices()).toEqual([])
    await dispatcher('PUT', `/api/v1/device-groups/${group}/devices/${device}`)
    expect(await devices()).toEqual([{ id: device, name: 'shared & seen' }])
    await dispatcher('DELETE', `/api/v1/device-groups/${group}`)
    expect((await stranger('GET', token)).status).toBe(404)
  })

  it('is told nothing when it has expired, nor by a token that is none', async () => {
    const { id, token } = await made()
    await api.pool.query("UPDATE share_links SET expires_at = now() - interval '1 s' WHERE id = $1", [id])
    for (const wrong of [token, 'x', '..', '%00', 'x'.repeat(300)]) {
      for (const [method, of] of [
        ['GET', ''],
        ['POST', '/tickets'],
      ] as const) {
        expect((await stranger(method, wrong, of)).status, wrong).toBeGreaterThanOrEqual(400)
      }
    }
  })

  it('may not have too many tickets wait', async () => {
    const { id, token } = await made()
    await api.pool.query(
      `INSERT INTO stream_tickets (ticket_hash, share_link_id, expires_at)
       SELECT n::text::bytea, $1, now() + interval '1 minute' FROM generate_series(1, 100) n`,
      [id],
    )
    const { status, body } = await stranger('POST', token, '/tickets')
    expect([status, body.code]).toEqual([429, 'too-many-tickets'])
    await api.pool.query("UPDATE stream_tickets SET expires_at = now() - interval '1 s'")
    expect((await stranger('POST', token, '/tickets')).status).toBe(201)
  })

  it('is locked out after too many wrong tokens, as with passwords', async () => {
    const { token } = await made()
    const ask = (of: string) =>
      api.nobody('GET', `/api/v1/share/${of}`, undefined, { 'X-Forwarded-For': '203.0.113.9' })
    for (let i = 0; i < LOGIN_FAILURES_ADDRESS_MAX; i++) {
      expect((await ask('y'.repeat(43))).status).toBe(404)
      // A right one is no attempt.
      if (i % 10 === 0) expect((await ask(token)).status).toBe(200)
    }
    const { status, headers } = await ask(token)
    expect(status).toBe(429)
    expect(Number(headers.get('Retry-After'))).toBeGreaterThan(0)
    expect((await stranger('GET', token)).status).toBe(200)
  })

  it('reaches nothing else with it', async () => {
    const { token } = await made()
    for (const of of [`devices/${device}`, 'positions', `devices/${device}/track`, 'share-links']) {
      const { status } = await api.caller(token)('GET', `/api/v1/${of}`)
      expect([of, status]).toEqual([of, 401])
    }
  })
})
