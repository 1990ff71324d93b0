/** Devices, and the passwords that they give. */
import { OpenAPIHono } from '@hono/zod-openapi'
import type pg from 'pg'
import { z } from 'zod'
import type { AccessClaims } from '../schemas/access-token.ts'
import { Device, DeviceCreate, DeviceUpdate } from '../schemas/device.ts'
import { Id, ONE_LINE } from '../schemas/text.ts'
import { ACCESS, organizationFor } from './access.ts'
import type { ApiOptions } from './options.ts'
import { cursorOf, IdText, limitOf, PAGE_ROWS, page, pageOf } from './page.ts'
import { notFound } from './problem.ts'
import { type ApiEnv, asCaller, body, callerOf, content, route } from './route.ts'
import { randomToken, TokenText, tokenHash } from './sessions.ts'

const tags = ['Devices']
const params = z.object({ id: IdText })
const one = { description: 'the device', content: content(Device) }
const COLUMNS = `id, organization_id AS "organizationId", unique_id AS "uniqueId", name, model, options,
  secret_hash IS NOT NULL AS "hasSecret", disabled, created_at AS "createdAt", updated_at AS "updatedAt"`

/** A row as PostgreSQL gives it. */
type Row = Omit<Device, 'createdAt' | 'updatedAt'> & { createdAt: Date; updatedAt: Date }

const DeviceSecret = z
  .object({ secret: TokenText.describe('the password that the device must give; it is shown only now') })
  .meta({ id: 'DeviceSecret' })

const list = route({
  method: 'get',
  path: '/devices',
  operationId: 'listDevices',
  tags,
  summary: 'List devices',
  request: {
    query: z.object({
      search: z
        .string()
        .min(1)
        .max(200)
        .regex(ONE_LINE, 'must have no control characters')
        .optional()
        .describe('only those with this text in name or uniqueId, in either case'),
      organizationId: IdText.optional().describe('only of this organisation'),
      cursor: cursorOf(Id),
      limit: limitOf(PAGE_ROWS),
    }),
  },
  responses: { 200: { description: 'devices by id', content: content(pageOf(Device)) } },
})

const get = route({
  method: 'get',
  path: '/devices/{id}',
  operationId: 'getDevice',
  tags,
  summary: 'Get a device',
  request: { params },
  responses: { 200: one },
})

const create = route({
  method: 'post',
  path: '/devices',
  operationId: 'createDevice',
  tags,
  summary: 'Register a device',
  request: { body: body(DeviceCreate) },
  responses: { 201: one },
})

const update = route({
  method: 'patch',
  path: '/devices/{id}',
  operationId: 'updateDevice',
  tags,
  summary: 'Change a device',
  request: { params, body: body(DeviceUpdate) },
  responses: { 200: one },
})

const remove = route({
  method: 'delete',
  path: '/devices/{id}',
  operationId: 'deleteDevice',
  tags,
  summary: 'Delete a device',
  request: { params },
  responses: { 204: { description: 'it is gone' } },
})

const createSecret = route({
  method: 'post',
  path: '/devices/{id}/secret',
  operationId: 'createDeviceSecret',
  tags,
  summary: 'Give a device a new password',
  description: 'The password before, if any, ends with it.',
  request: { params },
  responses: { 201: { description: 'the password', content: content(DeviceSecret) } },
})

const removeSecret = route({
  method: 'delete',
  path: '/devices/{id}/secret',
  operationId: 'deleteDeviceSecret',
  tags,
  summary: 'Ask a device for no password',
  request: { params },
  responses: { 204: { description: 'no password is asked for' } },
})

/** Routes `/devices/…`. */
export function devices({ pool }: ApiOptions): OpenAPIHono<ApiEnv> {
  return new OpenAPIHono<ApiEnv>()
    .openapi(list, async (c) => {
      const { search, organizationId, cursor = 0, limit } = c.req.valid('query')
      const { rows } = await asCaller(c, pool, (client) =>
        client.query<Row>(
          `SELECT ${COLUMNS} FROM devices
           WHERE id > $1 AND ($3::integer IS NULL OR organization_id = $3)
             AND ($4::text IS NULL OR strpos(lower(name), lower($4)) > 0 OR strpos(lower(unique_id), lower($4)) > 0)
           ORDER BY id LIMIT $2`,
          [cursor, limit + 1, organizationId, search],
        ),
      )
      return c.json(
        page(rows, limit, ({ id }) => id, shownTo(callerOf(c))),
        200,
      )
    })
    .openapi(get, async (c) => {
      const { id } = c.req.valid('param')
      const { rows } = await asCaller(c, pool, (client) =>
        client.query<Row>(`SELECT ${COLUMNS} FROM devices WHERE id = $1`, [id]),
      )
      if (rows[0] === undefined) throw notFound(`device ${id}`)
      return c.json(shownTo(callerOf(c))(rows[0]), 200)
    })
    .openapi(create, async (c) => {
      const input = c.req.valid('json')
      const device = await asCaller(c, pool, (client, caller) =>
        insertDevice(client, { ...input, organizationId: organizationFor(caller, input.organizationId) }),
      )
      return c.json(device, 201)
    })
    .openapi(update, async (c) => {
      const { id } = c.req.valid('param')
      const { uniqueId, name, model, options, disabled } = c.req.valid('json')
      const { rows } = await asCaller(c, pool, (client) =>
        client.query<Row>(
          `UPDATE devices SET unique_id = coalesce($2, unique_id), name = coalesce($3, name),
             model = coalesce($4, model), options = coalesce($5, options), disabled = coalesce($6, disabled),
             updated_at = now()
           WHERE id = $1 RETURNING ${COLUMNS}`,
          [id, uniqueId, name, model, options && JSON.stringify(options), disabled],
        ),
      )
      if (rows[0] === undefined) throw notFound(`device ${id}`)
      return c.json(itemOf(rows[0]), 200)
    })
    .openapi(remove, async (c) => {
      const { id } = c.req.valid('param')
      const { rowCount } = await asCaller(c, pool, (client) =>
        client.query('DELETE FROM devices WHERE id = $1', [id]),
      )
      if (rowCount === 0) throw notFound(`device ${id}`)
      return c.body(null, 204)
    })
    .openapi(createSecret, async (c) => {
      const { id } = c.req.valid('param')
      const secret = randomToken()
      await asCaller(c, pool, (client) => setSecret(client, id, tokenHash(secret)))
      return c.json({ secret }, 201)
    })
    .openapi(removeSecret, async (c) => {
      const { id } = c.req.valid('param')
      await asCaller(c, pool, (client) => setSecret(client, id, null))
      return c.body(null, 204)
    })
}

/** Registers a device. The uniqueId must be free in all organisations. */
export async function insertDevice(
  client: pg.PoolClient,
  device: DeviceCreate & { organizationId: number },
): Promise<Device> {
  const { rows } = await client.query<Row>(
    `INSERT INTO devices (organization_id, unique_id, name, model, options, disabled)
     VALUES ($1, $2, $3, $4, $5, $6) RETURNING ${COLUMNS}`,
    [
      device.organizationId,
      device.uniqueId,
      device.name,
      device.model,
      JSON.stringify(device.options),
      device.disabled,
    ],
  )
  return itemOf(rows[0]!)
}

async function setSecret(client: pg.PoolClient, id: number, hash: Buffer | null): Promise<void> {
  const { rowCount } = await client.query(
    'UPDATE devices SET secret_hash = $2, updated_at = now() WHERE id = $1',
    [id, hash],
  )
  if (rowCount === 0) throw notFound(`device ${id}`)
}

/** Options such as `devicePassword` are for who may set them: with it a device can be told anything by SMS. */
function shownTo({ role }: AccessClaims): (row: Row) => Device {
  const setters: readonly string[] = ACCESS.updateDevice
  if (setters.includes(role)) return itemOf
  return (row) => ({
    ...itemOf(row),
    options: Object.fromEntries(Object.entries(row.options).filter(([name]) => !/password/i.test(name))),
  })
}

function itemOf(row: Row): Device {
  return { ...row, createdAt: row.createdAt.toISOString(), updatedAt: row.updatedAt.toISOString() }
}
