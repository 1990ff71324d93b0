/** The list of vehicles with search and states, of the whole fleet or of what the map shows. */
import type { Fleet, Vehicle, VehicleState } from '../fleet/fleet.ts'
import { button, element, icon, setText } from './dom.ts'
import { emptyHint } from './empty-hint.ts'
import { formatAge, formatCount, formatSpeed } from './format.ts'
import { VirtualList } from './virtual-list.ts'

/** Sorting a very large fleet takes long: it may take at most this part of the time. */
const SORT_SHARE = 0.05

type Filter = VehicleState | 'all'

const FILTERS: readonly { readonly filter: Filter; readonly label: string }[] = [
  { filter: 'all', label: 'All' },
  { filter: 'moving', label: 'Moving' },
  { filter: 'standing', label: 'Standing' },
  { filter: 'silent', label: 'Silent' },
]

export interface VehicleListListener {
  onChoose(vehicle: Vehicle): void
  /** Other vehicles match the search or the state than before. */
  onFilter(): void
  /** Whether the map shows the vehicle. */
  isInView(vehicle: Vehicle): boolean
}

interface Row {
  readonly element: HTMLElement
  readonly name: HTMLElement
  readonly identity: HTMLElement
  readonly value: HTMLElement
  readonly age: HTMLElement
}

export class VehicleList {
  readonly element: HTMLElement
  readonly #fleet: Fleet
  readonly #listener: VehicleListListener
  readonly #search: HTMLInputElement
  readonly #chips = new Map<Filter, { button: HTMLButtonElement; count: HTMLElement }>()
  readonly #list: VirtualList<Vehicle, Row>
  readonly #empty = element('div', { class: 'list-empty', role: 'status' })
  readonly #collator = new Intl.Collator('en', { numeric: true, sensitivity: 'base' })
  readonly #inView: HTMLInputElement
  #filter: Filter = 'all'
  #sorted: Vehicle[] = []
  #shown: Vehicle[] = []
  #sortedVersion = -1
  /** When the fleet may be sorted again, by `performance.now()`. */
  #sortMs = 0
  /** Whether the directory has been read, so that no vehicles means none. */
  #complete = false

  constructor(fleet: Fleet, listener: VehicleListListener) {
    this.#fleet = fleet
    this.#listener = listener
    this.#search = element('input', {
      type: 'search',
      placeholder: 'Search name or unique id',
      'aria-label': 'Search vehicles by name, unique id or model',
      autocomplete: 'off',
      spellcheck: 'false',
    })
    this.#search.addEventListener('input', () => this.#onFilter())
    this.#inView = element('input', { type: 'checkbox', class: 'switch', role: 'switch' })
    this.#inView.addEventListener('change', () => this.#onFilter())
    this.#list = new VirtualList<Vehicle, Row>({
      label: 'Vehicles',
      idPrefix: 'vehicle',
      keyOf: ({ id }) => id,
      makeRow,
      fillRow,
      onChoose: (vehicle) => listener.onChoose(vehicle),
    })
    this.element = element(
      'div',
      { class: 'vehicle-list' },
      element('div', { class: 'search' }, icon('search'), this.#search),
      element('div', { class: 'chips', role: 'group', 'aria-label': 'Show by state' }, ...this.#makeChips()),
      element('label', { class: 'in-view' }, element('span', {}, 'Only what the map shows'), this.#inView),
      this.#empty,
      this.#list.element,
    )
  }

  /** Vehicles that match search and state. */
  get shownCount(): number {
    return this.#shown.length
  }

  /** Moves the keyboard here. */
  focus(): void {
    this.#list.focus()
  }

  /** The directory has been read to its end. */
  setComplete(): void {
    this.#complete = true
    this.refresh()
  }

  /** Marks the chosen vehicle and brings its row into sight. */
  choose(vehicle: Vehicle | null): void {
    this.#list.choose(vehicle)
  }

  /** Brings order, counts and rows up to date with the fleet. */
  refresh(): void {
    const { motion } = this.#fleet
    this.#sort()
    const words = this.#search.value.trim().toLowerCase()
    const counts = { all: 0, moving: 0, standing: 0, silent: 0 }
    this.#shown = this.#sorted.filter((vehicle) => {
      const found = words === '' || matches(vehicle, words)
      const wanted = found && (this.#filter === 'all' || this.#filter === vehicle.state)
      // What is not on the map yet is not faint when it comes there.
      motion.faint[vehicle.row] = wanted ? 0 : 1
      if (!found || (this.#inView.checked && !this.#listener.isInView(vehicle))) return false
      counts.all++
      counts[vehicle.state]++
      return wanted
    })
    for (const [filter, chip] of this.#chips) setText(chip.count, formatCount(counts[filter]))
    this.#explain()
    this.#list.setItems(this.#shown)
  }

  #sort(): void {
    const { vehicles, directoryVersion } = this.#fleet
    const startMs = performance.now()
    if (this.#sortedVersion === directoryVersion || startMs < this.#sortMs) return
    this.#sorted = [...vehicles].sort((a, b) => this.#collator.compare(a.name, b.name))
    this.#sortedVersion = directoryVersion
    const nowMs = performance.now()
    this.#sortMs = nowMs + (nowMs - startMs) / SORT_SHARE
  }

  #makeChips(): HTMLElement[] {
    return FILTERS.map(({ filter, label }) => {
      const count = element('span', { class: 'count' }, '0')
      const press = () => {
        this.#filter = filter
        for (const [other, chip] of this.#chips) {
          chip.button.setAttribute('aria-pressed', String(other === filter))
        }
        this.#onFilter()
      }
      const chip = button(
        { class: 'chip', 'data-state': filter, 'aria-pressed': String(filter === 'all') },
        press,
        element('span', { class: 'chip-label' }, label),
        count,
      )
      this.#chips.set(filter, { button: chip, count })
      return chip
    })
  }

  #onFilter(): void {
    this.#list.toTop()
    this.refresh()
    this.#listener.onFilter()
  }

  /** Says in words why the list is empty. */
  #explain(): void {
    const none = this.#fleet.vehicles.length === 0
    const kind = this.#shown.length > 0 ? '' : !none ? 'no-match' : this.#complete ? 'no-vehicle' : 'loading'
    const detail = kind === 'no-match' ? `${this.#filter} ${this.#inView.checked} ${this.#search.value}` : ''
    if (this.#empty.dataset.kind === kind && this.#empty.dataset.detail === detail) return
    this.#empty.dataset.kind = kind
    this.#empty.dataset.detail = detail
    this.#empty.hidden = kind === ''
    if (kind === 'loading') this.#empty.replaceChildren(element('p', {}, 'Loading the vehicles…'))
    else if (kind === 'no-vehicle') this.#empty.replaceChildren(emptyHint(location.hostname))
    else if (kind === 'no-match') {
      const wanted = this.#search.value.trim()
      const state = this.#filter === 'all' ? '' : ` that is ${this.#filter}`
      const name = wanted === '' ? '' : ` with “${wanted}” in name, unique id or model`
      const place = this.#inView.checked ? ' in what the map shows' : ''
      const showAll = () => {
        this.#search.value = ''
        this.#inView.checked = false
        this.#chips.get('all')!.button.click()
        this.#search.focus()
      }
      this.#empty.replaceChildren(
        element('p', {}, `There is no vehicle${state}${name}${place}.`),
        button({ class: 'link' }, showAll, 'Show all vehicles'),
      )
    }
  }
}

function makeRow(): Row {
  const row: Row = {
    name: element('span', { class: 'row-name' }),
    identity: element('span', { class: 'row-identity' }),
    value: element('span', { class: 'row-value' }),
    age: element('span', { class: 'row-age' }),
    element: element('div'),
  }
  row.element.append(
    element('span', { class: 'state-mark', 'aria-hidden': 'true' }),
    element('span', { class: 'row-text' }, row.name, row.identity),
    element('span', { class: 'row-figures' }, row.value, row.age),
  )
  return row
}

function fillRow(row: Row, vehicle: Vehicle): void {
  const { last } = vehicle
  row.element.dataset.device = String(vehicle.id)
  row.element.dataset.state = vehicle.state
  setText(row.name, vehicle.name)
  setText(row.identity, vehicle.uniqueId)
  setText(row.value, valueWords(vehicle))
  setText(row.age, last === null ? '' : `${formatAge(vehicle.ageMs)} ago`)
}

function valueWords({ last, state }: Vehicle): string {
  if (last === null) return 'No position yet'
  if (state === 'silent') return 'Silent'
  return state === 'moving' && last.speed !== null ? formatSpeed(last.speed) : 'Standing'
}

function matches(vehicle: Vehicle, words: string): boolean {
  return `${vehicle.name} ${vehicle.uniqueId} ${vehicle.model}`.toLowerCase().includes(words)
}
