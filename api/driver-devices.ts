/** Devices of drivers, which are all that a driver sees. */
import { OpenAPIHono } from '@hono/zod-openapi'
import type pg from 'pg'
import { z } from 'zod'
import type { Role } from '../schemas/roles.ts'
import { Id } from '../schemas/text.ts'
import type { ApiOptions } from './options.ts'
import { IdText } from './page.ts'
import { ApiError, notFound } from './problem.ts'
import { type ApiEnv, asCaller, body, content, route } from './route.ts'

/** Most devices of a driver. */
export const DRIVER_DEVICES_MAX = 100

const tags = ['Users']
const params = z.object({ id: IdText })
const DriverDevices = z.object({ devices: z.array(Id).describe('by id') }).meta({ id: 'DriverDevices' })
const DriverDevicesInput = z
  .strictObject({ devices: z.array(Id).max(DRIVER_DEVICES_MAX) })
  .meta({ id: 'DriverDevicesInput' })

const get = route({
  method: 'get',
  path: '/users/{id}/devices',
  operationId: 'getDriverDevices',
  tags,
  summary: 'List the devices of a driver',
  request: { params },
  responses: { 200: { description: 'the devices', content: content(DriverDevices) } },
})

const put = route({
  method: 'put',
  path: '/users/{id}/devices',
  operationId: 'putDriverDevices',
  tags,
  summary: 'Set the devices of a driver',
  description:
    'They replace those before. A driver sees these devices only, with their past; open streams follow within seconds.',
  request: { params, body: body(DriverDevicesInput) },
  responses: { 200: { description: 'the devices', content: content(DriverDevices) } },
})

/** Routes `/users/{id}/devices`. */
export function driverDevices({ pool }: ApiOptions): OpenAPIHono<ApiEnv> {
  return new OpenAPIHono<ApiEnv>()
    .openapi(get, async (c) => {
      const { id } = c.req.valid('param')
      const devices = await asCaller(c, pool, async (client) => {
        await lockUser(client, id)
        return devicesOf(client, id)
      })
      return c.json({ devices }, 200)
    })
    .openapi(put, async (c) => {
      const { id } = c.req.valid('param')
      const wanted = [...new Set(c.req.valid('json').devices)]
      const devices = await asCaller(c, pool, async (client) => {
        const { role, organizationId } = await lockUser(client, id)
        if (role !== 'driver') {
          throw new ApiError(
            409,
            'not-a-driver',
            'Only a driver has devices; others see those of the organisation.',
          )
        }
        const { rows } = await client.query<{ id: number }>(
          'SELECT id FROM devices WHERE id = ANY ($1) AND organization_id = $2',
          [wanted, organizationId],
        )
        const found = new Set(rows.map((row) => row.id))
        const missing = wanted.find((device) => !found.has(device))
        if (missing !== undefined) throw notFound(`device ${missing} in the driver's organisation`)
        await client.query('DELETE FROM driver_devices WHERE user_id = $1 AND device_id <> ALL ($2)', [
          id,
          wanted,
        ])
        await client.query(
          `INSERT INTO driver_devices (organization_id, user_id, device_id)
           SELECT $1, $2, unnest($3::integer[]) ON CONFLICT DO NOTHING`,
          [organizationId, id, wanted],
        )
        return devicesOf(client, id)
      })
      return c.json({ devices }, 200)
    })
}

async function devicesOf(client: pg.PoolClient, user: number): Promise<number[]> {
  const { rows } = await client.query<{ device: number }>(
    'SELECT device_id AS device FROM driver_devices WHERE user_id = $1 ORDER BY device_id',
    [user],
  )
  return rows.map(({ device }) => device)
}

/** @throws ApiError 404 */
async function lockUser(
  client: pg.PoolClient,
  id: number,
): Promise<{ role: Role; organizationId: number | null }> {
  const { rows } = await client.query<{ role: Role; organizationId: number | null }>(
    'SELECT role, organization_id AS "organizationId" FROM users WHERE id = $1 FOR UPDATE',
    [id],
  )
  if (rows[0] === undefined) throw notFound(`user ${id}`)
  return rows[0]
}
