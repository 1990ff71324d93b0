import { createHmac } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiFixture, apiFixture, JWT_SECRET, PASSWORD } from './api-fixture.ts'
import { LOGIN_FAILURES_ADDRESS_MAX, LOGIN_FAILURES_EMAIL_MAX } from './auth.ts'

let api: ApiFixture

beforeAll(async () => {
  api = await apiFixture({ trustedProxy: true })
})
afterAll(() => api.close())

let clients = 0
/** Headers of a client that nobody has been before, so that no test runs into the limit of another. */
const newClient = () => ({ 'X-Forwarded-For': `198.51.100.${++clients}` })

const logIn = (email: string, password = PASSWORD, headers: Record<string, string> = newClient()) =>
  api.nobody('POST', '/api/v1/auth/login', { email, password }, headers)
const refresh = (refreshToken: string) => api.nobody('POST', '/api/v1/auth/refresh', { refreshToken })

describe('login', () => {
  it('gives an access token of an hour and a refresh token of seven days', async () => {
    const { status, body } = await logIn('viewer@north.example.com')
    expect(status).toBe(200)
    expect(body).toMatchObject({
      tokenType: 'Bearer',
      expiresIn: 3600,
      refreshExpiresIn: 604_800,
      user: { id: api.north.userIds.viewer, organizationId: api.north.id, role: 'viewer' },
    })
    expect(JSON.stringify(body)).not.toContain('$2b$')
    const me = await api.caller(body.accessToken)('GET', '/api/v1/auth/me')
    expect(me.body).toEqual({
      id: api.north.userIds.viewer,
      organizationId: api.north.id,
      organizationName: 'north',
      email: 'viewer@north.example.com',
      name: 'viewer of the tests',
      role: 'viewer',
    })
  })

  it('takes the e-mail address in either case', async () => {
    expect((await logIn('VIEWER@North.Example.COM')).status).toBe(200)
  })

  it('answers the same to an unknown user, a wrong password and a disabled user', async () => {
    await api.pool.query("UPDATE users SET disabled = true WHERE email = 'driver@south.example.com'")
    const answers = [
      await logIn('nobody@example.com'),
      await logIn('viewer@north.example.com', 'wrong password'),
      await logIn('driver@south.example.com'),
    ]
    for (const { status, body, headers } of answers) {
      expect(status).toBe(401)
      expect(body).toEqual(answers[0]!.body)
      expect(body.code).toBe('login-failed')
      expect(headers.get('WWW-Authenticate')).toContain('Bearer')
    }
  })

  it('takes as long for an unknown user as for a wrong password', async () => {
    const best = async (email: string) => {
      const times: number[] = []
      for (let i = 0; i < 4; i++) {
        const startMs = performance.now()
        await logIn(email, 'wrong password')
        times.push(performance.now() - startMs)
      }
      return Math.min(...times)
    }
    const unknownMs = await best('stranger@example.com')
    const knownMs = await best('manager@south.example.com')
    // Without the hash an unknown user takes a hundredth; the rest is noise of a busy machine.
    expect(unknownMs / knownMs).toBeGreaterThan(0.5)
    expect(unknownMs / knownMs).toBeLessThan(2)
  })

  it('does not take what follows the longest password for a part of it', async () => {
    const { status } = await logIn('viewer@north.example.com', 'é'.repeat(72))
    expect(status).toBe(401)
  })

  it('locks an e-mail address out after too many failures, from wherever, and known or not', async () => {
    for (const email of ['dispatcher@south.example.com', 'ghost@example.com']) {
      for (let i = 0; i < LOGIN_FAILURES_EMAIL_MAX; i++)
        expect((await logIn(email, 'wrong password')).status).toBe(401)
      const { status, headers, body } = await logIn(email.toUpperCase())
      expect(status).toBe(429)
      expect(body.code).toBe('too-many-attempts')
      expect(Number(headers.get('Retry-After'))).toBeGreaterThan(800)
    }
    expect((await logIn('viewer@south.example.com')).status).toBe(200)
    const metrics = await api.registry.metrics()
    expect(metrics).toContain('fleetflow_api_login_failures_total{reason="limit"} 2')
  }, 60_000)

  it('takes no letters that only the database thinks the same', async () => {
    // Lower case of U+0130 is i in PostgreSQL, and i with a dot above in JavaScript: each would be an e-mail address
    // of its own to the limit.
    expect((await logIn('v\u0130ewer@north.example.com')).status).toBe(400)
  })

  it('locks a network address out after too many failures, whatever the e-mail address', async () => {
    const headers = newClient()
    // What the limit of the e-mail address refuses counts too, and costs no hash.
    for (let i = 0; i < LOGIN_FAILURES_ADDRESS_MAX; i++)
      expect((await logIn('spectre@example.com', 'wrong password', headers)).status).toBe(
        i < LOGIN_FAILURES_EMAIL_MAX ? 401 : 429,
      )
    expect((await logIn('viewer@north.example.com', PASSWORD, headers)).status).toBe(429)
    expect((await logIn('viewer@north.example.com')).status).toBe(200)
  }, 60_000)

  it('does not count logins that succeed', async () => {
    const headers = newClient()
    for (let i = 0; i < LOGIN_FAILURES_EMAIL_MAX + 2; i++)
      expect((await logIn('admin@north.example.com', PASSWORD, headers)).status).toBe(200)
  }, 60_000)
})

describe('refresh', () => {
  it('replaces both tokens', async () => {
    const first = (await logIn('viewer@north.example.com')).body
    const { status, body } = await refresh(first.refreshToken)
    expect(status).toBe(200)
    expect(body.refreshToken).not.toBe(first.refreshToken)
    expect(body.user).toEqual(first.user)
    expect((await api.caller(body.accessToken)('GET', '/api/v1/auth/me')).status).toBe(200)
  })

  it('ends the whole login when a spent token comes again, and no other login', async () => {
    const other = (await logIn('viewer@north.example.com')).body
    const first = (await logIn('viewer@north.example.com')).body
    const second = (await refresh(first.refreshToken)).body
    const reuse = await refresh(first.refreshToken)
    expect(reuse.status).toBe(401)
    expect(reuse.body.code).toBe('refresh-token-invalid')
    expect((await refresh(second.refreshToken)).status).toBe(401)
    expect((await refresh(other.refreshToken)).status).toBe(200)
  })

  it('leaves at most one of two uses at a time a session, and none after both', async () => {
    const first = (await logIn('viewer@north.example.com')).body
    const answers = await Promise.all([refresh(first.refreshToken), refresh(first.refreshToken)])
    const good = answers.filter(({ status }) => status === 200)
    expect(good).toHaveLength(1)
    expect((await refresh(good[0]!.body.refreshToken)).status).toBe(401)
  })

  it('refuses an expired token, one that never was, and one of a disabled user', async () => {
    const old = (await logIn('manager@north.example.com')).body
    await api.pool.query("UPDATE refresh_tokens SET expires_at = now() - interval '1 s' WHERE user_id = $1", [
      api.north.userIds.manager,
    ])
    expect((await refresh(old.refreshToken)).status).toBe(401)
    expect((await refresh('A'.repeat(43))).status).toBe(401)
    const { refreshToken } = (await logIn('dispatcher@north.example.com')).body
    await api.pool.query("UPDATE users SET disabled = true WHERE email = 'dispatcher@north.example.com'")
    expect((await refresh(refreshToken)).status).toBe(401)
  })

  it('forgets expired tokens of the user with the next login', async () => {
    const userId = api.north.userIds.manager
    await api.pool.query("UPDATE refresh_tokens SET expires_at = now() - interval '1 s' WHERE user_id = $1", [
      userId,
    ])
    await logIn('manager@north.example.com')
    const { rows } = await api.pool.query('SELECT count(*) FROM refresh_tokens WHERE user_id = $1', [userId])
    expect(rows[0].count).toBe(1)
  })

  it('stores no token', async () => {
    const { refreshToken } = (await logIn('viewer@north.example.com')).body
    const { rows } = await api.pool.query('SELECT refresh_tokens::text AS row FROM refresh_tokens')
    const hex = Buffer.from(refreshToken).toString('hex')
    for (const { row } of rows) {
      expect(row).not.toContain(refreshToken)
      expect(row).not.toContain(hex)
    }
  })
})

describe('logout', () => {
  it('ends the login with all its tokens', async () => {
    const first = (await logIn('viewer@north.example.com')).body
    const second = (await refresh(first.refreshToken)).body
    expect(
      (await api.nobody('POST', '/api/v1/auth/logout', { refreshToken: second.refreshToken })).status,
    ).toBe(204)
    expect((await refresh(second.refreshToken)).status).toBe(401)
  })

  it('says nothing about tokens that are none', async () => {
    expect((await api.nobody('POST', '/api/v1/auth/logout', { refreshToken: 'A'.repeat(43) })).status).toBe(
      204,
    )
  })
})

describe('access token', () => {
  it.each([
    ['none', undefined, 'not-logged-in'],
    ['no Bearer', 'Basic YTpi', 'token-invalid'],
    ['nonsense', 'Bearer abc', 'token-invalid'],
    ['an expired one', `Bearer ${token({ exp: 1 })}`, 'token-invalid'],
    [
      'one signed with another secret',
      `Bearer ${token({}, 'another secret of thirty-two bytes')}`,
      'token-invalid',
    ],
    ['one without a signature', `Bearer ${token({}, JWT_SECRET, 'none')}`, 'token-invalid'],
  ])('is asked for with %s', async (_what, authorization, code) => {
    const headers: Record<string, string> =
      authorization === undefined ? {} : { Authorization: authorization }
    const answer = await api.nobody('GET', '/api/v1/devices', undefined, headers)
    expect(answer.status).toBe(401)
    expect(answer.body.code).toBe(code)
    const challenge = answer.headers.get('WWW-Authenticate')!
    expect(challenge).toMatch(/^Bearer realm="fleetflow"/)
    expect(challenge.includes('error="invalid_token"')).toBe(code === 'token-invalid')
  })

  it('ends with the user: disabled, with another role, or gone', async () => {
    const { viewer: call } = api.south.as
    const { viewer: id } = api.south.userIds
    expect((await call('GET', '/api/v1/auth/me')).status).toBe(200)
    for (const [change, back] of [
      ['disabled = true', 'disabled = false'],
      ["role = 'driver'", "role = 'viewer'"],
    ]) {
      await api.pool.query(`UPDATE users SET ${change} WHERE id = $1`, [id])
      const { status, body } = await call('GET', '/api/v1/devices')
      expect([status, body.code]).toEqual([401, 'token-outdated'])
      await api.pool.query(`UPDATE users SET ${back} WHERE id = $1`, [id])
    }
    await api.pool.query('DELETE FROM users WHERE id = $1', [id])
    expect((await call('POST', '/api/v1/stream/tickets')).body.code).toBe('token-outdated')
  })

  function token(payload: object, secret = JWT_SECRET, alg = 'HS256'): string {
    const iat = Math.floor(Date.now() / 1000)
    const right = {
      iss: 'fleetflow',
      aud: 'fleetflow-api',
      sub: '1',
      org: null,
      role: 'super-admin',
      iat,
      exp: iat + 9,
    }
    const text = [{ alg }, { ...right, ...payload }]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.')
    return `${text}.${alg === 'none' ? '' : createHmac('sha256', secret).update(text).digest('base64url')}`
  }
})

describe('own password', () => {
  it('changes with the current one, ends all sessions and begins a new one', async () => {
    const email = 'manager@north.example.com'
    const before = (await logIn(email)).body
    const change = (currentPassword: string, newPassword: string) =>
      api.caller(before.accessToken)(
        'POST',
        '/api/v1/auth/password',
        { currentPassword, newPassword },
        newClient(),
      )
    expect((await change('wrong password', 'new and good password')).body.code).toBe('login-failed')
    expect((await change(PASSWORD, 'short')).body.errors[0].field).toBe('newPassword')
    expect((await change(PASSWORD, 'ä'.repeat(40))).body.errors[0].detail).toMatch(/72 bytes/)
    const { status, body } = await change(PASSWORD, 'new and good password')
    expect(status).toBe(200)
    expect((await refresh(before.refreshToken)).status).toBe(401)
    expect((await refresh(body.refreshToken)).status).toBe(200)
    expect((await logIn(email)).status).toBe(401)
    expect((await logIn(email, 'new and good password')).status).toBe(200)
  })
})
