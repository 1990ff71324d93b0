/** Sockets of the stream end with the sessions that they hang on: logged in over the API, with the checks of production. */
import { once } from 'node:events'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { type ApiFixture, apiFixture, JWT_SECRET, PASSWORD } from '../api/api-fixture.ts'
import { type LiveServer, startLive } from '../live/server.ts'
import { STREAM_PATH } from '../schemas/stream.ts'
import { StreamClient } from './stream-fixture.ts'

/** What was promised. */
const CLOSED_WITHIN_MS = 5_000

let api: ApiFixture
let live: LiveServer
const sockets: WebSocket[] = []

beforeAll(async () => {
  api = await apiFixture()
  live = await startLive(
    {
      host: '127.0.0.1',
      port: 0,
      allowedOrigins: [],
      databaseUrl: api.databaseUrl,
      jwtSecret: JWT_SECRET,
      logLevel: 'silent',
    },
    [],
  )
})
afterAll(async () => {
  for (const socket of sockets) socket.terminate()
  await live.stop()
  await api.close()
})

const EMAIL = 'guest@north.example.com'
const OTHER_PASSWORD = 'another good password'
let userId: number
let session: Session

interface Session {
  readonly accessToken: string
  readonly refreshToken: string
}

beforeEach(async () => {
  await api.pool.query('DELETE FROM users WHERE email = $1', [EMAIL])
  const created = await api.north.as.admin('POST', '/api/v1/users', {
    email: EMAIL,
    role: 'viewer',
    password: PASSWORD,
  })
  userId = created.body.id
  session = await logIn()
})

async function logIn(): Promise<Session> {
  return (await api.nobody('POST', '/api/v1/auth/login', { email: EMAIL, password: PASSWORD })).body
}

const refresh = (refreshToken: string) => api.nobody('POST', '/api/v1/auth/refresh', { refreshToken })

async function open(query: string, headers: Record<string, string> = {}): Promise<StreamClient> {
  const socket = new WebSocket(`ws://127.0.0.1:${live.port}${STREAM_PATH}${query}`, { headers })
  sockets.push(socket)
  const client = new StreamClient(socket)
  await once(socket, 'open')
  return client
}

async function ticket({ accessToken }: Session): Promise<string> {
  const { status, body } = await api.caller(accessToken)('POST', '/api/v1/stream/tickets')
  expect(status).toBe(201)
  return body.ticket
}

const byTicket = async (of: Session) => open(`?ticket=${await ticket(of)}`)
const byToken = ({ accessToken }: Session) => open('', { Authorization: `Bearer ${accessToken}` })

/** The sockets are closed as the session's end asks, in time. */
async function expectClosed(clients: readonly StreamClient[], end: () => Promise<unknown>): Promise<void> {
  await end()
  const startMs = performance.now()
  for (const client of clients) expect(await client.closed).toMatchObject({ code: 1008 })
  expect(performance.now() - startMs).toBeLessThan(CLOSED_WITHIN_MS)
}

async function expectOpen(client: StreamClient): Promise<void> {
  expect(await client.subscribe(1)).toMatchObject([{ type: 'live' }])
}

it('sockets of a session are closed by its log-out, those of another of the same user stay', async () => {
  const other = await logIn()
  const clients = [await byTicket(session), await byToken(session)]
  const stays = await byTicket(other)
  await expectClosed(clients, () =>
    api.nobody('POST', '/api/v1/auth/logout', { refreshToken: session.refreshToken }),
  )
  await expectOpen(stays)
})

it('a session that is refreshed keeps its sockets, and the theft of a spent token closes them', async () => {
  const client = await byTicket(session)
  const { body: refreshed } = await refresh(session.refreshToken)
  const later = await byToken(refreshed)
  await expectOpen(client)
  await expectClosed([client, later], () => refresh(session.refreshToken))
})

it('sockets of a user who is disabled are closed', async () => {
  await expectClosed([await byTicket(session)], () =>
    api.north.as.admin('PATCH', `/api/v1/users/${userId}`, { disabled: true }),
  )
})

it('sockets of a user who gets another role are closed', async () => {
  await expectClosed([await byTicket(session)], () =>
    api.north.as.admin('PATCH', `/api/v1/users/${userId}`, { role: 'manager' }),
  )
})

it('sockets of a user who is deleted are closed', async () => {
  await expectClosed([await byToken(session)], () => api.north.as.admin('DELETE', `/api/v1/users/${userId}`))
})

it('sockets of a user whose password changes are closed, whoever changes it', async () => {
  const own = await api.caller(session.accessToken)('POST', '/api/v1/auth/password', {
    currentPassword: PASSWORD,
    newPassword: OTHER_PASSWORD,
  })
  const client = await byTicket(own.body)
  await expectOpen(client)
  await expectClosed([client], () =>
    api.north.as.admin('PATCH', `/api/v1/users/${userId}`, { password: PASSWORD }),
  )
  const again = await logIn()
  await expectClosed([await byTicket(again)], () =>
    api.caller(again.accessToken)('POST', '/api/v1/auth/password', {
      currentPassword: PASSWORD,
      newPassword: OTHER_PASSWORD,
    }),
  )
})

it('a session that has ended opens no socket, by token or ticket, and calls nothing', async () => {
  const waiting = await ticket(session)
  await api.nobody('POST', '/api/v1/auth/logout', { refreshToken: session.refreshToken })
  for (const [query, headers] of [
    [`?ticket=${waiting}`, {}],
    ['', { Authorization: `Bearer ${session.accessToken}` }],
  ] as const) {
    const { socket } = new StreamClient(
      new WebSocket(`ws://127.0.0.1:${live.port}${STREAM_PATH}${query}`, { headers }),
    )
    const [, response] = await once(socket, 'unexpected-response')
    expect(response.statusCode).toBe(401)
  }
  const { status, body } = await api.caller(session.accessToken)('GET', '/api/v1/devices')
  expect([status, body.code]).toEqual([401, 'token-outdated'])
})
