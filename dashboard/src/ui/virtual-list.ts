/**
 * A list of which only the rows in sight are elements, so that ten thousand rows cost no more than fifty. To the keyboard
 * it is one list box: arrows move, Enter chooses.
 */
import { element } from './dom.ts'

/** Height of a row, px; the style sheet has the same. */
const ROW_PX = 56
const SPARE_ROWS = 4

export interface VirtualListOptions<Item, Row extends { readonly element: HTMLElement }> {
  /** What the list is of, for those who do not see it; also the beginning of the ids of its rows. */
  readonly label: string
  readonly idPrefix: string
  /** Number that tells the item from all others. */
  keyOf(item: Item): number
  makeRow(): Row
  fillRow(row: Row, item: Item): void
  onChoose(item: Item): void
  /** The end of the list has come into sight. */
  onEnd?(): void
  /** What is in sight stays where it is when rows come in above it. */
  readonly anchored?: boolean
}

export class VirtualList<Item, Row extends { readonly element: HTMLElement }> {
  readonly element: HTMLElement
  readonly #options: VirtualListOptions<Item, Row>
  readonly #sheet = element('div', { class: 'list-sheet', role: 'presentation' })
  readonly #rows: Row[] = []
  #items: readonly Item[] = []
  #chosenKey: number | null = null
  #activeKey: number | null = null

  constructor(options: VirtualListOptions<Item, Row>) {
    this.#options = options
    this.element = element(
      'div',
      { class: 'list', role: 'listbox', tabindex: 0, 'aria-label': options.label },
      this.#sheet,
    )
    this.element.addEventListener('scroll', () => this.draw(), { passive: true })
    this.element.addEventListener('keydown', (event) => this.#onKey(event))
    this.element.addEventListener('focus', () => this.#onFocus())
    this.element.addEventListener('click', (event) => this.#onClick(event))
    new ResizeObserver(() => this.draw()).observe(this.element)
  }

  /** Shows other items, or the same in another order. */
  setItems(items: readonly Item[]): void {
    const { scrollTop } = this.element
    const top =
      this.#options.anchored && scrollTop > 0 ? this.#items[Math.floor(scrollTop / ROW_PX)] : undefined
    const before = top === undefined ? 0 : Math.floor(scrollTop / ROW_PX)
    this.#items = items
    this.element.hidden = items.length === 0
    this.#sheet.style.height = `${items.length * ROW_PX}px`
    if (top !== undefined) {
      const after = this.#indexOf(this.#options.keyOf(top))
      if (after !== -1 && after !== before) this.element.scrollTop = scrollTop + (after - before) * ROW_PX
    }
    this.draw()
  }

  /** Marks the chosen item and brings its row into sight. */
  choose(item: Item | null): void {
    this.#chosenKey = item === null ? null : this.#options.keyOf(item)
    this.#activeKey = this.#chosenKey ?? this.#activeKey
    if (item !== null) this.#reveal(this.#indexOf(this.#options.keyOf(item)))
    this.draw()
  }

  /** Goes back to the first row. */
  toTop(): void {
    this.element.scrollTop = 0
  }

  /** Moves the keyboard here. */
  focus(): void {
    this.element.focus()
  }

  /** Fills the rows in sight. */
  draw(): void {
    const { scrollTop, clientHeight } = this.element
    const first = Math.max(0, Math.floor(scrollTop / ROW_PX) - SPARE_ROWS)
    const last = Math.min(this.#items.length, Math.ceil((scrollTop + clientHeight) / ROW_PX) + SPARE_ROWS)
    let activeId = ''
    for (let at = first; at < last; at++) {
      const row = this.#rows[at - first] ?? this.#addRow()
      this.#fill(row, this.#items[at]!, at)
      if (row.element.classList.contains('active')) activeId = row.element.id
    }
    for (let at = Math.max(0, last - first); at < this.#rows.length; at++) {
      this.#rows[at]!.element.hidden = true
      this.#rows[at]!.element.removeAttribute('id')
    }
    if (activeId === '') this.element.removeAttribute('aria-activedescendant')
    else this.element.setAttribute('aria-activedescendant', activeId)
    if (last > 0 && last === this.#items.length) this.#options.onEnd?.()
  }

  #indexOf(key: number | null): number {
    return key === null ? -1 : this.#items.findIndex((item) => this.#options.keyOf(item) === key)
  }

  #onKey(event: KeyboardEvent): void {
    const pageRows = Math.max(1, Math.floor(this.element.clientHeight / ROW_PX) - 1)
    const steps: Record<string, number> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: pageRows,
      PageUp: -pageRows,
      Home: Number.NEGATIVE_INFINITY,
      End: Number.POSITIVE_INFINITY,
    }
    const step = steps[event.key]
    const from = this.#indexOf(this.#activeKey)
    if (step !== undefined) {
      const to = Math.max(0, Math.min(this.#items.length - 1, from + step))
      this.#activate(this.#items[to])
      this.#reveal(to)
      this.draw()
    } else if ((event.key === 'Enter' || event.key === ' ') && from !== -1) {
      this.#options.onChoose(this.#items[from]!)
    } else return
    event.preventDefault()
  }

  #onFocus(): void {
    if (this.#indexOf(this.#activeKey) === -1) this.#activate(this.#items[0])
    this.draw()
  }

  #onClick(event: Event): void {
    const option = (event.target as Element).closest<HTMLElement>('[role=option]')
    const item = option === null ? undefined : this.#items[Number(option.ariaPosInSet) - 1]
    if (item === undefined) return
    this.#activate(item)
    this.#options.onChoose(item)
  }

  #activate(item: Item | undefined): void {
    if (item !== undefined) this.#activeKey = this.#options.keyOf(item)
  }

  #reveal(index: number): void {
    const top = index * ROW_PX
    if (top < 0) return
    const { scrollTop, clientHeight } = this.element
    if (top < scrollTop) this.element.scrollTop = top
    else if (top + ROW_PX > scrollTop + clientHeight) this.element.scrollTop = top + ROW_PX - clientHeight
  }

  #addRow(): Row {
    const row = this.#options.makeRow()
    row.element.setAttribute('role', 'option')
    row.element.classList.add('row')
    this.#sheet.append(row.element)
    this.#rows.push(row)
    return row
  }

  #fill(row: Row, item: Item, at: number): void {
    const { keyOf, idPrefix, fillRow } = this.#options
    const key = keyOf(item)
    const { element: target } = row
    target.hidden = false
    target.style.transform = `translateY(${at * ROW_PX}px)`
    target.id = `${idPrefix}-${key}`
    target.classList.toggle('active', key === this.#activeKey)
    target.setAttribute('aria-selected', String(key === this.#chosenKey))
    target.setAttribute('aria-posinset', String(at + 1))
    target.setAttribute('aria-setsize', String(this.#items.length))
    fillRow(row, item)
  }
}
