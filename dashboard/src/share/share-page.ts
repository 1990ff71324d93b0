/** The page of a share link: the shared vehicles on the map, and nothing else of the product. */
import type { SharedView } from '../../../schemas/share-link.ts'
import { Fleet, type Vehicle } from '../fleet/fleet.ts'
import type { FleetMap } from '../map/fleet-map.ts'
import { openMap } from '../map/open-map.ts'
import { button, element, icon, setText } from '../ui/dom.ts'
import { formatAge, formatCount, formatSpeed, formatTime, formatWait } from '../ui/format.ts'
import { logo } from '../ui/logo.ts'
import { StreamPill } from '../ui/stream-pill.ts'
import type { Theme } from '../ui/theme.ts'
import { serverNowMs } from '../wire/clock.ts'
import type { Fix } from '../wire/rows.ts'
import { askPublic, RequestError, wordsOf } from '../wire/session.ts'
import { Stream } from '../wire/stream.ts'
import type { StreamTicket } from '../wire/subscription.ts'
import { delayWords } from './share-link.ts'

const TICK_MS = 1_000
/** Vehicles of a group come and go. */
const READ_EVERY_MS = 60_000
/** More rows are not read; all vehicles are on the map. */
const ROWS_MAX = 100

export class SharePage {
  readonly element: HTMLElement
  readonly #path: string
  readonly #theme: Theme
  readonly #fleet = new Fleet()
  readonly #stream: Stream
  readonly #pill: StreamPill
  readonly #name = element('h1', {}, 'Shared vehicles')
  readonly #mapElement = element('div', { class: 'map' })
  readonly #rows = element('div', { class: 'share-vehicles' })
  readonly #more = element('p', { class: 'quiet small' })
  readonly #promise = element('p', { class: 'quiet small' })
  readonly #side: HTMLElement
  readonly #room: HTMLElement
  #map: FleetMap | null = null
  #share: SharedView | null = null
  #fitted = false
  #ticker: ReturnType<typeof setInterval> | undefined
  #reader: ReturnType<typeof setInterval> | undefined

  /** @param token Of the link. */
  constructor(token: string, theme: Theme) {
    this.#path = `/api/v1/share/${encodeURIComponent(token)}`
    this.#theme = theme
    this.#pill = new StreamPill(() => this.#stream.start())
    this.#stream = new Stream(
      {
        ticket: () => this.#ticket(),
        mayReturn: () => this.#share !== null,
      },
      (status) => this.#pill.show(status),
    )
    this.#side = element(
      'aside',
      { class: 'share-side', 'aria-label': 'Shared vehicles' },
      this.#rows,
      this.#more,
      this.#promise,
    )
    this.#room = element('div', { class: 'share-room' })
    this.element = element('div', { class: 'frame share' }, this.#header(), this.#room)
  }

  /** Reads what the link shows; the element must be in the document. */
  start(): void {
    window.addEventListener('online', () => this.#stream.online())
    this.#open()
  }

  #open(): void {
    this.#say(element('p', { class: 'quiet' }, 'Loading the shared map…'))
    askPublic<SharedView>(this.#path, 'GET').then(
      (share) => this.#show(share),
      (error: unknown) => this.#onFault(error),
    )
  }

  #header(): HTMLElement {
    return element(
      'header',
      { class: 'top' },
      element('div', { class: 'brand' }, logo(), this.#name),
      element('div', { class: 'spacer' }),
      this.#pill.element,
      button(
        { class: 'quiet-button', title: 'Light or dark', 'aria-label': 'Change between light and dark' },
        () => this.#theme.toggle(),
        icon('sun'),
        icon('moon'),
      ),
    )
  }

  #show(share: SharedView): void {
    this.#take(share)
    this.#fleet.still = matchMedia('(prefers-reduced-motion: reduce)').matches
    this.#room.replaceChildren(element('main', { class: 'stage' }, this.#mapElement), this.#side)
    this.#map = openMap(this.#mapElement, this.#fleet, this.#theme.palette, {
      onPick: (vehicle) => this.#map?.select(vehicle),
      onFollowEnd: () => {},
    })
    this.#theme.onChange = () => this.#map?.setPalette(this.#theme.palette)
    this.#ticker = setInterval(() => this.#tick(), TICK_MS)
    this.#reader = setInterval(() => this.#readAgain(), READ_EVERY_MS)
    this.#stream.subscribe(
      { scope: { all: true }, events: false },
      {
        onPositions: (fixes) => this.#onPositions(fixes),
        onLive: () => this.#fitOnce(),
        onLeft: (left) => this.#remove(new Set(left)),
      },
    )
    this.#stream.start()
    this.#tick()
  }

  /** Takes what the link says: its name, and which vehicles it shows. */
  #take(share: SharedView): void {
    this.#share = share
    this.#pill.element.hidden = false
    setText(this.#name, share.name)
    document.title = `${share.name} · FleetFlow`
    const ids = new Set(share.devices.map(({ id }) => id))
    this.#fleet.remove(({ id }) => !ids.has(id))
    this.#fleet.describe(
      share.devices.map(({ id, name }) => ({ id, name, uniqueId: '', model: '', disabled: false })),
    )
  }

  #readAgain(): void {
    askPublic<SharedView>(this.#path, 'GET').then(
      (share) => this.#take(share),
      // Without an answer the map stays: the stream says whether there is a connection.
      (error: unknown) => isGone(error) && this.#end(),
    )
  }

  async #ticket(): Promise<StreamTicket> {
    try {
      return await askPublic<StreamTicket>(`${this.#path}/tickets`, 'POST')
    } catch (error) {
      if (isGone(error)) this.#end()
      throw error
    }
  }

  #onFault(error: unknown): void {
    if (isGone(error)) {
      this.#end()
      return
    }
    this.#pill.element.hidden = true
    this.#say(
      element('h2', {}, 'The shared map did not load'),
      element('p', { class: 'quiet', role: 'alert' }, wordsOf(error)),
      button({ class: 'secondary' }, () => this.#open(), 'Try again'),
    )
  }

  /** The link is over: nothing more is shown. */
  #end(): void {
    this.#share = null
    clearInterval(this.#ticker)
    clearInterval(this.#reader)
    this.#stream.stop()
    this.#map?.remove()
    this.#map = null
    this.#theme.onChange = () => {}
    this.#pill.element.hidden = true
    setText(this.#name, 'Shared vehicles')
    document.title = 'FleetFlow'
    this.#say(
      element('h2', {}, 'This link does not work any more'),
      element(
        'p',
        { class: 'quiet' },
        'It has expired or was taken back. Ask whoever sent it for a new one.',
      ),
    )
  }

  #say(...words: HTMLElement[]): void {
    this.#room.replaceChildren(element('main', { class: 'share-words' }, ...words))
  }

  /** What time it is where the vehicles are shown, ms UTC. */
  get #shownMs(): number {
    return serverNowMs() - (this.#share?.delayS ?? 0) * 1000
  }

  #onPositions(fixes: readonly Fix[]): void {
    this.#fleet.apply(fixes, performance.now(), this.#shownMs)
    this.#map?.refreshSoon()
    // Those that come later would be out of view; who never comes is not waited for, see #tick.
    if (this.#fleet.vehicles.every(({ last }) => last !== null)) this.#fitOnce()
  }

  #remove(ids: ReadonlySet<number>): void {
    this.#fleet.remove(({ id }) => ids.has(id))
    this.#map?.refresh()
    this.#draw()
  }

  #fitOnce(): void {
    this.#draw()
    if (this.#fitted || this.#fleet.extent() === null) return
    this.#fitted = true
    const [only, ...others] = this.#fleet.vehicles
    if (others.length === 0) this.#follow(only!)
    else this.#map?.fit()
  }

  /** Keeps a vehicle in the middle, until the person moves the map. */
  #follow(vehicle: Vehicle): void {
    this.#map?.select(vehicle)
    this.#map?.follow(true)
  }

  #tick(): void {
    const share = this.#share
    if (share === null) return
    const leftMs = Date.parse(share.expiresAt) - serverNowMs()
    if (leftMs <= 0) {
      this.#end()
      return
    }
    this.#fleet.tick(this.#shownMs)
    this.#pill.tick()
    this.#map?.refreshSoon()
    this.#fitOnce()
    const shown =
      share.delayS === 0 ? 'Positions are live.' : `Positions are shown ${delayWords(share.delayS)}.`
    const until = `This link works until ${formatTime(Date.parse(share.expiresAt))}, for ${formatWait(leftMs)} more.`
    setText(this.#promise, `${shown} ${until}`)
  }

  #draw(): void {
    const { vehicles } = this.#fleet
    this.element.dataset.vehicleCount = String(vehicles.length)
    const shown = vehicles.slice(0, ROWS_MAX)
    while (this.#rows.childElementCount > shown.length) this.#rows.lastElementChild!.remove()
    for (const [index, vehicle] of shown.entries()) {
      const row = (this.#rows.children[index] as HTMLElement | undefined) ?? this.#addRow()
      this.#fill(row, vehicle)
    }
    const more = vehicles.length - shown.length
    const words = more > 0 ? `${formatCount(more)} more are on the map.` : ''
    setText(this.#more, vehicles.length === 0 ? 'No vehicle is shared any more.' : words)
    this.#more.hidden = this.#more.textContent === ''
  }

  #addRow(): HTMLElement {
    const row = button(
      { class: 'share-vehicle' },
      () => {
        const vehicle = this.#fleet.get(Number(row.dataset.device))
        if (vehicle !== undefined) this.#follow(vehicle)
      },
      element('span', { class: 'state-mark', 'aria-hidden': 'true' }),
      element(
        'span',
        { class: 'row-text' },
        element('span', { class: 'row-name' }),
        element('span', { class: 'row-identity' }),
      ),
    )
    this.#rows.append(row)
    return row
  }

  #fill(row: HTMLElement, vehicle: Vehicle): void {
    row.dataset.device = String(vehicle.id)
    row.dataset.state = vehicle.state
    setText(row.querySelector('.row-name')!, vehicle.name)
    setText(row.querySelector('.row-identity')!, this.#words(vehicle))
  }

  #words({ last, state, fixTimeMs }: Vehicle): string {
    if (last === null) return 'No position yet'
    const ago = `${formatAge(serverNowMs() - fixTimeMs)} ago`
    if (state === 'silent') return `Silent, last seen ${ago}`
    return `${state === 'moving' ? `Moving, ${formatSpeed(last.speed)}` : 'Standing'}, ${ago}`
  }
}

/** Whether the link is over, or never was. */
function isGone(error: unknown): boolean {
  return (
    error instanceof RequestError && (error.status === 404 || error.status === 410 || error.status === 403)
  )
}
