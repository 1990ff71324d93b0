/**
 * From a request to a WebSocket: origin, subprotocol, room, and who it is, in this order, so that what costs least is
 * refused first. A refusal is a problem document (RFC 9457) with a code.
 */
import { STATUS_CODES } from 'node:http'
import type pg from 'pg'
import type { Logger } from 'pino'
import { STREAM_PATH, STREAM_PROTOCOLS } from '../../schemas/stream.ts'
import { jsonFormat, STREAM_FORMATS, type StreamFormat } from '../format/stream-format.ts'
import type { LiveMetrics, RefusalReason } from '../metrics.ts'
import { authorise, UNAUTHORISED } from './authorise.ts'
import type { SocketData } from './client.ts'
import type { Grants } from './grants.ts'
import type { Places } from './places.ts'
import type { HttpRequest, HttpResponse, us_socket_context_t } from './uws.ts'

type Status = 400 | 401 | 403 | 404 | 426 | 503

const HEADERS: Partial<Record<Status, readonly [string, string]>> = {
  401: ['WWW-Authenticate', 'Bearer'],
  426: ['Upgrade', 'websocket'],
  503: ['Retry-After', '5'],
}

export interface UpgradeOptions {
  readonly allowedOrigins: readonly string[]
  readonly pool: pg.Pool
  readonly jwtSecret: string
  readonly grants: Grants
  readonly metrics: LiveMetrics
  readonly log: Logger
  /** A place is taken for each upgrade, and kept until the socket has closed. */
  readonly places: Places
  /** Runs `run` while some open socket is corked; false if there is none. */
  whileCorked(run: () => void): boolean
}

/** Handler of `app.ws`: upgrades, or says why not. */
export function upgradeHandler(
  options: UpgradeOptions,
): (res: HttpResponse, req: HttpRequest, context: us_socket_context_t) => Promise<void> {
  const { metrics, log, pool, jwtSecret, grants } = options
  const origins = new Set(options.allowedOrigins.map((origin) => origin.toLowerCase()))

  return async (res, req, context) => {
    // The request is gone after the first await.
    const origin = req.getHeader('origin')
    const asked = req.getHeader('sec-websocket-protocol')
    const connection = req.getHeader('connection')
    const key = req.getHeader('sec-websocket-key')
    const extensions = req.getHeader('sec-websocket-extensions')
    const credentials = {
      authorization: req.getHeader('authorization'),
      ticket: req.getQuery('ticket') ?? '',
    }

    let aborted = false
    res.onAborted(() => {
      aborted = true
    })
    const refuse = (status: Status, reason: RefusalReason, detail: string) => {
      metrics.refused.inc({ reason })
      if (!aborted) answer(res, status, reason, detail)
    }

    // RFC 6455 4.2.1. With `Connection: close` uWebSockets would make a WebSocket of a socket that it has closed.
    if (!/\bupgrade\b/i.test(connection)) {
      return refuse(426, 'not-a-websocket', 'a WebSocket begins with "Connection: Upgrade"')
    }
    // A client that is no browser sends no origin, and no page can make it send one's credentials.
    if (origin !== '' && !origins.has(origin.toLowerCase())) {
      const detail = `pages of ${origin.slice(0, 200)} may not connect: add it to ALLOWED_ORIGINS`
      return refuse(403, 'origin-not-allowed', detail)
    }
    const format = chosenFormat(asked)
    if (format === undefined) {
      const known = Object.values(STREAM_PROTOCOLS).join(' or ')
      return refuse(400, 'unknown-subprotocol', `ask for the subprotocol ${known}, or for none`)
    }
    if (!options.places.enter())
      return refuse(503, 'too-many-sockets', 'the server has no room: try again later')

    let user: Awaited<ReturnType<typeof authorise>>
    try {
      user = await authorise(credentials, pool, jwtSecret, grants)
    } catch (error) {
      log.error({ err: error }, 'a client of the stream could not be authorised')
      options.places.leave()
      return refuse(503, 'database-unavailable', 'the database can not be asked: try again later')
    }
    if (typeof user === 'string') {
      options.places.leave()
      return refuse(401, user, UNAUTHORISED[user])
    }
    if (!options.places.admits(user)) {
      options.places.leave()
      return refuse(
        503,
        'too-many-sockets',
        user.kind === 'share'
          ? 'too many look at this link: try again later'
          : 'you have too many sockets open: close some',
      )
    }
    if (aborted) return options.places.leave()
    const data: SocketData = { user, format }
    const upgrade = () => {
      res.upgrade(data, key, asked === '' ? '' : format.subprotocol, extensions, context)
    }
    // `res.cork(upgrade)` alone closes some sockets right after they opened: it takes the WebSocket for the response
    // still where the upgrade has left it at its address in memory (uNetworking/uWebSockets#1928, seen with 20.51.4).
    // While another socket is corked, `res.cork` only calls. Without any cork the upgrade is sound as well, but
    // uWebSockets.js warns on standard error: so it does for the first client.
    if (!options.whileCorked(() => res.cork(upgrade))) upgrade()
  }
}

/** Handler of everything that is no WebSocket. */
export function otherHandler(metrics: LiveMetrics): (res: HttpResponse, req: HttpRequest) => void {
  return (res, req) => {
    if (req.getUrl() === STREAM_PATH) {
      metrics.refused.inc({ reason: 'not-a-websocket' })
      answer(res, 426, 'not-a-websocket', `${STREAM_PATH} is a WebSocket: connect with ws:// or wss://`)
    } else answer(res, 404, 'not-found', `there is only ${STREAM_PATH} here`)
  }
}

/** The first of the subprotocols asked for that we have; JSON if none is asked for. */
function chosenFormat(asked: string): StreamFormat | undefined {
  if (asked === '') return jsonFormat
  for (const name of asked.split(',')) {
    const format = STREAM_FORMATS.find(({ subprotocol }) => subprotocol === name.trim())
    if (format !== undefined) return format
  }
  return undefined
}

function answer(res: HttpResponse, status: Status, code: string, detail: string): void {
  const title = STATUS_CODES[status]
  res.cork(() => {
    res.writeStatus(`${status} ${title}`).writeHeader('Content-Type', 'application/problem+json')
    const header = HEADERS[status]
    if (header !== undefined) res.writeHeader(...header)
    res.end(JSON.stringify({ type: 'about:blank', title, status, code, detail }), true)
  })
}
