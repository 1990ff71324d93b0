/** Events of geofences: of an organisation, a device or a geofence. */
import { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import type pg from 'pg'
import { z } from 'zod'
import { GeofenceEvent, GeofenceEventId, GeofenceEventType } from '../schemas/geofence-event.ts'
import { findEvents } from '../storage/geofences/geofence-events.ts'
import type { ApiOptions } from './options.ts'
import { cursorOf, IdText, limitOf, PAGE_ROWS, page, pageOf } from './page.ts'
import { invalidFields, notFound } from './problem.ts'
import { BooleanText, TimeText } from './query.ts'
import { withinTime } from './query-time.ts'
import { type ApiEnv, asCaller, callerOf, content, route } from './route.ts'

/** Time that a list goes back where its beginning is not given, ms: most of what is asked for is recent. */
const BACK_MS = 31 * 24 * 3600 * 1000
/** The end where none is given, ms after now: the clock of a device may be ahead. */
const AHEAD_MS = 24 * 3600 * 1000

/** Events of a type that is rare are looked for among all others. */
const STATEMENT_MS = 10_000
const TOO_LARGE = 'There are too many other events in this time to look through; ask for a shorter time.'

const tags = ['Geofence events']
const params = z.object({ id: IdText })
const filters = {
  from: TimeText.optional().describe('time of the first event; 31 days before `to` if left out'),
  to: TimeText.optional().describe('time before which the last one lies; now, and all after, if left out'),
  type: GeofenceEventType.optional().describe('only of this type'),
  history: BooleanText.default(false).describe(
    'also events that later data corrected, and what says that one did not happen',
  ),
  cursor: cursorOf(z.tuple([z.int(), GeofenceEventId])),
  limit: limitOf(PAGE_ROWS),
}
const device = IdText.optional().describe('only of this device')
const geofence = IdText.optional().describe('only of this geofence, which may be deleted by now')
const responses = {
  200: { description: 'by time and id, the newest first', content: content(pageOf(GeofenceEvent)) },
}

const list = route({
  method: 'get',
  path: '/events',
  operationId: 'listEvents',
  tags,
  summary: 'List events of geofences',
  description:
    'Events belong to the organisation that the geofence had then, and stay when device or geofence are deleted.',
  request: {
    query: z.object({
      ...filters,
      device,
      geofence,
      organizationId: IdText.optional().describe(
        'only of this organisation; a super admin gives this, `device` or `geofence`',
      ),
    }),
  },
  responses,
})

const listOfDevice = route({
  method: 'get',
  path: '/devices/{id}/events',
  operationId: 'listDeviceEvents',
  tags,
  summary: 'List events of a device',
  description: 'Those that it made in the organisation of the caller.',
  request: { params, query: z.object({ ...filters, geofence }) },
  responses,
})

const listOfGeofence = route({
  method: 'get',
  path: '/geofences/{id}/events',
  operationId: 'listGeofenceEvents',
  tags,
  summary: 'List events of a geofence',
  request: { params, query: z.object({ ...filters, device }) },
  responses,
})

/** What all three lists are asked for. */
interface Filters {
  readonly from?: Date | undefined
  readonly to?: Date | undefined
  readonly type?: GeofenceEventType | undefined
  readonly history: boolean
  readonly cursor?: readonly [number, number] | undefined
  readonly limit: number
}

interface Scope {
  readonly organizationId?: number | undefined
  readonly device?: number | undefined
  readonly geofence?: number | undefined
}

/** Routes `/events`, `/devices/{id}/events` and `/geofences/{id}/events`. */
export function geofenceEvents({ pool }: ApiOptions): OpenAPIHono<ApiEnv> {
  const answer = async (
    c: Context<ApiEnv>,
    { from: asked, to: until, type, history, cursor, limit }: Filters,
    scope: Scope,
    check?: (client: pg.PoolClient) => Promise<void>,
  ) => {
    const to = until ?? new Date(Date.now() + AHEAD_MS)
    const from = asked ?? new Date((until?.getTime() ?? Date.now()) - BACK_MS)
    if (from > to) throw invalidFields([{ in: 'query', field: 'from', detail: 'must not be after `to`' }])
    const own = callerOf(c).organizationId
    const rows = await asCaller(c, pool, async (client) => {
      await check?.(client)
      if (own !== null && (scope.organizationId ?? own) !== own) return []
      const organizationId = own ?? scope.organizationId ?? null
      const before = cursor
      const query = { ...scope, organizationId, type, from, to, history, before, limit: limit + 1 }
      return withinTime(client, STATEMENT_MS, TOO_LARGE, () => findEvents(client, query))
    })
    return page(
      rows,
      limit,
      ({ key }) => key,
      ({ event }) => event,
    )
  }
  return new OpenAPIHono<ApiEnv>()
    .openapi(list, async (c) => {
      const { organizationId, device, geofence, ...filters } = c.req.valid('query')
      if (callerOf(c).organizationId === null && !(organizationId ?? device ?? geofence)) {
        const detail = 'required, or `device` or `geofence`: a super admin belongs to no organisation'
        throw invalidFields([{ in: 'query', field: 'organizationId', detail }])
      }
      return c.json(await answer(c, filters, { organizationId, device, geofence }), 200)
    })
    .openapi(listOfDevice, async (c) => {
      const { id } = c.req.valid('param')
      const { geofence, ...filters } = c.req.valid('query')
      const exists = async (client: pg.PoolClient) => {
        const { rowCount } = await client.query('SELECT FROM devices WHERE id = $1', [id])
        if (rowCount === 0) throw notFound(`device ${id}`)
      }
      return c.json(await answer(c, filters, { device: id, geofence }, exists), 200)
    })
    .openapi(listOfGeofence, async (c) => {
      const { id } = c.req.valid('param')
      const { device, ...filters } = c.req.valid('query')
      const exists = async (client: pg.PoolClient) => {
        const { rowCount } = await client.query('SELECT FROM geofences WHERE id = $1', [id])
        if (rowCount === 0) throw notFound(`geofence ${id}`)
      }
      return c.json(await answer(c, filters, { device, geofence: id }, exists), 200)
    })
}
