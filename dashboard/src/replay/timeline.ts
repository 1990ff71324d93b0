/**
 * The time of a replay as a slider: drag, click and keys move the clock. Above it what happened when: the speed of the
 * chosen vehicle or how many events there were, and a tick for each event.
 */
import { element, setText } from '../ui/dom.ts'
import { formatClock, formatTime } from '../ui/format.ts'
import type { Strip } from './strip.ts'
import { axisMarks, keyStepMs } from './time-axis.ts'

const STRIP_WIDTH = 1_000
const STRIP_HEIGHT = 40
/** Room of one label of the axis, px. */
const LABEL_PX = 84
/** A page is so many steps of the arrow keys. */
const PAGE_STEPS = 12
/** A label closer to the edge would be cut. */
const EDGE_PX = 18
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' })

export interface TimelineListener {
  /**
   * The person moves the clock.
   * @param done Whether they have let go.
   */
  onSeek(timeMs: number, done: boolean): void
}

export class Timeline {
  readonly element: HTMLElement
  readonly #listener: TimelineListener
  readonly #slider: HTMLElement
  readonly #strip = svgElement('svg', {
    class: 'timeline-strip',
    viewBox: `0 0 ${STRIP_WIDTH} ${STRIP_HEIGHT}`,
    preserveAspectRatio: 'none',
    'aria-hidden': 'true',
  })
  readonly #ticks = svgElement('path', { class: 'timeline-ticks' })
  readonly #known = element('div', { class: 'timeline-known' })
  readonly #done = element('div', { class: 'timeline-done' })
  readonly #thumb = element('div', { class: 'timeline-thumb' })
  readonly #hint = element('div', { class: 'timeline-hint', hidden: true })
  readonly #axis = element('div', { class: 'timeline-axis', 'aria-hidden': 'true' })
  readonly #scale = element('span', { class: 'timeline-scale' })
  #fromMs = 0
  #toMs = 1
  #timeMs = 0
  #dragging = false

  constructor(listener: TimelineListener) {
    this.#listener = listener
    const ticks = svgElement('svg', {
      class: 'timeline-tick-room',
      viewBox: `0 0 ${STRIP_WIDTH} 8`,
      preserveAspectRatio: 'none',
      'aria-hidden': 'true',
    })
    ticks.append(this.#ticks)
    this.#slider = element(
      'div',
      { class: 'timeline-slider', role: 'slider', tabindex: 0, 'aria-label': 'Time of the replay' },
      this.#strip,
      ticks,
      element('div', { class: 'timeline-rail' }, this.#known, this.#done),
      this.#thumb,
      this.#scale,
      this.#hint,
    )
    this.element = element('div', { class: 'timeline' }, this.#slider, this.#axis)
    this.#listen()
    new ResizeObserver(() => this.#drawAxis()).observe(this.#slider)
  }

  /** Whether the person holds the clock. */
  get dragging(): boolean {
    return this.#dragging
  }

  setRange(fromMs: number, toMs: number): void {
    this.#fromMs = fromMs
    this.#toMs = toMs
    this.#slider.setAttribute('aria-valuemin', String(Math.round(fromMs / 1000)))
    this.#slider.setAttribute('aria-valuemax', String(Math.round(toMs / 1000)))
    this.#drawAxis()
  }

  /** Shows where the clock stands, unless the person holds it. */
  setTime(timeMs: number): void {
    if (!this.#dragging) this.#show(timeMs)
  }

  /** Shows what is in memory: there the clock moves without waiting. */
  setKnown(fromMs: number, toMs: number): void {
    const left = this.#part(fromMs)
    this.#known.style.left = `${left * 100}%`
    this.#known.style.width = `${Math.max(0, this.#part(toMs) - left) * 100}%`
  }

  /** Draws what happened when. */
  setStrip({ points, scale }: Strip): void {
    this.#strip.replaceChildren()
    setText(this.#scale, scale)
    this.#slider.dataset.strip = points.length === 0 ? 'none' : 'drawn'
    let run: string[] = []
    const end = () => {
      if (run.length > 0) this.#drawRun(run)
      run = []
    }
    for (const { timeMs, height } of points) {
      if (height === null) end()
      else {
        const x = (this.#part(timeMs) * STRIP_WIDTH).toFixed(1)
        run.push(`${x},${(STRIP_HEIGHT - 1 - height * (STRIP_HEIGHT - 3)).toFixed(1)}`)
      }
    }
    end()
  }

  /** Draws a tick at each of the times. */
  setTicks(timesMs: readonly number[]): void {
    const places = new Set(timesMs.map((timeMs) => Math.round(this.#part(timeMs) * STRIP_WIDTH)))
    this.#ticks.setAttribute('d', [...places].map((x) => `M${x},0V8`).join(''))
  }

  #drawRun(run: readonly string[]): void {
    const left = run[0]!.split(',')[0]
    const right = run.at(-1)!.split(',')[0]
    const area = `M${left},${STRIP_HEIGHT} L${run.join(' ')} L${right},${STRIP_HEIGHT}Z`
    this.#strip.append(
      svgElement('path', { class: 'chart-area', d: area }),
      svgElement('polyline', { class: 'chart-line', points: run.join(' ') }),
    )
  }

  #part(timeMs: number): number {
    return Math.max(0, Math.min(1, (timeMs - this.#fromMs) / (this.#toMs - this.#fromMs)))
  }

  #show(timeMs: number): void {
    this.#timeMs = timeMs
    const left = `${(this.#part(timeMs) * 100).toFixed(3)}%`
    if (this.#thumb.style.left === left) return
    this.#thumb.style.left = left
    this.#done.style.width = left
    const words = formatTime(timeMs)
    if (this.#slider.getAttribute('aria-valuetext') === words) return
    this.#slider.setAttribute('aria-valuenow', String(Math.round(timeMs / 1000)))
    this.#slider.setAttribute('aria-valuetext', words)
  }

  #listen(): void {
    const slider = this.#slider
    slider.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return
      slider.setPointerCapture(event.pointerId)
      this.#dragging = true
      this.#moveTo(this.#timeAt(event), false)
    })
    slider.addEventListener('pointermove', (event) => {
      this.#showHint(event)
      if (this.#dragging) this.#moveTo(this.#timeAt(event), false)
    })
    slider.addEventListener('pointerup', (event) => {
      if (!this.#dragging) return
      this.#dragging = false
      this.#moveTo(this.#timeAt(event), true)
    })
    slider.addEventListener('pointercancel', () => {
      if (!this.#dragging) return
      this.#dragging = false
      this.#listener.onSeek(this.#timeMs, true)
    })
    slider.addEventListener('pointerleave', () => {
      this.#hint.hidden = true
    })
    slider.addEventListener('keydown', (event) => this.#onKey(event))
  }

  #onKey(event: KeyboardEvent): void {
    const step = keyStepMs(this.#toMs - this.#fromMs)
    const times: Readonly<Record<string, number>> = {
      ArrowLeft: this.#timeMs - step,
      ArrowDown: this.#timeMs - step,
      ArrowRight: this.#timeMs + step,
      ArrowUp: this.#timeMs + step,
      PageDown: this.#timeMs - step * PAGE_STEPS,
      PageUp: this.#timeMs + step * PAGE_STEPS,
      Home: this.#fromMs,
      End: this.#toMs,
    }
    const timeMs = times[event.key]
    if (timeMs === undefined) return
    event.preventDefault()
    this.#moveTo(Math.max(this.#fromMs, Math.min(this.#toMs, timeMs)), true)
  }

  #moveTo(timeMs: number, done: boolean): void {
    this.#show(timeMs)
    this.#listener.onSeek(timeMs, done)
  }

  #timeAt(event: PointerEvent): number {
    const { left, width } = this.#slider.getBoundingClientRect()
    const part = Math.max(0, Math.min(1, (event.clientX - left) / width))
    return this.#fromMs + part * (this.#toMs - this.#fromMs)
  }

  #showHint(event: PointerEvent): void {
    const timeMs = this.#timeAt(event)
    this.#hint.hidden = false
    this.#hint.style.left = `${this.#part(timeMs) * 100}%`
    setText(this.#hint, formatTime(timeMs))
  }

  #drawAxis(): void {
    const { clientWidth } = this.#slider
    if (clientWidth === 0) return
    const offsetMs = -new Date(this.#fromMs).getTimezoneOffset() * 60_000
    const marks = axisMarks(this.#fromMs, this.#toMs, Math.floor(clientWidth / LABEL_PX), offsetMs)
    const edge = EDGE_PX / clientWidth
    const whole = marks.filter((timeMs) => this.#part(timeMs) >= edge && this.#part(timeMs) <= 1 - edge)
    const labels = whole.map((timeMs) => {
      const midnight = new Date(timeMs).getHours() === 0 && new Date(timeMs).getMinutes() === 0
      const label = element('span', {}, midnight ? day.format(timeMs) : formatClock(timeMs))
      label.style.left = `${this.#part(timeMs) * 100}%`
      return label
    })
    this.#axis.replaceChildren(...labels)
  }
}

function svgElement(tag: string, attributes: Record<string, string>): SVGElement {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  return made
}
