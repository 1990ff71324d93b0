/** The shape in numbers: every corner can be typed, so that no mouse is needed. */
import type { Position } from 'geojson'
import { button, element, icon } from '../ui/dom.ts'
import { field, numberInput } from '../ui/form.ts'
import {
  type Draft,
  type DraftKind,
  emptyDraft,
  PLACES_MIN,
  withMovedPlace,
  withoutPlace,
  withPlace,
} from './draft.ts'

const KINDS: readonly (readonly [DraftKind, string])[] = [
  ['Polygon', 'Area'],
  ['Circle', 'Circle'],
  ['Corridor', 'Corridor'],
]

export interface ShapeFormListener {
  /** The person has typed or pressed something. */
  onChange(draft: Draft): void
  /** Begin or end adding corners by clicks on the map. */
  onDraw(drawing: boolean): void
  /** The middle of the map; null without a map. */
  middle(): Position | null
}

export class ShapeForm {
  readonly element = element('section', { class: 'shape-form', 'aria-label': 'Shape' })
  readonly #listener: ShapeFormListener
  readonly #choosable: boolean
  #draft: Draft
  #drawing = false
  /** Places of the inputs: these change while someone drags, without new inputs. */
  #inputs: HTMLInputElement[] = []
  #drawn = ''

  /** @param choosable Whether the kind can be chosen: of a new one. */
  constructor(draft: Draft, choosable: boolean, listener: ShapeFormListener) {
    this.#draft = draft
    this.#choosable = choosable
    this.#listener = listener
    this.#draw()
  }

  /** Shows the draft as it is on the map. */
  show(draft: Draft, drawing: boolean): void {
    this.#draft = draft
    this.#drawing = drawing
    this.#draw()
  }

  #change(draft: Draft): void {
    this.#draft = draft
    this.#draw()
    this.#listener.onChange(draft)
  }

  #draw(): void {
    const { kind, places } = this.#draft
    // Inputs are made anew only where there are others than before: typing must not lose the keyboard.
    const wanted = `${kind} ${places.length} ${this.#drawing}`
    if (wanted !== this.#drawn) {
      this.#drawn = wanted
      this.#build()
    }
    const values = places.flatMap(([longitude, latitude]) => [latitude!, longitude!])
    if (kind === 'Circle') values.push(this.#draft.radiusM)
    if (kind === 'Corridor') values.push(this.#draft.halfWidthM)
    for (const [at, value] of values.entries()) {
      const input = this.#inputs[at]
      if (input !== undefined && input !== document.activeElement) input.value = String(value)
    }
  }

  #build(): void {
    const { kind, places } = this.#draft
    this.#inputs = []
    const rows = places.map((_, index) => this.#placeRow(index))
    const size =
      kind === 'Circle'
        ? [this.#size('Radius', this.#draft.radiusM, 1_000_000, (radiusM) => ({ radiusM }))]
        : kind === 'Corridor'
          ? [this.#size('To each side', this.#draft.halfWidthM, 50_000, (halfWidthM) => ({ halfWidthM }))]
          : []
    const missing = PLACES_MIN[kind] - places.length
    const words = this.#drawing
      ? kind === 'Circle'
        ? 'Click where its middle is, then drag its rim.'
        : 'Click each corner on the map; a double click ends it.'
      : missing > 0
        ? `It needs ${missing} more ${missing === 1 ? 'place' : 'places'}.`
        : 'Drag the handles on the map, or type.'
    this.element.replaceChildren(
      element('h3', {}, 'Shape'),
      ...(this.#choosable ? [this.#kinds()] : []),
      element('p', { class: 'quiet small shape-help', role: 'status' }, words),
      element(
        'div',
        { class: 'actions' },
        button(
          { class: 'secondary', 'aria-pressed': String(this.#drawing), 'data-action': 'draw' },
          () => this.#listener.onDraw(!this.#drawing),
          icon('pen'),
          this.#drawing ? 'End drawing' : 'Draw on the map',
        ),
        button(
          { class: 'secondary', 'data-action': 'add-middle' },
          () => this.#addMiddle(),
          icon('target'),
          'Add middle',
        ),
      ),
      ...size,
      element('div', { class: 'places', role: 'group', 'aria-label': 'Places' }, ...rows),
    )
  }

  #kinds(): HTMLElement {
    const buttons = KINDS.map(([kind, label]) =>
      button(
        { class: 'chip-button', 'aria-pressed': String(kind === this.#draft.kind), 'data-kind': kind },
        () => {
          if (kind !== this.#draft.kind) this.#change(emptyDraft(kind))
        },
        label,
      ),
    )
    return element('div', { class: 'kinds', role: 'group', 'aria-label': 'Kind of shape' }, ...buttons)
  }

  #placeRow(index: number): HTMLElement {
    const name = this.#draft.kind === 'Circle' ? 'Middle' : `${index + 1}`
    const coordinate = (label: string, axis: 0 | 1, max: number) => {
      const input = numberInput(null, { min: -max, max, required: true, 'aria-label': label }, (value) => {
        if (value === null) return
        const place = [...this.#draft.places[index]!]
        place[axis] = value
        this.#change(withMovedPlace(this.#draft, index, place))
      })
      this.#inputs.push(input)
      return input
    }
    const what = this.#draft.kind === 'Circle' ? 'of the middle' : `of corner ${index + 1}`
    const remove = button(
      { class: 'quiet-button', 'aria-label': `Remove the place ${what}` },
      () => this.#change(withoutPlace(this.#draft, index)),
      icon('close'),
    )
    return element(
      'div',
      { class: 'place' },
      element('span', { class: 'quiet' }, name),
      coordinate(`Latitude ${what}`, 1, 90),
      coordinate(`Longitude ${what}`, 0, 180),
      remove,
    )
  }

  #size(label: string, value: number, max: number, changeOf: (value: number) => Partial<Draft>): HTMLElement {
    const input = numberInput(value, { min: 1, max, required: true }, (typed) => {
      if (typed !== null && typed > 0) this.#change({ ...this.#draft, ...changeOf(typed) })
    })
    // The values of the places come before it.
    this.#inputs[this.#draft.places.length * 2] = input
    return field(label, input, 'm')
  }

  #addMiddle(): void {
    const middle = this.#listener.middle()
    if (middle !== null) this.#change(withPlace(this.#draft, middle))
  }
}
