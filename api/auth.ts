/** Logging in and out. */
import { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { Counter } from 'prom-client'
import { z } from 'zod'
import { Email } from '../schemas/text.ts'
import { NewPassword, PASSWORD_BYTES_MAX } from '../schemas/user.ts'
import { asAnonymous } from '../storage/tenancy.ts'
import { AttemptLimiter } from './attempt-limiter.ts'
import { clientAddress } from './client-address.ts'
import type { ApiOptions } from './options.ts'
import { hashPassword, verifyPassword } from './passwords.ts'
import { ApiError } from './problem.ts'
import { type ApiEnv, asCaller, body, content, route, unauthorized } from './route.ts'
import {
  endAllSessions,
  endSession,
  issueSession,
  refreshSession,
  Session,
  SessionUser,
  TokenText,
} from './sessions.ts'

/** Window of {@link LOGIN_FAILURES_EMAIL_MAX} and {@link LOGIN_FAILURES_ADDRESS_MAX}, ms. */
export const LOGIN_WINDOW_MS = 15 * 60_000

/** Failed logins with one e-mail address in a window, known or not. */
export const LOGIN_FAILURES_EMAIL_MAX = 10

/** Failed logins from one network address in a window; an office may share one. */
export const LOGIN_FAILURES_ADDRESS_MAX = 50

/** E-mail addresses, and network addresses, whose failures are remembered. */
const LOGIN_KEYS_MAX = 10_000

const Login = z
  .strictObject({
    // ASCII only, so that the database and the limit of failures agree which addresses are the same.
    email: Email,
    password: z.string().min(1).max(PASSWORD_BYTES_MAX),
  })
  .meta({ id: 'Login' })

const RefreshToken = z.strictObject({ refreshToken: TokenText }).meta({ id: 'RefreshToken' })

const PasswordChange = z
  .strictObject({ currentPassword: z.string().min(1).max(PASSWORD_BYTES_MAX), newPassword: NewPassword })
  .meta({ id: 'PasswordChange' })

const Me = SessionUser.extend({ organizationName: z.string().nullable() }).meta({ id: 'Me' })

const tags = ['Authentication']

const logIn = route({
  method: 'post',
  path: '/auth/login',
  operationId: 'logIn',
  tags,
  summary: 'Log in',
  request: { body: body(Login) },
  responses: { 200: { description: 'a new session', content: content(Session) } },
})

const refresh = route({
  method: 'post',
  path: '/auth/refresh',
  operationId: 'refresh',
  tags,
  summary: 'Go on with a session',
  description:
    'Each refresh token can be used once and is replaced by the answer. The second use of one is taken for a theft and ends the session.',
  request: { body: body(RefreshToken) },
  responses: { 200: { description: 'the session with new tokens', content: content(Session) } },
})

const logOut = route({
  method: 'post',
  path: '/auth/logout',
  operationId: 'logOut',
  tags,
  summary: 'End a session',
  request: { body: body(RefreshToken) },
  responses: { 204: { description: 'the session has ended' } },
})

const getMe = route({
  method: 'get',
  path: '/auth/me',
  operationId: 'getMe',
  tags,
  summary: 'Who am I?',
  responses: { 200: { description: 'the caller', content: content(Me) } },
})

const changeOwnPassword = route({
  method: 'post',
  path: '/auth/password',
  operationId: 'changeOwnPassword',
  tags,
  summary: 'Change own password',
  description: 'Ends all sessions of the caller; the answer is a new one.',
  request: { body: body(PasswordChange) },
  responses: { 200: { description: 'a new session', content: content(Session) } },
})

/** Routes `/auth/…`. */
export function auth(options: ApiOptions): OpenAPIHono<ApiEnv> {
  const byEmail = limiter(LOGIN_FAILURES_EMAIL_MAX)
  const byAddress = limiter(LOGIN_FAILURES_ADDRESS_MAX)
  const failures = new Counter({
    name: 'fleetflow_api_login_failures_total',
    help: 'Logins refused: wrong (credentials), or too many before (limit).',
    labelNames: ['reason'],
    registers: [options.registry],
  })

  /** Checks a password, unless there were too many wrong ones. */
  async function checkPassword(
    c: Context<ApiEnv>,
    email: string,
    password: string,
    hash: string | undefined,
  ) {
    const nowMs = performance.now()
    const emailKey = email.toLowerCase()
    const address = clientAddress(c, options.trustedProxy === true)
    const waitMs = byAddress.take(address, nowMs) || byEmail.take(emailKey, nowMs)
    if (waitMs > 0) {
      failures.inc({ reason: 'limit' })
      throw tooManyAttempts(waitMs)
    }
    if (!(await verifyPassword(password, hash))) {
      failures.inc({ reason: 'credentials' })
      throw unauthorized('login-failed', 'E-mail address or password is wrong.')
    }
    byAddress.refund(address)
    byEmail.clear(emailKey)
  }

  return new OpenAPIHono<ApiEnv>()
    .openapi(logIn, async (c) => {
      const { email, password } = c.req.valid('json')
      const found = await asAnonymous(options.pool, async (client) => {
        const { rows } = await client.query<SessionUser & { passwordHash: string }>(
          `SELECT id, organization_id AS "organizationId", email, name, role, password_hash AS "passwordHash"
           FROM login_user($1)`,
          [email],
        )
        return rows[0]
      })
      await checkPassword(c, email, password, found?.passwordHash)
      const { passwordHash: _, ...user } = found!
      return c.json(
        await asAnonymous(options.pool, (client) => issueSession(client, options.jwtSecret, user)),
        200,
      )
    })
    .openapi(refresh, async (c) => {
      const session = await refreshSession(options, c.req.valid('json').refreshToken)
      if (!session)
        throw unauthorized('refresh-token-invalid', 'The refresh token is expired or used already; log in.')
      return c.json(session, 200)
    })
    .openapi(logOut, async (c) => {
      await endSession(options, c.req.valid('json').refreshToken)
      return c.body(null, 204)
    })
    .openapi(getMe, async (c) =>
      c.json(
        await asCaller(c, options.pool, async (client, { userId }) => {
          const { rows } = await client.query<z.infer<typeof Me>>(
            `SELECT u.id, u.organization_id AS "organizationId", u.email::text, u.name, u.role,
               o.name AS "organizationName"
             FROM users u LEFT JOIN organizations o ON o.id = u.organization_id WHERE u.id = $1`,
            [userId],
          )
          return rows[0]!
        }),
        200,
      ),
    )
    .openapi(changeOwnPassword, async (c) => {
      const { currentPassword, newPassword } = c.req.valid('json')
      const { passwordHash, ...user } = await asCaller(c, options.pool, async (client, { userId }) => {
        const { rows } = await client.query<SessionUser & { passwordHash: string }>(
          `SELECT id, organization_id AS "organizationId", email::text, name, role, password_hash AS "passwordHash"
           FROM users WHERE id = $1`,
          [userId],
        )
        return rows[0]!
      })
      await checkPassword(c, user.email, currentPassword, passwordHash)
      const newHash = await hashPassword(newPassword)
      return c.json(
        await asCaller(c, options.pool, async (client) => {
          await client.query('UPDATE users SET password_hash = $2 WHERE id = $1', [user.id, newHash])
          await endAllSessions(client, user.id, user.id)
          return issueSession(client, options.jwtSecret, user)
        }),
        200,
      )
    })
}

function limiter(max: number): AttemptLimiter {
  return new AttemptLimiter({ max, windowMs: LOGIN_WINDOW_MS, keysMax: LOGIN_KEYS_MAX })
}

function tooManyAttempts(waitMs: number): ApiError {
  return new ApiError(429, 'too-many-attempts', 'Too many failed logins; wait as long as Retry-After says.', {
    headers: { 'Retry-After': String(Math.ceil(waitMs / 1000)) },
  })
}
