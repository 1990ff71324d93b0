/** The live stream: connects with a one-time ticket, subscribes to the whole fleet, and comes back when lost. */
import type { ClientMessage, ServerMessage, StreamRow } from '../../../schemas/stream.ts'
import type { Session } from './session.ts'

const SUBPROTOCOL = 'fleetflow.json'
const SUBSCRIPTION = 1
const RETRY_FIRST_MS = 500
const RETRY_MAX_MS = 30_000
/** A connection that has not said `live` by then is given up. */
const OPEN_TIMEOUT_MS = 20_000

export type StreamStatus =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live' }
  /** `retryAtMs`: when the next attempt starts, by `Date.now()`. */
  | { readonly kind: 'lost'; readonly retryAtMs: number }

export interface StreamListener {
  onStatus(status: StreamStatus): void
  onRows(rows: readonly StreamRow[]): void
  /** The snapshot is complete. */
  onLive(): void
  /** Devices were deleted, disabled, or given away. */
  onLeft(devices: readonly number[]): void
  /** The server left rows out because this page was slow. */
  onLagging(dropped: number): void
  /** The server refused something; `detail` is fit to be shown. */
  onError(detail: string): void
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
  readonly #session: Session
  readonly #listener: StreamListener
  #socket: WebSocket | null = null
  #timer: ReturnType<typeof setTimeout> | undefined
  #attempt = 0
  /** Counts connections, so that what a former one still reports is passed over. */
  #generation = 0

  constructor(session: Session, listener: StreamListener) {
    this.#session = session
    this.#listener = listener
  }

  /** Connects now, whatever wait was under way. */
  start(): void {
    this.#drop()
    window.addEventListener('online', this.#onOnline)
    this.#listener.onStatus({ kind: 'connecting' })
    const generation = this.#generation
    this.#timer = setTimeout(() => this.#lose(generation), OPEN_TIMEOUT_MS)
    this.#connect(generation).catch(() => this.#lose(generation))
  }

  /** Ends the stream; no further call of the listener. */
  stop(): void {
    window.removeEventListener('online', this.#onOnline)
    this.#drop()
  }

  readonly #onOnline = (): void => {
    if (this.#socket === null) this.start()
  }

  async #connect(generation: number): Promise<void> {
    const { ticket, url } = await this.#session.post<{ ticket: string; url: string }>(
      '/api/v1/stream/tickets',
      {},
    )
    if (generation !== this.#generation) return
    const socket = new WebSocket(`${url}?ticket=${encodeURIComponent(ticket)}`, SUBPROTOCOL)
    this.#socket = socket
    socket.onopen = () => {
      const subscribe: ClientMessage = { type: 'subscribe', id: SUBSCRIPTION, scope: { all: true } }
      socket.send(JSON.stringify(subscribe))
    }
    socket.onmessage = (event: MessageEvent<string>) => this.#receive(JSON.parse(event.data) as ServerMessage)
    socket.onclose = () => this.#lose(generation)
  }

  #receive(message: ServerMessage): void {
    if (message.type === 'positions') this.#listener.onRows(message.rows)
    else if (message.type === 'left') this.#listener.onLeft(message.devices)
    else if (message.type === 'live') {
      clearTimeout(this.#timer)
      this.#attempt = 0
      this.#listener.onStatus({ kind: 'live' })
      this.#listener.onLive()
    } else if (message.type === 'lagging') {
      // Events are not shown here, so none are missed.
      if (message.dropped > 0) this.#listener.onLagging(message.dropped)
    } else if (message.type === 'error') this.#listener.onError(message.detail)
  }

  #lose(generation: number): void {
    if (generation !== this.#generation) return
    this.#drop()
    // Without a session the listener has already shown the login.
    if (!this.#session.signedIn) return
    const delayMs = retryDelayMs(this.#attempt++, Math.random())
    this.#timer = setTimeout(() => this.start(), delayMs)
    this.#listener.onStatus({ kind: 'lost', retryAtMs: Date.now() + delayMs })
  }

  #drop(): void {
    this.#generation++
    clearTimeout(this.#timer)
    if (this.#socket !== null) {
      this.#socket.onclose = null
      this.#socket.onmessage = null
      this.#socket.close()
      this.#socket = null
    }
  }
}
