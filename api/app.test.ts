import { once } from 'node:events'
import { connect } from 'node:net'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiFixture, apiFixture, type Call } from './api-fixture.ts'
import type { OpenApiDocument } from './docs.ts'
import { Problem } from './problem.ts'
import { BODY_BYTES_MAX } from './route.ts'

let api: ApiFixture
let manager: Call

beforeAll(async () => {
  api = await apiFixture()
  manager = api.north.as.manager
})
afterAll(() => api.close())

/** Sends bytes as they are, and gives what comes back before the connection ends. */
async function send(bytes: string): Promise<string> {
  const socket = connect(Number(new URL(api.origin).port), '127.0.0.1')
  let answer = ''
  socket.setEncoding('latin1').on('data', (text) => {
    answer += text
  })
  socket.write(bytes, 'latin1')
  await once(socket, 'close')
  return answer
}

describe('errors', () => {
  it('are problem details with a stable code', async () => {
    const { status, headers, body } = await manager('GET', '/api/v1/devices/999999')
    expect(status).toBe(404)
    expect(headers.get('Content-Type')).toBe('application/problem+json')
    expect(body).toEqual({
      type: 'about:blank',
      title: 'Not Found',
      status: 404,
      code: 'not-found',
      detail: 'There is no device 999999, or you may not see it.',
    })
  })

  it.each([
    ['a path that is none', 'GET', '/api/v1/nothing', undefined, {}, 404, 'not-found'],
    ['a path that is none, outside the API', 'POST', '/nothing', undefined, {}, 404, 'not-found'],
    ['a path with a slash too many', 'GET', '/api/v1/devices/', undefined, {}, 404, 'not-found'],
    ['broken JSON', 'POST', '/api/v1/devices', '{"name":', {}, 400, 'invalid-json'],
    ['no JSON', 'POST', '/api/v1/devices', '', {}, 400, 'invalid-json'],
    ['JSON that is no object', 'POST', '/api/v1/devices', '[]', {}, 400, 'invalid-request'],
    ['a form', 'POST', '/api/v1/devices', 'a=b', form(), 415, 'unsupported-media-type'],
    ['no body', 'PATCH', '/api/v1/devices/1', undefined, {}, 415, 'unsupported-media-type'],
    ['a body too long', 'POST', '/api/v1/devices', 'x'.repeat(BODY_BYTES_MAX + 1), {}, 413, 'body-too-large'],
  ])('tell of %s', async (_what, method, path, body, headers, status, code) => {
    const answer = await manager(method, path, body, headers)
    expect([answer.status, answer.body.code]).toEqual([status, code])
    Problem.parse(answer.body)
  })

  function form() {
    return { 'Content-Type': 'application/x-www-form-urlencoded' }
  }

  it('name the methods that a path has', async () => {
    for (const [method, path, allow] of [
      ['PUT', '/api/v1/devices', 'GET, HEAD, POST'],
      ['POST', '/api/v1/devices/1', 'GET, HEAD, PATCH, DELETE'],
      ['GET', '/api/v1/devices/1/secret', 'POST, DELETE'],
      ['GET', '/api/v1/auth/login', 'POST'],
      ['DELETE', '/health', 'GET, HEAD'],
      ['OPTIONS', '/api/v1/quarantine/claim', 'POST'],
      ['POST', '/docs', 'GET, HEAD'],
    ] as const) {
      const { status, body, headers } = await api.nobody(method, path)
      expect([path, status, body.code]).toEqual([path, 405, 'method-not-allowed'])
      expect(headers.get('Allow')).toBe(allow)
    }
  })

  it('tell of a body that is too long before it has come, and without its length', async () => {
    const head =
      'POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n'
    expect(await send(`${head}Content-Length: 99999999\r\n\r\n`)).toMatch(/^HTTP\/1.1 413 /)
    const chunk = `${BODY_BYTES_MAX.toString(16)}\r\n${'x'.repeat(BODY_BYTES_MAX)}\r\n`
    expect(await send(`${head}Transfer-Encoding: chunked\r\n\r\n${chunk}${chunk}0\r\n\r\n`)).toMatch(
      /^HTTP\/1.1 413 /,
    )
  })

  it('tell of a request that no URL can be made of', async () => {
    for (const request of [
      'GET / HTTP/1.1\r\nHost: a b',
      'GET \\ HTTP/1.1\r\nHost: x',
      'TRACE /health HTTP/1.1\r\nHost: x',
    ])
      expect(await send(`${request}\r\nConnection: close\r\n\r\n`)).toMatch(/^HTTP\/1.1 40[05] /)
  })

  it('of the database being away are a 503 and no stack trace', async () => {
    const pool = new pg.Pool({ host: '127.0.0.1', port: 1 })
    const lost = await apiFixture({ pool })
    const root = lost.north.as['super-admin']
    const login = { email: 'a@b.org', password: 'x' }
    for (const answer of [
      await root('GET', '/api/v1/devices'),
      await root('POST', '/api/v1/organizations', { name: 'x' }),
      await lost.nobody('POST', '/api/v1/auth/login', login),
    ]) {
      expect([answer.status, answer.body.code]).toEqual([503, 'database-unavailable'])
      expect(answer.headers.get('Retry-After')).toBe('5')
      expect(JSON.stringify(answer.body)).not.toMatch(/ECONNREFUSED|127\.0\.0\.1|at /)
    }
    await lost.close()
    await pool.end()
  })

  it('of a connection lost in the middle are a 503 too', async () => {
    const locker = new pg.Client({ connectionString: api.databaseUrl })
    await locker.connect()
    await locker.query('BEGIN; LOCK TABLE organizations')
    const waiting = api.north.as['super-admin']('GET', '/api/v1/organizations')
    let ended = 0
    while (ended === 0) {
      const { rowCount } = await locker.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      )
      ended = rowCount ?? 0
    }
    await locker.end()
    const { status, body } = await waiting
    expect([status, body.code]).toEqual([503, 'database-unavailable'])
    expect((await api.north.as['super-admin']('GET', '/api/v1/organizations')).status).toBe(200)
  })

  it('that nobody expected say nothing of themselves and are logged', async () => {
    const broken = await apiFixture({
      metrics: async () => {
        throw new Error('a secret of the house')
      },
    })
    const { status, body } = await broken.nobody('GET', '/metrics')
    expect([status, body.code]).toEqual([500, 'internal'])
    expect(JSON.stringify(body)).not.toContain('secret')
    expect(JSON.stringify(broken.logged)).toContain('a secret of the house')
    await broken.close()
  })
})

describe('every answer', () => {
  it('is kept by no cache, sniffed by no browser, framed by no page', async () => {
    for (const path of ['/health', '/api/v1/devices', '/api/v1/nothing']) {
      const { headers } = await manager('GET', path)
      expect(Object.fromEntries(headers)).toMatchObject({
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      })
      expect(headers.has('access-control-allow-origin')).toBe(false)
    }
  })

  it('is measured by the pattern of its path', async () => {
    await manager('GET', '/api/v1/devices/12345')
    await manager('GET', '/api/v1/no/such/path/12345')
    await manager('PROPFIND', '/api/v1/devices')
    const metrics = await api.registry.metrics()
    expect(metrics).toContain(
      'fleetflow_api_request_seconds_count{method="GET",route="/api/v1/devices/:id",status="404"}',
    )
    expect(metrics).toContain('fleetflow_api_request_seconds_count{method="GET",route="none",status="404"}')
    expect(metrics).toContain(
      'fleetflow_api_request_seconds_count{method="other",route="/api/v1/devices",status="405"}',
    )
    expect(metrics).not.toContain('12345')
  })

  it('to HEAD is that to GET without the body', async () => {
    const { status, body, headers } = await manager('HEAD', '/api/v1/devices')
    expect([status, body, headers.get('Content-Type')]).toEqual([200, undefined, 'application/json'])
  })
})

describe('OpenAPI', () => {
  let document: OpenApiDocument
  let routes: { method: string; path: string }[]

  beforeAll(async () => {
    document = (await api.nobody('GET', '/api/v1/openapi.json')).body
    routes = Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => ({ method: method.toUpperCase(), path })),
    )
  })

  it('lists every route that there is, and no other', async () => {
    const listed = new Map<string, Set<string>>()
    for (const { method, path } of routes) listed.set(path, (listed.get(path) ?? new Set()).add(method))
    for (const [path, methods] of listed) {
      // A path tells its methods itself when it is asked with one that it has not.
      const { status, headers } = await api.nobody('PROPFIND', path.replace('{id}', '1'))
      expect([path, status]).toEqual([path, 405])
      const real = headers
        .get('Allow')!
        .split(', ')
        .filter((method) => method !== 'HEAD')
      expect([path, real.sort()]).toEqual([path, [...methods].sort()])
    }
  })

  it('has all that 3.1 asks for, and no reference to nothing', () => {
    expect(document.openapi).toBe('3.1.0')
    expect(document.info).toMatchObject({ title: 'FleetFlow', version: expect.any(String) })
    const ids = new Set<string>()
    for (const [path, methods] of Object.entries(document.paths ?? {}))
      for (const operation of Object.values(methods)) {
        ids.add(operation.operationId)
        expect(operation.summary).toBeTruthy()
        expect(operation.tags).toHaveLength(1)
        const parameters: { name: string; in: string; required: boolean; schema: object }[] =
          operation.parameters ?? []
        const inPath = parameters.filter((parameter) => parameter.in === 'path')
        expect(inPath.map(({ name }) => `{${name}}`)).toEqual(path.match(/\{\w+\}/g) ?? [])
        for (const { required, schema } of inPath)
          expect([required, schema]).toEqual([true, expect.any(Object)])
        for (const response of Object.values<{ description: string }>(operation.responses))
          expect(response.description).toBeTruthy()
        expect(operation.responses.default).toBeDefined()
        expect(operation.security).toBeDefined()
      }
    expect(ids.size).toBe(routes.length)
    expect(document.components?.securitySchemes).toEqual({
      bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
    })
    for (const [, name] of JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g))
      expect(document.components?.schemas).toHaveProperty(name!)
  })

  it('is a page for people too, which loads nothing from anywhere and runs no script', async () => {
    const { status, headers, body } = await api.nobody('GET', '/docs')
    expect(status).toBe(200)
    expect(headers.get('Content-Type')).toMatch(/^text\/html/)
    expect(headers.get('Content-Security-Policy')).toMatch(/^default-src 'none'; style-src 'sha256-[^']+';/)
    expect(body).not.toMatch(/<script|<link|<img|src=|https?:/)
    for (const { method, path } of routes) expect(body).toContain(`${method} ${path}`)
    for (const name of Object.keys(document.components?.schemas ?? {})) expect(body).toContain(`id="${name}"`)
    expect(body).not.toContain('undefined')
  })
})
