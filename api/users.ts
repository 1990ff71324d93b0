/** Users. Nobody grants more than their own role, nobody locks out themselves. */
import { OpenAPIHono } from '@hono/zod-openapi'
import type pg from 'pg'
import { z } from 'zod'
import type { AccessClaims } from '../schemas/access-token.ts'
import { type Role, roleAtLeast } from '../schemas/roles.ts'
import { Id } from '../schemas/text.ts'
import { User, UserCreate, UserUpdate } from '../schemas/user.ts'
import { forbidden, organizationFor } from './access.ts'
import type { ApiOptions } from './options.ts'
import { cursorOf, IdText, limitOf, PAGE_ROWS, page, pageOf } from './page.ts'
import { hashPassword } from './passwords.ts'
import { ApiError, invalidFields, notFound } from './problem.ts'
import { type ApiEnv, asCaller, body, callerOf, content, route } from './route.ts'
import { endAllSessions } from './sessions.ts'

const tags = ['Users']
const params = z.object({ id: IdText })
const one = { description: 'the user', content: content(User) }
const COLUMNS =
  'id, organization_id AS "organizationId", email::text, name, role, disabled, created_at AS "createdAt"'

/** A row as PostgreSQL gives it. */
type Row = Omit<User, 'createdAt'> & { createdAt: Date }

const list = route({
  method: 'get',
  path: '/users',
  operationId: 'listUsers',
  tags,
  summary: 'List users',
  request: {
    query: z.object({
      organizationId: IdText.optional().describe('only of this organisation'),
      cursor: cursorOf(Id),
      limit: limitOf(PAGE_ROWS),
    }),
  },
  responses: { 200: { description: 'users by id', content: content(pageOf(User)) } },
})

const get = route({
  method: 'get',
  path: '/users/{id}',
  operationId: 'getUser',
  tags,
  summary: 'Get a user',
  request: { params },
  responses: { 200: one },
})

const create = route({
  method: 'post',
  path: '/users',
  operationId: 'createUser',
  tags,
  summary: 'Create a user',
  request: { body: body(UserCreate) },
  responses: { 201: one },
})

const update = route({
  method: 'patch',
  path: '/users/{id}',
  operationId: 'updateUser',
  tags,
  summary: 'Change, disable or enable a user',
  description:
    'Nobody changes their own role, password (see `POST /api/v1/auth/password`) or disables themselves.',
  request: { params, body: body(UserUpdate) },
  responses: { 200: one },
})

const remove = route({
  method: 'delete',
  path: '/users/{id}',
  operationId: 'deleteUser',
  tags,
  summary: 'Delete a user',
  request: { params },
  responses: { 204: { description: 'they are gone' } },
})

/** Routes `/users/…`. */
export function users({ pool }: ApiOptions): OpenAPIHono<ApiEnv> {
  return new OpenAPIHono<ApiEnv>()
    .openapi(list, async (c) => {
      const { organizationId, cursor = 0, limit } = c.req.valid('query')
      const { rows } = await asCaller(c, pool, (client) =>
        client.query<Row>(
          `SELECT ${COLUMNS} FROM users
           WHERE id > $1 AND ($3::integer IS NULL OR organization_id = $3) ORDER BY id LIMIT $2`,
          [cursor, limit + 1, organizationId],
        ),
      )
      return c.json(
        page(rows, limit, ({ id }) => id, itemOf),
        200,
      )
    })
    .openapi(get, async (c) => {
      const { id } = c.req.valid('param')
      const { rows } = await asCaller(c, pool, (client) =>
        client.query<Row>(`SELECT ${COLUMNS} FROM users WHERE id = $1`, [id]),
      )
      if (rows[0] === undefined) throw notFound(`user ${id}`)
      return c.json(itemOf(rows[0]), 200)
    })
    .openapi(create, async (c) => {
      const { email, name, role, password, organizationId } = c.req.valid('json')
      const caller = callerOf(c)
      mayGrant(caller, role)
      const organization =
        role === 'super-admin' ? none(organizationId) : organizationFor(caller, organizationId)
      const hash = await hashPassword(password)
      const { rows } = await asCaller(c, pool, (client) =>
        client.query<Row>(
          `INSERT INTO users (organization_id, email, name, role, password_hash)
           VALUES ($1, $2, $3, $4, $5) RETURNING ${COLUMNS}`,
          [organization, email, name, role, hash],
        ),
      )
      return c.json(itemOf(rows[0]!), 201)
    })
    .openapi(update, async (c) => {
      const { id } = c.req.valid('param')
      const { email, name, role, disabled, password } = c.req.valid('json')
      const caller = callerOf(c)
      if (role !== undefined) mayGrant(caller, role)
      if (role !== undefined || disabled !== undefined || password !== undefined) notOneself(caller, id)
      const hash = password === undefined ? undefined : await hashPassword(password)
      const row = await asCaller(c, pool, async (client) => {
        const before = await lockUser(client, caller, id)
        if (role !== undefined && (role === 'super-admin') !== (before === 'super-admin'))
          throw new ApiError(
            409,
            'role-fixed',
            'A super admin stays one and nobody becomes one; create a new user.',
          )
        const { rows } = await client.query<Row>(
          `UPDATE users SET email = coalesce($2, email), name = coalesce($3, name), role = coalesce($4, role),
             disabled = coalesce($5, disabled), password_hash = coalesce($6, password_hash)
           WHERE id = $1 RETURNING ${COLUMNS}`,
          [id, email, name, role, disabled, hash],
        )
        if (hash !== undefined || disabled) await endAllSessions(client, id, caller.userId)
        return rows[0]!
      })
      return c.json(itemOf(row), 200)
    })
    .openapi(remove, async (c) => {
      const { id } = c.req.valid('param')
      const caller = callerOf(c)
      notOneself(caller, id)
      await asCaller(c, pool, async (client) => {
        await lockUser(client, caller, id)
        await client.query('DELETE FROM users WHERE id = $1', [id])
      })
      return c.body(null, 204)
    })
}

/** @returns Their role. @throws ApiError if the caller does not see them, or they stand above the caller. */
async function lockUser(client: pg.PoolClient, caller: AccessClaims, id: number): Promise<Role> {
  const { rows } = await client.query<{ role: Role }>('SELECT role FROM users WHERE id = $1 FOR UPDATE', [id])
  if (rows[0] === undefined) throw notFound(`user ${id}`)
  if (!roleAtLeast(caller.role, rows[0].role)) throw forbidden('The user stands above you.')
  return rows[0].role
}

function mayGrant(caller: AccessClaims, role: Role): void {
  if (!roleAtLeast(caller.role, role))
    throw forbidden(`You may not grant the role ${role}: it is above your own.`)
}

function notOneself(caller: AccessClaims, id: number): void {
  if (caller.userId === id)
    throw new ApiError(403, 'own-account', 'This is your own account; another administrator has to do it.')
}

/** A super admin belongs to no organisation. */
function none(organizationId: number | undefined): null {
  if (organizationId === undefined) return null
  throw invalidFields([{ in: 'body', field: 'organizationId', detail: 'must be left out for a super admin' }])
}

function itemOf(row: Row): User {
  return { ...row, createdAt: row.createdAt.toISOString() }
}
