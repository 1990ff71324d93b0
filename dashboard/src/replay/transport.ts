/** Play and pause, the clock in figures, speed and trail. */
import { button, element, icon, setText } from '../ui/dom.ts'
import { SPEEDS, TRAIL_MINUTES } from './replay-view.ts'

const day = new Intl.DateTimeFormat('en-GB', {
  weekday: 'short',
  day: 'numeric',
  month: 'short',
  year: 'numeric',
})
const time = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })

export interface TransportListener {
  onPlay(playing: boolean): void
  onSpeed(speed: number): void
  onTrail(minutes: number): void
}

/** What the clock does. */
export type TransportState = 'playing' | 'paused' | 'waiting'

export class Transport {
  readonly element: HTMLElement
  readonly #play: HTMLButtonElement
  readonly #playIcon = icon('play')
  readonly #pauseIcon = icon('pause')
  readonly #time = element('strong', { class: 'clock-time' })
  readonly #day = element('span', { class: 'clock-day quiet' })
  readonly #state = element('span', { class: 'clock-state quiet', role: 'status' })
  readonly #speed: HTMLSelectElement
  readonly #trail: HTMLSelectElement
  #playing = false

  constructor(listener: TransportListener) {
    this.#play = button(
      { class: 'play', title: 'Play or pause (space)' },
      () => listener.onPlay(!this.#playing),
      this.#playIcon,
      this.#pauseIcon,
    )
    this.#speed = choice(
      SPEEDS.map((speed) => [speed, `${speed} ×`]),
      (speed) => listener.onSpeed(speed),
    )
    this.#trail = choice(
      TRAIL_MINUTES.map((minutes) => [
        minutes,
        minutes === 0 ? 'none' : minutes === 60 ? '1 h' : `${minutes} min`,
      ]),
      (minutes) => listener.onTrail(minutes),
    )
    this.element = element(
      'div',
      { class: 'transport' },
      this.#play,
      element('div', { class: 'clock' }, this.#time, this.#day),
      this.#state,
      element('div', { class: 'spacer' }),
      element('label', { class: 'choice' }, element('span', { class: 'quiet' }, 'Speed'), this.#speed),
      element('label', { class: 'choice' }, element('span', { class: 'quiet' }, 'Trail'), this.#trail),
    )
    this.setState('paused')
  }

  setChoices(speed: number, trailMinutes: number): void {
    this.#speed.value = String(speed)
    this.#trail.value = String(trailMinutes)
  }

  setTime(timeMs: number): void {
    setText(this.#time, time.format(timeMs))
    setText(this.#day, day.format(timeMs))
  }

  setState(state: TransportState): void {
    if (this.element.dataset.state === state) return
    this.element.dataset.state = state
    this.#playing = state !== 'paused'
    this.#play.setAttribute('aria-label', this.#playing ? 'Pause' : 'Play')
    this.#playIcon.toggleAttribute('hidden', this.#playing)
    this.#pauseIcon.toggleAttribute('hidden', !this.#playing)
    setText(this.#state, state === 'waiting' ? 'Reading positions…' : '')
  }
}

function choice(
  options: readonly (readonly [value: number, label: string])[],
  onChange: (value: number) => void,
): HTMLSelectElement {
  const select = element(
    'select',
    {},
    ...options.map(([value, label]) => element('option', { value }, label)),
  )
  select.addEventListener('change', () => onChange(Number(select.value)))
  return select
}
