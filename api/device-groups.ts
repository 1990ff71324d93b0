/** Groups of devices, which rules of geofences name. */
import { OpenAPIHono } from '@hono/zod-openapi'
import type pg from 'pg'
import { z } from 'zod'
import { DeviceGroup, DeviceGroupInput } from '../schemas/geofence.ts'
import { Id } from '../schemas/text.ts'
import { organizationFor } from './access.ts'
import type { ApiOptions } from './options.ts'
import { cursorOf, IdText, limitOf, PAGE_ROWS, page, pageOf } from './page.ts'
import { ApiError, notFound } from './problem.ts'
import { type ApiEnv, asCaller, body, content, route } from './route.ts'

const tags = ['Device groups']
const params = z.object({ id: IdText })
const memberParams = z.object({ id: IdText, deviceId: IdText })
const one = { description: 'the group', content: content(DeviceGroup) }
const COLUMNS = `id, organization_id AS "organizationId", name, created_at AS "createdAt",
  (SELECT count(*) FROM device_group_members WHERE group_id = id)::integer AS "deviceCount"`

/** Geofences that the refusal to delete a group names. */
const NAMED_MAX = 5

type Row = Omit<DeviceGroup, 'createdAt'> & { createdAt: Date }

const DeviceGroupUpdate = DeviceGroupInput.omit({ organizationId: true }).meta({ id: 'DeviceGroupUpdate' })
const DeviceGroupMember = z
  .object({ deviceId: Id, uniqueId: z.string(), name: z.string() })
  .meta({ id: 'DeviceGroupMember' })

const list = route({
  method: 'get',
  path: '/device-groups',
  operationId: 'listDeviceGroups',
  tags,
  summary: 'List groups of devices',
  request: {
    query: z.object({
      organizationId: IdText.optional().describe('only of this organisation'),
      cursor: cursorOf(Id),
      limit: limitOf(PAGE_ROWS),
    }),
  },
  responses: { 200: { description: 'groups by id', content: content(pageOf(DeviceGroup)) } },
})

const get = route({
  method: 'get',
  path: '/device-groups/{id}',
  operationId: 'getDeviceGroup',
  tags,
  summary: 'Get a group of devices',
  request: { params },
  responses: { 200: one },
})

const create = route({
  method: 'post',
  path: '/device-groups',
  operationId: 'createDeviceGroup',
  tags,
  summary: 'Make a group of devices',
  request: { body: body(DeviceGroupInput.meta({ id: 'DeviceGroupCreate' })) },
  responses: { 201: one },
})

const update = route({
  method: 'patch',
  path: '/device-groups/{id}',
  operationId: 'updateDeviceGroup',
  tags,
  summary: 'Rename a group of devices',
  request: { params, body: body(DeviceGroupUpdate) },
  responses: { 200: one },
})

const remove = route({
  method: 'delete',
  path: '/device-groups/{id}',
  operationId: 'deleteDeviceGroup',
  tags,
  summary: 'Delete a group of devices',
  description:
    'Its devices stay. A group that rules of geofences name is not deleted (409): the problem names some of the geofences.',
  request: { params },
  responses: { 204: { description: 'it is gone' } },
})

const listMembers = route({
  method: 'get',
  path: '/device-groups/{id}/devices',
  operationId: 'listDeviceGroupDevices',
  tags,
  summary: 'List the devices of a group',
  request: { params, query: z.object({ cursor: cursorOf(Id), limit: limitOf(PAGE_ROWS) }) },
  responses: { 200: { description: 'devices by id', content: content(pageOf(DeviceGroupMember)) } },
})

const addMember = route({
  method: 'put',
  path: '/device-groups/{id}/devices/{deviceId}',
  operationId: 'addDeviceGroupDevice',
  tags,
  summary: 'Put a device into a group',
  request: { params: memberParams },
  responses: { 204: { description: 'it is in the group, as it may have been before' } },
})

const removeMember = route({
  method: 'delete',
  path: '/device-groups/{id}/devices/{deviceId}',
  operationId: 'removeDeviceGroupDevice',
  tags,
  summary: 'Take a device out of a group',
  request: { params: memberParams },
  responses: { 204: { description: 'it is not in the group, as it may not have been before' } },
})

/** Routes `/device-groups/…`. */
export function deviceGroups({ pool }: ApiOptions): OpenAPIHono<ApiEnv> {
  return new OpenAPIHono<ApiEnv>()
    .openapi(list, async (c) => {
      const { organizationId, cursor = 0, limit } = c.req.valid('query')
      const { rows } = await asCaller(c, pool, (client) =>
        client.query<Row>(
          `SELECT ${COLUMNS} FROM device_groups
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
      const row = await asCaller(c, pool, (client) => findGroup(client, id))
      return c.json(itemOf(row), 200)
    })
    .openapi(create, async (c) => {
      const { name, organizationId } = c.req.valid('json')
      const { rows } = await asCaller(c, pool, (client, caller) =>
        client.query<Row>(
          `INSERT INTO device_groups (organization_id, name) VALUES ($1, $2) RETURNING ${COLUMNS}`,
          [organizationFor(caller, organizationId), name],
        ),
      )
      return c.json(itemOf(rows[0]!), 201)
    })
    .openapi(update, async (c) => {
      const { id } = c.req.valid('param')
      const { name } = c.req.valid('json')
      const { rows } = await asCaller(c, pool, (client) =>
        client.query<Row>(`UPDATE device_groups SET name = $2 WHERE id = $1 RETURNING ${COLUMNS}`, [
          id,
          name,
        ]),
      )
      if (rows[0] === undefined) throw notFound(`group ${id}`)
      return c.json(itemOf(rows[0]), 200)
    })
    .openapi(remove, async (c) => {
      const { id } = c.req.valid('param')
      await asCaller(c, pool, async (client) => {
        await refuseWhereNamed(client, id)
        const { rowCount } = await client.query('DELETE FROM device_groups WHERE id = $1', [id])
        if (rowCount === 0) throw notFound(`group ${id}`)
      })
      return c.body(null, 204)
    })
    .openapi(listMembers, async (c) => {
      const { id } = c.req.valid('param')
      const { cursor = 0, limit } = c.req.valid('query')
      const rows = await asCaller(c, pool, async (client) => {
        await findGroup(client, id)
        const found = await client.query<z.infer<typeof DeviceGroupMember>>(
          `SELECT d.id AS "deviceId", d.unique_id AS "uniqueId", d.name
           FROM device_group_members m JOIN devices d ON d.id = m.device_id
           WHERE m.group_id = $1 AND m.device_id > $2 ORDER BY m.device_id LIMIT $3`,
          [id, cursor, limit + 1],
        )
        return found.rows
      })
      return c.json(
        page(
          rows,
          limit,
          ({ deviceId }) => deviceId,
          (row) => row,
        ),
        200,
      )
    })
    .openapi(addMember, async (c) => {
      const { id, deviceId } = c.req.valid('param')
      await asCaller(c, pool, async (client) => {
        const { organizationId } = await findGroup(client, id)
        const { rows } = await client.query<{ organization: number }>(
          'SELECT organization_id AS organization FROM devices WHERE id = $1',
          [deviceId],
        )
        if (rows[0] === undefined) throw notFound(`device ${deviceId}`)
        if (rows[0].organization !== organizationId) {
          throw new ApiError(
            409,
            'organization-differs',
            'Device and group are of different organisations; choose a group of the device’s own.',
          )
        }
        await client.query(
          `INSERT INTO device_group_members (organization_id, group_id, device_id) VALUES ($1, $2, $3)
           ON CONFLICT DO NOTHING`,
          [organizationId, id, deviceId],
        )
      })
      return c.body(null, 204)
    })
    .openapi(removeMember, async (c) => {
      const { id, deviceId } = c.req.valid('param')
      await asCaller(c, pool, async (client) => {
        await findGroup(client, id)
        await client.query('DELETE FROM device_group_members WHERE group_id = $1 AND device_id = $2', [
          id,
          deviceId,
        ])
      })
      return c.body(null, 204)
    })
}

/** @throws ApiError 404 */
async function findGroup(client: pg.PoolClient, id: number): Promise<Row> {
  const { rows } = await client.query<Row>(`SELECT ${COLUMNS} FROM device_groups WHERE id = $1`, [id])
  if (rows[0] === undefined) throw notFound(`group ${id}`)
  return rows[0]
}

/** @throws ApiError 409 that names geofences whose rules name the group. */
async function refuseWhereNamed(client: pg.PoolClient, id: number): Promise<void> {
  const { rows } = await client.query<{ id: number; name: string }>(
    `SELECT g.id, g.name FROM geofence_groups n JOIN geofences g ON g.id = n.geofence_id
     WHERE n.group_id = $1 ORDER BY g.id LIMIT $2`,
    [id, NAMED_MAX + 1],
  )
  if (rows.length === 0) return
  const named = rows.slice(0, NAMED_MAX).map((geofence) => `${geofence.id} (${geofence.name})`)
  throw new ApiError(
    409,
    'group-in-use',
    `Rules of geofences name this group: ${named.join(', ')}${rows.length > NAMED_MAX ? ' and more' : ''}. ` +
      'Change those rules first.',
  )
}

function itemOf(row: Row): DeviceGroup {
  return { ...row, createdAt: row.createdAt.toISOString() }
}
