/** The list of the geofences, with search. */
import type { Geofence } from '../../../schemas/geofence.ts'
import { button, element, icon, setText } from '../ui/dom.ts'
import { formatCount } from '../ui/format.ts'
import { VirtualList } from '../ui/virtual-list.ts'
import type { GeofenceStore } from './geofence-store.ts'
import { ruleWords, shapeWords } from './geofence-words.ts'

export interface GeofenceListListener {
  onChoose(geofence: Geofence): void
  onNew(): void
  /** Colour of a geofence on the map. */
  colourOf(id: number): string
}

interface Row {
  readonly element: HTMLElement
  readonly swatch: HTMLElement
  readonly name: HTMLElement
  readonly shape: HTMLElement
  readonly rules: HTMLElement
}

export class GeofenceList {
  readonly element: HTMLElement
  readonly #store: GeofenceStore
  readonly #search: HTMLInputElement
  readonly #list: VirtualList<Geofence, Row>
  readonly #note = element('div', { class: 'list-note', role: 'status' })

  constructor(store: GeofenceStore, listener: GeofenceListListener) {
    this.#store = store
    this.#search = element('input', {
      type: 'search',
      placeholder: 'Search name',
      'aria-label': 'Search geofences by name',
      autocomplete: 'off',
      spellcheck: 'false',
    })
    this.#search.addEventListener('input', () => {
      this.#list.toTop()
      this.refresh()
    })
    this.#list = new VirtualList<Geofence, Row>({
      label: 'Geofences',
      idPrefix: 'geofence',
      keyOf: ({ id }) => id,
      makeRow,
      fillRow: (row, geofence) => fillRow(row, geofence, listener.colourOf(geofence.id)),
      onChoose: (geofence) => listener.onChoose(geofence),
    })
    const make = button(
      { class: 'secondary new-geofence', hidden: !store.editable },
      () => listener.onNew(),
      icon('plus'),
      'New',
    )
    this.element = element(
      'div',
      { class: 'event-panel geofence-list' },
      element(
        'div',
        { class: 'list-tools' },
        element('div', { class: 'search' }, icon('search'), this.#search),
        make,
      ),
      this.#note,
      this.#list.element,
    )
  }

  /** Brings rows and words up to date. */
  refresh(): void {
    const words = this.#search.value.trim().toLowerCase()
    const all = this.#store.geofences
    const shown = words === '' ? all : all.filter(({ name }) => name.toLowerCase().includes(words))
    this.#list.setItems(shown)
    this.#explain(all.length, shown.length)
  }

  /** Marks the chosen one. */
  choose(geofence: Geofence | null): void {
    this.#list.choose(geofence)
  }

  /** Moves the keyboard here. */
  focus(): void {
    this.#list.focus()
  }

  #explain(count: number, shown: number): void {
    const { state } = this.#store
    const note = (...children: (Node | string)[]) => {
      this.#note.hidden = children.length === 0
      this.#note.replaceChildren(...children)
    }
    if (state.kind === 'failed') {
      note(
        element('p', { class: 'fault' }, `The geofences did not load. ${state.detail}`),
        button({ class: 'link' }, () => this.#store.load(), 'Try again'),
      )
    } else if (state.kind === 'loading') note(element('p', { class: 'quiet' }, 'Loading the geofences…'))
    else if (count === 0) {
      const words = this.#store.editable
        ? 'No geofences yet. Press “New” and draw the first: vehicles that enter or leave it make events.'
        : 'No geofences yet. Who may draw them is a dispatcher, a manager or an administrator.'
      note(element('p', { class: 'quiet' }, words))
    } else if (shown === 0) note(element('p', { class: 'quiet' }, 'No geofence has this in its name.'))
    else if (!state.complete) {
      note(
        element(
          'p',
          { class: 'quiet' },
          `The first ${formatCount(count)} are shown; the API has the others.`,
        ),
      )
    } else note()
  }
}

function makeRow(): Row {
  const row: Row = {
    element: element('div'),
    swatch: element('span', { class: 'swatch', 'aria-hidden': 'true' }),
    name: element('span', { class: 'row-name' }),
    shape: element('span'),
    rules: element('span'),
  }
  row.element.append(
    row.swatch,
    element(
      'span',
      { class: 'row-text' },
      row.name,
      element('span', { class: 'row-identity' }, row.shape, ' · ', row.rules),
    ),
  )
  return row
}

function fillRow(row: Row, { name, shape, rules, disabled }: Geofence, colour: string): void {
  row.element.classList.toggle('off', disabled)
  row.swatch.style.setProperty('--swatch', disabled ? 'var(--silent)' : colour)
  setText(row.name, name)
  setText(row.shape, shapeWords(shape))
  const more = rules.length > 1 ? `${rules.length} rules` : ruleWords(rules[0]!)
  setText(row.rules, disabled ? 'switched off' : more)
}
