/** Runs of a geofence over history: queued, looked at, cancelled. Ingest does them. */
import { OpenAPIHono } from '@hono/zod-openapi'
import type pg from 'pg'
import { z } from 'zod'
import { Id, Time } from '../schemas/text.ts'
import type { ApiOptions } from './options.ts'
import { cursorOf, IdText, limitOf, PAGE_ROWS, page, pageOf } from './page.ts'
import { ApiError, invalidFields, notFound } from './problem.ts'
import { type ApiEnv, asCaller, body, content, route } from './route.ts'

const tags = ['Geofences']
const params = z.object({ id: IdText })
const oneParams = z.object({ id: IdText, backfillId: IdText })

const BACKFILL_STATES = ['queued', 'running', 'done', 'cancelled', 'failed'] as const

const GeofenceBackfill = z
  .object({
    id: Id,
    geofenceId: Id,
    from: Time,
    to: Time,
    state: z.enum(BACKFILL_STATES),
    cancelAsked: z.boolean().describe('it ends as `cancelled`, unless it is done before'),
    devicesTotal: z.int().nullable().describe('devices to go through; null until that is known'),
    devicesDone: z.int(),
    eventsAdded: z.int(),
    eventsRetracted: z.int().describe('events that did not happen, or happened otherwise'),
    failure: z.string().nullable().describe('why it failed'),
    createdBy: Id,
    createdAt: Time,
    startedAt: Time.nullable(),
    endedAt: Time.nullable(),
  })
  .meta({ id: 'GeofenceBackfill' })
type GeofenceBackfill = z.infer<typeof GeofenceBackfill>

const COLUMNS = `id, geofence_id AS "geofenceId", from_time AS "from", to_time AS "to", state,
  cancel_asked AS "cancelAsked", devices_total AS "devicesTotal", devices_done AS "devicesDone",
  events_added AS "eventsAdded", events_retracted AS "eventsRetracted", failure, created_by AS "createdBy",
  created_at AS "createdAt", started_at AS "startedAt", ended_at AS "endedAt"`

type TimeField = 'from' | 'to' | 'createdAt' | 'startedAt' | 'endedAt'
type Row = Omit<GeofenceBackfill, TimeField> & {
  readonly from: Date
  readonly to: Date
  readonly createdAt: Date
  readonly startedAt: Date | null
  readonly endedAt: Date | null
}

const Moment = z.iso.datetime({ offset: true })

const GeofenceBackfillCreate = z
  .strictObject({
    from: Moment.describe('time of the first position'),
    to: Moment.optional().describe('time before which the last one lies; now if left out, and at most'),
  })
  .meta({ id: 'GeofenceBackfillCreate' })

const one = { description: 'the backfill', content: content(GeofenceBackfill) }

const create = route({
  method: 'post',
  path: '/geofences/{id}/backfill',
  operationId: 'createGeofenceBackfill',
  tags,
  summary: 'Run a geofence over history',
  description:
    'Positions that are stored already make the events that they would have made with the geofence as it is now; ' +
    'events of it in that time that do not hold are retracted. Runs in the background, one at a time a geofence.',
  request: { params, body: body(GeofenceBackfillCreate) },
  responses: { 202: { description: 'the backfill, queued', content: content(GeofenceBackfill) } },
})

const list = route({
  method: 'get',
  path: '/geofences/{id}/backfills',
  operationId: 'listGeofenceBackfills',
  tags,
  summary: 'List the backfills of a geofence',
  request: { params, query: z.object({ cursor: cursorOf(Id), limit: limitOf(PAGE_ROWS) }) },
  responses: { 200: { description: 'the newest first', content: content(pageOf(GeofenceBackfill)) } },
})

const get = route({
  method: 'get',
  path: '/geofences/{id}/backfills/{backfillId}',
  operationId: 'getGeofenceBackfill',
  tags,
  summary: 'Get a backfill and how far it is',
  request: { params: oneParams },
  responses: { 200: one },
})

const cancel = route({
  method: 'delete',
  path: '/geofences/{id}/backfills/{backfillId}',
  operationId: 'cancelGeofenceBackfill',
  tags,
  summary: 'Cancel a backfill that has not ended',
  description: 'It ends within seconds; what it has done until then stays.',
  request: { params: oneParams },
  responses: {
    202: { description: 'the backfill, which is being cancelled', content: content(GeofenceBackfill) },
  },
})

/** Routes `/geofences/{id}/backfill` and `/geofences/{id}/backfills/…`. */
export function geofenceBackfills({ pool }: ApiOptions): OpenAPIHono<ApiEnv> {
  return new OpenAPIHono<ApiEnv>()
    .openapi(create, async (c) => {
      const { id } = c.req.valid('param')
      const { from, to } = c.req.valid('json')
      const backfill = await asCaller(c, pool, (client, caller) => queue(client, id, caller.userId, from, to))
      return c.json(backfill, 202)
    })
    .openapi(list, async (c) => {
      const { id } = c.req.valid('param')
      const { cursor, limit } = c.req.valid('query')
      const rows = await asCaller(c, pool, async (client) => {
        const { rowCount } = await client.query('SELECT FROM geofences WHERE id = $1', [id])
        if (rowCount === 0) throw notFound(`geofence ${id}`)
        const found = await client.query<Row>(
          `SELECT ${COLUMNS} FROM geofence_backfills
           WHERE geofence_id = $1 AND ($2::integer IS NULL OR id < $2) ORDER BY id DESC LIMIT $3`,
          [id, cursor, limit + 1],
        )
        return found.rows
      })
      return c.json(
        page(rows, limit, (row) => row.id, itemOf),
        200,
      )
    })
    .openapi(get, async (c) => {
      const { id, backfillId } = c.req.valid('param')
      const backfill = await asCaller(c, pool, (client) => find(client, id, backfillId))
      return c.json(backfill, 200)
    })
    .openapi(cancel, async (c) => {
      const { id, backfillId } = c.req.valid('param')
      const backfill = await asCaller(c, pool, async (client) => {
        const { rows } = await client.query<Row>(
          `UPDATE geofence_backfills SET cancel_asked = true
           WHERE id = $1 AND geofence_id = $2 AND state IN ('queued', 'running') RETURNING ${COLUMNS}`,
          [backfillId, id],
        )
        if (rows[0]) return itemOf(rows[0])
        const { state } = await find(client, id, backfillId)
        throw new ApiError(
          409,
          'backfill-ended',
          `The backfill is ${state} already; there is nothing to cancel.`,
        )
      })
      return c.json(backfill, 202)
    })
}

async function queue(
  client: pg.PoolClient,
  geofenceId: number,
  userId: number,
  from: string,
  to: string | undefined,
): Promise<GeofenceBackfill> {
  const nowMs = Date.now()
  const [fromMs, toMs] = [Date.parse(from), to === undefined ? nowMs : Math.min(nowMs, Date.parse(to))]
  if (Number.isNaN(fromMs) || Number.isNaN(toMs) || fromMs >= toMs) {
    throw invalidFields([{ in: 'body', field: 'from', detail: 'must be before `to`, and before now' }])
  }
  // Locked, so that of two requests at once the second sees the first.
  const { rows } = await client.query<{ organization: number }>(
    'SELECT organization_id AS organization FROM geofences WHERE id = $1 FOR NO KEY UPDATE',
    [geofenceId],
  )
  if (rows[0] === undefined) throw notFound(`geofence ${geofenceId}`)
  const open = await client.query<{ id: number }>(
    "SELECT id FROM geofence_backfills WHERE geofence_id = $1 AND state IN ('queued', 'running') LIMIT 1",
    [geofenceId],
  )
  if (open.rows[0] !== undefined) {
    throw new ApiError(
      409,
      'backfill-open',
      `Backfill ${open.rows[0].id} of this geofence has not ended; wait for it or cancel it.`,
    )
  }
  const queued = await client.query<Row>(
    `INSERT INTO geofence_backfills (organization_id, geofence_id, from_time, to_time, created_by)
     VALUES ($1, $2, $3, $4, $5) RETURNING ${COLUMNS}`,
    [rows[0].organization, geofenceId, new Date(fromMs), new Date(toMs), userId],
  )
  return itemOf(queued.rows[0]!)
}

/** @throws ApiError 404 */
async function find(client: pg.PoolClient, geofenceId: number, id: number): Promise<GeofenceBackfill> {
  const { rows } = await client.query<Row>(
    `SELECT ${COLUMNS} FROM geofence_backfills WHERE id = $1 AND geofence_id = $2`,
    [id, geofenceId],
  )
  if (rows[0] === undefined) throw notFound(`backfill ${id} of geofence ${geofenceId}`)
  return itemOf(rows[0])
}

function itemOf(row: Row): GeofenceBackfill {
  return {
    ...row,
    from: row.from.toISOString(),
    to: row.to.toISOString(),
    createdAt: row.createdAt.toISOString(),
    startedAt: row.startedAt?.toISOString() ?? null,
    endedAt: row.endedAt?.toISOString() ?? null,
  }
}
