/** The chosen vehicle at the time of the clock, its track in the range, and the track as a file. */
import type { Vehicle } from '../fleet/fleet.ts'
import { latitudeOf, longitudeOf } from '../fleet/mercator.ts'
import { STATE } from '../fleet/motion.ts'
import { summarize } from '../fleet/track.ts'
import { button, element, icon, setText } from '../ui/dom.ts'
import {
  formatAge,
  formatCount,
  formatCourse,
  formatDistance,
  formatPlace,
  formatSpeed,
  formatTime,
} from '../ui/format.ts'
import { EXPORTS, type ExportFormat } from './history.ts'
import type { ReplayFix } from './replay-motion.ts'
import type { TrackShown } from './track-reader.ts'

export interface VehicleCardListener {
  onClose(): void
  onFollow(on: boolean): void
  onGoTo(): void
  /** @returns When the file is there, or with what went wrong. */
  onExport(format: ExportFormat): Promise<void>
  onReloadTrack(): void
  /** null: the person may not share it. */
  readonly onShare: (() => void) | null
}

const STATE_NAMES = Object.keys(STATE) as (keyof typeof STATE)[]
const STATE_WORDS = { moving: 'Moving', standing: 'Standing', silent: 'Silent' } as const

export class VehicleCard {
  readonly element: HTMLElement
  readonly #listener: VehicleCardListener
  readonly #name = element('h2', { tabindex: -1, id: 'replay-vehicle' })
  readonly #identity = element('p', { class: 'quiet' })
  readonly #state = element('span', { class: 'state-words' })
  readonly #speed = element('dd', { 'data-value': 'speed' })
  readonly #course = element('dd', { 'data-value': 'course' })
  readonly #age = element('dd', { 'data-value': 'age' })
  readonly #place = element('dd', { 'data-value': 'place' })
  readonly #fix = element('dd', { 'data-value': 'fix' })
  readonly #figures: HTMLElement
  readonly #unknown = element('p', { class: 'quiet' }, 'No position before this time.')
  readonly #follow: HTMLButtonElement
  readonly #track = element('div', { class: 'hour' })
  readonly #export = element('div', { class: 'export' })
  readonly #exportFault = element('p', { class: 'fault small', role: 'alert' })

  constructor(listener: VehicleCardListener) {
    this.#listener = listener
    this.#follow = button(
      { class: 'secondary', 'aria-pressed': 'false' },
      () => listener.onFollow(this.#follow.getAttribute('aria-pressed') !== 'true'),
      icon('target'),
      'Follow',
    )
    const figure = (label: string, value: HTMLElement) => element('div', {}, element('dt', {}, label), value)
    this.#figures = element(
      'div',
      {},
      element(
        'dl',
        { class: 'figures' },
        figure('Speed', this.#speed),
        figure('Course', this.#course),
        figure('Last fix', this.#age),
      ),
      element('dl', { class: 'values' }, figure('Place', this.#place), figure('Fix', this.#fix)),
    )
    this.#export.append(...EXPORTS.map((format) => this.#exportButton(format)))
    this.element = element(
      'section',
      { class: 'details', 'aria-labelledby': 'replay-vehicle', hidden: true },
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
      element(
        'div',
        { class: 'details-body' },
        this.#unknown,
        this.#figures,
        element(
          'div',
          { class: 'actions' },
          this.#follow,
          button({ class: 'secondary' }, () => listener.onGoTo(), icon('map'), 'Go to'),
          ...(listener.onShare === null
            ? []
            : [button({ class: 'secondary' }, listener.onShare, icon('share'), 'Share')]),
        ),
        element('h3', {}, 'Track of this time'),
        this.#track,
        element('h3', {}, 'Download the track'),
        this.#export,
        this.#exportFault,
      ),
    )
  }

  /** Shows another vehicle, or (null) nothing. */
  show(vehicle: Vehicle | null): void {
    this.element.hidden = vehicle === null
    this.setFollowing(false)
    setText(this.#exportFault, '')
    if (vehicle === null) return
    this.element.dataset.device = String(vehicle.id)
    setText(this.#name, vehicle.name)
    setText(this.#identity, [vehicle.uniqueId, vehicle.model].filter(Boolean).join(' · '))
  }

  /** Moves the keyboard here. */
  focus(): void {
    this.#name.focus({ preventScroll: true })
  }

  setFollowing(on: boolean): void {
    this.#follow.setAttribute('aria-pressed', String(on))
  }

  /**
   * Brings the figures to the clock.
   * @param fix Last fix at the clock; null = none.
   * @param state Code of {@link STATE}.
   */
  update(fix: ReplayFix | null, state: number, timeMs: number): void {
    this.#unknown.hidden = fix !== null
    this.#figures.hidden = fix === null
    const name = fix === null ? 'silent' : STATE_NAMES[state]!
    this.element.dataset.state = name
    setText(this.#state, fix === null ? '' : STATE_WORDS[name])
    if (fix === null) return
    setText(this.#speed, formatSpeed(fix.speedKmh))
    setText(this.#course, formatCourse(fix.courseDeg))
    setText(this.#age, `${formatAge(timeMs - fix.timeMs)} ago`)
    setText(this.#place, formatPlace(latitudeOf(fix.y), longitudeOf(fix.x)))
    setText(this.#fix, formatTime(fix.timeMs))
  }

  setTrack(shown: TrackShown): void {
    this.element.dataset.track = shown.kind === 'loaded' ? String(shown.track.length) : shown.kind
    if (shown.kind === 'loading') {
      this.#track.replaceChildren(element('p', { class: 'quiet' }, 'Loading the track…'))
    } else if (shown.kind === 'failed') {
      this.#track.replaceChildren(
        element('p', { class: 'fault', role: 'alert' }, `The track did not load. ${shown.detail}`),
        button({ class: 'link' }, () => this.#listener.onReloadTrack(), 'Try again'),
      )
    } else if (shown.track.length === 0) {
      this.#track.replaceChildren(element('p', { class: 'quiet' }, 'No positions in this time.'))
    } else {
      const { lengthM, fastestKmh } = summarize(shown.track)
      const figure = (value: string, label: string) =>
        element('span', {}, element('strong', {}, value), ` ${label}`)
      this.#track.replaceChildren(
        element(
          'p',
          { class: 'summary' },
          figure(formatDistance(lengthM), 'driven'),
          ...(shown.exact
            ? [
                figure(formatSpeed(fastestKmh), 'at most'),
                figure(formatCount(shown.track.length), 'positions'),
              ]
            : []),
        ),
      )
    }
  }

  #exportButton(format: ExportFormat): HTMLButtonElement {
    const name = format === 'geojson' ? 'GeoJSON' : format.toUpperCase()
    const made = button(
      { class: 'secondary', 'aria-label': `Download as ${name}` },
      () => {
        made.disabled = true
        setText(this.#exportFault, '')
        this.#listener
          .onExport(format)
          .catch((error: unknown) => {
            const detail = error instanceof Error ? error.message : ''
            setText(this.#exportFault, `The file did not come. ${detail}`)
          })
          .finally(() => {
            made.disabled = false
          })
      },
      name,
    )
    return made
  }
}
