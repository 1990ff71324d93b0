/** Draws a draft on the map and lets it be changed there: by clicks and drags, and by the keys of its handles. */
import type { Position } from 'geojson'
import type { GeoJSONSource, Map as MapLibre, MapMouseEvent } from 'maplibre-gl'
import { EMPTY } from '../map/basemap.ts'
import type { MapOverlay } from '../map/overlay.ts'
import { element } from '../ui/dom.ts'
import type { MapPalette } from '../ui/theme.ts'
import { type Draft, shapeOf, withMovedPlace, withoutPlace, withPlace } from './draft.ts'
import { draftLayers } from './draft-layers.ts'
import { distanceM, placeAway, shapeFeature } from './outline.ts'

const AREA = 'draft-area'
const CORRIDOR = 'draft-corridor'
/** What the arrow keys move a handle by, px; with Shift ten times as far. */
const KEY_STEP_PX = 2
const RADIUS_MIN_M = 1

const STEPS: Readonly<Record<string, readonly [x: number, y: number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
}

/** A corner, the place between two corners where one can come in, or the rim of a circle. */
type Handle =
  | { readonly kind: 'corner' | 'between'; readonly index: number; readonly place: Position }
  | { readonly kind: 'rim'; readonly index: 0; readonly place: Position }

export class ShapeEditor implements MapOverlay {
  readonly #onChange: (draft: Draft) => void
  readonly #handles = element('div', { class: 'draft-handles' })
  #map: MapLibre | null = null
  #draft: Draft | null = null
  #drawing = false

  /** @param onChange Called with the draft as the person has made it here. */
  constructor(onChange: (draft: Draft) => void) {
    this.#onChange = onChange
  }

  attach(map: MapLibre, palette: MapPalette, before: string): void {
    if (this.#map === null) {
      map.getCanvasContainer().append(this.#handles)
      map.on('move', () => this.#place())
      map.on('click', (event) => this.#onClick(event))
      map.on('dblclick', (event) => this.#onDoubleClick(event))
    }
    this.#map = map
    for (const source of [AREA, CORRIDOR]) map.addSource(source, { type: 'geojson', data: EMPTY })
    for (const layer of draftLayers(AREA, CORRIDOR, palette)) map.addLayer(layer, before)
    this.#draw()
  }

  setPalette(palette: MapPalette): void {
    for (const { id, paint } of draftLayers(AREA, CORRIDOR, palette)) {
      for (const [name, value] of Object.entries(paint ?? {})) {
        this.#map?.setPaintProperty(id, name as 'line-color', value as string)
      }
    }
  }

  /**
   * Shows another draft; null = none.
   * @param drawing Whether clicks on the map add corners.
   */
  show(draft: Draft | null, drawing: boolean): void {
    this.#draft = draft
    this.#drawing = drawing && draft !== null
    const map = this.#map
    if (map !== null) {
      map.getContainer().classList.toggle('drawing', this.#drawing)
      if (this.#drawing) map.doubleClickZoom.disable()
      else map.doubleClickZoom.enable()
    }
    this.#draw()
  }

  /** The middle of the map, where a corner can be added without a mouse. */
  get middle(): Position | null {
    return this.#map === null ? null : this.#map.getCenter().toArray()
  }

  #change(draft: Draft): void {
    this.#draft = draft
    this.#draw()
    this.#onChange(draft)
  }

  #onClick(event: MapMouseEvent): void {
    if (!this.#drawing || this.#draft === null) return
    // The second click of a double click ends the drawing.
    if (event.originalEvent.detail > 1) return
    const draft = withPlace(this.#draft, event.lngLat.toArray())
    // A circle has its one place then, and its rim to be dragged.
    if (draft.kind === 'Circle') this.show(draft, false)
    this.#change(draft)
  }

  #onDoubleClick(event: MapMouseEvent): void {
    if (!this.#drawing || this.#draft === null) return
    event.preventDefault()
    this.show(this.#draft, false)
    this.#onChange(this.#draft)
  }

  /** Whether clicks on the map add corners. */
  get drawing(): boolean {
    return this.#drawing
  }

  #draw(): void {
    const map = this.#map
    if (map === null || map.getSource(AREA) === undefined) return
    const draft = this.#draft
    const shape = draft === null ? null : shapeOf(draft)
    const unfinished = draft !== null && shape === null && draft.places.length > 1
    const feature = shape === null ? null : shapeFeature(shape, {})
    const line = unfinished
      ? { type: 'LineString' as const, coordinates: [...draft.places] as Position[] }
      : EMPTY
    const isCorridor = shape?.type === 'Corridor'
    map.getSource<GeoJSONSource>(AREA)?.setData(feature === null || isCorridor ? line : feature)
    map.getSource<GeoJSONSource>(CORRIDOR)?.setData(isCorridor && feature !== null ? feature : EMPTY)
    this.#makeHandles()
  }

  /** One element a handle; those that are there are used again, so that the keyboard stays where it is. */
  #makeHandles(): void {
    const handles = this.#draft === null ? [] : handlesOf(this.#draft)
    while (this.#handles.childElementCount > handles.length) this.#handles.lastElementChild!.remove()
    for (const [at, handle] of handles.entries()) {
      const button = (this.#handles.children[at] as HTMLElement | undefined) ?? this.#addHandle(at)
      button.dataset.kind = handle.kind
      button.ariaLabel = labelOf(handle, this.#draft!)
    }
    this.#place()
  }

  #place(): void {
    if (this.#draft === null || this.#map === null) return
    for (const [at, { place }] of handlesOf(this.#draft).entries()) {
      const { x, y } = this.#map.project(place as [number, number])
      const button = this.#handles.children[at] as HTMLElement | undefined
      if (button !== undefined) button.style.transform = `translate(${x}px, ${y}px)`
    }
  }

  #addHandle(at: number): HTMLElement {
    const button = element('button', { type: 'button', class: 'draft-handle' })
    button.addEventListener('pointerdown', (event) => this.#onGrab(event, at))
    button.addEventListener('keydown', (event) => this.#onKey(event, at))
    // A click on a handle is none on the map.
    for (const name of ['click', 'dblclick', 'mousedown', 'touchstart'] as const) {
      button.addEventListener(name, (event) => event.stopPropagation())
    }
    this.#handles.append(button)
    return button
  }

  #onGrab(event: PointerEvent, at: number): void {
    event.preventDefault()
    event.stopPropagation()
    const button = event.currentTarget as HTMLElement
    button.focus({ preventScroll: true })
    button.setPointerCapture(event.pointerId)
    const index = this.#becomeCorner(at)
    const box = this.#map!.getContainer().getBoundingClientRect()
    const move = (moved: PointerEvent) => {
      const place = this.#map!.unproject([moved.clientX - box.left, moved.clientY - box.top])
      this.#move(index, place.toArray())
    }
    const end = () => {
      button.removeEventListener('pointermove', move)
      button.removeEventListener('pointerup', end)
      button.removeEventListener('pointercancel', end)
    }
    button.addEventListener('pointermove', move)
    button.addEventListener('pointerup', end)
    button.addEventListener('pointercancel', end)
  }

  #onKey(event: KeyboardEvent, at: number): void {
    const draft = this.#draft!
    const handle = handlesOf(draft)[at]!
    const step = STEPS[event.key]
    if (step !== undefined) {
      const distance = KEY_STEP_PX * (event.shiftKey ? 10 : 1)
      const { x, y } = this.#map!.project(handle.place as [number, number])
      const place = this.#map!.unproject([x + step[0] * distance, y + step[1] * distance])
      this.#move(this.#becomeCorner(at), place.toArray())
    } else if (handle.kind === 'between' && (event.key === 'Enter' || event.key === ' ')) {
      this.#becomeCorner(at)
    } else if (handle.kind === 'corner' && (event.key === 'Delete' || event.key === 'Backspace')) {
      this.#change(withoutPlace(draft, handle.index))
    } else return
    event.preventDefault()
    event.stopPropagation()
  }

  /** A handle between two corners becomes one. @returns Place of its handle afterwards. */
  #becomeCorner(at: number): number {
    const handle = handlesOf(this.#draft!)[at]!
    if (handle.kind !== 'between') return at
    this.#change(withPlace(this.#draft!, handle.place, handle.index))
    const after = handle.index
    ;(this.#handles.children[after] as HTMLElement | undefined)?.focus({ preventScroll: true })
    return after
  }

  #move(at: number, place: Position): void {
    const draft = this.#draft!
    const handle = handlesOf(draft)[at]!
    if (handle.kind === 'rim') {
      const radiusM = Math.max(RADIUS_MIN_M, Math.round(distanceM(draft.places[0]!, place)))
      this.#change({ ...draft, radiusM })
    } else this.#change(withMovedPlace(draft, handle.index, place))
  }
}

/** All handles of a draft: its corners first, in their order. */
function handlesOf(draft: Draft): Handle[] {
  const { kind, places } = draft
  const corners = places.map((place, index): Handle => ({ kind: 'corner', index, place }))
  if (kind === 'Circle') {
    const rims = places.map((middle): Handle => {
      return { kind: 'rim', index: 0, place: placeAway(middle, 90, draft.radiusM) }
    })
    return [...corners, ...rims]
  }
  const closed = kind === 'Polygon' && places.length > 2
  const between = places.flatMap(([longitude, latitude], index): Handle[] => {
    const next = places[index + 1] ?? (closed ? places[0] : undefined)
    if (next === undefined) return []
    const place = [(longitude! + next[0]!) / 2, (latitude! + next[1]!) / 2]
    return [{ kind: 'between', index: index + 1, place }]
  })
  return [...corners, ...between]
}

function labelOf(handle: Handle, { kind }: Draft): string {
  if (handle.kind === 'rim') return 'Rim of the circle: arrows change the radius'
  if (handle.kind === 'between') return `Add a corner before corner ${handle.index + 1}`
  if (kind === 'Circle') return 'Middle of the circle: arrows move it'
  return `Corner ${handle.index + 1}: arrows move it, Delete removes it`
}
