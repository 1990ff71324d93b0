/**
 * HTTP listener: a request is a frame of the only adapter, or of the one that it turns out to be for, and its 200 follows the store. Answers of a connection keep the
 * order of its requests. What is refused is refused as a whole, in words: 400, 403, 405, 408, 413, 415, 431, or 429 and
 * 503 with Retry-After for what can be sent again as it is.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Adapter } from '../../device-adapters/adapter.ts'
import { httpFrame } from '../../device-adapters/requests.ts'
import type { Intake } from '../intake.ts'
import type { LimitName } from '../limits.ts'
import type { Receipt } from '../receipt.ts'
import type { ConnectionCount } from './connection-count.ts'
import {
  addressOfSocket,
  bindServer,
  type ListenAddress,
  type Listener,
  UNDETECTED,
  UNKNOWN_PROTOCOL,
} from './listener.ts'

const METHODS = new Set(['GET', 'POST', 'PUT'])
/** Period of the search for requests that do not come to their end, ms. */
const SWEEP_EVERY_MS = 1_000
/** What a client is told to wait before it sends again, s: where there is no room, and where it sends too much. */
const RETRY_AFTER_S = { 503: 5, 429: 1 }
const NO_BYTES = Buffer.alloc(0)
const TOO_MUCH = 'too-much: the device sends more than it may; send it again after Retry-After seconds\n'
const NO_ROOM = 'no-room: the server can not take more now; send it again after Retry-After seconds\n'

type ClientError = NodeJS.ErrnoException & { readonly rawPacket?: Buffer }

/** What the head of a request is refused with. */
interface Refusal {
  readonly status: number
  /** Undefined for what says nothing of a device. */
  readonly code?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly text: string
}

/** Requests that are for one of several adapters, or for the only one. */
export interface RequestProtocol {
  /** In metrics and in the quarantine, where it is not known for which adapter a request is. */
  readonly id: string
  /** Bytes of the longest frame of any of them. */
  readonly maxFrameBytes: number
  /** @returns The adapter of a request, or why none takes it, in words. */
  adapterOf(frame: Buffer): Adapter | string
}

/** @throws ListenError if the port cannot be had. */
export async function listenHttp(
  adapter: Adapter,
  intake: Intake,
  count: ConnectionCount,
  address: ListenAddress,
): Promise<Listener> {
  const { id, maxFrameBytes } = adapter
  const server = createHttpServer({ id, maxFrameBytes, adapterOf: () => adapter }, intake, count)
  const port = await bindServer(server, id, address, intake.metrics)
  return {
    protocol: id,
    transport: 'http',
    host: address.host,
    port,
    close: () => closeHttpServer(server),
  }
}

/** Ends all connections of a server. */
export async function closeHttpServer(server: Server): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve))
  server.closeAllConnections()
  await closed
}

/** A server that takes requests of devices, on no port yet. */
export function createHttpServer(protocol: RequestProtocol, intake: Intake, count: ConnectionCount): Server {
  const { limits, metrics } = intake
  const { id } = protocol
  const bodyBytesMax = Math.min(protocol.maxFrameBytes, limits.frameBytesMax)
  const labels = { protocol: id, transport: 'http' }
  /** Requests that wait for the store, in all and of each socket. */
  let pending = 0
  const pendingOf = new WeakMap<Socket, number>()

  const answer = (response: ServerResponse, status: number, body: string | Buffer = '') => {
    if (response.writableEnded || response.destroyed) return
    if (status === 503 || status === 429) response.setHeader('retry-after', RETRY_AFTER_S[status])
    response.writeHead(status, {
      // Adapters that reply over HTTP do so in JSON. Faults are told in words of the request: a browser must not
      // take them for a page.
      'content-type': status === 200 ? 'application/json' : 'text/plain; charset=utf-8',
      'content-length': Buffer.byteLength(body),
    })
    response.end(body)
  }

  const noRoom = (response: ServerResponse, limit: LimitName) => {
    metrics.limitMet(limit)
    answer(response, 503, NO_ROOM)
  }

  const answerOk = (response: ServerResponse, adapter: Adapter, replies: readonly Buffer[]) => {
    if (!response.writableEnded && !response.destroyed) metrics.replies.inc({ protocol: adapter.id })
    answer(response, 200, Buffer.concat(replies))
  }

  const settle = (response: ServerResponse, adapter: Adapter, receipt: Receipt) => {
    switch (receipt.kind) {
      case 'session':
        answerOk(response, adapter, receipt.replies)
        return
      case 'limited':
        answer(response, 429, TOO_MUCH)
        return
      case 'unknown':
        answer(response, 403, `unknown-device: ${receipt.uniqueId} is not registered\n`)
        return
      case 'fault': {
        const { code, message } = receipt.error
        answer(response, code === 'adapter-bug' ? 500 : 400, `${code}: ${message}\n`)
      }
    }
  }

  const take = (request: IncomingMessage, response: ServerResponse, body: Buffer) => {
    const { socket } = request
    const pendingHere = pendingOf.get(socket) ?? 0
    const met =
      pending >= limits.pendingRequestsMax
        ? 'pendingRequestsMax'
        : pendingHere >= limits.pendingFramesPerConnectionMax
          ? 'pendingFramesPerConnectionMax'
          : intake.missingRoom
    if (met !== undefined) {
      noRoom(response, met)
      return
    }
    const frame = frameOf(request, body)
    const adapter = protocol.adapterOf(frame)
    if (typeof adapter === 'string') {
      intake.reject(UNKNOWN_PROTOCOL, UNDETECTED, frame, addressOfSocket(socket), '', adapter)
      answer(response, 400, `${UNDETECTED}: ${adapter}\n`)
      return
    }
    const session = intake.open(adapter, 'http')
    let replies: readonly Buffer[] = []
    pending++
    pendingOf.set(socket, pendingHere + 1)
    const settled = () => {
      pending--
      pendingOf.set(socket, pendingOf.get(socket)! - 1)
    }
    const accepted = intake.accept(adapter, session, frame, addressOfSocket(socket), () => {
      settled()
      answerOk(response, adapter, replies)
    })
    const received = (receipt: Receipt) => {
      if (receipt.kind === 'pending') replies = receipt.replies
      else {
        settled()
        settle(response, adapter, receipt)
      }
    }
    if (accepted instanceof Promise) void accepted.then(received)
    else received(accepted)
  }

  /** The last request of each socket. */
  const last = new WeakMap<Duplex, { readonly request: IncomingMessage; readonly response: ServerResponse }>()
  /** Counts what is no request; the answer to it, undefined where nobody waits for one. */
  const misread = (error: ClientError, socket: Duplex) => {
    const reject = (code: string) =>
      intake.reject(id, code, error.rawPacket ?? NO_BYTES, addressOfSocket(socket as Socket), '')
    const { request, response } = last.get(socket) ?? {}
    const inBody = request !== undefined && !request.complete
    switch (error.code) {
      case 'ERR_HTTP_REQUEST_TIMEOUT':
        metrics.limitMet('firstFrameTimeoutMs')
        return inBody && response?.writableEnded ? undefined : '408 Request Timeout'
      case 'HPE_HEADER_OVERFLOW':
        metrics.limitMet('httpHeaderBytes')
        reject('too-large')
        return '431 Request Header Fields Too Large'
      case 'HPE_INVALID_EOF_STATE':
        // What there is of a body is kept where it was received.
        if (!inBody) reject('cut')
        return undefined
    }
    // All else is the network's, where the other end hung up.
    if (!error.code?.startsWith('HPE_')) return undefined
    reject('malformed')
    return '400 Bad Request'
  }

  const refuse = (request: IncomingMessage, response: ServerResponse, refusal: Refusal, body: Buffer) => {
    const { status, code, headers = {}, text } = refusal
    if (code !== undefined) {
      intake.reject(id, code, frameOf(request, body), addressOfSocket(request.socket), '')
    }
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    answer(response, status, text)
  }

  const receive = (request: IncomingMessage, response: ServerResponse) => {
    const body = new Body()
    const taken = () => {
      count.hold(0, body.length)
      return body.take()
    }
    let refused = false
    request.on('data', (chunk: Buffer) => {
      // What is refused is read to its end: a client that still sends would not see the answer otherwise.
      if (refused) return
      const before = body.length
      if (before + chunk.length > bodyBytesMax) {
        refused = true
        metrics.limitMet('frameBytesMax')
        refuse(request, response, tooLarge(bodyBytesMax), taken())
        return
      }
      body.append(chunk)
      if (count.hold(body.length, before)) return
      refused = true
      taken()
      answer(response, 503, NO_ROOM)
    })
    request.on('end', () => {
      if (!refused) take(request, response, taken())
    })
    request.on('close', () => {
      if (body.length > 0) {
        intake.reject(id, 'cut', frameOf(request, taken()), addressOfSocket(request.socket), '')
      }
    })
    request.on('error', () => undefined)
  }

  const server = createServer(
    {
      maxHeaderSize: limits.httpHeaderBytes,
      headersTimeout: limits.firstFrameTimeoutMs,
      requestTimeout: limits.firstFrameTimeoutMs,
      connectionsCheckingInterval: SWEEP_EVERY_MS,
      keepAliveTimeout: limits.httpKeepAliveTimeoutMs,
    },
    (request, response) => {
      last.set(request.socket, { request, response })
      const refusal = refusalOf(request)
      if (refusal === undefined) receive(request, response)
      else refuse(request, response, refusal, NO_BYTES)
    },
  )
  // A client that asks first does not send a body that would be refused.
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    last.set(request.socket, { request, response })
    const isLarge = Number(request.headers['content-length']) > bodyBytesMax
    const refusal = refusalOf(request) ?? (isLarge ? tooLarge(bodyBytesMax) : undefined)
    const { missingRoom } = intake
    if (refusal === undefined && missingRoom === undefined) {
      response.writeContinue()
      receive(request, response)
      return
    }
    // It may send the body or not: nothing of what follows could be read.
    response.setHeader('connection', 'close')
    if (missingRoom !== undefined) noRoom(response, missingRoom)
    else refuse(request, response, refusal!, NO_BYTES)
  })
  server.on('connection', (socket) => {
    count.admit(socket, labels)
  })
  server.setTimeout(limits.idleTimeoutMs, (socket) => {
    const isBetweenRequests = last.get(socket)?.response.writableFinished === true
    metrics.limitMet(isBetweenRequests ? 'httpKeepAliveTimeoutMs' : 'idleTimeoutMs')
    socket.destroy()
  })
  server.on('clientError', (error: ClientError, socket) => {
    const status = misread(error, socket)
    if (status !== undefined && socket.writable)
      socket.end(`HTTP/1.1 ${status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`)
    else socket.destroy()
  })
  return server
}

/** A body on its way, in one piece: kept as they come, chunks of a byte each would take a hundred times their size. */
class Body {
  length = 0
  private bytes = NO_BYTES

  append(chunk: Buffer): void {
    const length = this.length + chunk.length
    if (length > this.bytes.length) {
      const bytes = Buffer.allocUnsafe(Math.max(length, 2 * this.bytes.length))
      this.bytes.copy(bytes, 0, 0, this.length)
      this.bytes = bytes
    }
    chunk.copy(this.bytes, this.length)
    this.length = length
  }

  /** What has come in; the body is empty then. */
  take(): Buffer {
    const bytes = this.bytes.subarray(0, this.length)
    this.length = 0
    this.bytes = NO_BYTES
    return bytes
  }
}

function frameOf(request: IncomingMessage, body: Buffer): Buffer {
  return httpFrame({
    method: request.method ?? '',
    target: request.url ?? '',
    contentType: request.headers['content-type'] ?? '',
    idempotencyKey: String(request.headers['idempotency-key'] ?? ''),
    body,
  })
}

/** What is wrong with a request of which only the head is known. */
function refusalOf({ method = '', headers }: IncomingMessage): Refusal | undefined {
  if (!METHODS.has(method)) {
    const allow = [...METHODS].join(', ')
    return { status: 405, headers: { allow }, text: `method-not-allowed: use ${allow}\n` }
  }
  const coding = headers['content-encoding']?.toLowerCase() ?? 'identity'
  if (coding !== 'identity') {
    return {
      status: 415,
      code: 'unsupported',
      headers: { 'accept-encoding': 'identity' },
      text: 'unsupported: Content-Encoding must be identity; send the body as it is, not compressed\n',
    }
  }
  // An adapter could not tell it from none, and the client relies on it.
  if (headers['idempotency-key'] === '') {
    return { status: 400, code: 'malformed', text: 'malformed: Idempotency-Key is empty\n' }
  }
  return undefined
}

function tooLarge(bodyBytesMax: number): Refusal {
  const text = `too-large: a body has ${bodyBytesMax} bytes at most; send it in several requests\n`
  return { status: 413, code: 'too-large', text }
}
