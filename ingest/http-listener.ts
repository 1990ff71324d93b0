/** HTTP listener of one adapter: a request is a frame, its 200 follows the store. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Adapter } from '../device-adapters/adapter.ts'
import { httpFrame } from '../device-adapters/requests.ts'
import type { ConnectionCount } from './connection-count.ts'
import type { Intake, Receipt } from './intake.ts'
import { addressOf, bindServer, type ListenAddress, type Listener } from './listener.ts'

const METHODS = new Set(['GET', 'POST', 'PUT'])
const HEADER_BYTES_MAX = 16 * 1024
const REQUEST_TIMEOUT_MS = 30_000
const KEEP_ALIVE_TIMEOUT_MS = 75_000
const RETRY_AFTER_S = 5

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
    response.writeHead(status, { 'content-length': Buffer.byteLength(body) })
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
    const frame = httpFrame({
      method: request.method ?? '',
      target: request.url ?? '',
      contentType: request.headers['content-type'] ?? '',
      body,
    })
    const { remoteAddress, remotePort } = request.socket
    const from = addressOf({ address: remoteAddress, port: remotePort })
    const session = intake.open(adapter, 'http')
    let replies: readonly Buffer[] = []
    pending++
    const accepted = intake.accept(adapter, session, frame, from, (stored) => {
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

  const server = createServer(
    {
      maxHeaderSize: HEADER_BYTES_MAX,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    },
    (request, response) => {
      if (!METHODS.has(request.method ?? '')) {
        response.setHeader('allow', [...METHODS].join(', '))
        answer(response, 405)
        return
      }
      const chunks: Buffer[] = []
      let bytes = 0
      request.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes <= adapter.maxFrameBytes) chunks.push(chunk)
        else if (!response.writableEnded) {
          metrics.faults.inc({ protocol: adapter.id, code: 'too-large' })
          response.setHeader('connection', 'close')
          answer(response, 413)
        }
      })
      request.on('end', () => {
        if (bytes <= adapter.maxFrameBytes) take(request, response, Buffer.concat(chunks))
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
  server.on('clientError', (_, socket) => {
    metrics.faults.inc({ protocol: adapter.id, code: 'malformed' })
    if (socket.writable)
      socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
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
