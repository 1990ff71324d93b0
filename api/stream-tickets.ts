/** Tickets to the live stream: a browser cannot send a header with a WebSocket, so it asks for one here first. */
import { OpenAPIHono } from '@hono/zod-openapi'
import { z } from 'zod'
import { STREAM_PATH } from '../schemas/stream.ts'
import type { ApiOptions } from './options.ts'
import { ApiError } from './problem.ts'
import { type ApiEnv, asCaller, content, route } from './route.ts'
import { randomToken, TokenText, tokenHash } from './sessions.ts'

/** How long a ticket waits to be redeemed, s. */
export const STREAM_TICKET_S = 30

/** Tickets of one user that may wait at a time. */
export const STREAM_TICKETS_MAX = 100

export const StreamTicket = z
  .object({
    ticket: TokenText.describe('can be redeemed once'),
    url: z.string().describe('URL of the stream; add `?ticket=TICKET`'),
    expiresIn: z.int().describe('s'),
  })
  .meta({ id: 'StreamTicket' })

const create = route({
  method: 'post',
  path: '/stream/tickets',
  operationId: 'createStreamTicket',
  tags: ['Stream'],
  summary: 'Get a ticket to the live stream',
  description:
    'The stream sends positions and geofence events of the devices in a subscription as they are stored. A client that reads too slowly is told by `lagging` how many were left out: positions are followed by newer ones, events are read by `GET /api/v1/events`.',
  responses: { 201: { description: 'a ticket', content: content(StreamTicket) } },
})

/** Routes `/stream/…`. */
export function streamTickets({ pool, streamUrl }: ApiOptions): OpenAPIHono<ApiEnv> {
  return new OpenAPIHono<ApiEnv>().openapi(create, async (c) => {
    const ticket = randomToken()
    await asCaller(c, pool, async (client, { userId, sessionId }) => {
      await client.query('DELETE FROM stream_tickets WHERE user_id = $1 AND expires_at < now()', [userId])
      const { rowCount } = await client.query(
        `INSERT INTO stream_tickets (ticket_hash, user_id, session_id, expires_at)
         SELECT $1, $2, $5, now() + make_interval(secs => $3)
         WHERE (SELECT count(*) FROM stream_tickets WHERE user_id = $2) < $4`,
        [tokenHash(ticket), userId, STREAM_TICKET_S, STREAM_TICKETS_MAX, sessionId],
      )
      if (rowCount === 0)
        throw new ApiError(
          429,
          'too-many-tickets',
          'Too many tickets wait to be redeemed; use one or wait.',
          {
            headers: { 'Retry-After': String(STREAM_TICKET_S) },
          },
        )
    })
    return c.json({ ticket, url: streamUrl() + STREAM_PATH, expiresIn: STREAM_TICKET_S }, 201)
  })
}
