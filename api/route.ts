/** What all routes share: declaration, authentication, the caller's transaction. */
import { createRoute, type RouteConfig } from '@hono/zod-openapi'
import type { Context, MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import type pg from 'pg'
import { z } from 'zod'
import { type AccessClaims, verifyAccessToken } from '../schemas/access-token.ts'
import { withTenant } from '../storage/tenancy.ts'
import { ACCESS, forbidden, type Operation } from './access.ts'
import { ApiError, PROBLEM_TYPE, Problem } from './problem.ts'

/** Longest body of a request unless its route says otherwise, bytes. */
export const BODY_BYTES_MAX = 64 * 1024

/** What middleware leaves for handlers. */
export interface ApiEnv {
  Variables: {
    /** Who calls, by their access token; 'invalid' with a token that is none, undefined without one. */
    caller: AccessClaims | 'invalid' | undefined
  }
}

type RouteInput = Omit<RouteConfig, 'middleware' | 'security' | 'operationId'> & { operationId: Operation }

/** Content of a JSON answer. */
export function content<T extends z.ZodType>(schema: T) {
  return { 'application/json': { schema } } as const
}

/** A JSON body that a request must have. */
export function body<T extends z.ZodType>(schema: T) {
  return { required: true, content: content(schema) } as const
}

const problem = (description: string) => ({ description, content: { [PROBLEM_TYPE]: { schema: Problem } } })

/** A text that a request must have, whatever its Content-Type says. */
export function textBody(description: string) {
  return { required: true, description, content: { 'text/plain': { schema: z.string() } } } as const
}

/**
 * Declares a route: as `createRoute`, and adds the rule of {@link ACCESS} for its operation, the limit of the body
 * and the errors that any route of its kind can answer with.
 * @param bodyBytesMax Longest body.
 * @param checks What else is asked before the body is parsed.
 */
export function route<P extends string, const R extends RouteInput & { path: P }>(
  config: R,
  bodyBytesMax: number = BODY_BYTES_MAX,
  checks: readonly MiddlewareHandler<ApiEnv>[] = [],
): ReturnType<typeof createRoute<P, R>> {
  const rule = ACCESS[config.operationId]
  const request = config.request ?? {}
  const takesJson = request.body !== undefined && 'application/json' in request.body.content
  const errors = {
    ...((request.params || request.query || request.body) && {
      400: problem('the request is not valid; `errors` names the fields'),
    }),
    ...(rule !== 'public' && {
      401: problem('no access token, or one that is not valid (any more)'),
      403: problem('the role of the caller may not do this'),
    }),
    ...(request.params && { 404: problem('there is none, or the caller may not see it') }),
    ...(request.body && {
      413: problem(`the body is longer than ${bodyBytesMax} bytes`),
    }),
    ...(takesJson && { 415: problem('the body is not application/json') }),
    default: problem('an error'),
  }
  return createRoute({
    ...config,
    description: [config.description, rule === 'public' ? undefined : `Roles: ${rule.join(', ')}.`]
      .filter((text) => text !== undefined)
      .join('\n\n'),
    security: rule === 'public' ? [] : [{ bearer: [] }],
    middleware: [
      guard(config.operationId),
      ...(request.body ? [limitBody(bodyBytesMax)] : []),
      ...(takesJson ? [askForBody] : []),
      ...checks,
    ],
    responses: { ...errors, ...config.responses },
  }) as unknown as ReturnType<typeof createRoute<P, R>>
}

function limitBody(maxSize: number): MiddlewareHandler<ApiEnv> {
  return bodyLimit({
    maxSize,
    onError: () => {
      throw new ApiError(413, 'body-too-large', `The body is longer than ${maxSize} bytes; send less.`)
    },
  })
}

/** A request without a body and so without its type would else pass for `{}`. */
const askForBody: MiddlewareHandler<ApiEnv> = async (c, next) => {
  if (c.req.header('Content-Type') === undefined) throw notJson()
  await next()
}

/** The error of a body that is not JSON by its own word. */
export function notJson(): ApiError {
  return new ApiError(415, 'unsupported-media-type', 'Send the body as Content-Type: application/json.')
}

/** Reads who calls from the header `Authorization: Bearer TOKEN`. Refuses nobody: that is each route's rule. */
export function authentication(jwtSecret: string): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    const header = c.req.header('Authorization')
    if (header !== undefined) {
      const token = /^Bearer +([^ ]+) *$/i.exec(header)?.[1]
      c.set('caller', (token && (await verifyAccessToken(token, jwtSecret))) || 'invalid')
    }
    await next()
  }
}

function guard(operation: Operation): MiddlewareHandler<ApiEnv> {
  const rule: 'public' | readonly string[] = ACCESS[operation]
  return async (c, next) => {
    if (rule !== 'public' && !rule.includes(callerOf(c).role)) throw forbidden()
    await next()
  }
}

/** @throws ApiError 401 if nobody is logged in. */
export function callerOf(c: Context<ApiEnv>): AccessClaims {
  const caller = c.get('caller')
  if (caller === undefined)
    throw unauthorized('not-logged-in', 'Log in, and send the access token as `Authorization: Bearer TOKEN`.')
  if (caller === 'invalid')
    throw unauthorized(
      'token-invalid',
      'The access token is expired or not one of ours; refresh it or log in.',
    )
  return caller
}

/** A 401 that says how to log in. */
export function unauthorized(
  code: 'login-failed' | 'not-logged-in' | 'refresh-token-invalid' | 'token-invalid' | 'token-outdated',
  detail: string,
): ApiError {
  const error = code === 'token-invalid' || code === 'token-outdated' ? ', error="invalid_token"' : ''
  return new ApiError(401, code, detail, {
    headers: { 'WWW-Authenticate': `Bearer realm="fleetflow"${error}` },
  })
}

/**
 * Runs `run` in a transaction that sees what the caller may see. A token outlives its session and changes to its user by
 * up to an hour, so the transaction first looks whether the user is still who the token says.
 *
 * @throws ApiError 401 if the session has ended, or the user is disabled, gone, or has another role or organisation now.
 */
export function asCaller<T>(
  c: Context<ApiEnv>,
  pool: pg.Pool,
  run: (client: pg.PoolClient, caller: AccessClaims) => Promise<T>,
): Promise<T> {
  const caller = callerOf(c)
  return withTenant(pool, caller, async (client) => {
    const { rowCount } = await client.query(
      `SELECT FROM users
       WHERE id = $1 AND role = $2 AND organization_id IS NOT DISTINCT FROM $3 AND NOT disabled
         AND session_holds($4, id)`,
      [caller.userId, caller.role, caller.organizationId, caller.sessionId],
    )
    if (rowCount === 0)
      throw unauthorized(
        'token-outdated',
        'The session has ended or the user has changed since the token was issued; refresh it or log in.',
      )
    return run(client, caller)
  })
}
