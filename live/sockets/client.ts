/**
 * One socket and its subscriptions. When it holds too much unsent it is left alone until it has taken most of that; what
 * each subscription does meanwhile, and how it goes on, is the business of its feed.
 */
import { type ServerMessage, STREAM_CLOSE } from '../../schemas/stream.ts'
import type { StreamFormat } from '../format/stream-format.ts'
import type { Encoding, Feed, Outlet } from '../subscriptions/feed.ts'
import type { Hub } from '../subscriptions/hub.ts'
import type { StreamUser } from './authorise.ts'
import type { WebSocket } from './uws.ts'

/** What a WebSocket carries for us. */
export interface SocketData {
  readonly user: StreamUser
  readonly format: StreamFormat
  client?: Client
}

export class Client {
  readonly user: StreamUser
  readonly format: StreamFormat
  /** By their ids. Those behind the first have waited less since the socket had enough. */
  readonly subscriptions = new Map<number, Feed>()
  /** Messages of the client in the second under way. */
  messagesThisSecond = 0
  private readonly socket: WebSocket<SocketData>
  private readonly hub: Hub
  /** Since when it holds too much, `performance.now()`; undefined = it does not. */
  private slowSinceMs: number | undefined
  private closed = false
  /** What messages asked for that wait for what those before them asked for. */
  private readonly asked: (() => Promise<void>)[] = []
  private answering = false

  constructor(socket: WebSocket<SocketData>, hub: Hub) {
    this.socket = socket
    this.hub = hub
    const { user, format } = socket.getUserData()
    this.user = user
    this.format = format
  }

  get bufferedBytes(): number {
    return this.socket.getBufferedAmount()
  }

  /** Devices that its subscriptions name, together. */
  get deviceCount(): number {
    let count = 0
    for (const feed of this.subscriptions.values()) count += feed.deviceCount ?? 0
    return count
  }

  /** The way of a subscription to this socket. */
  outlet(id: number, encoding: Encoding): Outlet {
    const client = this
    const { sent } = this.hub.metrics
    return {
      id,
      encoding,
      organizationId: this.user.organizationId,
      get full() {
        return client.isFull(id)
      },
      writeRows(message, type, count) {
        sent[type === 'events' ? 'events' : 'rows'] += count
        return client.write(message)
      },
      send: (message) => client.send(message),
      end: () => client.unsubscribe(id),
    }
  }

  /** Does what a message asks for: at once, unless one before it is still being looked up. */
  inTurn(answer: () => Promise<void>): void {
    const { limits, metrics } = this.hub
    this.asked.push(answer)
    if (this.asked.length > limits.messagesPerSecondMax) {
      metrics.limitMet('messagesPerSecondMax')
      this.close(STREAM_CLOSE.policy, 'too many messages that can not be answered yet')
    } else if (!this.answering) void this.answer()
  }

  /** Adds a subscription, and lets it begin. */
  subscribe(id: number, feed: Feed, header: ServerMessage | null): void {
    if (this.closed) {
      feed.close()
      return
    }
    this.subscriptions.set(id, feed)
    if (header !== null) this.send(header)
    feed.tick()
  }

  unsubscribe(id: number): boolean {
    this.subscriptions.get(id)?.close()
    return this.subscriptions.delete(id)
  }

  /** To be called when the socket holds less than before. */
  drained(): void {
    // Not before most is gone: what waits in the buffer grows old, what waits in the log is replaced by newer.
    if (this.slowSinceMs === undefined || this.bufferedBytes > this.hub.limits.slowSocketBytes / 4) return
    this.slowSinceMs = undefined
    for (const feed of [...this.subscriptions.values()]) feed.drained()
  }

  /** Closes the socket if it has been slow for too long. */
  closeIfStuck(nowMs: number): void {
    const { limits, metrics } = this.hub
    if (this.slowSinceMs === undefined || nowMs - this.slowSinceMs < limits.slowSocketTimeoutMs) return
    metrics.limitMet('slowSocketTimeoutMs')
    this.close(STREAM_CLOSE.slow, 'too slow: subscribe to less, or read faster')
  }

  /** @returns Whether the socket is still open. */
  send(message: ServerMessage): boolean {
    if (message.type === 'error') this.hub.metrics.errors.inc({ code: message.code })
    const bytes = this.format.encode(message)
    if (!this.closed && this.bufferedBytes + bytes.length > this.hub.limits.closeSocketBytes) {
      this.hub.metrics.limitMet('closeSocketBytes')
      this.close(STREAM_CLOSE.slow, 'too slow: read what is sent')
    }
    return this.write(bytes)
  }

  close(code: number, reason: string): void {
    if (!this.closed) this.socket.end(code, reason)
  }

  /** Runs `run` while the socket is corked. */
  whileCorked(run: () => void): void {
    this.socket.cork(run)
  }

  /** To be called when the socket has closed: it must not be touched any more. */
  onClose(): void {
    this.closed = true
    for (const feed of this.subscriptions.values()) feed.close()
    this.subscriptions.clear()
  }

  private async answer(): Promise<void> {
    this.answering = true
    for (let next = this.asked.shift(); next !== undefined && !this.closed; next = this.asked.shift()) {
      await next()
    }
    this.answering = false
  }

  private write(bytes: Buffer): boolean {
    if (this.closed) return false
    this.socket.send(bytes, this.format.isBinary)
    const { sent } = this.hub.metrics
    sent.messages++
    sent.bytes += bytes.length
    return true
  }

  /** Whether the socket has enough, which makes it slow. */
  private isFull(id: number): boolean {
    if (this.slowSinceMs !== undefined) return true
    if (this.closed || this.bufferedBytes < this.hub.limits.slowSocketBytes) return false
    this.slowSinceMs = performance.now()
    this.hub.metrics.limitMet('slowSocketBytes')
    // Another subscription goes first next time, or a great snapshot would keep it waiting.
    const feed = this.subscriptions.get(id)
    if (feed !== undefined) {
      this.subscriptions.delete(id)
      this.subscriptions.set(id, feed)
    }
    return true
  }
}
