import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ApiFixture, apiFixture } from './api-fixture.ts'
import { tokenHash } from './sessions.ts'
import { STREAM_TICKETS_MAX } from './stream-tickets.ts'

let api: ApiFixture

beforeAll(async () => {
  api = await apiFixture({ streamUrl: () => 'wss://fleet.example.com' })
})
afterAll(() => api.close())

const ask = () => api.north.as.viewer('POST', '/api/v1/stream/tickets')

it('gives a ticket that can be redeemed once', async () => {
  const { status, body } = await ask()
  expect(status).toBe(201)
  expect(body).toEqual({
    ticket: expect.stringMatching(/^[\w-]{43}$/),
    url: 'wss://fleet.example.com/api/v1/stream',
    expiresIn: 30,
  })
  const redeem = () => api.pool.query('SELECT * FROM redeem_stream_ticket($1)', [tokenHash(body.ticket)])
  expect((await redeem()).rows).toEqual([
    {
      user_id: api.north.userIds.viewer,
      organization_id: api.north.id,
      role: 'viewer',
      session_id: expect.any(String),
      share_link_id: null,
      delay_s: 0,
    },
  ])
  expect((await redeem()).rows).toEqual([])
})

it('gives a ticket that is good for 30 s', async () => {
  const { ticket } = (await ask()).body
  const { rows } = await api.pool.query(
    'SELECT extract(epoch FROM expires_at - now())::float8 AS seconds FROM stream_tickets WHERE ticket_hash = $1',
    [tokenHash(ticket)],
  )
  expect(rows[0].seconds).toBeLessThanOrEqual(30)
  expect(rows[0].seconds).toBeGreaterThan(20)
})

it('refuses more tickets than may wait, until they expire', async () => {
  await api.pool.query('DELETE FROM stream_tickets')
  for (let i = 0; i < STREAM_TICKETS_MAX; i++) expect((await ask()).status).toBe(201)
  const { status, body, headers } = await ask()
  expect([status, body.code, headers.get('Retry-After')]).toEqual([429, 'too-many-tickets', '30'])
  await api.pool.query("UPDATE stream_tickets SET expires_at = now() - interval '1 s'")
  expect((await ask()).status).toBe(201)
  expect((await api.pool.query('SELECT FROM stream_tickets')).rowCount).toBe(1)
})
