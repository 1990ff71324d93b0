/** The chosen vehicle at the time of the clock, its track in the range, and the track as a file. */
import type { Vehicle } from '../fleet/fleet.ts'
import { latitudeOf, longitudeOf } from '../fleet/mercator.ts'
import { STATE } from '../fleet/motion.ts'
import { summarize } from '../fleet/track.ts'
import { button, element, icon, setText } from '../ui/dom.ts'
import { formatPlace, formatTime } from '../ui/format.ts'
import { definition, FollowButton, MainFigures, trackSummary, VehicleHead } from '../ui/vehicle-parts.ts'
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

export class VehicleCard {
  readonly element: HTMLElement
  readonly #listener: VehicleCardListener
  readonly #head: VehicleHead
  readonly #main = new MainFigures()
  readonly #place = element('dd', { 'data-value': 'place' })
  readonly #fix = element('dd', { 'data-value': 'fix' })
  readonly #figures: HTMLElement
  readonly #unknown = element('p', { class: 'quiet' }, 'No position before this time.')
  readonly #follow: FollowButton
  readonly #track = element('div', { class: 'hour' })
  readonly #export = element('div', { class: 'export' })
  readonly #exportFault = element('p', { class: 'fault small', role: 'alert' })

  constructor(listener: VehicleCardListener) {
    this.#listener = listener
    this.#head = new VehicleHead('replay-vehicle', () => listener.onClose())
    this.#follow = new FollowButton((on) => listener.onFollow(on))
    this.#figures = element(
      'div',
      {},
      this.#main.element,
      element('dl', { class: 'values' }, definition('Place', this.#place), definition('Fix', this.#fix)),
    )
    this.#export.append(...EXPORTS.map((format) => this.#exportButton(format)))
    this.element = element(
      'section',
      { class: 'details', 'aria-labelledby': 'replay-vehicle', hidden: true },
      this.#head.element,
      element(
        'div',
        { class: 'details-body' },
        this.#unknown,
        this.#figures,
        element(
          'div',
          { class: 'actions' },
          this.#follow.element,
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
    this.#head.show(vehicle)
  }

  /** Moves the keyboard here. */
  focus(): void {
    this.#head.focus()
  }

  setFollowing(on: boolean): void {
    this.#follow.setPressed(on)
  }

  /**
   * Brings the figures to the clock.
   * @param fix Last fix at the clock; null = none.
   * @param state Code of {@link STATE}.
   */
  update(fix: ReplayFix | null, state: number, timeMs: number): void {
    this.#unknown.hidden = fix !== null
    this.#figures.hidden = fix === null
    const name = fix === null ? null : STATE_NAMES[state]!
    this.element.dataset.state = name ?? 'silent'
    this.#head.setState(name)
    if (fix === null) return
    const fixTime = formatTime(fix.timeMs)
    this.#main.update(fix.speedKmh, fix.courseDeg, timeMs - fix.timeMs, fixTime)
    setText(this.#place, formatPlace(latitudeOf(fix.y), longitudeOf(fix.x)))
    setText(this.#fix, fixTime)
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
      this.#track.replaceChildren(
        shown.exact
          ? trackSummary(lengthM, fastestKmh, shown.track.length)
          : trackSummary(lengthM, null, null),
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
