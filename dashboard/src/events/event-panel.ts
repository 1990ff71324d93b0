/** The events of the fleet: live ones above, older ones read from storage as far as the person scrolls. */
import type { GeofenceEventType } from '../../../schemas/geofence-event.ts'
import { button, element, setText } from '../ui/dom.ts'
import { formatAge, formatDayTime, formatTime } from '../ui/format.ts'
import { VirtualList } from '../ui/virtual-list.ts'
import { serverNowMs } from '../wire/clock.ts'
import type { FleetEvent } from '../wire/rows.ts'
import type { Session } from '../wire/session.ts'
import { EventHistory } from './event-history.ts'
import { EventLog } from './event-log.ts'
import { deedOf, EVENT_TYPE_NAMES, STANDING_WORDS } from './event-words.ts'

export interface EventPanelListener {
  nameOfDevice(device: number): string
  nameOfGeofence(geofence: number): string
  onChoose(event: FleetEvent): void
}

interface Row {
  readonly element: HTMLElement
  readonly device: HTMLElement
  readonly deed: HTMLElement
  readonly geofence: HTMLElement
  readonly time: HTMLElement
  readonly note: HTMLElement
}

export class EventPanel {
  readonly element: HTMLElement
  readonly #listener: EventPanelListener
  readonly #log = new EventLog()
  readonly #history: EventHistory
  readonly #list: VirtualList<FleetEvent, Row>
  readonly #note = element('div', { class: 'list-note', role: 'status' })
  readonly #select: HTMLSelectElement
  #type: GeofenceEventType | null = null
  #failure: string | null = null
  /** Whether there is an organisation whose events the storage can be asked for. */
  readonly #stored: boolean

  constructor(session: Session, listener: EventPanelListener) {
    this.#listener = listener
    this.#stored = session.user?.organizationId !== null
    this.#history = new EventHistory(session, {
      onEvents: (events) => {
        this.#log.add(events)
        this.refresh()
      },
      onFailure: (detail) => {
        this.#failure = detail
        this.refresh()
      },
    })
    const options = Object.entries(EVENT_TYPE_NAMES).map(([type, name]) =>
      element('option', { value: type }, name),
    )
    this.#select = element(
      'select',
      { 'aria-label': 'Show events of' },
      element('option', { value: '' }, 'All events'),
      ...options,
    )
    this.#select.addEventListener('change', () => this.#filter())
    this.#list = new VirtualList<FleetEvent, Row>({
      label: 'Events',
      idPrefix: 'event',
      keyOf: ({ id }) => id,
      makeRow,
      fillRow: (row, event) => this.#fill(row, event),
      onChoose: (event) => {
        this.#list.choose(event)
        listener.onChoose(event)
      },
      onEnd: () => this.#stored && this.#failure === null && this.#history.more(),
      anchored: true,
    })
    this.element = element(
      'div',
      { class: 'event-panel' },
      element('div', { class: 'list-tools' }, this.#select),
      this.#note,
      this.#list.element,
    )
  }

  /** Reads the newest events of storage, again after what was missed. */
  load(): void {
    if (this.#stored) this.#history.restart(this.#type)
    this.refresh()
  }

  /** Takes events of the stream. */
  add(events: readonly FleetEvent[]): void {
    this.#log.add(events)
  }

  /** Brings rows and words up to date. */
  refresh(): void {
    const type = this.#type
    const shown = type === null ? this.#log.events : this.#log.events.filter((event) => event.type === type)
    this.#list.setItems(shown)
    this.element.dataset.count = String(shown.length)
    this.#explain(shown.length)
  }

  stop(): void {
    this.#history.stop()
  }

  #filter(): void {
    this.#type = this.#select.value === '' ? null : (this.#select.value as GeofenceEventType)
    this.#list.toTop()
    this.load()
  }

  /** Says in words why there is nothing, or not all. */
  #explain(count: number): void {
    const kind =
      this.#failure !== null
        ? 'failed'
        : count > 0
          ? ''
          : this.#stored && (this.#history.busy || !this.#history.ended)
            ? 'loading'
            : 'none'
    const detail = `${kind} ${this.#failure} ${this.#type}`
    if (this.#note.dataset.detail === detail) return
    this.#note.dataset.detail = detail
    this.#note.hidden = kind === ''
    if (kind === 'failed') {
      this.#note.replaceChildren(
        element('p', { class: 'fault' }, `The events did not load. ${this.#failure}`),
        button({ class: 'link' }, () => this.load(), 'Try again'),
      )
    } else if (kind === 'loading') {
      this.#note.replaceChildren(element('p', { class: 'quiet' }, 'Loading the events…'))
    } else if (kind === 'none') {
      const words =
        this.#type === null
          ? 'No events in the last 31 days. Vehicles make them when they enter and leave geofences.'
          : `No event of this kind in the last 31 days: ${EVENT_TYPE_NAMES[this.#type]}.`
      this.#note.replaceChildren(
        element(
          'p',
          { class: 'quiet' },
          this.#stored ? words : 'Live events of all organisations come here.',
        ),
      )
    }
  }

  #fill(row: Row, event: FleetEvent): void {
    const standing = this.#log.standingOf(event)
    row.element.dataset.event = event.type
    row.element.dataset.standing = standing
    setText(row.device, this.#listener.nameOfDevice(event.device))
    setText(row.deed, deedOf(event))
    setText(row.geofence, this.#listener.nameOfGeofence(event.geofence))
    const ageMs = serverNowMs() - event.timeMs
    setText(row.time, ageMs < 3_600_000 ? `${formatAge(ageMs)} ago` : formatDayTime(event.timeMs))
    row.time.title = formatTime(event.timeMs)
    setText(row.note, STANDING_WORDS[standing])
  }
}

function makeRow(): Row {
  const row: Row = {
    element: element('div'),
    device: element('span', { class: 'row-name' }),
    deed: element('span', { class: 'deed' }),
    geofence: element('span', { class: 'row-geofence' }),
    time: element('span', { class: 'row-age' }),
    note: element('span', { class: 'row-note' }),
  }
  row.element.append(
    element('span', { class: 'event-mark', 'aria-hidden': 'true' }),
    element(
      'span',
      { class: 'row-text' },
      row.device,
      element('span', { class: 'row-identity' }, row.deed, ' ', row.geofence),
    ),
    element('span', { class: 'row-figures' }, row.time, row.note),
  )
  return row
}
