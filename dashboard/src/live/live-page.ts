/** The live page: wires stream, fleet, map, lists and details together. */
import { EventPanel } from '../events/event-panel.ts'
import { Fleet, type Vehicle } from '../fleet/fleet.ts'
import { LastHourTrack } from '../fleet/last-hour-track.ts'
import { GeofenceOverlay } from '../geofences/geofence-overlay.ts'
import { GeofenceStore } from '../geofences/geofence-store.ts'
import { FleetMap } from '../map/fleet-map.ts'
import type { Page, PageContext } from '../pages/page.ts'
import { SHARERS, ShareDialog } from '../share/share-dialog.ts'
import { element } from '../ui/dom.ts'
import { mapFault } from '../ui/map-fault.ts'
import { Notices } from '../ui/notices.ts'
import { panelToggle } from '../ui/panel-toggle.ts'
import { StreamPill } from '../ui/stream-pill.ts'
import { tabs } from '../ui/tabs.ts'
import type { Theme } from '../ui/theme.ts'
import { VehicleDetails } from '../ui/vehicle-details.ts'
import { VehicleList } from '../ui/vehicle-list.ts'
import { serverNowMs } from '../wire/clock.ts'
import type { Fix, FleetEvent } from '../wire/rows.ts'
import { DirectoryReader } from './directory-reader.ts'
import { laggingWords } from './lagging-words.ts'
import { LiveFeeds } from './live-feeds.ts'

/** The lists follow the stream at most this often; the map follows each frame. */
const LIST_EVERY_MS = 400
const TICK_MS = 1_000

export class LivePage implements Page {
  readonly element: HTMLElement
  readonly #theme: Theme
  readonly #fleet = new Fleet()
  readonly #list: VehicleList
  readonly #details: VehicleDetails
  readonly #share: ShareDialog
  readonly #events: EventPanel
  readonly #geofences: GeofenceStore
  readonly #overlay = new GeofenceOverlay()
  readonly #pill: StreamPill
  readonly #notices = new Notices()
  readonly #feeds: LiveFeeds
  readonly #directory: DirectoryReader
  readonly #track: LastHourTrack
  readonly #mapElement = element('div', { class: 'map' })
  #map: FleetMap | null = null
  #selected: Vehicle | null = null
  #fitted = false
  #tab = 'vehicles'
  #listTimer: ReturnType<typeof setTimeout> | undefined
  #ticker: ReturnType<typeof setInterval> | undefined

  constructor({ session, theme, setStatus }: PageContext) {
    this.#theme = theme
    this.#list = new VehicleList(this.#fleet, {
      onChoose: (vehicle) => this.#choose(vehicle, true),
      onFilter: () => this.#map?.refresh(),
      isInView: (vehicle) => this.#map?.isInView(vehicle) ?? false,
    })
    this.#details = new VehicleDetails({
      onClose: () => this.#choose(null, true),
      onFollow: (on) => this.#follow(on),
      onGoTo: () => this.#selected !== null && this.#map?.goTo(this.#selected),
      onReloadTrack: () => this.#track.load(this.#selected),
      onShare: session.hasRole(SHARERS)
        ? ({ id, name }) => this.#share.open({ kind: 'device', id, name })
        : null,
    })
    this.#share = new ShareDialog(session)
    this.#track = new LastHourTrack(session, (hour) => {
      this.#details.setLastHour(hour, serverNowMs())
      this.#map?.setTrack(hour.kind === 'loaded' ? this.#track.driven : [])
    })
    this.#geofences = new GeofenceStore(session)
    this.#geofences.onChange = () => this.#onGeofences()
    this.#events = new EventPanel(session, {
      nameOfDevice: (device) => this.#fleet.get(device)?.name ?? `Device ${device}`,
      nameOfGeofence: (geofence) => this.#geofences.nameOf(geofence),
      onChoose: (event) => this.#goToEvent(event),
    })
    this.#directory = new DirectoryReader(session, this.#fleet, {
      onNames: () => this.#refreshListsSoon(),
      onGone: (isGone) => this.#remove(isGone),
      onComplete: () => {
        this.#notices.clear('directory')
        this.#list.setComplete()
      },
      onFailure: (detail) =>
        this.#notices.show('directory', `The list of vehicles did not load. ${detail}`, {
          label: 'Try again',
          run: () => this.#directory.retry(),
        }),
    })
    this.#pill = new StreamPill(() => this.#feeds.retry())
    setStatus(this.#pill.element)
    this.#feeds = new LiveFeeds(session, {
      onStatus: (status) => this.#pill.show(status),
      onPositions: (rows) => this.#onPositions(rows),
      onEvents: (rows) => {
        this.#events.add(rows)
        this.#refreshListsSoon()
      },
      onLive: () => this.#onLive(),
      onLeft: (devices) => {
        const left = new Set(devices)
        this.#remove(({ id }) => left.has(id))
      },
      onLagging: (positions, events) => {
        this.#notices.show('lagging', laggingWords(positions, events))
        // What was left out of the stream is in storage.
        if (events > 0) this.#events.load()
      },
      onError: (detail) => this.#notices.show('stream', `The live stream refused: ${detail}`),
      countIn: (box) => this.#fleet.countIn(box),
    })
    this.element = this.#layout()
  }

  start(): void {
    const reduced = matchMedia('(prefers-reduced-motion: reduce)')
    this.#fleet.still = reduced.matches
    try {
      this.#map = new FleetMap(this.#mapElement, this.#fleet, this.#theme.palette, {
        onPick: (vehicle) => this.#choose(vehicle, false),
        onFollowEnd: () => this.#details.setFollowing(false),
        onView: (view) => this.#feeds.see(view),
      })
      this.#map.addOverlay(this.#overlay)
    } catch {
      this.#mapElement.append(mapFault())
    }
    this.#theme.onChange = () => this.#map?.setPalette(this.#theme.palette)
    this.#ticker = setInterval(() => this.#tick(), TICK_MS)
    this.#list.refresh()
    this.#directory.read()
    this.#geofences.load()
    this.#feeds.start()
  }

  stop(): void {
    clearInterval(this.#ticker)
    clearTimeout(this.#listTimer)
    this.#feeds.stop()
    this.#directory.stop()
    this.#events.stop()
    this.#geofences.stop()
    this.#track.load(null)
    this.#theme.onChange = () => {}
    this.#map?.remove()
  }

  #layout(): HTMLElement {
    const page = element('div', { class: 'app', 'data-vehicle-count': 0 })
    const panels = [
      { name: 'vehicles', label: 'Vehicles', panel: this.#list.element },
      { name: 'events', label: 'Events', panel: this.#events.element },
    ]
    const side = tabs('Vehicles or events', panels, (name) => {
      this.#tab = name
      this.#refreshLists()
    })
    page.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && this.#selected !== null) this.#choose(null, true)
    })
    page.append(
      element('aside', { class: 'side', 'aria-label': 'Vehicles and events' }, side),
      element(
        'main',
        { class: 'stage' },
        this.#mapElement,
        panelToggle(page, 'vehicles and events', () => this.#map?.resize()),
        this.#notices.element,
      ),
      this.#details.element,
    )
    return page
  }

  #onPositions(rows: readonly Fix[]): void {
    const unknown = this.#fleet.apply(rows, performance.now(), serverNowMs())
    if (unknown) this.#directory.read()
    const selected = this.#selected
    if (selected !== null) {
      const own = rows.filter(({ device }) => device === selected.id)
      for (const row of own) this.#track.add(row)
      if (own.length > 0) this.#details.update(serverNowMs())
    }
    this.#map?.refreshSoon()
    this.#refreshListsSoon()
  }

  #onLive(): void {
    this.#notices.clear('stream')
    // Who came, went or was renamed while nothing was heard, and what happened.
    this.#directory.read()
    this.#events.load()
    this.#fitOnce()
  }

  #onGeofences(): void {
    const { state } = this.#geofences
    this.#overlay.setGeofences(this.#geofences.geofences)
    this.#events.refresh()
    if (state.kind !== 'failed') this.#notices.clear('geofences')
    else {
      this.#notices.show('geofences', `The geofences did not load. ${state.detail}`, {
        label: 'Try again',
        run: () => this.#geofences.load(),
      })
    }
  }

  #remove(isGone: (vehicle: Vehicle) => boolean): void {
    const selected = this.#selected
    this.#fleet.remove(isGone)
    if (selected !== null && this.#fleet.get(selected.id) !== selected) {
      this.#notices.show('left', `${selected.name} is no longer among your vehicles.`)
      this.#choose(null, false)
    }
    this.#refreshLists()
    this.#map?.refreshSoon()
  }

  #fitOnce(): void {
    if (this.#fitted || this.#fleet.extent() === null) return
    this.#fitted = true
    this.#map?.fit()
  }

  #tick(): void {
    this.#fleet.tick(serverNowMs())
    this.#refreshLists()
    this.#details.update(serverNowMs())
    this.#pill.tick()
    this.#map?.refreshSoon()
    // The first vehicle of an empty fleet comes after the snapshot.
    if (!this.#fitted) this.#fitOnce()
  }

  #refreshListsSoon(): void {
    this.#listTimer ??= setTimeout(() => {
      this.#listTimer = undefined
      this.#refreshLists()
    }, LIST_EVERY_MS)
  }

  /** What is not in sight costs nothing; the search of the vehicles is seen on the map, too. */
  #refreshLists(): void {
    this.#list.refresh()
    if (this.#tab === 'events') this.#events.refresh()
    this.element.dataset.vehicleCount = String(this.#fleet.placedCount)
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
    this.#feeds.watch(vehicle?.id ?? null)
    if (byList && vehicle !== null) this.#details.focus()
    if (byList && vehicle === null && before !== null) this.#list.focus()
  }

  #goToEvent({ geofence: id, latitude, longitude }: FleetEvent): void {
    const geofence = this.#geofences.get(id)
    this.#overlay.choose(geofence === undefined ? null : id)
    if (latitude !== null && longitude !== null) this.#map?.goToPlace(longitude, latitude)
    else if (geofence !== undefined) this.#overlay.fit(geofence, this.#map?.coveredRightPx ?? 0)
  }

  #follow(on: boolean): void {
    this.#details.setFollowing(on)
    this.#map?.follow(on)
  }
}
