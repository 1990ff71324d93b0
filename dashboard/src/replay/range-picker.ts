/** From when to when: three usual ranges, or any by date and time. */
import { button, element, setText } from '../ui/dom.ts'
import { RANGE_MAX_MS } from './replay-view.ts'

const HOUR_MS = 3_600_000

export type Preset = 'last-hour' | 'today' | 'yesterday'

const PRESETS: readonly (readonly [Preset, string])[] = [
  ['last-hour', 'Last hour'],
  ['today', 'Today'],
  ['yesterday', 'Yesterday'],
]

export interface Range {
  readonly fromMs: number
  readonly toMs: number
}

/** The range of a preset; days are those of the person's own clock. @param nowMs Now by the server's clock. */
export function presetRange(preset: Preset, nowMs: number): Range {
  if (preset === 'last-hour') return { fromMs: nowMs - HOUR_MS, toMs: nowMs }
  const today = new Date(nowMs).setHours(0, 0, 0, 0)
  if (preset === 'today') return { fromMs: today, toMs: nowMs }
  // Days have 23 or 25 hours when clocks are changed.
  return { fromMs: new Date(today - 12 * HOUR_MS).setHours(0, 0, 0, 0), toMs: today }
}

/** What is wrong with a range, and what to do; empty = nothing. */
export function rangeFault({ fromMs, toMs }: Range, nowMs: number): string {
  if (Number.isNaN(fromMs) || Number.isNaN(toMs)) return 'Give both dates with their times.'
  if (fromMs >= toMs) return 'The end must be after the beginning.'
  if (fromMs >= nowMs) return 'The beginning lies in the future.'
  if (toMs - fromMs > RANGE_MAX_MS) return 'At most 31 days can be replayed at once.'
  return ''
}

export class RangePicker {
  readonly element: HTMLElement
  readonly #from = timeInput('replay-from')
  readonly #to = timeInput('replay-to')
  readonly #fault = element('p', { class: 'fault small', role: 'alert' })
  readonly #presets = new Map<Preset, HTMLButtonElement>()

  /**
   * @param now Now by the server's clock, ms UTC.
   * @param onChange Called with a range without fault.
   */
  constructor(now: () => number, onChange: (range: Range) => void) {
    const buttons = PRESETS.map(([preset, label]) => {
      const press = () => {
        const range = presetRange(preset, now())
        this.show(range)
        this.#mark(preset)
        onChange(range)
      }
      const made = button({ 'aria-pressed': 'false' }, press, label)
      this.#presets.set(preset, made)
      return made
    })
    const form = element(
      'form',
      { class: 'range-form', novalidate: true },
      element('label', { for: 'replay-from' }, 'From'),
      this.#from,
      element('label', { for: 'replay-to' }, 'To'),
      this.#to,
      element('button', { type: 'submit', class: 'secondary' }, 'Show'),
    )
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      const nowMs = now()
      const wanted = { fromMs: Date.parse(this.#from.value), toMs: Date.parse(this.#to.value) }
      const fault = rangeFault(wanted, nowMs)
      setText(this.#fault, fault)
      if (fault !== '') return
      const range = { fromMs: wanted.fromMs, toMs: Math.min(wanted.toMs, nowMs) }
      this.show(range)
      onChange(range)
    })
    this.element = element(
      'section',
      { class: 'picker', 'aria-label': 'When' },
      element('h2', {}, 'When'),
      element('div', { class: 'segments', role: 'group', 'aria-label': 'Usual ranges' }, ...buttons),
      form,
      this.#fault,
    )
  }

  show({ fromMs, toMs }: Range): void {
    this.#from.value = inputValue(fromMs)
    this.#to.value = inputValue(toMs)
    setText(this.#fault, '')
    this.#mark(null)
  }

  #mark(chosen: Preset | null): void {
    for (const [preset, made] of this.#presets) made.setAttribute('aria-pressed', String(preset === chosen))
  }
}

function timeInput(id: string): HTMLInputElement {
  return element('input', { id, type: 'datetime-local', step: 1, required: true })
}

/** The person's own date and time as the input wants it. */
function inputValue(timeMs: number): string {
  const offsetMs = new Date(timeMs).getTimezoneOffset() * 60_000
  return new Date(timeMs - offsetMs).toISOString().slice(0, 19)
}
