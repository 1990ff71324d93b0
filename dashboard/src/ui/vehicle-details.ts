/** The last values of the chosen vehicle, and its last hour. */
import type { Vehicle } from '../fleet/fleet.ts'
import type { LastHour } from '../fleet/last-hour-track.ts'
import { summarize } from '../fleet/track.ts'
import { button, element, icon, setText } from './dom.ts'
import {
  formatAge,
  formatAltitude,
  formatAttributes,
  formatCount,
  formatCourse,
  formatDistance,
  formatPlace,
  formatSpeed,
  formatTime,
} from './format.ts'
import { speedChart } from './speed-chart.ts'

export interface VehicleDetailsListener {
  onClose(): void
  onFollow(on: boolean): void
  onGoTo(): void
  onReloadTrack(): void
  /** null: the person may not share vehicles. */
  readonly onShare: ((vehicle: Vehicle) => void) | null
}

export class VehicleDetails {
  readonly element: HTMLElement
  readonly #listener: VehicleDetailsListener
  readonly #name = element('h2', { tabindex: -1, id: 'details-name' })
  readonly #identity = element('p', { class: 'quiet' })
  readonly #state = element('span', { class: 'state-words' })
  readonly #speed = element('dd', { 'data-value': 'speed' })
  readonly #course = element('dd', { 'data-value': 'course' })
  readonly #age = element('dd', { 'data-value': 'age' })
  readonly #follow: HTMLButtonElement
  readonly #replay = element('a', { class: 'secondary' }, icon('replay'), 'Replay')
  readonly #hour = element('div', { class: 'hour' })
  readonly #values = element('dl', { class: 'values' })
  readonly #attributes = element('dl', { class: 'values', 'data-value': 'attributes' })
  readonly #body: HTMLElement
  readonly #waiting: HTMLElement
  #vehicle: Vehicle | null = null

  constructor(listener: VehicleDetailsListener) {
    this.#listener = listener
    this.#follow = button(
      { class: 'secondary', 'aria-pressed': 'false' },
      () => listener.onFollow(this.#follow.getAttribute('aria-pressed') !== 'true'),
      icon('target'),
      'Follow',
    )
    const figure = (label: string, value: HTMLElement) => element('div', {}, element('dt', {}, label), value)
    this.#body = element(
      'div',
      { class: 'details-body' },
      element(
        'dl',
        { class: 'figures' },
        figure('Speed', this.#speed),
        figure('Course', this.#course),
        figure('Last fix', this.#age),
      ),
      element(
        'div',
        { class: 'actions' },
        this.#follow,
        button({ class: 'secondary' }, () => listener.onGoTo(), icon('map'), 'Go to'),
        this.#replay,
        ...this.#shareButton(),
      ),
      element('h3', {}, 'Last hour'),
      this.#hour,
      element('h3', {}, 'Position'),
      this.#values,
      element('h3', {}, 'Attributes'),
      this.#attributes,
    )
    this.#waiting = element('p', { class: 'details-body quiet', hidden: true })
    this.element = element(
      'section',
      { class: 'details', 'aria-labelledby': 'details-name', hidden: true },
      element(
        'header',
        {},
        element('span', { class: 'state-mark', 'aria-hidden': 'true' }),
        element('div', { class: 'title' }, this.#name, this.#identity),
        this.#state,
        button(
          { class: 'quiet-button', 'aria-label': 'Close the vehicle', title: 'Close (Esc)' },
          () => listener.onClose(),
          icon('close'),
        ),
      ),
      this.#waiting,
      this.#body,
    )
  }

  /** Shows another vehicle, or (null) nothing. */
  show(vehicle: Vehicle | null, nowMs: number): void {
    this.#vehicle = vehicle
    this.element.hidden = vehicle === null
    this.setFollowing(false)
    if (vehicle === null) return
    this.#body.scrollTop = 0
    this.#replay.href = `#replay?devices=${vehicle.id}`
    this.setLastHour({ kind: 'loading' }, nowMs)
    this.update(nowMs)
  }

  /** Moves the keyboard here. */
  focus(): void {
    this.#name.focus({ preventScroll: true })
  }

  setFollowing(on: boolean): void {
    this.#follow.setAttribute('aria-pressed', String(on))
  }

  /** Brings the values up to date. @param nowMs Now by the server's clock, ms UTC. */
  update(nowMs: number): void {
    const vehicle = this.#vehicle
    if (vehicle === null) return
    const { last, state } = vehicle
    this.element.dataset.device = String(vehicle.id)
    this.element.dataset.state = state
    setText(this.#name, vehicle.name)
    setText(this.#identity, [vehicle.uniqueId, vehicle.model].filter(Boolean).join(' · '))
    setText(this.#state, { moving: 'Moving', standing: 'Standing', silent: 'Silent' }[state])
    this.#body.hidden = last === null
    this.#waiting.hidden = last !== null
    if (last === null) {
      setText(
        this.#waiting,
        `No position yet. Check that the tracker calls itself ${vehicle.uniqueId}, that its server is this machine ` +
          'and its port is that of its protocol, and that it sees the sky.',
      )
      return
    }
    setText(this.#speed, formatSpeed(last.speed))
    setText(this.#course, formatCourse(last.course))
    setText(this.#age, `${formatAge(nowMs - vehicle.fixTimeMs)} ago`)
    this.#age.title = formatTime(vehicle.fixTimeMs)
    fill(this.#values, [
      ['Place', formatPlace(last.latitude, last.longitude), ''],
      ['Altitude', formatAltitude(last.altitude), ''],
      ['Fix', formatTime(vehicle.fixTimeMs), ''],
      ['Received', formatTime(last.receivedMs), ''],
    ])
    const attributes = formatAttributes(last.attributes)
    if (attributes.length === 0) fill(this.#attributes, [['None sent', '', '']])
    else
      fill(
        this.#attributes,
        attributes.map(({ key, label, value, unit }) => [
          label,
          unit === '' ? value : `${value} ${unit}`,
          key,
        ]),
      )
  }

  #shareButton(): HTMLElement[] {
    const { onShare } = this.#listener
    if (onShare === null) return []
    const press = () => this.#vehicle !== null && onShare(this.#vehicle)
    return [button({ class: 'secondary' }, press, icon('share'), 'Share')]
  }

  /** @param nowMs Now by the server's clock, ms UTC. */
  setLastHour(hour: LastHour, nowMs: number): void {
    this.element.dataset.track = hour.kind === 'loaded' ? String(hour.points.length) : hour.kind
    if (hour.kind === 'loading') {
      this.#hour.replaceChildren(element('p', { class: 'quiet' }, 'Loading the last hour…'))
    } else if (hour.kind === 'failed') {
      this.#hour.replaceChildren(
        element('p', { class: 'fault', role: 'alert' }, `The last hour did not load. ${hour.detail}`),
        button({ class: 'link' }, () => this.#listener.onReloadTrack(), 'Try again'),
      )
    } else if (hour.points.length === 0) {
      this.#hour.replaceChildren(element('p', { class: 'quiet' }, 'No positions in the last hour.'))
    } else {
      const { lengthM, fastestKmh } = summarize(hour.points)
      const figure = (value: string, label: string) =>
        element('span', {}, element('strong', {}, value), ` ${label}`)
      this.#hour.replaceChildren(
        element(
          'p',
          { class: 'summary' },
          figure(formatDistance(lengthM), 'driven'),
          figure(formatSpeed(fastestKmh), 'at most'),
          figure(formatCount(hour.points.length), 'positions'),
        ),
        speedChart(hour.points, nowMs),
      )
    }
  }
}

/** Fills a definition list; rows stay where they are, so that a selection in the text is not lost. */
function fill(
  list: HTMLElement,
  rows: readonly (readonly [label: string, value: string, key: string])[],
): void {
  while (list.childElementCount > rows.length) list.lastElementChild!.remove()
  for (const [index, [label, value, key]] of rows.entries()) {
    let row = list.children[index] as HTMLElement | undefined
    if (row === undefined) {
      row = element('div', {}, element('dt'), element('dd'))
      list.append(row)
    }
    setText(row.firstElementChild!, label)
    setText(row.lastElementChild!, value)
    if (key !== '') row.title = key
  }
}
