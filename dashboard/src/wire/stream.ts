/**
 * The stream: connects with a one-time ticket, keeps subscriptions, and comes back when lost. Each subscription goes on
 * from its last cursor, so that nothing is missed and nothing comes twice.
 */
import type { ClientMessage, ServerMessage } from '../../../schemas/stream.ts'
import {
  type StreamTicket,
  type SubscribeRequest,
  Subscription,
  type SubscriptionListener,
} from './subscription.ts'

const SUBPROTOCOL = 'fleetflow.json'
const RETRY_FIRST_MS = 500
const RETRY_MAX_MS = 30_000
/** A connection on which no subscription has been answered by then is given up. */
const OPEN_TIMEOUT_MS = 30_000
/** A subscription that ended since the database could not be read is asked for again after this. */
const STORAGE_RETRY_MS = 5_000

export type StreamStatus =
  | { readonly kind: 'connecting' }
  /** `delay`: why rows come late, for people; null = they come as they should. */
  | { readonly kind: 'live'; readonly delay: string | null }
  /** `retryAtMs`: when the next attempt starts, by `Date.now()`. */
  | { readonly kind: 'lost'; readonly retryAtMs: number }

/** How the stream gets in. */
export interface StreamAccess {
  /** Asks for a ticket. @throws RequestError */
  ticket(): Promise<StreamTicket>
  /** Whether it is worth coming back after the connection was lost. */
  mayReturn(): boolean
  /** Opens a socket; the browser's by default. */
  connect?(url: string, subprotocol: string): WebSocket
}

/**
 * Wait before attempt `attempt` (0 = first repeat): doubles up to 30 s, spread so that pages do not return in step.
 * @param random 0 to 1.
 */
export function retryDelayMs(attempt: number, random: number): number {
  const full = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** attempt)
  return full * (0.75 + random * 0.5)
}

export class Stream {
  readonly #access: StreamAccess
  readonly #onStatus: (status: StreamStatus) => void
  readonly #subscriptions = new Map<number, Subscription>()
  #socket: WebSocket | null = null
  #timer: ReturnType<typeof setTimeout> | undefined
  #attempt = 0
  #nextId = 1
  #running = false
  #answered = false
  #delay: string | null = null
  /** Counts connections, so that what a former one still reports is passed over. */
  #generation = 0

  constructor(access: StreamAccess, onStatus: (status: StreamStatus) => void) {
    this.#access = access
    this.#onStatus = onStatus
  }

  /** Connects now, whatever wait was under way. */
  start(): void {
    this.#drop()
    this.#running = true
    this.#onStatus({ kind: 'connecting' })
    const generation = this.#generation
    this.#timer = setTimeout(() => this.#lose(generation), OPEN_TIMEOUT_MS)
    this.#connect(generation).catch(() => this.#lose(generation))
  }

  /** The network is back: connects, unless it is connected. */
  online(): void {
    if (this.#running && this.#socket === null) this.start()
  }

  /** Ends the stream; no further call of any listener. */
  stop(): void {
    this.#running = false
    this.#drop()
  }

  /**
   * Subscribes, at once or as soon as there is a connection, and again after each loss of it.
   * @param request What to watch; a replay where `from` is a time.
   */
  subscribe(request: SubscribeRequest, listener: SubscriptionListener): Subscription {
    const subscription = new Subscription(this.#nextId++, request, listener, (message) => this.#send(message))
    subscription.onClose = () => this.#subscriptions.delete(subscription.id)
    this.#subscriptions.set(subscription.id, subscription)
    subscription.open()
    return subscription
  }

  #send(message: ClientMessage): void {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(message))
  }

  async #connect(generation: number): Promise<void> {
    const { ticket, url } = await this.#access.ticket()
    if (generation !== this.#generation) return
    const address = `${url}?ticket=${encodeURIComponent(ticket)}`
    const socket = this.#access.connect?.(address, SUBPROTOCOL) ?? new WebSocket(address, SUBPROTOCOL)
    this.#socket = socket
    socket.onopen = () => {
      if (this.#subscriptions.size === 0) this.#onAnswer()
      for (const subscription of this.#subscriptions.values()) subscription.open()
    }
    socket.onmessage = (event: MessageEvent<string>) => this.#receive(JSON.parse(event.data) as ServerMessage)
    socket.onclose = () => this.#lose(generation)
  }

  #receive(message: ServerMessage): void {
    if (message.type === 'status') {
      this.#delay = message.delayed ? message.detail : null
      if (this.#answered) this.#onStatus({ kind: 'live', delay: this.#delay })
      return
    }
    if (message.type !== 'positions' && message.type !== 'events' && message.type !== 'header') {
      this.#onAnswer()
    }
    // One that was closed meanwhile has no listener any more.
    const subscription = message.id === null ? undefined : this.#subscriptions.get(message.id)
    if (subscription === undefined) return
    if (message.type === 'error') this.#onError(subscription, message)
    else subscription.receive(message)
  }

  /** The server has answered a subscription: the connection is good. */
  #onAnswer(): void {
    if (this.#answered) return
    this.#answered = true
    clearTimeout(this.#timer)
    this.#attempt = 0
    this.#onStatus({ kind: 'live', delay: this.#delay })
  }

  #onError(subscription: Subscription, error: Extract<ServerMessage, { type: 'error' }>): void {
    const generation = this.#generation
    if (error.code === 'cursor-expired' || error.code === 'cursor-invalid') subscription.openAnew()
    else if (error.code === 'storage-unavailable') {
      setTimeout(() => {
        if (generation === this.#generation && !subscription.closed) subscription.open()
      }, STORAGE_RETRY_MS)
    } else subscription.refused(error.code, error.detail)
  }

  #lose(generation: number): void {
    if (generation !== this.#generation) return
    this.#drop()
    // Without a session the page has already shown the login.
    if (!this.#access.mayReturn()) return
    const delayMs = retryDelayMs(this.#attempt++, Math.random())
    this.#timer = setTimeout(() => this.start(), delayMs)
    this.#onStatus({ kind: 'lost', retryAtMs: Date.now() + delayMs })
  }

  #drop(): void {
    this.#generation++
    this.#answered = false
    this.#delay = null
    clearTimeout(this.#timer)
    if (this.#socket !== null) {
      this.#socket.onopen = null
      this.#socket.onclose = null
      this.#socket.onmessage = null
      this.#socket.close()
      this.#socket = null
    }
  }
}
