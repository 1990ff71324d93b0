/** What whoever has a share link may ask, without a login. The token is the whole proof: it is limited as a password is. */
import { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { z } from 'zod'
import { SharedView } from '../schemas/share-link.ts'
import { STREAM_PATH } from '../schemas/stream.ts'
import { asAnonymous } from '../storage/tenancy.ts'
import { AttemptLimiter } from './attempt-limiter.ts'
import { LOGIN_FAILURES_ADDRESS_MAX, LOGIN_WINDOW_MS } from './auth.ts'
import { clientAddress } from './client-address.ts'
import type { ApiOptions } from './options.ts'
import { ApiError } from './problem.ts'
import { type ApiEnv, content, route } from './route.ts'
import { randomToken, TokenText, tokenHash } from './sessions.ts'
import { STREAM_TICKET_S, STREAM_TICKETS_MAX, StreamTicket } from './stream-tickets.ts'

/** Network addresses whose wrong tokens are remembered. */
const KEYS_MAX = 10_000

const tags = ['Share links']
// Any text: what is no token is as unknown as one of nothing.
const params = z.object({ token: z.string().max(200).describe('of the link') })

const getShared = route({
  method: 'get',
  path: '/share/{token}',
  operationId: 'getShared',
  tags,
  summary: 'See what a share link shows',
  description: 'Asked without a login. Wrong tokens are limited as wrong passwords are.',
  request: { params },
  responses: { 200: { description: 'what it shows now', content: content(SharedView) } },
})

const createTicket = route({
  method: 'post',
  path: '/share/{token}/tickets',
  operationId: 'createSharedStreamTicket',
  tags,
  summary: 'Get a ticket to the live stream of a share link',
  description:
    'The stream shows the devices of the link, without attributes and events, as far behind the present as the link says, until ' +
    'it ends. Replays and cursors are refused.',
  request: { params },
  responses: { 201: { description: 'a ticket', content: content(StreamTicket) } },
})

/** Routes `/share/…`. */
export function shares(options: ApiOptions): OpenAPIHono<ApiEnv> {
  const { pool, streamUrl } = options
  const failures = new AttemptLimiter({
    max: LOGIN_FAILURES_ADDRESS_MAX,
    windowMs: LOGIN_WINDOW_MS,
    keysMax: KEYS_MAX,
  })

  /** Runs `find` with the hash of a token, unless there were too many wrong ones; undefined = it is one of nothing. */
  async function withToken<T>(
    c: Context<ApiEnv>,
    token: string,
    find: (hash: Buffer) => Promise<T | undefined>,
  ): Promise<T> {
    const address = clientAddress(c, options.trustedProxy === true)
    const waitMs = failures.take(address, performance.now())
    if (waitMs > 0) {
      throw new ApiError(
        429,
        'too-many-attempts',
        'Too many wrong links; wait as long as Retry-After says.',
        { headers: { 'Retry-After': String(Math.ceil(waitMs / 1000)) } },
      )
    }
    const found = TokenText.safeParse(token).success ? await find(tokenHash(token)) : undefined
    if (found === undefined) {
      throw new ApiError(404, 'not-found', 'There is no such link, or it has expired or was taken back.')
    }
    failures.refund(address)
    return found
  }

  return new OpenAPIHono<ApiEnv>()
    .openapi(getShared, async (c) => {
      const shared = await withToken(c, c.req.valid('param').token, (hash) =>
        asAnonymous(pool, async (client) => {
          const { rows } = await client.query<Omit<SharedView, 'expiresAt'> & { expiresAt: Date }>(
            `SELECT name, expires_at AS "expiresAt", delay_s AS "delayS", devices FROM open_share_link($1)`,
            [hash],
          )
          return rows[0]
        }),
      )
      return c.json({ ...shared, expiresAt: shared.expiresAt.toISOString() }, 200)
    })
    .openapi(createTicket, async (c) => {
      const ticket = randomToken()
      const made = await withToken(c, c.req.valid('param').token, (hash) =>
        asAnonymous(pool, async (client) => {
          const { rows } = await client.query<{ made: string }>(
            'SELECT make_share_ticket($1, $2, $3, $4) AS made',
            [hash, tokenHash(ticket), STREAM_TICKET_S, STREAM_TICKETS_MAX],
          )
          return rows[0]!.made === 'unknown' ? undefined : rows[0]!.made
        }),
      )
      if (made === 'too-many') {
        throw new ApiError(
          429,
          'too-many-tickets',
          'Too many tickets of the link wait to be redeemed; wait.',
          { headers: { 'Retry-After': String(STREAM_TICKET_S) } },
        )
      }
      return c.json({ ticket, url: streamUrl() + STREAM_PATH, expiresIn: STREAM_TICKET_S }, 201)
    })
}
