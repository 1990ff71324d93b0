/** Quarantine: unknown devices that knock, and claiming them for an organisation. */
import { OpenAPIHono } from '@hono/zod-openapi'
import { z } from 'zod'
import { Device } from '../schemas/device.ts'
import { QUARANTINE_FRAME_BYTES_MAX, QuarantineClaim, QuarantineEntry } from '../schemas/quarantine.ts'
import { line } from '../schemas/text.ts'
import { insertDevice } from './devices.ts'
import type { ApiOptions } from './options.ts'
import { cursorOf, limitOf, PAGE_ROWS, page, pageOf } from './page.ts'
import { notFound } from './problem.ts'
import { type ApiEnv, asCaller, body, content, route } from './route.ts'

const tags = ['Quarantine']

/** PostgreSQL takes no U+0000. */
const keyText = z.string().regex(/^[^\0]*$/)

/** Last seen, µs since 1970: JavaScript's Date would drop the microseconds, and rows with them. Then the key. */
const Cursor = z.tuple([z.int().min(0), keyText, keyText, keyText])

type Row = Omit<QuarantineEntry, 'firstSeen' | 'lastSeen'> & {
  firstSeen: Date
  lastSeen: Date
  lastSeenMicros: number
}

const list = route({
  method: 'get',
  path: '/quarantine',
  operationId: 'listQuarantine',
  tags,
  summary: 'List unknown devices and unreadable frames',
  request: { query: z.object({ cursor: cursorOf(Cursor), limit: limitOf(PAGE_ROWS) }) },
  responses: { 200: { description: 'the last seen first', content: content(pageOf(QuarantineEntry)) } },
})

const claim = route({
  method: 'post',
  path: '/quarantine/claim',
  operationId: 'claimQuarantine',
  tags,
  summary: 'Register an unknown device',
  description: 'Creates the device in the organisation and removes all that quarantine holds of it.',
  request: { body: body(QuarantineClaim) },
  responses: { 201: { description: 'the device', content: content(Device) } },
})

const remove = route({
  method: 'delete',
  path: '/quarantine',
  operationId: 'deleteQuarantine',
  tags,
  summary: 'Forget an unknown device or unreadable frames',
  request: {
    query: z.object({
      protocol: line(1, 64),
      uniqueId: line(0, 128).describe('empty for frames that name no device'),
      reason: line(1, 64).optional().describe('all reasons if left out'),
    }),
  },
  responses: { 204: { description: 'nothing of it is held' } },
})

/** Routes `/quarantine/…`. */
export function quarantine({ pool }: ApiOptions): OpenAPIHono<ApiEnv> {
  return new OpenAPIHono<ApiEnv>()
    .openapi(list, async (c) => {
      const { cursor, limit } = c.req.valid('query')
      const { rows } = await asCaller(c, pool, (client) =>
        client.query<Row>(
          `SELECT protocol, unique_id AS "uniqueId", reason, detail, first_seen AS "firstSeen", last_seen AS "lastSeen",
             frame_count AS "frameCount", last_address AS "lastAddress",
             encode(substring(last_frame FOR ${QUARANTINE_FRAME_BYTES_MAX}), 'hex') AS "lastFrame",
             length(last_frame) AS "lastFrameBytes",
             (extract(epoch FROM last_seen) * 1000000)::bigint AS "lastSeenMicros"
           FROM quarantine
           WHERE $2::bigint IS NULL OR (last_seen, protocol, unique_id, reason)
             < (timestamptz 'epoch' + $2 * interval '1 microsecond', $3, $4, $5)
           ORDER BY last_seen DESC, protocol DESC, unique_id DESC, reason DESC LIMIT $1`,
          [limit + 1, ...(cursor ?? [null, null, null, null])],
        ),
      )
      const keyOf = (row: Row) => [row.lastSeenMicros, row.protocol, row.uniqueId, row.reason]
      return c.json(page(rows, limit, keyOf, itemOf), 200)
    })
    .openapi(claim, async (c) => {
      const { protocol, uniqueId, organizationId, name } = c.req.valid('json')
      const device = await asCaller(c, pool, async (client) => {
        const { rowCount } = await client.query(
          'SELECT FROM quarantine WHERE protocol = $1 AND unique_id = $2 LIMIT 1',
          [protocol, uniqueId],
        )
        if (rowCount === 0) throw notFound(`device ${uniqueId} of ${protocol} in quarantine`)
        // What it sent in other protocols is known now as well.
        await client.query('DELETE FROM quarantine WHERE unique_id = $1', [uniqueId])
        return insertDevice(client, {
          organizationId,
          uniqueId,
          name,
          model: '',
          options: {},
          disabled: false,
        })
      })
      return c.json(device, 201)
    })
    .openapi(remove, async (c) => {
      const { protocol, uniqueId, reason } = c.req.valid('query')
      const { rowCount } = await asCaller(c, pool, (client) =>
        client.query(
          `DELETE FROM quarantine
           WHERE protocol = $1 AND unique_id = $2 AND ($3::text IS NULL OR reason = $3)`,
          [protocol, uniqueId, reason],
        ),
      )
      if (rowCount === 0) throw notFound('such entry in quarantine')
      return c.body(null, 204)
    })
}

function itemOf({ lastSeenMicros: _, ...row }: Row): QuarantineEntry {
  return { ...row, firstSeen: row.firstSeen.toISOString(), lastSeen: row.lastSeen.toISOString() }
}
