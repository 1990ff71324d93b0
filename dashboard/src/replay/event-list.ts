/** The events of the range: what happened, when, and a way there. */
import type { GeofenceEvent, GeofenceEventType } from '../../../schemas/geofence-event.ts'
import { button, element, setText } from '../ui/dom.ts'
import { formatCount, formatSpeed, formatTime } from '../ui/format.ts'

/** Rows are elements: more of them would make the page slow, and no one reads them. */
const ROWS_MAX = 500

const VERBS: Readonly<Record<GeofenceEventType, string>> = {
  enter: 'entered',
  exit: 'left',
  dwell: 'stays in',
  absence: 'is away from',
  missing: 'is missing at',
  speeding: 'is too fast in',
}

/** Names for ids, as far as they are known. */
export interface Names {
  device(id: number): string
  geofence(id: number): string
}

/** `Bus 7 entered Depot`. */
export function eventWords({ type, device, geofence, speed }: GeofenceEvent, names: Names): string {
  const fast = type === 'speeding' && speed !== null ? ` at ${formatSpeed(speed)}` : ''
  return `${names.device(device)} ${VERBS[type]} ${names.geofence(geofence)}${fast}`
}

export type EventsShown =
  | { readonly kind: 'loading' }
  /** `detail` is fit to be shown. */
  | { readonly kind: 'failed'; readonly detail: string }
  | { readonly kind: 'loaded'; readonly events: readonly GeofenceEvent[]; readonly more: boolean }

export class EventList {
  readonly element: HTMLElement
  readonly #onChoose: (event: GeofenceEvent) => void
  readonly #onRetry: () => void
  readonly #count = element('span', { class: 'quiet' })
  readonly #body = element('div', { class: 'event-rows' })
  #rows: HTMLElement[] = []
  #timesMs: number[] = []
  #at = -1

  constructor(onChoose: (event: GeofenceEvent) => void, onRetry: () => void) {
    this.#onChoose = onChoose
    this.#onRetry = onRetry
    this.element = element(
      'section',
      { class: 'picker replay-events', 'aria-label': 'Events' },
      element('h2', {}, 'Events ', this.#count),
      this.#body,
    )
  }

  show(shown: EventsShown, names: Names): void {
    this.#rows = []
    this.#timesMs = []
    this.#at = -1
    this.element.dataset.kind = shown.kind
    setText(this.#count, '')
    if (shown.kind === 'loading')
      this.#body.replaceChildren(element('p', { class: 'quiet' }, 'Loading the events…'))
    else if (shown.kind === 'failed') {
      this.#body.replaceChildren(
        element('p', { class: 'fault', role: 'alert' }, `The events did not load. ${shown.detail}`),
        button({ class: 'link' }, this.#onRetry, 'Try again'),
      )
    } else this.#fill(shown.events, shown.more, names)
  }

  /** Marks the last event that the clock has passed. */
  setTime(timeMs: number): void {
    let at = this.#at
    if (at >= 0 && this.#timesMs[at]! > timeMs) at = -1
    while (at + 1 < this.#timesMs.length && this.#timesMs[at + 1]! <= timeMs) at++
    if (at === this.#at) return
    this.#rows[this.#at]?.removeAttribute('aria-current')
    this.#rows[at]?.setAttribute('aria-current', 'time')
    this.#at = at
  }

  #fill(events: readonly GeofenceEvent[], more: boolean, names: Names): void {
    if (events.length === 0) {
      this.#body.replaceChildren(
        element('p', { class: 'quiet' }, 'No vehicle entered or left a geofence in this time.'),
      )
      return
    }
    setText(this.#count, `${formatCount(events.length)}${more ? ' newest' : ''}`)
    const shown = events.slice(-ROWS_MAX)
    this.#timesMs = shown.map(({ time }) => Date.parse(time))
    this.#rows = shown.map((event, index) =>
      button(
        { class: 'event-row', 'data-type': event.type },
        () => this.#onChoose(event),
        element('span', { class: 'event-time' }, formatTime(this.#timesMs[index]!)),
        element('span', {}, eventWords(event, names)),
      ),
    )
    const cut = events.length - shown.length
    const note = element(
      'p',
      { class: 'quiet small' },
      `The ${formatCount(cut)} before are on the timeline only.`,
    )
    this.#body.replaceChildren(...(cut > 0 ? [note] : []), ...this.#rows)
  }
}
