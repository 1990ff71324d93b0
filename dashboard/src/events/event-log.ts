/** Events as this page knows them: those of the stream and those read from storage, each once, with their corrections. */
import type { FleetEvent } from '../wire/rows.ts'

/** More than anyone scrolls through; the oldest go. */
const EVENTS_MAX = 5_000

/** What later data has said of an event. */
export type Standing =
  /** Nothing: it is as it was seen at first. */
  | 'first'
  /** It stands in the place of an earlier one. */
  | 'correction'
  /** Another stands in its place. */
  | 'corrected'
  /** It did not happen. */
  | 'retracted'

export class EventLog {
  readonly #byId = new Map<number, FleetEvent>()
  /** Event that replaces each, by the id of the replaced one. */
  readonly #successors = new Map<number, FleetEvent>()
  #sorted: FleetEvent[] | null = []

  /** Takes events from anywhere, in any order. @returns Whether one of them was new. */
  add(events: readonly FleetEvent[]): boolean {
    let any = false
    for (const event of events) {
      if (this.#byId.has(event.id)) continue
      any = true
      this.#byId.set(event.id, event)
      if (event.replaces !== null) this.#successors.set(event.replaces, event)
    }
    if (any) this.#sorted = null
    return any
  }

  /** Forgets all. */
  clear(): void {
    this.#byId.clear()
    this.#successors.clear()
    this.#sorted = []
  }

  /**
   * All events that tell of something, the newest first. One that only says that another did not happen tells it there,
   * if the other is known.
   */
  get events(): readonly FleetEvent[] {
    this.#sorted ??= this.#sort()
    return this.#sorted
  }

  standingOf(event: FleetEvent): Standing {
    if (event.retracted) return 'retracted'
    const successor = this.#successors.get(event.id)
    if (successor !== undefined) return successor.retracted ? 'retracted' : 'corrected'
    // What replaces it may be on a page that was not read.
    if (!event.current) return 'corrected'
    return event.replaces === null ? 'first' : 'correction'
  }

  #sort(): FleetEvent[] {
    const sorted = [...this.#byId.values()].sort((a, b) => b.timeMs - a.timeMs || b.id - a.id)
    for (const { id } of sorted.splice(EVENTS_MAX)) this.#byId.delete(id)
    return sorted.filter(
      ({ retracted, replaces }) => !retracted || replaces === null || !this.#byId.has(replaces),
    )
  }
}
