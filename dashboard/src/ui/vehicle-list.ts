/**
 * The list of vehicles with search and states. Only the rows in sight are elements, so that ten thousand vehicles
 * cost no more than fifty. To the keyboard it is one list box: arrows move, Enter chooses.
 */
import type { Fleet, Vehicle, VehicleState } from '../fleet/fleet.ts'
import { button, element, icon, setText } from './dom.ts'
import { emptyHint } from './empty-hint.ts'
import { formatAge, formatCount, formatSpeed } from './format.ts'

/** Height of a row, px; the style sheet has the same. */
const ROW_PX = 56
const SPARE_ROWS = 4

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
  readonly #list: HTMLElement
  readonly #sheet = element('div', { class: 'list-sheet', role: 'presentation' })
  readonly #empty = element('div', { class: 'list-empty', role: 'status' })
  readonly #rows: Row[] = []
  readonly #collator = new Intl.Collator('en', { numeric: true, sensitivity: 'base' })
  #filter: Filter = 'all'
  #sorted: Vehicle[] = []
  #shown: Vehicle[] = []
  #sortedVersion = -1
  /** Whether the directory has been read, so that no vehicles means none. */
  #complete = false
  #chosen: Vehicle | null = null
  #active: Vehicle | null = null

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
    this.#list = element(
      'div',
      { class: 'list', role: 'listbox', tabindex: 0, 'aria-label': 'Vehicles' },
      this.#sheet,
    )
    this.#list.addEventListener('scroll', () => this.#draw(), { passive: true })
    this.#list.addEventListener('keydown', (event) => this.#onKey(event))
    this.#list.addEventListener('focus', () => this.#onFocus())
    this.#list.addEventListener('click', (event) => this.#onClick(event))
    new ResizeObserver(() => this.#draw()).observe(this.#list)
    this.element = element(
      'div',
      { class: 'vehicle-list' },
      element('div', { class: 'search' }, icon('search'), this.#search),
      element('div', { class: 'chips', role: 'group', 'aria-label': 'Show by state' }, ...this.#makeChips()),
      this.#empty,
      this.#list,
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
    this.#chosen = vehicle
    this.#active = vehicle ?? this.#active
    if (vehicle !== null) this.#reveal(vehicle)
    this.#draw()
  }

  /** Brings order, counts and rows up to date with the fleet. */
  refresh(): void {
    const { vehicles, directoryVersion, motion } = this.#fleet
    if (this.#sortedVersion !== directoryVersion) {
      this.#sorted = [...vehicles].sort((a, b) => this.#collator.compare(a.name, b.name))
      this.#sortedVersion = directoryVersion
    }
    const words = this.#search.value.trim().toLowerCase()
    const counts = { all: 0, moving: 0, standing: 0, silent: 0 }
    this.#shown = this.#sorted.filter((vehicle) => {
      const found = words === '' || matches(vehicle, words)
      if (found) {
        counts.all++
        counts[vehicle.state]++
      }
      const shown = found && (this.#filter === 'all' || this.#filter === vehicle.state)
      motion.faint[vehicle.row] = shown ? 0 : 1
      return shown
    })
    for (const [filter, chip] of this.#chips) setText(chip.count, formatCount(counts[filter]))
    this.#explain()
    this.#sheet.style.height = `${this.#shown.length * ROW_PX}px`
    this.#draw()
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
    this.#list.scrollTop = 0
    this.refresh()
    this.#listener.onFilter()
  }

  /** Says in words why the list is empty. */
  #explain(): void {
    const none = this.#fleet.vehicles.length === 0
    const kind = this.#shown.length > 0 ? '' : !none ? 'no-match' : this.#complete ? 'no-vehicle' : 'loading'
    this.#list.hidden = this.#shown.length === 0
    const detail = kind === 'no-match' ? `${this.#filter} ${this.#search.value}` : ''
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
      const showAll = () => {
        this.#search.value = ''
        this.#chips.get('all')!.button.click()
        this.#search.focus()
      }
      this.#empty.replaceChildren(
        element('p', {}, `There is no vehicle${state}${name}.`),
        button({ class: 'link' }, showAll, 'Show all vehicles'),
      )
    }
  }

  #onKey(event: KeyboardEvent): void {
    const pageRows = Math.max(1, Math.floor(this.#list.clientHeight / ROW_PX) - 1)
    const steps: Record<string, number> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: pageRows,
      PageUp: -pageRows,
      Home: Number.NEGATIVE_INFINITY,
      End: Number.POSITIVE_INFINITY,
    }
    const step = steps[event.key]
    if (step !== undefined) {
      const from = this.#active === null ? -1 : this.#shown.indexOf(this.#active)
      const to = Math.max(0, Math.min(this.#shown.length - 1, from + step))
      this.#active = this.#shown[to] ?? null
      if (this.#active !== null) this.#reveal(this.#active)
      this.#draw()
    } else if ((event.key === 'Enter' || event.key === ' ') && this.#active !== null) {
      this.#listener.onChoose(this.#active)
    } else return
    event.preventDefault()
  }

  #onFocus(): void {
    if (this.#active === null || !this.#shown.includes(this.#active)) this.#active = this.#shown[0] ?? null
    this.#draw()
  }

  #onClick(event: Event): void {
    const option = (event.target as Element).closest<HTMLElement>('[role=option]')
    const vehicle = option === null ? undefined : this.#fleet.get(Number(option.dataset.device))
    if (vehicle === undefined) return
    this.#active = vehicle
    this.#listener.onChoose(vehicle)
  }

  #reveal(vehicle: Vehicle): void {
    const top = this.#shown.indexOf(vehicle) * ROW_PX
    if (top < 0) return
    const { scrollTop, clientHeight } = this.#list
    if (top < scrollTop) this.#list.scrollTop = top
    else if (top + ROW_PX > scrollTop + clientHeight) this.#list.scrollTop = top + ROW_PX - clientHeight
  }

  /** Fills the rows in sight. */
  #draw(): void {
    const { scrollTop, clientHeight } = this.#list
    const first = Math.max(0, Math.floor(scrollTop / ROW_PX) - SPARE_ROWS)
    const last = Math.min(this.#shown.length, Math.ceil((scrollTop + clientHeight) / ROW_PX) + SPARE_ROWS)
    for (let at = first; at < last; at++) {
      const row = this.#rows[at - first] ?? this.#addRow()
      this.#fill(row, this.#shown[at]!, at)
    }
    for (let at = Math.max(0, last - first); at < this.#rows.length; at++) {
      this.#rows[at]!.element.hidden = true
      this.#rows[at]!.element.removeAttribute('id')
    }
    const active = this.#active === null ? '' : `vehicle-${this.#active.id}`
    const inSight = active !== '' && this.#sheet.querySelector(`#${active}`) !== null
    if (inSight) this.#list.setAttribute('aria-activedescendant', active)
    else this.#list.removeAttribute('aria-activedescendant')
  }

  #addRow(): Row {
    const row: Row = {
      name: element('span', { class: 'row-name' }),
      identity: element('span', { class: 'row-identity' }),
      value: element('span', { class: 'row-value' }),
      age: element('span', { class: 'row-age' }),
      element: element('div', { class: 'row', role: 'option' }),
    }
    row.element.append(
      element('span', { class: 'state-mark', 'aria-hidden': 'true' }),
      element('span', { class: 'row-text' }, row.name, row.identity),
      element('span', { class: 'row-figures' }, row.value, row.age),
    )
    this.#sheet.append(row.element)
    this.#rows.push(row)
    return row
  }

  #fill(row: Row, vehicle: Vehicle, at: number): void {
    const { element: target } = row
    target.hidden = false
    target.style.transform = `translateY(${at * ROW_PX}px)`
    target.id = `vehicle-${vehicle.id}`
    target.dataset.device = String(vehicle.id)
    target.dataset.state = vehicle.state
    target.classList.toggle('active', vehicle === this.#active)
    target.setAttribute('aria-selected', String(vehicle === this.#chosen))
    target.setAttribute('aria-posinset', String(at + 1))
    target.setAttribute('aria-setsize', String(this.#shown.length))
    setText(row.name, vehicle.name)
    setText(row.identity, vehicle.uniqueId)
    const { last } = vehicle
    setText(row.value, valueWords(vehicle))
    setText(row.age, last === null ? '' : `${formatAge(vehicle.ageMs)} ago`)
  }
}

function valueWords({ last, state }: Vehicle): string {
  if (last === null) return 'No position yet'
  if (state === 'silent') return 'Silent'
  return state === 'moving' && last.speed !== null ? formatSpeed(last.speed) : 'Standing'
}

function matches(vehicle: Vehicle, words: string): boolean {
  return `${vehicle.name} ${vehicle.uniqueId} ${vehicle.model}`.toLowerCase().includes(words)
}
