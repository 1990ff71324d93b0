/** Positions: the last of each device, and the track of one. */
import { OpenAPIHono } from '@hono/zod-openapi'
import { z } from 'zod'
import { Position } from '../schemas/position.ts'
import { Id } from '../schemas/text.ts'
import { CursorError, devicePositions, lastPositions } from '../storage/positions/positions.ts'
import type { ApiOptions } from './options.ts'
import { cursorOf, IdText, limitOf, POSITION_PAGE_ROWS, page, pageOf } from './page.ts'
import { invalidFields, notFound } from './problem.ts'
import { TimeText } from './query.ts'
import { type ApiEnv, asCaller, content, route } from './route.ts'

/** Devices that one request may name. */
export const POSITION_DEVICES_MAX = 1000

/** Length of a track whose beginning is not given, ms. */
const TRACK_MS = 24 * 3600 * 1000

const tags = ['Positions']

const listLast = route({
  method: 'get',
  path: '/positions',
  operationId: 'listLastPositions',
  tags,
  summary: 'Last position of each device',
  description:
    'By id of the device; a device without a position that is not doubted is left out, so a page may hold fewer than `limit` although `next` is there.',
  request: {
    query: z.object({
      device: z
        .preprocess(
          (value) => (value === undefined || Array.isArray(value) ? value : [value]),
          z.array(IdText).max(POSITION_DEVICES_MAX).optional(),
        )
        .meta({
          type: 'array',
          items: { type: 'integer', minimum: 1, maximum: Id.maxValue! },
          maxItems: POSITION_DEVICES_MAX,
          description: 'only of these devices; repeat it for several',
          param: { name: 'device', in: 'query', required: false },
        }),
      cursor: cursorOf(Id),
      limit: limitOf(POSITION_PAGE_ROWS),
    }),
  },
  responses: {
    200: { description: 'positions by device', content: content(pageOf(Position.meta({ id: 'Position' }))) },
  },
})

const listTrack = route({
  method: 'get',
  path: '/devices/{id}/positions',
  operationId: 'listDevicePositions',
  tags,
  summary: 'Track of a device',
  description: 'By time of the fix, doubtful positions among them.',
  request: {
    params: z.object({ id: IdText }),
    query: z.object({
      from: TimeText.optional().describe('time of the first fix; a day before `to` if left out'),
      to: TimeText.optional().describe('time before which the last fix lies; now if left out'),
      cursor: z.string().max(64).optional().describe('`next` of the page before'),
      limit: limitOf(POSITION_PAGE_ROWS),
    }),
  },
  responses: {
    200: { description: 'positions by time', content: content(pageOf(Position.meta({ id: 'Position' }))) },
  },
})

/** Routes `/positions` and `/devices/{id}/positions`. */
export function positions({ pool }: ApiOptions): OpenAPIHono<ApiEnv> {
  return new OpenAPIHono<ApiEnv>()
    .openapi(listLast, async (c) => {
      const { device: only, cursor = 0, limit } = c.req.valid('query')
      const found = await asCaller(c, pool, async (client) => {
        // Pages are of devices, since only those have an order that stays.
        const { rows } = await client.query<{ id: number }>(
          'SELECT id FROM devices WHERE id > $1 AND ($3::integer[] IS NULL OR id = ANY ($3)) ORDER BY id LIMIT $2',
          [cursor, limit + 1, only],
        )
        const { items, next } = page(
          rows,
          limit,
          ({ id }) => id,
          ({ id }) => id,
        )
        const last = await lastPositions(client, items)
        return { items: last.sort((a, b) => a.device - b.device), next }
      })
      return c.json(found, 200)
    })
    .openapi(listTrack, async (c) => {
      const { id } = c.req.valid('param')
      const {
        to = new Date(),
        from = new Date(to.getTime() - TRACK_MS),
        cursor,
        limit,
      } = c.req.valid('query')
      if (from > to) throw invalidFields([{ in: 'query', field: 'from', detail: 'must not be after `to`' }])
      const found = await asCaller(c, pool, async (client) => {
        const { rowCount } = await client.query('SELECT FROM devices WHERE id = $1', [id])
        if (rowCount === 0) throw notFound(`device ${id}`)
        return devicePositions(client, { device: id, from, to, after: cursor, limit })
      }).catch((error: unknown) => {
        if (!(error instanceof CursorError)) throw error
        throw invalidFields([{ in: 'query', field: 'cursor', detail: 'must be the `next` of a page before' }])
      })
      return c.json({ items: found.positions, next: found.next }, 200)
    })
}
