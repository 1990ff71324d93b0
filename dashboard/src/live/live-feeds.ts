/**
 * What the live page hears of the stream, as three subscriptions: the whole fleet at a calm pace, with all events; what
 * the map shows, each row of it; and the chosen vehicle, wherever it is.
 */
import type { View } from '../map/grid.ts'
import type { Fix, FleetEvent } from '../wire/rows.ts'
import type { Session } from '../wire/session.ts'
import { Stream, type StreamStatus } from '../wire/stream.ts'
import type { StreamTicket, Subscription } from '../wire/subscription.ts'
import { type Box, boxAround, boxServes } from './viewport.ts'

/** The fleet as a whole is shown as it was at most so long ago, ms. */
const FLEET_INTERVAL_MS = 5_000
/** With more vehicles in view, the pace of the fleet is all that an eye can follow. */
const VIEW_VEHICLES_MAX = 20_000
/** The map must have stood still for so long. */
const MOVE_WAIT_MS = 200

export interface LiveFeedsListener {
  onStatus(status: StreamStatus): void
  onPositions(rows: readonly Fix[]): void
  onEvents(rows: readonly FleetEvent[]): void
  /** The whole fleet is there; again after each loss of the connection. */
  onLive(): void
  /** Devices were deleted, disabled, or given away. */
  onLeft(devices: readonly number[]): void
  /** Positions or events were left out since this page, or the stream itself, was too slow. */
  onLagging(positions: number, events: number): void
  /** The server refused something; `detail` is fit to be shown. */
  onError(detail: string): void
  /** How many vehicles are in a box. */
  countIn(box: Box): number
}

export class LiveFeeds {
  readonly #listener: LiveFeedsListener
  readonly #stream: Stream
  #view: Subscription | null = null
  #box: Box | null = null
  #vehicle: Subscription | null = null
  #seen: View | null = null
  #fleetKnown = false
  #moveTimer: ReturnType<typeof setTimeout> | undefined

  constructor(session: Session, listener: LiveFeedsListener) {
    this.#listener = listener
    this.#stream = new Stream(
      {
        ticket: () => session.post<StreamTicket>('/api/v1/stream/tickets', {}),
        mayReturn: () => session.signedIn,
      },
      (status) => listener.onStatus(status),
    )
    this.#stream.subscribe(
      { scope: { all: true }, intervalMs: FLEET_INTERVAL_MS },
      {
        onPositions: (rows) => listener.onPositions(rows),
        onEvents: (rows) => listener.onEvents(rows),
        onLive: () => {
          this.#fleetKnown = true
          listener.onLive()
          this.#move()
        },
        onLeft: (devices) => listener.onLeft(devices),
        onLagging: (dropped, events) => listener.onLagging(dropped, events),
        onGap: () => listener.onLagging(0, 0),
        onError: (_code, detail) => listener.onError(detail),
      },
    )
  }

  start(): void {
    window.addEventListener('online', this.#onOnline)
    this.#stream.start()
  }

  /** Ends the stream; no further call of the listener. */
  stop(): void {
    window.removeEventListener('online', this.#onOnline)
    clearTimeout(this.#moveTimer)
    this.#stream.stop()
  }

  /** Connects now, whatever wait was under way. */
  retry(): void {
    this.#stream.start()
  }

  /** The map shows another part of the world. */
  see(view: View): void {
    this.#seen = view
    clearTimeout(this.#moveTimer)
    this.#moveTimer = setTimeout(() => this.#move(), MOVE_WAIT_MS)
  }

  /** Every row of a vehicle is wanted, in view or not; null = of none. */
  watch(device: number | null): void {
    this.#vehicle?.close()
    this.#vehicle = null
    if (device === null) return
    this.#vehicle = this.#stream.subscribe(
      { scope: { devices: [device] }, events: false },
      { onPositions: (rows) => this.#listener.onPositions(rows) },
    )
  }

  readonly #onOnline = (): void => this.#stream.online()

  /** Brings the subscription of the view to what the map shows. */
  #move(): void {
    const view = this.#seen
    // The first view is of the world; the fleet is there before the map goes to where it is.
    if (view === null || !this.#fleetKnown) return
    if (this.#box !== null && boxServes(this.#box, view)) return
    const box = boxAround(view)
    this.#box = box
    if (this.#listener.countIn(box) > VIEW_VEHICLES_MAX) {
      this.#view?.close()
      this.#view = null
    } else if (this.#view !== null) this.#view.moveTo(scopeOf(box))
    else this.#view = this.#watchView(box)
  }

  #watchView(box: Box): Subscription {
    return this.#stream.subscribe(
      { scope: scopeOf(box), events: false },
      {
        onPositions: (rows) => this.#listener.onPositions(rows),
        onError: (_code, detail) => this.#listener.onError(detail),
        // What happened meanwhile comes by the subscription of the fleet; where everyone is now is enough here.
        onReturn: () => ({ scope: scopeOf(this.#box ?? box), events: false }),
      },
    )
  }
}

function scopeOf([west, south, east, north]: Box) {
  return { bbox: [west, south, east, north] as [number, number, number, number] }
}
