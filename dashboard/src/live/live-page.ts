/** The live page: wires stream, fleet, map, list and details together. */
import { Fleet, type Vehicle } from '../fleet/fleet.ts'
import { LastHourTrack } from '../fleet/last-hour-track.ts'
import { FleetMap } from '../map/fleet-map.ts'
import type { Page, PageContext } from '../pages/page.ts'
import { button, element, icon } from '../ui/dom.ts'
import { formatCount } from '../ui/format.ts'
import { Notices } from '../ui/notices.ts'
import { StreamPill } from '../ui/stream-pill.ts'
import type { Theme } from '../ui/theme.ts'
import { VehicleDetails } from '../ui/vehicle-details.ts'
import { VehicleList } from '../ui/vehicle-list.ts'
import { serverNowMs } from '../wire/clock.ts'
import { readDevices } from '../wire/directory.ts'
import type { Fix } from '../wire/rows.ts'
import { RequestError, type Session } from '../wire/session.ts'
import { Stream } from '../wire/stream.ts'
import type { StreamTicket } from '../wire/subscription.ts'

/** The list follows the stream at most this often; the map follows each frame. */
const LIST_EVERY_MS = 400
const TICK_MS = 1_000
/** After a device that the directory does not name, it is read again at most this often. */
const DIRECTORY_EVERY_MS = 10_000

export class LivePage implements Page {
  readonly element: HTMLElement
  readonly #session: Session
  readonly #theme: Theme
  readonly #fleet = new Fleet()
  readonly #list: VehicleList
  readonly #details: VehicleDetails
  readonly #pill: StreamPill
  readonly #notices = new Notices()
  readonly #stream: Stream
  readonly #track: LastHourTrack
  readonly #mapElement = element('div', { class: 'map' })
  #map: FleetMap | null = null
  #selected: Vehicle | null = null
  #fitted = false
  #listTimer: ReturnType<typeof setTimeout> | undefined
  #ticker: ReturnType<typeof setInterval> | undefined
  #directoryMs = Number.NEGATIVE_INFINITY
  #directoryTimer: ReturnType<typeof setTimeout> | undefined
  #stopped = false

  constructor({ session, theme, setStatus }: PageContext) {
    this.#session = session
    this.#theme = theme
    this.#list = new VehicleList(this.#fleet, {
      onChoose: (vehicle) => this.#choose(vehicle, true),
      onFilter: () => this.#map?.refresh(),
    })
    this.#details = new VehicleDetails({
      onClose: () => this.#choose(null, true),
      onFollow: (on) => this.#follow(on),
      onGoTo: () => this.#selected !== null && this.#map?.goTo(this.#selected),
      onReloadTrack: () => this.#track.load(this.#selected),
    })
    this.#track = new LastHourTrack(session, (hour) => {
      this.#details.setLastHour(hour, serverNowMs())
      this.#map?.setTrack(hour.kind === 'loaded' ? this.#track.driven : [])
    })
    this.#pill = new StreamPill(() => this.#stream.start())
    setStatus(this.#pill.element)
    this.#stream = new Stream(
      {
        ticket: () => session.post<StreamTicket>('/api/v1/stream/tickets', {}),
        mayReturn: () => session.signedIn,
      },
      (status) => this.#pill.show(status),
    )
    this.#stream.subscribe(
      { scope: { all: true } },
      {
        onPositions: (rows) => this.#onRows(rows),
        onLive: () => this.#onLive(),
        onLeft: (devices) => this.#onLeft(new Set(devices)),
        onLagging: (dropped) =>
          dropped > 0 &&
          this.#notices.show(
            'lagging',
            `This page was too slow: ${formatCount(dropped)} positions were left out; newer ones have come.`,
          ),
        onError: (_code, detail) => this.#notices.show('stream', `The live stream refused: ${detail}`),
      },
    )
    this.element = this.#layout()
  }

  /** Starts map, directory and stream; the element must be in the page. */
  start(): void {
    const reduced = matchMedia('(prefers-reduced-motion: reduce)')
    this.#fleet.still = reduced.matches
    try {
      this.#map = new FleetMap(this.#mapElement, this.#fleet, this.#theme.palette, {
        onPick: (vehicle) => this.#choose(vehicle, false),
        onFollowEnd: () => this.#details.setFollowing(false),
      })
    } catch {
      this.#mapElement.append(
        element(
          'p',
          { class: 'map-fault', role: 'alert' },
          'This browser cannot draw the map: WebGL 2 is off or missing. Switch on hardware acceleration in its ' +
            'settings, or use another browser. The list still works.',
        ),
      )
    }
    this.#theme.onChange = () => this.#map?.setPalette(this.#theme.palette)
    this.#ticker = setInterval(() => this.#tick(), TICK_MS)
    this.#list.refresh()
    this.#readDirectory()
    window.addEventListener('online', this.#onOnline)
    this.#stream.start()
  }

  /** Ends everything that runs. */
  stop(): void {
    this.#stopped = true
    clearInterval(this.#ticker)
    clearTimeout(this.#listTimer)
    clearTimeout(this.#directoryTimer)
    window.removeEventListener('online', this.#onOnline)
    this.#stream.stop()
    this.#track.load(null)
    this.#theme.onChange = () => {}
    this.#map?.remove()
  }

  readonly #onOnline = (): void => this.#stream.online()

  #layout(): HTMLElement {
    const side = element('aside', { class: 'side', 'aria-label': 'Vehicles' }, this.#list.element)
    const page = element('div', { class: 'app', 'data-vehicle-count': 0, 'data-panel': 'open' })
    const panelToggle = button(
      { class: 'quiet-button panel-toggle', 'aria-expanded': 'true', 'aria-label': 'Show or hide the list' },
      () => {
        const open = page.dataset.panel !== 'open'
        page.dataset.panel = open ? 'open' : 'closed'
        panelToggle.setAttribute('aria-expanded', String(open))
        this.#map?.resize()
      },
      icon('list'),
    )
    page.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && this.#selected !== null) this.#choose(null, true)
    })
    page.append(
      side,
      element('main', { class: 'stage' }, this.#mapElement, panelToggle, this.#notices.element),
      this.#details.element,
    )
    return page
  }

  #onRows(rows: readonly Fix[]): void {
    const unknown = this.#fleet.apply(rows, performance.now(), serverNowMs())
    if (unknown) this.#readDirectory()
    if (this.#selected !== null) {
      for (const row of rows) if (row.device === this.#selected.id) this.#track.add(row)
      this.#details.update(serverNowMs())
    }
    this.#map?.refreshSoon()
    this.#listTimer ??= setTimeout(() => {
      this.#listTimer = undefined
      this.#refreshList()
    }, LIST_EVERY_MS)
  }

  #onLive(): void {
    this.#notices.clear('stream')
    // Who came, went or was renamed while nothing was heard.
    this.#readDirectory()
    this.#fitOnce()
  }

  #onLeft(devices: ReadonlySet<number>): void {
    this.#remove(({ id }) => devices.has(id))
  }

  #remove(isGone: (vehicle: Vehicle) => boolean): void {
    const selected = this.#selected
    this.#fleet.remove(isGone)
    if (selected !== null && this.#fleet.get(selected.id) !== selected) {
      this.#notices.show('left', `${selected.name} is no longer among your vehicles.`)
      this.#choose(null, false)
    }
    this.#refreshList()
    this.#map?.refreshSoon()
  }

  #fitOnce(): void {
    if (this.#fitted || this.#fleet.extent() === null) return
    this.#fitted = true
    this.#map?.fit()
  }

  #tick(): void {
    this.#fleet.tick(serverNowMs())
    this.#refreshList()
    this.#details.update(serverNowMs())
    this.#pill.tick()
    this.#map?.refreshSoon()
    // The first vehicle of an empty fleet comes after the snapshot.
    if (!this.#fitted) this.#fitOnce()
  }

  #refreshList(): void {
    this.#list.refresh()
    const placed = this.#fleet.motion.placed.subarray(0, this.#fleet.motion.count)
    const count = placed.reduce((sum, one) => sum + one, 0)
    this.element.dataset.vehicleCount = String(count)
  }

  #choose(vehicle: Vehicle | null, byList: boolean): void {
    if (vehicle === this.#selected && vehicle !== null) {
      if (byList) this.#map?.goTo(vehicle)
      return
    }
    const before = this.#selected
    this.#selected = vehicle
    this.element.dataset.details = vehicle === null ? 'closed' : 'open'
    this.#details.show(vehicle, serverNowMs())
    this.#list.choose(vehicle)
    this.#map?.resize()
    this.#map?.select(vehicle)
    this.#track.load(vehicle)
    if (byList && vehicle !== null) this.#details.focus()
    if (byList && vehicle === null && before !== null) this.#list.focus()
  }

  #follow(on: boolean): void {
    this.#details.setFollowing(on)
    this.#map?.follow(on)
  }

  /** Reads the directory, at once or as soon as the last reading is long enough ago. */
  #readDirectory(): void {
    const waitMs = this.#directoryMs + DIRECTORY_EVERY_MS - performance.now()
    this.#directoryTimer ??= setTimeout(
      () => {
        this.#directoryTimer = undefined
        this.#directoryMs = performance.now()
        this.#readDirectoryNow().catch((error: unknown) => this.#onDirectoryFailure(error))
      },
      Math.max(0, waitMs),
    )
  }

  async #readDirectoryNow(): Promise<void> {
    const before = new Set(this.#fleet.vehicles)
    const named = new Set<number>()
    await readDevices(this.#session, (devices) => {
      this.#fleet.describe(devices)
      for (const { id, disabled } of devices) if (!disabled) named.add(id)
      this.#refreshList()
    })
    this.#remove((vehicle) => before.has(vehicle) && !named.has(vehicle.id))
    this.#notices.clear('directory')
    this.#list.setComplete()
  }

  #onDirectoryFailure(error: unknown): void {
    if (this.#stopped || !this.#session.signedIn) return
    const detail = error instanceof RequestError ? error.message : 'Load the page again.'
    this.#notices.show('directory', `The list of vehicles did not load. ${detail}`, {
      label: 'Try again',
      run: () => {
        this.#directoryMs = Number.NEGATIVE_INFINITY
        this.#readDirectory()
      },
    })
  }
}
