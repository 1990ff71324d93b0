/**
 * uWebSockets, from the build that fits this Node. The package is not in npm under its own name, and each of its
 * releases has compiled builds for a few versions of Node only: 20.51 for Node 18 to 23 (glibc 2.27 and later),
 * 20.69 for Node 22 to 26 (glibc 2.38 and later).
 */
import { createRequire } from 'node:module'
import type * as uWebSockets from 'uws-18-to-23'
import type { TemplatedApp, us_listen_socket } from 'uws-18-to-23'
import { LiveError } from '../live-error.ts'

export type {
  HttpRequest,
  HttpResponse,
  TemplatedApp,
  us_listen_socket,
  us_socket_context_t,
  WebSocket,
  WebSocketBehavior,
} from 'uws-18-to-23'
export type UWebSockets = typeof uWebSockets

/** First version of Node that the older release has no build for. */
const NEWER_FROM = 24

/** @throws LiveError `uws-not-loadable` if no build runs here. */
export function loadUws(): UWebSockets {
  const require = createRequire(import.meta.url)
  const major = Number(process.versions.node.split('.')[0])
  try {
    return require(major < NEWER_FROM ? 'uws-18-to-23' : 'uws-22-to-26')
  } catch (error) {
    throw new LiveError(
      'uws-not-loadable',
      `uWebSockets has no build that runs here (Node ${process.versions.node}, ${process.platform} ${process.arch}): ` +
        'use Node 20 or 22, or Node 24 to 26 with glibc 2.38 or later (not musl), on x64 or arm64; ' +
        'and install without --no-optional, since the builds are optional dependencies',
      { cause: error },
    )
  }
}

/** LIBUS_LISTEN_EXCLUSIVE_PORT. Without it two processes share a port, and each gets some of the connections. */
const LISTEN_EXCLUSIVELY = 1
/** LIBUS_LISTEN_DEFAULT. */
const LISTEN_SHARED = 0

/**
 * Listens on a port.
 * @param shared Whether others may, too, who say the same.
 * @returns False if the port can not be had.
 */
export function listenOn(
  app: TemplatedApp,
  host: string,
  port: number,
  shared: boolean,
): Promise<us_listen_socket | false> {
  // The types of the older release leave this form out; both releases have it.
  const { listen } = app as unknown as {
    listen(
      host: string,
      port: number,
      options: number,
      callback: (socket: us_listen_socket | false) => void,
    ): void
  }
  const how = shared ? LISTEN_SHARED : LISTEN_EXCLUSIVELY
  return new Promise((resolve) => listen.call(app, host, port, how, resolve))
}
