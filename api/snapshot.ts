/** Where all devices were at a time. */
import { OpenAPIHono } from '@hono/zod-openapi'
import { z } from 'zod'
import { Position } from '../schemas/position.ts'
import { Id } from '../schemas/text.ts'
import { positionsAt } from '../storage/positions/snapshot.ts'
import type { ApiOptions } from './options.ts'
import { cursorOf, IdText, limitOf, POSITION_PAGE_ROWS, page, pageOf } from './page.ts'
import { POSITION_DEVICES_MAX } from './positions.ts'
import { BoxText, TimeText } from './query.ts'
import { type ApiEnv, asCaller, content, route } from './route.ts'

/** Ids with commas between. */
const IdsText = z
  .string()
  .max(POSITION_DEVICES_MAX * 11)
  .transform((text, context) => {
    const ids = z.array(IdText).min(1).max(POSITION_DEVICES_MAX).safeParse(text.split(','))
    if (ids.success) return ids.data
    context.addIssue({ code: 'custom', message: `must be at most ${POSITION_DEVICES_MAX} ids, as 1,2,3` })
    return z.NEVER
  })
  .meta({ type: 'string', example: '1,2,3' })

const getSnapshot = route({
  method: 'get',
  path: '/snapshot',
  operationId: 'getSnapshot',
  tags: ['Positions'],
  summary: 'Where devices were at a time',
  description:
    'The last position of each device that is not doubted, at or before the time, by id of the device. A device without one ' +
    'is left out, so a page may hold fewer than `limit` although `next` is there.',
  request: {
    query: z.object({
      at: TimeText.describe('the time'),
      devices: IdsText.optional().describe('only of these devices, ids with commas between'),
      group: IdText.optional().describe('only of devices that are in this group now'),
      bbox: BoxText.optional().describe(
        'only positions in west,south,east,north, degrees; west > east across the antimeridian',
      ),
      cursor: cursorOf(Id),
      limit: limitOf(POSITION_PAGE_ROWS),
    }),
  },
  responses: {
    200: { description: 'positions by device', content: content(pageOf(Position.meta({ id: 'Position' }))) },
  },
})

/** Routes `/snapshot`. */
export function snapshot({ pool }: ApiOptions): OpenAPIHono<ApiEnv> {
  return new OpenAPIHono<ApiEnv>().openapi(getSnapshot, async (c) => {
    const { at, devices, group, bbox, cursor = 0, limit } = c.req.valid('query')
    const [west, south, east, north] = bbox ?? []
    const box = bbox && { west: west!, south: south!, east: east!, north: north! }
    const found = await asCaller(c, pool, async (client) => {
      // Pages are of devices, since only those have an order that stays.
      const { rows } = await client.query<{ id: number }>(
        `SELECT id FROM devices WHERE id > $1 AND ($3::integer[] IS NULL OR id = ANY ($3))
           AND ($4::integer IS NULL OR id IN (SELECT device_id FROM device_group_members WHERE group_id = $4))
         ORDER BY id LIMIT $2`,
        [cursor, limit + 1, devices, group],
      )
      const { items, next } = page(
        rows,
        limit,
        ({ id }) => id,
        ({ id }) => id,
      )
      return { items: await positionsAt(client, at, items, box), next }
    })
    return c.json(found, 200)
  })
}
