/** One subscription of the stream: what it asks for, how far it has come, and who hears of it. */
import type { ClientMessage, Scope, ServerMessage, StreamErrorCode } from '../../../schemas/stream.ts'
import { type Fix, type FleetEvent, RowReader } from './rows.ts'

type Subscribe = Extract<ClientMessage, { type: 'subscribe' }>
/** What to watch; a replay where `from` is a time. */
export type SubscribeRequest = Readonly<Omit<Subscribe, 'type' | 'id' | 'rows'>>
type Distributed<Message> = Message extends { id: number } ? Omit<Message, 'id'> : never
/** A message about an open subscription, such as `seek`, without its id. */
export type Control = Distributed<Exclude<ClientMessage, { type: 'subscribe' | 'unsubscribe' }>>

/** Answer of the API to a request for a ticket. */
export interface StreamTicket {
  readonly ticket: string
  readonly url: string
}

/** State of the clock of a replay. */
export interface ReplayClock {
  readonly timeMs: number
  readonly speed: number
  readonly paused: boolean
}

/** What a subscription tells; each is called in the order of the messages. */
export interface SubscriptionListener {
  onPositions?(rows: readonly Fix[]): void
  onEvents?(rows: readonly FleetEvent[]): void
  /** The snapshot, or what was missed, is complete. */
  onLive?(): void
  /** Devices are no longer in the scope. */
  onLeft?(devices: readonly number[]): void
  /** The server left rows out because this page was slow. */
  onLagging?(dropped: number, events: number): void
  onClock?(clock: ReplayClock): void
  onEnd?(): void
  /** It could not go on from its cursor: what was missed is missed, and a snapshot follows. */
  onGap?(): void
  /** The server refused something; `detail` is fit to be shown. */
  onError?(code: StreamErrorCode, detail: string): void
  /**
   * What to ask for when the connection is back; without it, the same as at first, from the cursor if there is one.
   * @param cursor Behind the last rows that came.
   */
  onReturn?(cursor: string): SubscribeRequest
}

export class Subscription {
  readonly id: number
  /** Called once, when it is closed here. */
  onClose: () => void = () => {}
  readonly #listener: SubscriptionListener
  readonly #send: (message: ClientMessage) => void
  #request: SubscribeRequest
  #cursor: string | null = null
  #reader = new RowReader([], [])
  #closed = false

  /** @param send Writes to the socket, or does nothing without one. */
  constructor(
    id: number,
    request: SubscribeRequest,
    listener: SubscriptionListener,
    send: (message: ClientMessage) => void,
  ) {
    this.id = id
    this.#request = request
    this.#listener = listener
    this.#send = send
  }

  /** Whether it was closed here. */
  get closed(): boolean {
    return this.#closed
  }

  /** Asks for it, from where it had come. */
  open(): void {
    let request = this.#request
    if (this.#cursor !== null) {
      request = this.#listener.onReturn?.(this.#cursor) ?? { ...request, from: this.#cursor }
    }
    this.#send({ type: 'subscribe', id: this.id, rows: 'arrays', ...request })
  }

  /** Asks for it from the beginning: its cursor is good for nothing any more. */
  openAnew(): void {
    this.#cursor = null
    this.#listener.onGap?.()
    this.open()
  }

  /** Moves it to another scope, now and for all returns. */
  moveTo(scope: Scope): void {
    this.#request = { ...this.#request, scope }
    this.control({ type: 'scope', scope })
  }

  /** Sends a message about it, such as `pause`; without a connection nothing happens. */
  control(control: Control): void {
    this.#send({ ...control, id: this.id } as ClientMessage)
  }

  /** Ends it; no further call of its listener. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.onClose()
    this.#send({ type: 'unsubscribe', id: this.id })
  }

  /** The server refused something about it. */
  refused(code: StreamErrorCode, detail: string): void {
    this.#listener.onError?.(code, detail)
  }

  /** Takes a message of the server about it. */
  receive(message: ServerMessage): void {
    const listener = this.#listener
    if (message.type === 'positions') {
      this.#cursor = message.cursor
      listener.onPositions?.(message.rows.map((row) => this.#reader.position(row)))
    } else if (message.type === 'events') {
      this.#cursor = message.cursor
      listener.onEvents?.(message.rows.map((row) => this.#reader.event(row)))
    } else if (message.type === 'header') this.#reader = new RowReader(message.positions, message.events)
    else if (message.type === 'live') listener.onLive?.()
    else if (message.type === 'left') listener.onLeft?.(message.devices)
    else if (message.type === 'lagging') listener.onLagging?.(message.dropped, message.events)
    else if (message.type === 'clock') {
      const { time, speed, paused } = message
      listener.onClock?.({ timeMs: Date.parse(time), speed, paused })
    } else if (message.type === 'end') {
      this.#cursor = message.cursor
      listener.onEnd?.()
    }
  }
}
