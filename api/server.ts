/** The API on Node's own HTTP server. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { Counter } from 'prom-client'
import { createApp, createHealthApp } from './app.ts'
import type { ApiOptions, HealthOptions } from './options.ts'
import { ApiError, problemResponse } from './problem.ts'

/** How long a client may take to send the headers of a request, and the whole request, ms. */
export const HEADERS_TIMEOUT_MS = 10_000
export const REQUEST_TIMEOUT_MS = 30_000

/** How often requests are looked at for the timeouts above, ms. */
const TIMEOUT_CHECK_MS = 2000

/** How long a connection waits for its next request, ms. */
export const KEEP_ALIVE_TIMEOUT_MS = 10_000

/** How long a connection may stand still within a request or answer, ms. */
export const SOCKET_TIMEOUT_MS = 60_000

/** Longest headers of a request, bytes. */
export const HEADERS_BYTES_MAX = 16 * 1024

/** Connections at a time; more are closed at once. */
export const CONNECTIONS_MAX = 2000

/** How long requests that are under way may take to end when the server closes, ms. */
export const CLOSE_GRACE_MS = 5000

export interface Api {
  readonly port: number
  /** Takes no more requests, and resolves when those under way have ended or {@link CLOSE_GRACE_MS} is over. */
  close(): Promise<void>
}

/** @throws Error if the address is taken (EADDRINUSE) or may not be bound. */
export function startApi(options: ApiOptions): Promise<Api> {
  return serve(createApp(options), options)
}

/**
 * A server that only says how the process is, for one without the API.
 * @throws Error if the address is taken (EADDRINUSE) or may not be bound.
 */
export function startHealth(options: HealthOptions): Promise<Api> {
  return serve(createHealthApp(options), options)
}

async function serve(app: ReturnType<typeof createApp>, options: HealthOptions): Promise<Api> {
  const listener = getRequestListener(app.fetch, {
    hostname: options.host,
    // Only for a request that no URL can be made of: the application answers all else.
    errorHandler: (error) =>
      problemResponse(
        new ApiError(400, 'invalid-request', 'The path or the header Host is not valid.', { cause: error }),
      ),
  })
  const server = createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      maxHeaderSize: HEADERS_BYTES_MAX,
    },
    (incoming, outgoing) => {
      // Node leaves a connection open whose last request ended after the server closed.
      outgoing.on('close', () => {
        if (!server.listening) setImmediate(() => server.closeIdleConnections())
      })
      void listener(incoming, outgoing)
    },
  )
  server.setTimeout(SOCKET_TIMEOUT_MS)
  server.maxConnections = CONNECTIONS_MAX
  const dropped = new Counter({
    name: 'fleetflow_api_connections_dropped_total',
    help: `Connections closed at once because ${CONNECTIONS_MAX} were open.`,
    registers: [options.registry],
  })
  server.on('drop', () => dropped.inc())

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, options.host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        const late = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS)
        server.close(() => {
          clearTimeout(late)
          resolve()
        })
      }),
  }
}
