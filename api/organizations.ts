/** Organisations. */
import { OpenAPIHono } from '@hono/zod-openapi'
import { z } from 'zod'
import { Organization, OrganizationInput } from '../schemas/organization.ts'
import { Id } from '../schemas/text.ts'
import type { ApiOptions } from './options.ts'
import { cursorOf, IdText, limitOf, PAGE_ROWS, page, pageOf } from './page.ts'
import { notFound } from './problem.ts'
import { type ApiEnv, asCaller, body, content, route } from './route.ts'

const tags = ['Organisations']
const params = z.object({ id: IdText })
const one = { description: 'the organisation', content: content(Organization) }
const COLUMNS = 'id, name, created_at AS "createdAt"'

/** A row as PostgreSQL gives it. */
type Row = Omit<Organization, 'createdAt'> & { createdAt: Date }

const list = route({
  method: 'get',
  path: '/organizations',
  operationId: 'listOrganizations',
  tags,
  summary: 'List organisations',
  description: 'A super admin sees all, everyone else their own.',
  request: { query: z.object({ cursor: cursorOf(Id), limit: limitOf(PAGE_ROWS) }) },
  responses: { 200: { description: 'organisations by id', content: content(pageOf(Organization)) } },
})

const get = route({
  method: 'get',
  path: '/organizations/{id}',
  operationId: 'getOrganization',
  tags,
  summary: 'Get an organisation',
  request: { params },
  responses: { 200: one },
})

const create = route({
  method: 'post',
  path: '/organizations',
  operationId: 'createOrganization',
  tags,
  summary: 'Create an organisation',
  request: { body: body(OrganizationInput) },
  responses: { 201: one },
})

const update = route({
  method: 'patch',
  path: '/organizations/{id}',
  operationId: 'updateOrganization',
  tags,
  summary: 'Rename an organisation',
  request: { params, body: body(OrganizationInput) },
  responses: { 200: one },
})

const remove = route({
  method: 'delete',
  path: '/organizations/{id}',
  operationId: 'deleteOrganization',
  tags,
  summary: 'Delete an organisation with its users and devices',
  request: { params },
  responses: { 204: { description: 'it is gone' } },
})

/** Routes `/organizations/…`. */
export function organizations({ pool }: ApiOptions): OpenAPIHono<ApiEnv> {
  return new OpenAPIHono<ApiEnv>()
    .openapi(list, async (c) => {
      const { cursor = 0, limit } = c.req.valid('query')
      const { rows } = await asCaller(c, pool, (client) =>
        client.query<Row>(`SELECT ${COLUMNS} FROM organizations WHERE id > $1 ORDER BY id LIMIT $2`, [
          cursor,
          limit + 1,
        ]),
      )
      return c.json(
        page(rows, limit, ({ id }) => id, itemOf),
        200,
      )
    })
    .openapi(get, async (c) => {
      const { id } = c.req.valid('param')
      const { rows } = await asCaller(c, pool, (client) =>
        client.query<Row>(`SELECT ${COLUMNS} FROM organizations WHERE id = $1`, [id]),
      )
      return c.json(found(rows, id), 200)
    })
    .openapi(create, async (c) => {
      const { name } = c.req.valid('json')
      const { rows } = await asCaller(c, pool, (client) =>
        client.query<Row>(`INSERT INTO organizations (name) VALUES ($1) RETURNING ${COLUMNS}`, [name]),
      )
      return c.json(itemOf(rows[0]!), 201)
    })
    .openapi(update, async (c) => {
      const { id } = c.req.valid('param')
      const { name } = c.req.valid('json')
      const { rows } = await asCaller(c, pool, (client) =>
        client.query<Row>(`UPDATE organizations SET name = $2 WHERE id = $1 RETURNING ${COLUMNS}`, [
          id,
          name,
        ]),
      )
      return c.json(found(rows, id), 200)
    })
    .openapi(remove, async (c) => {
      const { id } = c.req.valid('param')
      const { rowCount } = await asCaller(c, pool, (client) =>
        client.query('DELETE FROM organizations WHERE id = $1', [id]),
      )
      if (rowCount === 0) throw notFound(`organisation ${id}`)
      return c.body(null, 204)
    })
}

function itemOf(row: Row): Organization {
  return { ...row, createdAt: row.createdAt.toISOString() }
}

function found(rows: readonly Row[], id: number): Organization {
  if (rows[0] === undefined) throw notFound(`organisation ${id}`)
  return itemOf(rows[0])
}
