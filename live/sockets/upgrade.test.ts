import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { STREAM_PATH } from '../../schemas/stream.ts'
import { sessionToken } from '../../test/sessions.ts'
import { ALLOWED_ORIGIN, JWT_SECRET, StreamClient, StreamFixture } from '../../test/stream-fixture.ts'

interface Attempt {
  readonly query?: string
  readonly protocols?: string[]
  readonly headers?: Record<string, string>
}

describe('connecting to the stream', () => {
  let stream: StreamFixture
  let organizationId: number
  let userId: number
  const sockets: WebSocket[] = []

  beforeAll(async () => {
    stream = await StreamFixture.create()
    organizationId = await stream.organization()
    userId = await stream.user(organizationId, 'viewer')
    await stream.start({ limits: { socketsMax: 3, socketsPerUserMax: 2 } })
  })
  afterEach(async () => {
    const open = sockets.splice(0).filter(({ readyState }) => readyState === WebSocket.OPEN)
    await Promise.all(
      open.map((socket) => {
        socket.close()
        return once(socket, 'close')
      }),
    )
  })
  afterAll(() => stream.stop())

  const bearer = async (id = userId) => ({
    Authorization: `Bearer ${await sessionToken(stream.owner, { userId: id, organizationId, role: 'viewer' }, JWT_SECRET)}`,
  })

  function attempt({ query = '', protocols = [], headers = {} }: Attempt): WebSocket {
    const socket = new WebSocket(stream.url(query), protocols, { headers })
    socket.on('error', () => undefined)
    sockets.push(socket)
    return socket
  }

  async function opens(options: Attempt): Promise<WebSocket> {
    const socket = attempt(options)
    await once(socket, 'open')
    return socket
  }

  async function refused(options: Attempt): Promise<{ status: number; code: string; detail: string }> {
    const socket = attempt(options)
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage]
    return bodyOf(response)
  }

  async function bodyOf(
    response: IncomingMessage,
  ): Promise<{ status: number; code: string; detail: string }> {
    let body = ''
    for await (const piece of response) body += piece
    expect(response.headers['content-type']).toBe('application/problem+json')
    const problem = JSON.parse(body)
    expect(problem.status).toBe(response.statusCode)
    return problem
  }

  async function get(path: string, method = 'GET') {
    const sent = request({ port: stream.live.port, host: '127.0.0.1', path, method }).end()
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    return bodyOf(response)
  }

  test('lets in with a ticket, once', async () => {
    const query = `?ticket=${await stream.ticket(userId)}`
    await opens({ query })
    expect(await refused({ query })).toMatchObject({ status: 401, code: 'ticket-invalid' })
  })

  test('a ticket spent by two at once lets in one', async () => {
    const query = `?ticket=${await stream.ticket(userId)}`
    const outcomes = await Promise.all(
      [attempt({ query }), attempt({ query })].map(
        (socket) =>
          new Promise((resolve) => {
            socket.on('open', () => resolve('open'))
            socket.on('close', () => resolve('closed'))
          }),
      ),
    )
    expect(outcomes.sort()).toEqual(['closed', 'open'])
  })

  test('refuses an expired ticket, a ticket of a disabled user, and none', async () => {
    expect(await refused({ query: `?ticket=${await stream.ticket(userId, -1)}` })).toMatchObject({
      status: 401,
      code: 'ticket-invalid',
    })
    const disabled = await stream.user(organizationId, 'viewer')
    const query = `?ticket=${await stream.ticket(disabled)}`
    await stream.owner.query('UPDATE users SET disabled = true WHERE id = $1', [disabled])
    expect(await refused({ query })).toMatchObject({ status: 401, code: 'ticket-invalid' })
    expect(await refused({ query: `?ticket=${'x'.repeat(3_000)}` })).toMatchObject({ status: 401 })
    expect(await refused({})).toMatchObject({ status: 401, code: 'not-logged-in' })
  })

  test('lets in with an access token, and refuses one that is not ours', async () => {
    await opens({ headers: await bearer() })
    const foreign = await sessionToken(
      stream.owner,
      { userId, organizationId, role: 'viewer' },
      'x'.repeat(32),
    )
    for (const Authorization of [
      `Bearer ${foreign}`,
      'Bearer',
      'Basic YTpi',
      `Bearer ${'x'.repeat(3_000)}`,
    ]) {
      expect(await refused({ headers: { Authorization } })).toMatchObject({
        status: 401,
        code: 'token-invalid',
      })
    }
  })

  test('lets in pages of allowed origins only', async () => {
    const headers = await bearer()
    await opens({ headers: { ...headers, Origin: ALLOWED_ORIGIN } })
    for (const Origin of [
      'https://evil.example',
      `${ALLOWED_ORIGIN}.evil.example`,
      `${ALLOWED_ORIGIN}:8443`,
      'http://fleet.example',
      'null',
    ]) {
      expect(await refused({ headers: { ...headers, Origin } })).toMatchObject({
        status: 403,
        code: 'origin-not-allowed',
      })
    }
    expect(await stream.metric('fleetflow_stream_refused_total', { reason: 'origin-not-allowed' })).toBe(5)
  })

  test('a wrong origin does not spend the ticket', async () => {
    const query = `?ticket=${await stream.ticket(userId)}`
    expect(await refused({ query, headers: { Origin: 'https://evil.example' } })).toMatchObject({
      status: 403,
    })
    await opens({ query })
  })

  test('takes the first subprotocol that it knows, JSON if none is asked for', async () => {
    const headers = await bearer()
    expect((await opens({ headers })).protocol).toBe('')
    expect(
      (await opens({ headers, protocols: ['other', 'fleetflow.msgpack', 'fleetflow.json'] })).protocol,
    ).toBe('fleetflow.msgpack')
    expect(await refused({ headers, protocols: ['other'] })).toMatchObject({
      status: 400,
      code: 'unknown-subprotocol',
    })
  })

  test('refuses one socket too many of a user and of all, and has room again when one has closed', async () => {
    const headers = await bearer()
    const limitMet = (limit: string) => stream.metric('fleetflow_stream_limits_total', { limit })
    const open = await Promise.all([1, 2].map(() => opens({ headers })))
    expect(await refused({ headers })).toMatchObject({
      status: 503,
      code: 'too-many-sockets',
      detail: expect.stringContaining('close some'),
    })
    expect(await limitMet('socketsPerUserMax')).toBe(1)
    const other = await bearer(await stream.user(organizationId, 'viewer'))
    await opens({ headers: other })
    expect(await refused({ headers: other })).toMatchObject({ status: 503, code: 'too-many-sockets' })
    expect(await limitMet('socketsMax')).toBe(1)
    open[0]!.close()
    await once(open[0]!, 'close')
    await opens({ headers })
    expect(await stream.metric('fleetflow_stream_sockets')).toBe(3)
  })

  test('a client that goes away while its ticket is redeemed leaves its place free', async () => {
    const lock = new pg.Client({ connectionString: stream.database.url })
    await lock.connect()
    await lock.query('BEGIN; LOCK TABLE stream_tickets IN ACCESS EXCLUSIVE MODE')
    for (let i = 0; i < 3; i++) {
      const socket = connect(stream.live.port, '127.0.0.1')
      await once(socket, 'connect')
      socket.write(
        `GET ${STREAM_PATH}?ticket=t HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
      )
      await waitingForLock(lock, i + 1)
      socket.destroy()
    }
    expect(await refused({ headers: await bearer() })).toMatchObject({ status: 503 })
    await lock.query('ROLLBACK')
    await idle(lock)
    await lock.end()
    const query = `?ticket=${await stream.ticket(userId)}`
    await opens({ query })
  })

  test('refuses a handshake that asks for the connection to be closed', async () => {
    const { Authorization } = await bearer()
    const socket = connect(stream.live.port, '127.0.0.1')
    socket.end(
      `GET ${STREAM_PATH} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: close\r\n` +
        `Authorization: ${Authorization}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n` +
        'Sec-WebSocket-Version: 13\r\n\r\n',
    )
    let answer = ''
    for await (const piece of socket) answer += piece
    expect(answer).toMatch(/^HTTP\/1.1 426 /)
  })

  test('answers 426 to a request that is no WebSocket, and 404 beside the path', async () => {
    expect(await get(STREAM_PATH)).toMatchObject({ status: 426, code: 'not-a-websocket' })
    expect(await get('/')).toMatchObject({ status: 404, code: 'not-found' })
    expect(await get('/api/v1/streams', 'POST')).toMatchObject({ status: 404 })
    const socket = new WebSocket(`ws://127.0.0.1:${stream.live.port}/other`)
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage]
    expect(response.statusCode).toBe(404)
  })

  test('closes the socket of a user who was disabled or has another role now', async () => {
    const other = await StreamFixture.create()
    try {
      const organization = await other.organization()
      const stays = await other.user(organization, 'viewer')
      const leaves = await other.user(organization, 'viewer')
      const changes = await other.user(organization, 'admin')
      await other.start({ userCheckMs: 20 })
      const open = async (id: number) => {
        const client = new StreamClient(new WebSocket(other.url(`?ticket=${await other.ticket(id)}`)))
        await once(client.socket, 'open')
        return client
      }
      const staying = await open(stays)
      const leaving = await open(leaves)
      const changing = await open(changes)
      await other.owner.query('UPDATE users SET disabled = true WHERE id = $1', [leaves])
      await other.owner.query("UPDATE users SET role = 'viewer' WHERE id = $1", [changes])
      expect(await leaving.closed).toMatchObject({ code: 1008 })
      expect(await changing.closed).toMatchObject({ code: 1008 })
      expect(await staying.subscribe(1)).toMatchObject([{ type: 'live', id: 1 }])
    } finally {
      await other.stop()
    }
  })
})

/** Waits until so many connections wait for the lock. */
function waitingForLock(client: pg.Client, count: number): Promise<void> {
  return until(
    client,
    `SELECT count(*) = ${count} AS done FROM pg_locks WHERE NOT granted AND relation = 'stream_tickets'::regclass`,
  )
}

/** Waits until no connection of live has work to do. */
function idle(client: pg.Client): Promise<void> {
  return until(
    client,
    `SELECT count(*) = 0 AS done FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'fleetflow live' AND state <> 'idle'`,
  )
}

async function until(client: pg.Client, sql: string): Promise<void> {
  while (!(await client.query(sql)).rows[0].done);
}
