/** Whose past: the whole fleet, a group, or some vehicles found by a search. */
import type { Fleet, Vehicle } from '../fleet/fleet.ts'
import { button, element, icon, setText } from '../ui/dom.ts'
import { formatCount } from '../ui/format.ts'
import { CHOSEN_MAX, type Who } from './replay-view.ts'

/** More are found by a longer search. */
const FOUND_MAX = 40

/** A group of devices. */
export interface Group {
  readonly id: number
  readonly name: string
  readonly deviceCount: number
}

const KINDS: readonly (readonly [Who['kind'], string])[] = [
  ['all', 'Fleet'],
  ['group', 'Group'],
  ['devices', 'Vehicles'],
]

export class WhoPicker {
  readonly element: HTMLElement
  readonly #fleet: Fleet
  readonly #onChange: (who: Who) => void
  readonly #kinds = new Map<Who['kind'], HTMLButtonElement>()
  readonly #all = element('p', { class: 'quiet' })
  readonly #group = element('select', { 'aria-label': 'Group' })
  readonly #noGroup = element('p', { class: 'quiet', hidden: true }, 'There is no group of vehicles yet.')
  readonly #search = element('input', {
    type: 'search',
    placeholder: 'Search name or unique id',
    'aria-label': 'Search vehicles by name, unique id or model',
    autocomplete: 'off',
    spellcheck: 'false',
  })
  readonly #found = element('div', { class: 'found', role: 'group', 'aria-label': 'Vehicles' })
  readonly #note = element('p', { class: 'quiet small', role: 'status' })
  readonly #panels: Readonly<Record<Who['kind'], HTMLElement>>
  readonly #collator = new Intl.Collator('en', { numeric: true, sensitivity: 'base' })
  readonly #share: HTMLButtonElement
  readonly #mayShare: boolean
  #kind: Who['kind'] = 'all'
  #chosen = new Set<number>()
  #groups: readonly Group[] = []
  #wantedGroup: number | null = null

  /**
   * @param onChange Called with what was chosen.
   * @param onShare Called to share a group; null: the person may not.
   */
  constructor(fleet: Fleet, onChange: (who: Who) => void, onShare: ((group: Group) => void) | null) {
    this.#fleet = fleet
    this.#onChange = onChange
    const kinds = KINDS.map(([kind, label]) => {
      const made = button({ 'aria-pressed': 'false' }, () => this.#press(kind), label)
      this.#kinds.set(kind, made)
      return made
    })
    this.#group.addEventListener('change', () => {
      this.#wantedGroup = Number(this.#group.value)
      this.#onChange({ kind: 'group', group: this.#wantedGroup })
    })
    this.#search.addEventListener('input', () => this.refresh())
    this.#share = button(
      { class: 'secondary', hidden: true },
      () => {
        const group = this.#groups.find(({ id }) => id === Number(this.#group.value))
        if (group !== undefined) onShare?.(group)
      },
      icon('share'),
      'Share',
    )
    this.#mayShare = onShare !== null
    this.#panels = {
      all: this.#all,
      group: element('div', { class: 'who-group' }, this.#group, this.#share, this.#noGroup),
      devices: element(
        'div',
        { class: 'who-devices' },
        element('div', { class: 'search' }, icon('search'), this.#search),
        this.#found,
        this.#note,
      ),
    }
    this.element = element(
      'section',
      { class: 'picker', 'aria-label': 'Whose past' },
      element('h2', {}, 'Who'),
      element(
        'div',
        { class: 'segments', role: 'group', 'aria-label': 'Fleet, group or vehicles' },
        ...kinds,
      ),
      ...Object.values(this.#panels),
    )
  }

  show(who: Who): void {
    this.#kind = who.kind
    if (who.kind === 'devices') this.#chosen = new Set(who.devices)
    if (who.kind === 'group') this.#wantedGroup = who.group
    for (const [kind, made] of this.#kinds) made.setAttribute('aria-pressed', String(kind === who.kind))
    for (const [kind, panel] of Object.entries(this.#panels)) panel.hidden = kind !== who.kind
    this.#fillGroups()
    this.refresh()
  }

  setGroups(groups: readonly Group[]): void {
    this.#groups = groups
    this.#fillGroups()
  }

  /** The directory has changed, or the search. */
  refresh(): void {
    const { vehicles } = this.#fleet
    const count = vehicles.length
    setText(this.#all, count === 1 ? 'The one vehicle.' : `All ${formatCount(count)} vehicles on one clock.`)
    if (this.#kind !== 'devices') return
    const words = this.#search.value.trim().toLowerCase()
    const found = vehicles.filter(
      ({ id, name, uniqueId, model }) =>
        (words === '' && this.#chosen.has(id)) ||
        `${name} ${uniqueId} ${model}`.toLowerCase().includes(words),
    )
    const rank = ({ id }: Vehicle) => (this.#chosen.has(id) ? 0 : 1)
    found.sort((a, b) => rank(a) - rank(b) || this.#collator.compare(a.name, b.name))
    const shown = found.slice(0, FOUND_MAX)
    const focused = (document.activeElement as HTMLElement | null)?.dataset.device
    this.#found.replaceChildren(...shown.map((vehicle) => this.#option(vehicle)))
    if (focused !== undefined) this.#found.querySelector<HTMLElement>(`[data-device="${focused}"]`)?.focus()
    const more = found.length - shown.length
    const note =
      found.length === 0
        ? `There is no vehicle with “${this.#search.value.trim()}”.`
        : more > 0
          ? `${formatCount(more)} more: search to narrow them down.`
          : ''
    setText(this.#note, note)
  }

  #press(kind: Who['kind']): void {
    if (kind === this.#kind) return
    if (kind === 'all') this.#choose({ kind })
    else if (kind === 'group') {
      const group = this.#wantedGroup ?? this.#groups[0]?.id
      this.#kind = kind
      if (group !== undefined) this.#choose({ kind, group })
      else this.show({ kind, group: 0 })
    } else if (this.#chosen.size > 0) this.#choose({ kind, devices: [...this.#chosen] })
    else {
      this.show({ kind, devices: [] })
      this.#search.focus()
    }
  }

  #choose(who: Who): void {
    this.show(who)
    this.#onChange(who)
  }

  #fillGroups(): void {
    const options = this.#groups.map(({ id, name, deviceCount }) =>
      element('option', { value: id }, `${name} (${formatCount(deviceCount)})`),
    )
    this.#group.replaceChildren(...options)
    this.#group.hidden = options.length === 0
    this.#noGroup.hidden = options.length > 0
    this.#share.hidden = options.length === 0 || !this.#mayShare
    if (this.#wantedGroup !== null) this.#group.value = String(this.#wantedGroup)
  }

  #option({ id, name, uniqueId }: Vehicle): HTMLElement {
    const box = element('input', { type: 'checkbox', 'data-device': id, checked: this.#chosen.has(id) })
    box.addEventListener('change', () => {
      if (box.checked) this.#chosen.add(id)
      else this.#chosen.delete(id)
      if (this.#chosen.size > CHOSEN_MAX) {
        this.#chosen.delete(id)
        box.checked = false
        setText(this.#note, `At most ${CHOSEN_MAX} vehicles can be chosen; make a group of more.`)
        return
      }
      this.#onChange({ kind: 'devices', devices: [...this.#chosen] })
    })
    return element(
      'label',
      { class: 'found-row' },
      box,
      element('span', { class: 'row-name' }, name),
      element('span', { class: 'row-identity' }, uniqueId),
    )
  }
}
