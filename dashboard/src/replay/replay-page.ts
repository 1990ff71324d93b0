/** The replay page: the past of vehicles on one clock, wired together. */
import type { GeofenceEvent } from '../../../schemas/geofence-event.ts'
import { Fleet, type Vehicle } from '../fleet/fleet.ts'
import { trackExtent } from '../fleet/track.ts'
import type { FleetMap } from '../map/fleet-map.ts'
import { openMap } from '../map/open-map.ts'
import type { Page, PageContext } from '../pages/page.ts'
import { SHARERS, ShareDialog } from '../share/share-dialog.ts'
import { element } from '../ui/dom.ts'
import { Notices } from '../ui/notices.ts'
import { saveFile } from '../ui/save-file.ts'
import { StreamPill } from '../ui/stream-pill.ts'
import { serverNowMs } from '../wire/clock.ts'
import { readDevices } from '../wire/directory.ts'
import { wordsOf } from '../wire/session.ts'
import { Stream } from '../wire/stream.ts'
import type { StreamTicket } from '../wire/subscription.ts'
import { exportPath, readGroups } from './history.ts'
import { RangePicker } from './range-picker.ts'
import { ReplayClock } from './replay-clock.ts'
import { ReplayEvents } from './replay-events.ts'
import { ReplayFeed } from './replay-feed.ts'
import { replayLayout } from './replay-layout.ts'
import { ReplayMotion } from './replay-motion.ts'
import { type ReplayView, readView, writeView } from './replay-view.ts'
import { countStrip, speedStrip } from './strip.ts'
import { Timeline } from './timeline.ts'
import { TrackReader, type TrackShown } from './track-reader.ts'
import { TrailLayer } from './trail-layer.ts'
import { Transport } from './transport.ts'
import { VehicleCard } from './vehicle-card.ts'
import { WhoPicker } from './who-picker.ts'

const TICK_MS = 250
/** The address follows a running clock at most this often; browsers refuse more. */
const ADDRESS_EVERY_MS = 2_000
const MINUTE_MS = 60_000

export class ReplayPage implements Page {
  readonly element: HTMLElement
  readonly #context: PageContext
  readonly #clock = new ReplayClock()
  readonly #trail = new TrailLayer(this.#clock)
  readonly #motion = new ReplayMotion(this.#clock, this.#trail)
  readonly #fleet = new Fleet(this.#motion)
  readonly #stream: Stream
  readonly #feed: ReplayFeed
  readonly #track: TrackReader
  readonly #share: ShareDialog
  readonly #who: WhoPicker
  readonly #range: RangePicker
  readonly #events: ReplayEvents
  readonly #timeline: Timeline
  readonly #transport: Transport
  readonly #card: VehicleCard
  readonly #notices = new Notices()
  readonly #pill: StreamPill
  readonly #mapElement = element('div', { class: 'map' })
  #map: FleetMap | null = null
  #view: ReplayView
  #selected: Vehicle | null = null
  #fitted = false
  #shownTrack: TrackShown = { kind: 'loading' }
  #addressMs = 0
  #ticker: ReturnType<typeof setInterval> | undefined
  #frame = 0
  #stopped = false

  constructor(context: PageContext) {
    this.#context = context
    this.#view = readView(context.query, serverNowMs())
    const { session } = context
    this.#pill = new StreamPill(() => this.#stream.start(), 'Connected')
    context.setStatus(this.#pill.element)
    this.#stream = new Stream(
      {
        ticket: () => session.post<StreamTicket>('/api/v1/stream/tickets', {}),
        mayReturn: () => session.signedIn,
      },
      (status) => this.#pill.show(status),
    )
    this.#feed = new ReplayFeed(session, this.#stream, this.#fleet, this.#motion, this.#clock, {
      onPositions: () => this.#onPositions(),
      onReady: () => this.#fitOnce(),
      onEmpty: () =>
        this.#notices.show('empty', 'No vehicle has a position in this time. Choose another time.'),
      onFault: (kind, detail) => this.#onFeedFault(kind, detail),
    })
    this.#track = new TrackReader(session, (shown) => this.#onTrack(shown))
    this.#share = new ShareDialog(session)
    this.#who = new WhoPicker(
      this.#fleet,
      (who) => this.#change({ ...this.#view, who, vehicle: null }),
      session.hasRole(SHARERS) ? ({ id, name }) => this.#share.open({ kind: 'group', id, name }) : null,
    )
    this.#range = new RangePicker(serverNowMs, ({ fromMs, toMs }) =>
      this.#change({ ...this.#view, fromMs, toMs, timeMs: fromMs }),
    )
    this.#events = new ReplayEvents(
      session,
      this.#fleet,
      (event) => this.#onEvent(event),
      () => this.#onEvents(),
    )
    this.#timeline = new Timeline({ onSeek: (timeMs, done) => this.#seek(timeMs, done) })
    this.#transport = new Transport({
      onPlay: (playing) => this.#play(playing),
      onSpeed: (speed) => {
        this.#clock.setSpeed(speed, performance.now())
        this.#keep({ speed })
      },
      onTrail: (trailMinutes) => this.#setTrail(trailMinutes),
    })
    this.#card = new VehicleCard({
      onClose: () => this.#choose(null),
      onFollow: (on) => {
        this.#card.setFollowing(on)
        this.#map?.follow(on)
      },
      onGoTo: () => this.#selected !== null && this.#map?.goTo(this.#selected),
      onReloadTrack: () => this.#track.load(this.#selected, this.#view),
      onShare: session.hasRole(SHARERS)
        ? () => this.#share.open({ kind: 'device', id: this.#selected!.id, name: this.#selected!.name })
        : null,
      onExport: async (format) => {
        const { fromMs, toMs } = this.#view
        const { id, name } = this.#selected!
        saveFile(await session.getFile(exportPath(id, format, fromMs, toMs)), `${name}.${format}`)
      },
    })
    this.element = replayLayout(
      [this.#who.element, this.#range.element, this.#events.element],
      [this.#mapElement, this.#notices.element],
      this.#card.element,
      [this.#transport.element, this.#timeline.element],
    )
  }

  start(): void {
    const { theme } = this.#context
    this.#motion.still = matchMedia('(prefers-reduced-motion: reduce)').matches
    this.#startMap()
    theme.onChange = () => {
      this.#map?.setPalette(theme.palette)
      this.#trail.setColour(theme.palette.track)
    }
    window.addEventListener('online', this.#onOnline)
    window.addEventListener('keydown', this.#onKey)
    this.#ticker = setInterval(() => this.#tick(), TICK_MS)
    this.#stream.start()
    this.#readNames()
    this.#show()
  }

  stop(): void {
    this.#stopped = true
    clearInterval(this.#ticker)
    cancelAnimationFrame(this.#frame)
    window.removeEventListener('online', this.#onOnline)
    window.removeEventListener('keydown', this.#onKey)
    this.#feed.stop()
    this.#stream.stop()
    this.#track.load(null, this.#view)
    this.#context.theme.onChange = () => {}
    this.#map?.remove()
  }

  setQuery(query: URLSearchParams): void {
    this.#change(readView(query, serverNowMs()))
  }

  readonly #onOnline = (): void => this.#stream.online()

  /** Wherever they mean nothing else, Escape closes the vehicle, and the space bar plays and pauses. */
  readonly #onKey = (event: KeyboardEvent): void => {
    const target = event.target as HTMLElement
    if (target.closest('dialog') !== null) return
    if (event.key === 'Escape') this.#choose(null)
    if (event.key !== ' ' || target.closest('input, select, button, a') !== null) return
    event.preventDefault()
    this.#play(!this.#clock.playing)
  }

  #startMap(): void {
    const { palette } = this.#context.theme
    this.#trail.setColour(palette.track)
    this.#map = openMap(this.#mapElement, this.#fleet, palette, {
      onPick: (vehicle) => this.#choose(vehicle),
      onFollowEnd: () => this.#card.setFollowing(false),
    })
    this.#map?.addUnderVehicles(this.#trail)
  }

  /** Takes another view: whatever of it is new is read. */
  #change(view: ReplayView): void {
    this.#view = view
    this.#fitted = false
    this.#show()
  }

  #show(): void {
    const { who, fromMs, toMs, timeMs, speed, trailMinutes, vehicle } = this.#view
    this.#clock.setRange(fromMs, toMs, timeMs)
    this.#clock.setSpeed(speed, performance.now())
    this.#motion.trailMs = this.#trail.trailMs = trailMinutes * MINUTE_MS
    this.#who.show(who)
    this.#range.show({ fromMs, toMs })
    this.#transport.setChoices(speed, trailMinutes)
    this.#timeline.setRange(fromMs, toMs)
    for (const key of ['empty', 'snapshot', 'stream']) this.#notices.clear(key)
    this.#feed.load(who)
    this.#events.load(this.#view)
    // Of a single vehicle everything is shown at once.
    const wanted = vehicle ?? (who.kind === 'devices' && who.devices.length === 1 ? who.devices[0]! : null)
    this.#view = { ...this.#view, vehicle: wanted }
    this.#choose(wanted === null ? null : (this.#fleet.get(wanted) ?? null), true)
    this.#drawStrip()
    this.#showClock()
    this.#keep({})
  }

  #play(playing: boolean): void {
    const nowMs = performance.now()
    if (playing) {
      const before = this.#clock.timeMs
      this.#clock.play(nowMs)
      // From the end it begins anew.
      if (this.#clock.timeMs !== before) this.#feed.seek(this.#clock.timeMs)
      this.#step()
    } else this.#clock.pause(nowMs)
    this.#showClock()
    this.#keep({})
  }

  /** Each frame while the clock runs. */
  #step(): void {
    cancelAnimationFrame(this.#frame)
    this.#clock.advance(performance.now())
    this.#showClock()
    this.#map?.refreshSoon()
    if (this.#clock.playing) this.#frame = requestAnimationFrame(() => this.#step())
    else this.#keep({})
  }

  #seek(timeMs: number, done: boolean): void {
    // While it is dragged, only what is in memory is shown: reading waits until the person lets go.
    if (done || this.#feed.has(timeMs)) this.#feed.seek(timeMs)
    this.#transport.setTime(timeMs)
    this.#map?.refresh()
    if (done) {
      this.#showClock()
      this.#keep({})
    }
  }

  #setTrail(trailMinutes: number): void {
    this.#motion.trailMs = this.#trail.trailMs = trailMinutes * MINUTE_MS
    this.#motion.redrawTrail()
    this.#map?.refresh()
    this.#keep({ trailMinutes })
  }

  #showClock(): void {
    const { timeMs, playing, waiting } = this.#clock
    this.#timeline.setTime(timeMs)
    if (!this.#timeline.dragging) this.#transport.setTime(timeMs)
    this.#transport.setState(waiting ? 'waiting' : playing ? 'playing' : 'paused')
    this.#events.setTime(timeMs)
    this.#updateCard()
  }

  #updateCard(): void {
    const vehicle = this.#selected
    if (vehicle === null) return
    const { row } = vehicle
    this.#card.update(this.#motion.fixOf(row), this.#motion.state[row]!, this.#clock.timeMs)
  }

  #tick(): void {
    this.#feed.tick()
    this.#pill.tick()
    this.#timeline.setKnown(...this.#feed.known)
    this.#updateCard()
    const { motion } = this.#fleet
    const placed = motion.placed.subarray(0, motion.count).reduce((sum, one) => sum + one, 0)
    this.element.dataset.vehicleCount = String(placed)
    this.element.dataset.time = new Date(this.#clock.timeMs).toISOString()
    if (this.#clock.playing && performance.now() - this.#addressMs > ADDRESS_EVERY_MS) this.#keep({})
  }

  #onPositions(): void {
    this.#map?.refreshSoon()
    // A vehicle of the address may come up with its first position.
    if (this.#selected === null && this.#view.vehicle !== null) this.#chooseWanted()
  }

  #fitOnce(): void {
    const { who } = this.#view
    // The track of a single vehicle says more than where it stood; without a track there is nothing else.
    const single = who.kind === 'devices' && who.devices.length === 1 && this.#shownTrack.kind === 'loading'
    if (this.#fitted || single) return
    this.#motion.sample(performance.now())
    if (this.#fleet.extent() === null) return
    this.#fitted = true
    this.#map?.fit()
  }

  #onFeedFault(kind: 'snapshot' | 'stream', detail: string): void {
    const what = kind === 'snapshot' ? 'Where the vehicles stood did not load.' : 'The replay was refused.'
    this.#notices.show(kind, `${what} ${detail}`, {
      label: 'Try again',
      run: () => this.#feed.load(this.#view.who),
    })
  }

  #chooseWanted(): void {
    const vehicle = this.#fleet.get(this.#view.vehicle ?? 0)
    if (vehicle !== undefined && vehicle !== this.#selected) this.#choose(vehicle)
  }

  #choose(vehicle: Vehicle | null, anew = false): void {
    if (vehicle === this.#selected && !anew) return
    const kept = this.#selected === vehicle
    this.#selected = vehicle
    if (vehicle !== null || !anew) this.#keep({ vehicle: vehicle?.id ?? null })
    this.element.dataset.details = vehicle === null ? 'closed' : 'open'
    this.#card.show(vehicle)
    this.#map?.resize()
    if (!kept) this.#map?.select(vehicle)
    this.#track.load(vehicle, this.#view)
    this.#updateCard()
  }

  #onTrack(shown: TrackShown): void {
    this.#shownTrack = shown
    this.#card.setTrack(shown)
    const track = shown.kind === 'loaded' ? shown.track : []
    this.#map?.setTrack(track, { joined: false, gaps: shown.kind === 'loaded' && shown.exact })
    if (!this.#fitted && track.length > 0) {
      this.#fitted = true
      this.#map?.fit(trackExtent(track))
    }
    this.#drawStrip()
  }

  /** Over the timeline: the speed of the chosen vehicle, else how many events there were. */
  #drawStrip(): void {
    const { fromMs, toMs } = this.#view
    const times = this.#events.timesMs
    const track = this.#shownTrack.kind === 'loaded' ? this.#shownTrack.track : []
    const chosen = this.#selected !== null
    this.#timeline.setStrip(chosen ? speedStrip(track, fromMs, toMs) : countStrip(times, fromMs, toMs))
    this.#timeline.setTicks(times)
  }

  #onEvents(): void {
    this.#events.setTime(this.#clock.timeMs)
    this.#drawStrip()
  }

  #onEvent(event: GeofenceEvent): void {
    this.#seek(Date.parse(event.time), true)
    const vehicle = this.#fleet.get(event.device)
    if (vehicle === undefined) return
    this.#choose(vehicle)
    this.#motion.sample(performance.now())
    this.#map?.goTo(vehicle)
  }

  /** Names of vehicles, groups and geofences, which the page also works without. */
  #readNames(): void {
    const { session } = this.#context
    const fail = (what: string) => (error: unknown) => {
      if (this.#stopped || !session.signedIn) return
      this.#notices.show('names', `The ${what} did not load. ${wordsOf(error)}`, {
        label: 'Try again',
        run: () => this.#readNames(),
      })
    }
    readDevices(session, (devices) => {
      this.#fleet.describe(devices)
      this.#who.refresh()
      this.#chooseWanted()
    }).then(() => this.#events.rename(), fail('list of vehicles'))
    readGroups(session).then((groups) => this.#who.setGroups(groups), fail('list of groups'))
    this.#events.readNames().catch(fail('names of geofences'))
  }

  /** Keeps the view, with the clock as it stands, in the address. */
  #keep(change: Partial<ReplayView>): void {
    this.#addressMs = performance.now()
    this.#view = { ...this.#view, timeMs: this.#clock.timeMs, ...change }
    this.#context.keepQuery(writeView(this.#view))
  }
}
