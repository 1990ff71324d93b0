/**
 * One socket and its subscriptions. What it is sent is what its subscriptions have not got yet of the log of last
 * positions and of that of events; when it holds too much unsent it is left alone until it has taken most of that, and
 * goes on where it stopped: positions that were superseded in between, and events that are no longer kept, it never gets.
 */
import { type ServerMessage, STREAM_CLOSE } from '../../schemas/stream.ts'
import type { StreamFormat } from '../format/stream-format.ts'
import type { Chunks, LiveScope } from '../log/chunks.ts'
import type { EventLog } from '../log/event-log.ts'
import type { LastPositions, Move } from '../log/last-positions.ts'
import type { LiveMetrics } from '../metrics.ts'
import type { LiveLimits } from '../options.ts'
import type { StreamUser } from './authorise.ts'
import type { WebSocket } from './uws.ts'

/** What all sockets share. */
export interface Hub {
  readonly positions: LastPositions
  readonly chunks: Chunks
  readonly events: EventLog
  readonly limits: LiveLimits
  readonly metrics: LiveMetrics
}

/** What a WebSocket carries for us. */
export interface SocketData {
  readonly user: StreamUser
  readonly format: StreamFormat
  client?: Client
}

interface Subscription {
  readonly id: number
  readonly scope: LiveScope
  /** Row of the log that it gets next. */
  next: number
  /** Whether its snapshot is complete. */
  live: boolean
  /** While the socket is slow: positions that it would have been sent, of the rows before `owedTo`. */
  owed: number
  owedTo: number
  /** Number of the event that it gets next. */
  nextEvent: number
  /** Events left out that it has not been told of. */
  eventsDropped: number
}

/** Devices of one `left` message at most. */
const LEFT_DEVICES_MAX = 1_000

export class Client {
  readonly user: StreamUser
  readonly format: StreamFormat
  readonly subscriptions = new Map<number, Subscription>()
  /** Messages of the client in the second under way. */
  messagesThisSecond = 0
  private readonly socket: WebSocket<SocketData>
  private readonly hub: Hub
  /** Since when it holds too much, `performance.now()`; undefined = it does not. */
  private slowSinceMs: number | undefined
  private closed = false

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

  /** Slots that its subscriptions name, together. */
  get slotCount(): number {
    let count = 0
    for (const { scope } of this.subscriptions.values()) count += scope.slots?.length ?? 0
    return count
  }

  subscribe(id: number, scope: LiveScope): void {
    this.subscriptions.set(id, {
      id,
      scope,
      next: 0,
      live: false,
      owed: 0,
      owedTo: 0,
      nextEvent: this.hub.events.end,
      eventsDropped: 0,
    })
    if (this.slowSinceMs === undefined) this.pump()
  }

  unsubscribe(id: number): boolean {
    return this.subscriptions.delete(id)
  }

  /** Sends what the subscriptions have not got, as far as the socket takes it. */
  private pump(): void {
    const { positions, chunks, events, metrics } = this.hub
    for (const subscription of this.subscriptions.values()) {
      while (subscription.next < positions.end) {
        if (this.isFull(subscription)) return
        const chunk = chunks.next(subscription.scope, this.format, subscription.next)
        subscription.next = chunk.end
        if (chunk.count === 0) continue
        if (!this.write(chunk.message(subscription.id))) return
        metrics.sent.rows += chunk.count
      }
      if (!subscription.live) {
        subscription.live = true
        if (!this.send({ type: 'live', id: subscription.id, cursor: this.hub.chunks.cursor })) return
      }
      while (subscription.nextEvent < events.end) {
        if (this.isFull(subscription) || !this.sendEvents(subscription)) return
      }
    }
  }

  /** @returns Whether the socket is still open. */
  private sendEvents(subscription: Subscription): boolean {
    const { chunks, events, metrics } = this.hub
    const { format } = this
    const { end, rows, missed } = events.next(subscription.scope, format, subscription.nextEvent)
    subscription.nextEvent = end
    subscription.eventsDropped += missed
    if (!this.sendLagging(subscription, 0)) return false
    if (rows.length === 0) return true
    metrics.sent.events += rows.length
    const joined = rows.join(format.separator)
    return this.write(format.encodeRows('events', subscription.id, chunks.cursor, rows.length, joined))
  }

  /** Whether the socket has enough, which makes it slow. */
  private isFull(subscription: Subscription): boolean {
    if (this.socket.getBufferedAmount() < this.hub.limits.slowSocketBytes) return false
    this.becomeSlow()
    // Another subscription goes first next time, or a great snapshot would keep it waiting.
    this.subscriptions.delete(subscription.id)
    this.subscriptions.set(subscription.id, subscription)
    return true
  }

  /** Sends what a tick brought; to a slow socket it counts instead. */
  tick(): void {
    if (this.slowSinceMs === undefined) this.pump()
    else this.owe()
  }

  /** To be called when the socket holds less than before. */
  drained(): void {
    const { chunks, limits } = this.hub
    // Not before most is gone: what waits in the buffer grows old, what waits in the log is replaced by newer.
    if (this.slowSinceMs === undefined || this.bufferedBytes > limits.slowSocketBytes / 4) return
    this.slowSinceMs = undefined
    for (const subscription of this.subscriptions.values()) {
      const { owed } = subscription
      subscription.owed = 0
      const dropped = owed === 0 ? 0 : owed - chunks.count(subscription.scope, subscription.next)
      if (!this.sendLagging(subscription, Math.max(0, dropped))) return
    }
    this.pump()
  }

  /**
   * Says what was left out, if anything was.
   * @returns Whether the socket is still open.
   */
  private sendLagging(subscription: Subscription, dropped: number): boolean {
    const { id, eventsDropped } = subscription
    if (dropped + eventsDropped === 0) return true
    const { metrics } = this.hub
    metrics.lagging.inc()
    metrics.dropped.inc(dropped)
    metrics.droppedEvents.inc(eventsDropped)
    subscription.eventsDropped = 0
    return this.send({ type: 'lagging', id, dropped, events: eventsDropped })
  }

  /** To be called before the events up to `end` go: what a subscription has not got of them it never gets. */
  dropEvents(end: number): void {
    const { events, metrics } = this.hub
    for (const subscription of this.subscriptions.values()) {
      if (subscription.nextEvent >= end) continue
      subscription.eventsDropped += events.count(subscription.scope, subscription.nextEvent, end)
      subscription.nextEvent = end
      metrics.limitMet('eventsKept')
    }
  }

  /** Tells the subscriptions that had the devices in their scope that these are gone from it. */
  left(moves: readonly Move[]): void {
    for (const { id, scope } of this.subscriptions.values()) {
      const { organizationId } = scope
      const devices = moves
        .filter(
          ({ from, to, slot }) =>
            from !== null &&
            (organizationId === null ? to === null : from === organizationId) &&
            (scope.slots === null || scope.slots.includes(slot)),
        )
        .map(({ device }) => device)
      for (let first = 0; first < devices.length; first += LEFT_DEVICES_MAX) {
        if (!this.send({ type: 'left', id, devices: devices.slice(first, first + LEFT_DEVICES_MAX) })) return
      }
    }
  }

  /** To be called when the rows of the log got other numbers. */
  renumber(newRow: (row: number) => number): void {
    for (const subscription of this.subscriptions.values()) {
      subscription.next = newRow(subscription.next)
      subscription.owedTo = newRow(subscription.owedTo)
    }
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
    this.subscriptions.clear()
  }

  private write(bytes: Buffer): boolean {
    if (this.closed) return false
    this.socket.send(bytes, this.format.isBinary)
    const { sent } = this.hub.metrics
    sent.messages++
    sent.bytes += bytes.length
    return true
  }

  private becomeSlow(): void {
    this.slowSinceMs = performance.now()
    this.hub.metrics.limitMet('slowSocketBytes')
    for (const subscription of this.subscriptions.values()) subscription.owedTo = subscription.next
    this.owe()
  }

  private owe(): void {
    const { positions, chunks } = this.hub
    for (const subscription of this.subscriptions.values()) {
      // A snapshot is only the newest anyway.
      if (subscription.live) subscription.owed += chunks.count(subscription.scope, subscription.owedTo)
      subscription.owedTo = positions.end
    }
  }
}
