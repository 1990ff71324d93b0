/** What the card of a vehicle has, live and in a replay: its head, its main figures, its follow button, its track. */
import type { Vehicle, VehicleState } from '../fleet/fleet.ts'
import { button, element, icon, setText } from './dom.ts'
import { formatAge, formatCount, formatCourse, formatDistance, formatSpeed } from './format.ts'

const STATE_WORDS: Record<VehicleState, string> = { moving: 'Moving', standing: 'Standing', silent: 'Silent' }

/** Name and identity of a vehicle, whether it moves, and the way to close its card. */
export class VehicleHead {
  readonly element: HTMLElement
  readonly #name: HTMLElement
  readonly #identity = element('p', { class: 'quiet' })
  readonly #state = element('span', { class: 'state-words' })

  /** @param nameId Id of the name in the document, by which the card is called. */
  constructor(nameId: string, onClose: () => void) {
    this.#name = element('h2', { tabindex: -1, id: nameId })
    this.element = element(
      'header',
      {},
      element('span', { class: 'state-mark', 'aria-hidden': 'true' }),
      element('div', { class: 'title' }, this.#name, this.#identity),
      this.#state,
      button(
        { class: 'quiet-button', 'aria-label': 'Close the vehicle', title: 'Close (Esc)' },
        onClose,
        icon('close'),
      ),
    )
  }

  show({ name, uniqueId, model }: Vehicle): void {
    setText(this.#name, name)
    setText(this.#identity, [uniqueId, model].filter(Boolean).join(' · '))
  }

  /** @param state null = not known. */
  setState(state: VehicleState | null): void {
    setText(this.#state, state === null ? '' : STATE_WORDS[state])
  }

  /** Moves the keyboard here. */
  focus(): void {
    this.#name.focus({ preventScroll: true })
  }
}

/** Speed, course and age of the last fix. */
export class MainFigures {
  readonly element: HTMLElement
  readonly #speed = element('dd', { 'data-value': 'speed' })
  readonly #course = element('dd', { 'data-value': 'course' })
  readonly #age = element('dd', { 'data-value': 'age' })

  constructor() {
    this.element = element(
      'dl',
      { class: 'figures' },
      definition('Speed', this.#speed),
      definition('Course', this.#course),
      definition('Last fix', this.#age),
    )
  }

  /**
   * @param speedKmh null = the tracker did not say.
   * @param courseDeg null = the tracker did not say.
   * @param fixTime When the fix was taken, in words.
   */
  update(speedKmh: number | null, courseDeg: number | null, ageMs: number, fixTime: string): void {
    setText(this.#speed, formatSpeed(speedKmh))
    setText(this.#course, formatCourse(courseDeg))
    setText(this.#age, `${formatAge(ageMs)} ago`)
    this.#age.title = fixTime
  }
}

/** A button that stays pressed while the map follows the vehicle. */
export class FollowButton {
  readonly element: HTMLButtonElement

  constructor(onFollow: (on: boolean) => void) {
    this.element = button(
      { class: 'secondary', 'aria-pressed': 'false' },
      () => onFollow(this.element.getAttribute('aria-pressed') !== 'true'),
      icon('target'),
      'Follow',
    )
  }

  setPressed(on: boolean): void {
    this.element.setAttribute('aria-pressed', String(on))
  }
}

/** A label and its value, for a definition list. */
export function definition(label: string, value: HTMLElement): HTMLElement {
  return element('div', {}, element('dt', {}, label), value)
}

/**
 * Says a track in one line.
 * @param fastestKmh null = not known.
 * @param positions null = not known, since the track has been simplified.
 */
export function trackSummary(
  lengthM: number,
  fastestKmh: number | null,
  positions: number | null,
): HTMLElement {
  const figure = (value: string, label: string) =>
    element('span', {}, element('strong', {}, value), ` ${label}`)
  return element(
    'p',
    { class: 'summary' },
    figure(formatDistance(lengthM), 'driven'),
    ...(fastestKmh === null ? [] : [figure(formatSpeed(fastestKmh), 'at most')]),
    ...(positions === null ? [] : [figure(formatCount(positions), 'positions')]),
  )
}
