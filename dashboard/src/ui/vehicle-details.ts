/** The last values of the chosen vehicle, and its last hour. */
import type { Vehicle } from '../fleet/fleet.ts'
import type { LastHour } from '../fleet/last-hour-track.ts'
import { summarize } from '../fleet/track.ts'
import { button, element, icon, setText } from './dom.ts'
import { formatAltitude, formatAttributes, formatPlace, formatTime } from './format.ts'
import { speedChart } from './speed-chart.ts'
import { FollowButton, MainFigures, trackSummary, VehicleHead } from './vehicle-parts.ts'

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
  readonly #head: VehicleHead
  readonly #main = new MainFigures()
  readonly #follow: FollowButton
  readonly #replay = element('a', { class: 'secondary' }, icon('replay'), 'Replay')
  readonly #hour = element('div', { class: 'hour' })
  readonly #values = element('dl', { class: 'values' })
  readonly #attributes = element('dl', { class: 'values', 'data-value': 'attributes' })
  readonly #body: HTMLElement
  readonly #waiting: HTMLElement
  #vehicle: Vehicle | null = null

  constructor(listener: VehicleDetailsListener) {
    this.#listener = listener
    this.#head = new VehicleHead('details-name', () => listener.onClose())
    this.#follow = new FollowButton((on) => listener.onFollow(on))
    this.#body = element(
      'div',
      { class: 'details-body' },
      this.#main.element,
      element(
        'div',
        { class: 'actions' },
        this.#follow.element,
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
      this.#head.element,
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
    this.#head.focus()
  }

  setFollowing(on: boolean): void {
    this.#follow.setPressed(on)
  }

  /** Brings the values up to date. @param nowMs Now by the server's clock, ms UTC. */
  update(nowMs: number): void {
    const vehicle = this.#vehicle
    if (vehicle === null) return
    const { last, state } = vehicle
    this.element.dataset.device = String(vehicle.id)
    this.element.dataset.state = state
    this.#head.show(vehicle)
    this.#head.setState(state)
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
    const fixTime = formatTime(vehicle.fixTimeMs)
    this.#main.update(last.speed, last.course, nowMs - vehicle.fixTimeMs, fixTime)
    fill(this.#values, [
      ['Place', formatPlace(last.latitude, last.longitude), ''],
      ['Altitude', formatAltitude(last.altitude), ''],
      ['Fix', fixTime, ''],
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
      this.#hour.replaceChildren(
        trackSummary(lengthM, fastestKmh, hour.points.length),
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
