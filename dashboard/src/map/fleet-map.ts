/** The map: basemap, track, vehicles and their names; what is chosen, what is followed, which colours. */
import {
  AttributionControl,
  type CustomLayerInterface,
  type GeoJSONSource,
  Map as MapLibre,
  NavigationControl,
  ScaleControl,
  setWorkerUrl,
} from 'maplibre-gl'
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url'
import type { Fleet, Vehicle } from '../fleet/fleet.ts'
import { latitudeOf, longitudeOf } from '../fleet/mercator.ts'
import { type TrackPoint, trackFeatures } from '../fleet/track.ts'
import type { MapPalette } from '../ui/theme.ts'
import { EMPTY, loadBasemap } from './basemap.ts'
import { FitControl } from './fit-control.ts'
import { gridLines, type View } from './grid.ts'
import { LabelCanvas } from './labels.ts'
import { layersOf, styleOf } from './map-style.ts'
import type { MapOverlay } from './overlay.ts'
import { trackArrow, vehicleAtlas } from './sprites.ts'
import { LOWEST_TRACK_LAYER, TRACK_ARROW } from './track-layers.ts'
import { VehicleLayer } from './vehicle-layer.ts'
import { vehicleNames } from './vehicle-names.ts'

/** A finger is less exact than this, a mouse more. */
const PICK_REACH_PX = 18
/** A frame is worth drawing once the fastest vehicle has moved this far. */
const STEP_PX = 0.3
const FRAME_MAX_MS = 1_000
/** New positions are shown within this time. */
const REFRESH_MS = 100
const FIT_ZOOM_MAX = 15
/** A vehicle closer to the edge than this is out of view. */
const EDGE_PX = 24
const CLOSE_ZOOM = 15
/** The end of the track is brought to the vehicle at most this often. */
const TAIL_EVERY_MS = 100

export interface FleetMapListener {
  /** A vehicle was clicked, or (null) the empty map. */
  onPick(vehicle: Vehicle | null): void
  /** The person took the map in hand, so nothing is followed any more. */
  onFollowEnd(): void
  /** The map shows another part of the world. */
  onView?(view: View): void
  /** A click at a place of the screen, px from the top left; with it, none is a vehicle's. */
  onPlace?(x: number, y: number): void
  /** What the button shows that shows all, and how; without it, the whole fleet. */
  readonly fit?: { readonly label: string; readonly run: () => void }
}

export class FleetMap {
  readonly #map: MapLibre
  readonly #container: HTMLElement
  readonly #fleet: Fleet
  readonly #layer: VehicleLayer
  readonly #labels: LabelCanvas
  readonly #listener: FleetMapListener
  #palette: MapPalette
  #selected: Vehicle | null = null
  #hovered = -1
  #pointer: { readonly x: number; readonly y: number } | null = null
  #following = false
  #track: readonly TrackPoint[] = []
  #trackHow = { joined: true, gaps: true }
  #tailMs = 0
  /** Layers between the track and the vehicles. */
  readonly #under: CustomLayerInterface[] = []
  readonly #overlays: MapOverlay[] = []
  #ready = false
  #timer: ReturnType<typeof setTimeout> | undefined
  /** When the next frame is due, by `performance.now()`. */
  #dueMs = Number.POSITIVE_INFINITY

  /** @throws Error when the browser cannot draw with WebGL 2. */
  constructor(container: HTMLElement, fleet: Fleet, palette: MapPalette, listener: FleetMapListener) {
    this.#container = container
    this.#fleet = fleet
    this.#palette = palette
    this.#listener = listener
    this.#layer = new VehicleLayer(fleet.motion)
    this.#layer.setAtlas(vehicleAtlas(palette))
    setWorkerUrl(workerUrl)
    const map = new MapLibre({
      container,
      style: styleOf(palette),
      center: [10, 25],
      zoom: 1.4,
      maxZoom: 19,
      renderWorldCopies: false,
      dragRotate: false,
      pitchWithRotate: false,
      touchPitch: false,
      maxPitch: 0,
      pixelRatio: Math.min(2, devicePixelRatio),
      attributionControl: false,
      locale: { 'Map.Title': 'Map of the vehicles; the list beside it has the same vehicles' },
    })
    this.#map = map
    map.touchZoomRotate.disableRotation()
    map.keyboard.disableRotation()
    map.addControl(new NavigationControl({ showCompass: false }), 'top-left')
    map.addControl(
      new FitControl(listener.fit ?? { label: 'Show the whole fleet', run: () => this.fit() }),
      'top-left',
    )
    map.addControl(
      new AttributionControl({ compact: true, customAttribution: 'Natural Earth' }),
      'bottom-left',
    )
    map.addControl(new ScaleControl({ maxWidth: 120 }), 'bottom-left')
    this.#labels = new LabelCanvas(map.getCanvasContainer())
    this.#layer.onDrawn = () => this.#drawn()
    this.#listen()
  }

  /** Draws again at once: what is chosen, searched or hovered has changed. */
  refresh(): void {
    if (this.#ready) this.#map.triggerRepaint()
  }

  /** Draws again soon: positions have come. Many calls together make one frame. */
  refreshSoon(): void {
    this.#drawIn(REFRESH_MS)
  }

  setPalette(palette: MapPalette): void {
    this.#palette = palette
    if (!this.#ready) return
    for (const layer of layersOf(palette)) {
      for (const [name, value] of Object.entries(layer.paint ?? {})) {
        this.#map.setPaintProperty(layer.id, name as 'line-color', value as string)
      }
    }
    for (const overlay of this.#overlays) overlay.setPalette(palette)
    this.#map.updateImage(TRACK_ARROW, trackArrow(palette))
    this.#layer.setAtlas(vehicleAtlas(palette))
  }

  /**
   * Shows the whole fleet; without a placed vehicle nothing changes.
   * @param extent West, south, east and north on the unit square of something else to show.
   */
  fit(extent = this.#fleet.extent()): void {
    if (extent === null) return
    this.follow(false)
    const [west, south, east, north] = extent
    this.#map.fitBounds(
      [
        [longitudeOf(west), latitudeOf(south)],
        [longitudeOf(east), latitudeOf(north)],
      ],
      {
        padding: { top: 48, right: 48 + this.coveredRightPx, bottom: 48, left: 48 },
        maxZoom: FIT_ZOOM_MAX,
        duration: 700,
      },
    )
  }

  /** Marks a vehicle, and brings it into view if it is not. */
  select(vehicle: Vehicle | null): void {
    this.#selected = vehicle
    this.#layer.selectedRow = vehicle?.row ?? -1
    this.setTrack([])
    if (vehicle === null) {
      this.#following = false
      return
    }
    if (this.#isPlaced(vehicle) && !this.#isInFreeView(vehicle)) this.goTo(vehicle)
    this.refresh()
  }

  /** Moves to a vehicle, close enough to see the street. */
  goTo(vehicle: Vehicle): void {
    if (this.#isPlaced(vehicle)) this.#easeTo(this.#placeOf(vehicle))
  }

  /** Moves to a place, close enough to see the street. */
  goToPlace(longitudeDeg: number, latitudeDeg: number): void {
    this.follow(false)
    this.#easeTo([longitudeDeg, latitudeDeg])
  }

  /** Keeps the selected vehicle in the middle until the person moves the map. */
  follow(on: boolean): void {
    if (this.#following === on) return
    this.#following = on && this.#selected !== null
    // Otherwise zooming would fight with following over the middle.
    this.#map.scrollZoom.enable(on ? { around: 'center' } : true)
    if (this.#following) this.goTo(this.#selected!)
    else this.#listener.onFollowEnd()
  }

  /**
   * Shows the way of the selected vehicle, oldest position first; an empty list takes it away.
   * @param how Whether the way goes on to where the vehicle is drawn; whether a long time between points is a gap.
   */
  setTrack(points: readonly TrackPoint[], how = { joined: true, gaps: true }): void {
    this.#track = points
    this.#trackHow = how
    if (!this.#ready) return
    const features = points.length === 0 ? EMPTY : trackFeatures(points, how.gaps)
    this.#map.getSource<GeoJSONSource>('track')?.setData(features)
    this.#tailMs = 0
    this.#moveTail()
  }

  /** Draws an overlay of one's own under the track. */
  addOverlay(overlay: MapOverlay): void {
    this.#overlays.push(overlay)
    if (this.#ready) overlay.attach(this.#map, this.#palette, LOWEST_TRACK_LAYER)
  }

  /** What it shows now. */
  get view(): View {
    const bounds = this.#map.getBounds()
    return {
      west: bounds.getWest(),
      south: bounds.getSouth(),
      east: bounds.getEast(),
      north: bounds.getNorth(),
    }
  }

  /** What the details cover at its right, px, as the style sheet says. */
  get coveredRightPx(): number {
    return Number.parseFloat(getComputedStyle(this.#container).getPropertyValue('--covered-right')) || 0
  }

  /** Whether a vehicle is in view, as it was drawn last. */
  isInView(vehicle: Vehicle): boolean {
    // NaN stands for what is not.
    return this.#layer.screenX[vehicle.row]! >= 0
  }

  /** Draws a layer of one's own under the vehicles. */
  addUnderVehicles(layer: CustomLayerInterface): void {
    this.#under.push(layer)
    if (this.#ready) this.#map.addLayer(layer, this.#layer.id)
  }

  /** Takes the size of its container, after the page was laid out anew. */
  resize(): void {
    this.#map.resize()
  }

  /** Frees the map. */
  remove(): void {
    this.#ready = false
    clearTimeout(this.#timer)
    this.#map.remove()
  }

  #easeTo(center: [number, number]): void {
    this.#map.easeTo({
      center,
      zoom: Math.max(this.#map.getZoom(), CLOSE_ZOOM),
      offset: [-this.coveredRightPx / 2, 0],
      duration: 700,
    })
  }

  #listen(): void {
    const map = this.#map
    // Comes again when the browser has taken the graphics away and given them back.
    map.on('style.load', () => {
      if (!map.hasImage(TRACK_ARROW)) {
        map.addImage(TRACK_ARROW, trackArrow(this.#palette), { pixelRatio: 2 })
      }
      for (const layer of this.#under) map.addLayer(layer)
      map.addLayer(this.#layer)
      for (const overlay of this.#overlays) overlay.attach(map, this.#palette, LOWEST_TRACK_LAYER)
      this.#ready = true
      this.setPalette(this.#palette)
      this.setTrack(this.#track, this.#trackHow)
      this.#drawGrid()
      loadBasemap(map).catch(() => undefined)
    })
    map.on('webglcontextlost', () => {
      this.#ready = false
    })
    map.on('moveend', () => {
      this.#drawGrid()
      this.#listener.onView?.(this.view)
    })
    map.on('resize', () => this.#fitLabels())
    this.#fitLabels()
    map.on('click', (event) => {
      if (this.#listener.onPlace !== undefined) return this.#listener.onPlace(event.point.x, event.point.y)
      const row = this.#layer.pick(event.point.x, event.point.y, PICK_REACH_PX)
      this.#listener.onPick(this.#fleet.byRow[row] ?? null)
    })
    map.on('mousemove', (event) => this.#point(event.point))
    map.on('mouseout', () => this.#point(null))
    map.on('dragstart', () => this.follow(false))
  }

  /** The mouse is at a place of the map, or (null) has left it. */
  #point(place: { readonly x: number; readonly y: number } | null): void {
    this.#pointer = place
    const before = this.#hovered
    this.#hover()
    if (this.#hovered !== before) this.refresh()
  }

  #hover(): void {
    const place = this.#pointer
    const row = place === null ? -1 : this.#layer.pick(place.x, place.y, PICK_REACH_PX)
    if (row === this.#hovered) return
    this.#hovered = row
    this.#map.getCanvas().style.cursor = row === -1 ? '' : 'pointer'
  }

  /** After each draw: names, the end of the track, figures, and when to draw again. */
  #drawn(): void {
    // Vehicles also come and go under a mouse at rest.
    this.#hover()
    this.#drawLabels()
    this.#moveTail()
    this.#container.dataset.drawnCount = String(this.#layer.inView)
    this.#dueMs = Number.POSITIVE_INFINITY
    clearTimeout(this.#timer)
    const { fastestPx } = this.#layer
    if (fastestPx > 0) this.#drawIn(Math.min(FRAME_MAX_MS, STEP_PX / fastestPx))
  }

  /** Sees to a frame in `waitMs` at the latest. */
  #drawIn(waitMs: number): void {
    const dueMs = performance.now() + waitMs
    if (!this.#ready || dueMs >= this.#dueMs) return
    this.#dueMs = dueMs
    clearTimeout(this.#timer)
    // The frame itself takes up the last part of the wait.
    this.#timer = setTimeout(() => requestAnimationFrame(() => this.#step()), Math.max(0, waitMs - 16))
  }

  #step(): void {
    if (!this.#ready) return
    if (this.#following && this.#selected !== null && !this.#map.isMoving()) {
      this.#fleet.motion.sample(performance.now())
      const { x, y } = this.#map.project(this.#placeOf(this.#selected))
      this.#map.jumpTo({ center: this.#map.unproject([x + this.coveredRightPx / 2, y]) })
    }
    this.#map.triggerRepaint()
  }

  #drawLabels(): void {
    const names = vehicleNames(this.#fleet, this.#layer, this.#hovered, this.#map.getZoom())
    this.#labels.draw(names, this.#palette)
  }

  /** Joins the last position of the track with where the vehicle is drawn. */
  #moveTail(): void {
    const now = performance.now()
    if (now - this.#tailMs < TAIL_EVERY_MS) return
    this.#tailMs = now
    const last = this.#track.at(-1)
    const source = this.#map.getSource<GeoJSONSource>('track-tail')
    if (last === undefined || this.#selected === null || !this.#trackHow.joined) source?.setData(EMPTY)
    else {
      const coordinates = [[last.longitude, last.latitude], this.#placeOf(this.#selected)]
      source?.setData({ type: 'LineString', coordinates })
    }
  }

  #drawGrid(): void {
    if (this.#ready) this.#map.getSource<GeoJSONSource>('grid')?.setData(gridLines(this.view))
  }

  #fitLabels(): void {
    this.#labels.resize(this.#container.clientWidth, this.#container.clientHeight)
  }

  #isPlaced(vehicle: Vehicle): boolean {
    return this.#fleet.motion.placed[vehicle.row] === 1
  }

  #placeOf(vehicle: Vehicle): [number, number] {
    const { motion } = this.#fleet
    return [longitudeOf(motion.x[vehicle.row]!), latitudeOf(motion.y[vehicle.row]!)]
  }

  #isInFreeView(vehicle: Vehicle): boolean {
    const { x, y } = this.#map.project(this.#placeOf(vehicle))
    const { clientWidth, clientHeight } = this.#container
    const right = clientWidth - this.coveredRightPx - EDGE_PX
    return x > EDGE_PX && y > EDGE_PX && x < right && y < clientHeight - EDGE_PX
  }
}
