/** Events of what is replayed, with the names in them: read, listed, and their times for the timeline. */
import type { GeofenceEvent } from '../../../schemas/geofence-event.ts'
import type { Fleet } from '../fleet/fleet.ts'
import { type Session, wordsOf } from '../wire/session.ts'
import { EventList, type EventsShown } from './event-list.ts'
import { readEvents, readGeofenceNames } from './history.ts'
import type { ReplayView } from './replay-view.ts'

export class ReplayEvents {
  readonly #session: Session
  readonly #fleet: Fleet
  readonly #list: EventList
  readonly #onChange: () => void
  #view: ReplayView | null = null
  #shown: EventsShown = { kind: 'loading' }
  #geofences = new Map<number, string>()
  /** Counts readings, so that a late answer to a former one is passed over. */
  #generation = 0

  /**
   * @param onChoose An event was chosen in the list.
   * @param onChange Other events are known than before.
   */
  constructor(
    session: Session,
    fleet: Fleet,
    onChoose: (event: GeofenceEvent) => void,
    onChange: () => void,
  ) {
    this.#session = session
    this.#fleet = fleet
    this.#onChange = onChange
    this.#list = new EventList(onChoose, () => this.#view !== null && this.load(this.#view))
  }

  get element(): HTMLElement {
    return this.#list.element
  }

  /** Times of the events, ms UTC, oldest first. */
  get timesMs(): number[] {
    return this.#shown.kind === 'loaded' ? this.#shown.events.map(({ time }) => Date.parse(time)) : []
  }

  /** Reads the events of a view. */
  load(view: ReplayView): void {
    this.#view = view
    const generation = ++this.#generation
    this.#show({ kind: 'loading' })
    readEvents(this.#session, view.who, view.fromMs, view.toMs).then(
      (read) => {
        if (generation === this.#generation) this.#show({ kind: 'loaded', ...read })
      },
      (error: unknown) => {
        if (generation === this.#generation) this.#show({ kind: 'failed', detail: wordsOf(error) })
      },
    )
  }

  /** Reads the names of geofences. @throws RequestError */
  async readNames(): Promise<void> {
    this.#geofences = await readGeofenceNames(this.#session)
    this.rename()
  }

  /** Vehicles or geofences have other names than before. */
  rename(): void {
    this.#show(this.#shown)
  }

  /** Marks the last event that the clock has passed. */
  setTime(timeMs: number): void {
    this.#list.setTime(timeMs)
  }

  #show(shown: EventsShown): void {
    this.#shown = shown
    this.#list.show(shown, {
      device: (id) => this.#fleet.get(id)?.name ?? `Device ${id}`,
      geofence: (id) => this.#geofences.get(id) ?? `geofence ${id}`,
    })
    this.#onChange()
  }
}
