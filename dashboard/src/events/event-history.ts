/** Reads events from storage, the newest first, a page at a time. */
import type { GeofenceEvent, GeofenceEventType } from '../../../schemas/geofence-event.ts'
import type { Page } from '../wire/directory.ts'
import { eventOf, type FleetEvent } from '../wire/rows.ts'
import { RequestError, type Session } from '../wire/session.ts'

const PAGE_EVENTS = 100

export interface EventHistoryListener {
  onEvents(events: readonly FleetEvent[]): void
  /** `detail` is fit to be shown; null = all is well. */
  onFailure(detail: string | null): void
}

export class EventHistory {
  readonly #session: Session
  readonly #listener: EventHistoryListener
  #type: GeofenceEventType | null = null
  #cursor: string | null = null
  #ended = false
  #busy = false
  /** Counts filters, so that a late answer for a former one is passed over. */
  #generation = 0

  constructor(session: Session, listener: EventHistoryListener) {
    this.#session = session
    this.#listener = listener
  }

  /** Whether a page is being read. */
  get busy(): boolean {
    return this.#busy
  }

  /** Whether there is nothing older. */
  get ended(): boolean {
    return this.#ended
  }

  /** Begins anew with the newest, of one type or (null) of all. */
  restart(type: GeofenceEventType | null): void {
    this.stop()
    this.#type = type
    this.#cursor = null
    this.#ended = false
    this.more()
  }

  /** Reads the next page, unless one is being read or all are. */
  more(): void {
    if (this.#busy || this.#ended) return
    this.#busy = true
    const generation = this.#generation
    const query = new URLSearchParams({ limit: String(PAGE_EVENTS), history: 'true' })
    if (this.#type !== null) query.set('type', this.#type)
    if (this.#cursor !== null) query.set('cursor', this.#cursor)
    this.#session.get<Page<GeofenceEvent>>(`/api/v1/events?${query}`).then(
      ({ items, next }) => {
        if (generation !== this.#generation) return
        this.#busy = false
        this.#cursor = next
        this.#ended = next === null
        this.#listener.onFailure(null)
        this.#listener.onEvents(items.map(eventOf))
      },
      (error: unknown) => {
        if (generation !== this.#generation) return
        this.#busy = false
        this.#listener.onFailure(error instanceof RequestError ? error.message : 'Load the page again.')
      },
    )
  }

  /** Passes over what is still to come. */
  stop(): void {
    this.#generation++
    this.#busy = false
  }
}
