/** Geofences: places on the map and the rules of their events. */
import { OpenAPIHono } from '@hono/zod-openapi'
import { z } from 'zod'
import { Geofence, GeofenceCreate, GeofenceUpdate } from '../schemas/geofence.ts'
import { Id, ONE_LINE } from '../schemas/text.ts'
import {
  findGeofence,
  findGeofences,
  findGeofenceVersions,
  type GeofenceVersionRow,
  insertGeofences,
  updateGeofence,
} from '../storage/geofences/geofences.ts'
import { organizationFor } from './access.ts'
import {
  checkGroups,
  checkRoom,
  checkShape,
  lockGeofences,
  refuseManyVertices,
  SHAPE_BODY_BYTES_MAX,
} from './geofence-checks.ts'
import type { ApiOptions } from './options.ts'
import { cursorOf, encodeCursor, IdText, limitOf, PAGE_ROWS, pageOf } from './page.ts'
import { notFound } from './problem.ts'
import { BoxText } from './query.ts'
import { type ApiEnv, asCaller, body, callerOf, content, route } from './route.ts'

const tags = ['Geofences']
const params = z.object({ id: IdText })
const one = { description: 'the geofence', content: content(Geofence) }

const SHAPE_ERRORS =
  'A shape that is not valid is refused (422): the code says why, such as `shape-self-crossing`, and the detail where. ' +
  'A geofence is also refused (409 `geofence-overlaps`) where too many others of the organisation have a box with the ' +
  'centre of its own box in it: each position there would have to be tested against all. It takes effect within a second.'

const GeofenceVersion = z
  .object({
    version: Geofence.shape.version,
    shape: Geofence.shape.shape,
    timeZone: Geofence.shape.timeZone,
    rules: Geofence.shape.rules,
    disabled: Geofence.shape.disabled,
    replacedAt: Geofence.shape.updatedAt.nullable().describe('null in the version that holds'),
  })
  .meta({ id: 'GeofenceVersion' })

const list = route({
  method: 'get',
  path: '/geofences',
  operationId: 'listGeofences',
  tags,
  summary: 'List geofences',
  description:
    'A page may hold fewer than `limit` although `next` is there: it ends where its shapes get too long.',
  request: {
    query: z.object({
      bbox: BoxText.optional().describe(
        'only those whose box meets this one: west,south,east,north in degrees, west > east across the antimeridian',
      ),
      name: z
        .string()
        .min(1)
        .max(200)
        .regex(ONE_LINE, 'must have no control characters')
        .optional()
        .describe('only those with this text in their name, in either case'),
      organizationId: IdText.optional().describe('only of this organisation'),
      cursor: cursorOf(Id),
      limit: limitOf(PAGE_ROWS),
    }),
  },
  responses: { 200: { description: 'geofences by id', content: content(pageOf(Geofence)) } },
})

const get = route({
  method: 'get',
  path: '/geofences/{id}',
  operationId: 'getGeofence',
  tags,
  summary: 'Get a geofence',
  request: { params },
  responses: { 200: one },
})

const create = route(
  {
    method: 'post',
    path: '/geofences',
    operationId: 'createGeofence',
    tags,
    summary: 'Make a geofence',
    description: `${SHAPE_ERRORS} Positions that were stored before count only for a backfill.`,
    request: { body: body(GeofenceCreate) },
    responses: { 201: one },
  },
  SHAPE_BODY_BYTES_MAX,
  [refuseManyVertices],
)

const update = route(
  {
    method: 'patch',
    path: '/geofences/{id}',
    operationId: 'updateGeofence',
    tags,
    summary: 'Change a geofence',
    description: `A change of anything but the name makes a new version. ${SHAPE_ERRORS}`,
    request: { params, body: body(GeofenceUpdate) },
    responses: { 200: one },
  },
  SHAPE_BODY_BYTES_MAX,
  [refuseManyVertices],
)

const remove = route({
  method: 'delete',
  path: '/geofences/{id}',
  operationId: 'deleteGeofence',
  tags,
  summary: 'Delete a geofence',
  description: 'Its versions and backfills go with it; its events stay in `/events`.',
  request: { params },
  responses: { 204: { description: 'it is gone' } },
})

const listVersions = route({
  method: 'get',
  path: '/geofences/{id}/versions',
  operationId: 'listGeofenceVersions',
  tags,
  summary: 'List what a geofence is and was',
  description: 'Each event names the version that made it.',
  request: { params, query: z.object({ cursor: cursorOf(Id), limit: limitOf(PAGE_ROWS) }) },
  responses: { 200: { description: 'the newest first', content: content(pageOf(GeofenceVersion)) } },
})

/** Routes `/geofences` and `/geofences/{id}`. */
export function geofences({ pool, geofences: options }: ApiOptions): OpenAPIHono<ApiEnv> {
  return new OpenAPIHono<ApiEnv>()
    .openapi(list, async (c) => {
      const { bbox, name, organizationId, cursor = 0, limit } = c.req.valid('query')
      const own = callerOf(c).organizationId
      // Another organisation than their own has nothing for them.
      if (own !== null && organizationId !== undefined && organizationId !== own) {
        return c.json({ items: [], next: null }, 200)
      }
      const box = bbox && { west: bbox[0], south: bbox[1], east: bbox[2], north: bbox[3] }
      const { items, more } = await asCaller(c, pool, (client) =>
        findGeofences(client, {
          organizationId: own ?? organizationId ?? null,
          name,
          box,
          after: cursor,
          limit,
        }),
      )
      return c.json({ items, next: more ? encodeCursor(items.at(-1)!.id) : null }, 200)
    })
    .openapi(get, async (c) => {
      const { id } = c.req.valid('param')
      const geofence = await asCaller(c, pool, (client) => findGeofence(client, id))
      if (geofence === undefined) throw notFound(`geofence ${id}`)
      return c.json(geofence, 200)
    })
    .openapi(create, async (c) => {
      const input = c.req.valid('json')
      const { text, bounds } = checkShape(input.shape)
      const geofence = await asCaller(c, pool, async (client, caller) => {
        const organizationId = organizationFor(caller, input.organizationId)
        await checkGroups(client, organizationId, input.rules)
        await lockGeofences(client, organizationId)
        await checkRoom(client, options, organizationId, bounds)
        const [id] = await insertGeofences(client, { ...input, organizationId }, [
          { name: input.name, shape: text, bounds },
        ])
        return (await findGeofence(client, id!))!
      })
      return c.json(geofence, 201)
    })
    .openapi(update, async (c) => {
      const { id } = c.req.valid('param')
      const { shape, ...input } = c.req.valid('json')
      const checked = shape && checkShape(shape)
      const geofence = await asCaller(c, pool, async (client) => {
        const { rows } = await client.query<{ organization: number }>(
          'SELECT organization_id AS organization FROM geofences WHERE id = $1',
          [id],
        )
        if (rows[0] === undefined) throw notFound(`geofence ${id}`)
        const { organization } = rows[0]
        if (input.rules) await checkGroups(client, organization, input.rules)
        if (checked) {
          await lockGeofences(client, organization)
          await checkRoom(client, options, organization, checked.bounds, id)
        }
        const { name, timeZone, rules, disabled } = input
        const changed = await updateGeofence(client, id, { name, shape: checked, timeZone, rules, disabled })
        if (changed === undefined) throw notFound(`geofence ${id}`)
        return changed
      })
      return c.json(geofence, 200)
    })
    .openapi(remove, async (c) => {
      const { id } = c.req.valid('param')
      const { rowCount } = await asCaller(c, pool, (client) =>
        client.query('DELETE FROM geofences WHERE id = $1', [id]),
      )
      if (rowCount === 0) throw notFound(`geofence ${id}`)
      return c.body(null, 204)
    })
    .openapi(listVersions, async (c) => {
      const { id } = c.req.valid('param')
      const { cursor, limit } = c.req.valid('query')
      const { items, more } = await asCaller(c, pool, async (client) => {
        const { rowCount } = await client.query('SELECT FROM geofences WHERE id = $1', [id])
        if (rowCount === 0) throw notFound(`geofence ${id}`)
        return findGeofenceVersions(client, id, cursor, limit)
      })
      return c.json(
        { items: items.map(versionOf), next: more ? encodeCursor(items.at(-1)!.version) : null },
        200,
      )
    })
}

function versionOf(row: GeofenceVersionRow): z.infer<typeof GeofenceVersion> {
  return { ...row, rules: [...row.rules], replacedAt: row.replacedAt?.toISOString() ?? null }
}
