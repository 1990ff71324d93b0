/** HTTP listener of one adapter: a request is a frame, its 200 follows the store. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Adapter } from '../device-adapters/adapter.ts'
import { httpFrame } from '../device-adapters/requests.ts'
import type { ConnectionCount } from './connection-count.ts'
import type { Intake, Receipt } from './intake.ts'
import { addressOfSocket, bindServer, type ListenAddress, type Listener } from './listener.ts'

const METHODS = new Set(['GET', 'POST', 'PUT'])
const HEADER_BYTES_MAX = 16 * 1024
const KEEP_ALIVE_TIMEOUT_MS = 75_000
/** Period of the search for requests that do not come to their end, ms. */
const SWEEP_EVERY_MS = 1_000
const RETRY_AFTER_S = 5
const NO_BYTES = Buffer.alloc(0)

type ClientError = NodeJS.ErrnoException & { readonly rawPacket?: Buffer }

/** @throws ListenError if the port cannot be had. */
export async function listenHttp(
  adapter: Adapter,
  intake: Intake,
  count: ConnectionCount,
  address: ListenAddress,
): Promise<Listener> {
  const { limits, metrics } = intake
  const labels = { protocol: adapter.id, transport: 'http' }
  let pending = 0

  const answer = (response: ServerResponse, status: number, body: string | Buffer = '') => {
    if (response.writableEnded || response.destroyed) return
    if (status === 200) metrics.replies.inc({ protocol: adapter.id })
    if (status === 503) response.setHeader('retry-after', RETRY_AFTER_S)
    // Faults are told in words of the request: a browser must not take them for a page.
    response.writeHead(status, {
      'content-type': 'text/plain; charset=utf-8',
      'content-length': Buffer.byteLength(body),
    })
    response.end(body)
  }

  const settle = (response: ServerResponse, receipt: Receipt) => {
    switch (receipt.kind) {
      case 'session':
        answer(response, 200, Buffer.concat(receipt.replies))
        return
      case 'unknown':
        answer(response, 403, 'this device is not registered\n')
        return
      case 'fault': {
        const { code, message } = receipt.error
        answer(response, code === 'adapter-bug' ? 500 : 400, `${code}: ${message}\n`)
      }
    }
  }

  const take = (request: IncomingMessage, response: ServerResponse, body: Buffer) => {
    if (pending >= limits.pendingRequestsMax) {
      metrics.limits.inc({ limit: 'pendingRequestsMax' })
      answer(response, 503)
      return
    }
    if (!intake.hasRoom) {
      metrics.limits.inc({ limit: 'batchFull' })
      answer(response, 503)
      return
    }
    const frame = frameOf(request, body)
    const session = intake.open(adapter, 'http')
    let replies: readonly Buffer[] = []
    pending++
    const accepted = intake.accept(adapter, session, frame, addressOfSocket(request.socket), (stored) => {
      pending--
      answer(response, stored ? 200 : 503, stored ? Buffer.concat(replies) : '')
    })
    const received = (receipt: Receipt) => {
      if (receipt.kind === 'pending') replies = receipt.replies
      else {
        pending--
        settle(response, receipt)
      }
    }
    if (accepted instanceof Promise) void accepted.then(received)
    else received(accepted)
  }

  /** Sockets of requests whose body is not here yet. */
  const receiving = new WeakSet<Duplex>()
  /** Counts what is no request; the answer to it, undefined where nobody waits for one. */
  const refuse = (error: ClientError, socket: Duplex) => {
    const reject = (code: string) =>
      intake.reject(adapter.id, code, error.rawPacket ?? NO_BYTES, addressOfSocket(socket as Socket), '')
    switch (error.code) {
      case 'ERR_HTTP_REQUEST_TIMEOUT':
        metrics.limits.inc({ limit: 'firstFrameTimeoutMs' })
        return '408 Request Timeout'
      case 'HPE_HEADER_OVERFLOW':
        reject('too-large')
        return '431 Request Header Fields Too Large'
      case 'HPE_INVALID_EOF_STATE':
        if (!receiving.has(socket)) reject('cut')
        return undefined
    }
    // All else is the network's, where the other end hung up.
    if (!error.code?.startsWith('HPE_')) return undefined
    reject('malformed')
    return '400 Bad Request'
  }

  const server = createServer(
    {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: limits.firstFrameTimeoutMs,
      requestTimeout: limits.firstFrameTimeoutMs,
      connectionsCheckingInterval: SWEEP_EVERY_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    },
    (request, response) => {
      if (!METHODS.has(request.method ?? '')) {
        response.setHeader('allow', [...METHODS].join(', '))
        answer(response, 405)
        return
      }
      const from = addressOfSocket(request.socket)
      const chunks: Buffer[] = []
      let bytes = 0
      receiving.add(request.socket)
      request.on('data', (chunk: Buffer) => {
        const fitted = bytes <= adapter.maxFrameBytes
        bytes += chunk.length
        if (fitted) chunks.push(chunk)
        if (!fitted || bytes <= adapter.maxFrameBytes) return
        intake.reject(adapter.id, 'too-large', frameOf(request, Buffer.concat(chunks.splice(0))), from, '')
        response.setHeader('connection', 'close')
        answer(response, 413)
      })
      request.on('end', () => {
        receiving.delete(request.socket)
        if (bytes <= adapter.maxFrameBytes) take(request, response, Buffer.concat(chunks))
      })
      request.on('close', () => {
        if (!request.complete && chunks.length > 0) {
          intake.reject(adapter.id, 'cut', frameOf(request, Buffer.concat(chunks)), from, '')
        }
      })
      request.on('error', () => undefined)
    },
  )
  server.on('connection', (socket) => {
    if (!count.add()) {
      socket.destroy()
      return
    }
    metrics.connections.inc(labels)
    socket.on('close', () => {
      count.remove()
      metrics.connections.dec(labels)
    })
  })
  server.on('clientError', (error: ClientError, socket) => {
    const status = refuse(error, socket)
    if (status !== undefined && socket.writable)
      socket.end(`HTTP/1.1 ${status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`)
    else socket.destroy()
  })
  const port = await bindServer(server, adapter.id, address, metrics)
  return {
    protocol: adapter.id,
    transport: 'http',
    host: address.host,
    port,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

function frameOf(request: IncomingMessage, body: Buffer): Buffer {
  return httpFrame({
    method: request.method ?? '',
    target: request.url ?? '',
    contentType: request.headers['content-type'] ?? '',
    body,
  })
}
