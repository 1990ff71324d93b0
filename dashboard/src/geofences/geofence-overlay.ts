/** The geofences on the map: areas, their borders and names. */
import type { Feature, FeatureCollection } from 'geojson'
import type {
  ExpressionSpecification,
  GeoJSONSource,
  LayerSpecification,
  LngLatLike,
  Map as MapLibre,
} from 'maplibre-gl'
import type { Geofence } from '../../../schemas/geofence.ts'
import { EMPTY } from '../map/basemap.ts'
import type { MapOverlay } from '../map/overlay.ts'
import type { MapPalette } from '../ui/theme.ts'
import { type ShapeBox, shapeBox, shapeFeature, shapeMiddle } from './outline.ts'

const AREAS = 'geofence-areas'
const CORRIDORS = 'geofence-corridors'
const NAMES = 'geofence-names'
/** Lines may be cut at the edge of a tile and what lies around it: tiles of this zoom leave room for wide corridors. */
const CORRIDOR_TILES_ZOOM = 12
const CORRIDOR_BUFFER_PX = 512
const ZOOM_MAX = 20
const FIT_ZOOM_MAX = 16
const AREA_LAYERS = ['geofence-fill', 'geofence-corridor-fill']

/** Width of a corridor that doubles with each zoom, as the map does. */
export const CORRIDOR_WIDTH: ExpressionSpecification = [
  'interpolate',
  ['exponential', 2],
  ['zoom'],
  0,
  ['get', 'widthPx'],
  ZOOM_MAX,
  ['*', ['get', 'widthPx'], 2 ** ZOOM_MAX],
]
const IS_CHOSEN: ExpressionSpecification = ['boolean', ['get', 'chosen'], false]
const BORDER_PX: ExpressionSpecification = ['case', IS_CHOSEN, 2.5, 1.5]
const FILL_OPACITY: ExpressionSpecification = ['case', IS_CHOSEN, 0.28, ['get', 'disabled'], 0.05, 0.13]

export class GeofenceOverlay implements MapOverlay {
  #map: MapLibre | null = null
  #palette: MapPalette | null = null
  #geofences: readonly Geofence[] = []
  #chosen: number | null = null
  /** One that is being edited is drawn by its editor. */
  #hidden: number | null = null

  attach(map: MapLibre, palette: MapPalette, before: string): void {
    this.#map = map
    this.#palette = palette
    map.addSource(AREAS, { type: 'geojson', data: EMPTY })
    map.addSource(CORRIDORS, {
      type: 'geojson',
      data: EMPTY,
      maxzoom: CORRIDOR_TILES_ZOOM,
      buffer: CORRIDOR_BUFFER_PX,
    })
    map.addSource(NAMES, { type: 'geojson', data: EMPTY })
    for (const layer of layersOf(palette)) map.addLayer(layer, before)
    this.#draw()
  }

  setPalette(palette: MapPalette): void {
    this.#palette = palette
    const map = this.#map
    if (map === null) return
    for (const { id, paint } of layersOf(palette)) {
      for (const [name, value] of Object.entries(paint ?? {})) {
        map.setPaintProperty(id, name as 'line-color', value as string)
      }
    }
    this.#draw()
  }

  /** Shows these. */
  setGeofences(geofences: readonly Geofence[]): void {
    this.#geofences = geofences
    this.#draw()
  }

  /** Marks one; null = none. */
  choose(id: number | null): void {
    if (id === this.#chosen) return
    this.#chosen = id
    this.#draw()
  }

  /** Leaves one out; null = none. */
  hide(id: number | null): void {
    if (id === this.#hidden) return
    this.#hidden = id
    this.#draw()
  }

  /** Id of the smallest geofence at a point of the screen, or null. */
  pick(x: number, y: number): number | null {
    const found = this.#map?.queryRenderedFeatures([x, y], { layers: AREA_LAYERS }) ?? []
    const sizes = found.map(({ properties }) => properties as { id: number; size: number })
    return sizes.sort((a, b) => a.size - b.size)[0]?.id ?? null
  }

  /** Brings one into view. @param rightPx What is covered of the map at its right. */
  fit({ shape }: Pick<Geofence, 'shape'>, rightPx: number): void {
    this.#fitBox(shapeBox(shape), rightPx)
  }

  /** Brings all into view. @param rightPx What is covered of the map at its right. */
  fitAll(rightPx: number): void {
    const boxes = this.#geofences.map(({ shape }) => shapeBox(shape))
    if (boxes.length === 0) return
    const edge = (side: 0 | 1 | 2 | 3, of: (...values: number[]) => number) =>
      boxes.reduce((value, box) => of(value, box[side]), boxes[0]![side])
    this.#fitBox([edge(0, Math.min), edge(1, Math.min), edge(2, Math.max), edge(3, Math.max)], rightPx)
  }

  #fitBox([west, south, east, north]: ShapeBox, rightPx: number): void {
    const corners: [LngLatLike, LngLatLike] = [
      [west, Math.max(-85, south)],
      [east, Math.min(85, north)],
    ]
    this.#map?.fitBounds(corners, {
      padding: { top: 72, bottom: 72, left: 72, right: 72 + rightPx },
      maxZoom: FIT_ZOOM_MAX,
      duration: 600,
    })
  }

  #draw(): void {
    const map = this.#map
    const palette = this.#palette
    if (map === null || palette === null || map.getSource(AREAS) === undefined) return
    const areas: Feature[] = []
    const corridors: Feature[] = []
    const names: Feature[] = []
    for (const { id, name, shape, disabled } of this.#geofences) {
      if (id === this.#hidden) continue
      const colour = disabled ? palette.silent : colourOf(id, palette)
      const [west, south, east, north] = shapeBox(shape)
      const size = (east - west) * (north - south)
      const feature = shapeFeature(shape, { id, colour, disabled, size, chosen: id === this.#chosen })
      ;(shape.type === 'Corridor' ? corridors : areas).push(feature)
      names.push({
        type: 'Feature',
        properties: { name, size },
        geometry: { type: 'Point', coordinates: shapeMiddle(shape) },
      })
    }
    const set = (source: string, features: Feature[]) => {
      const data: FeatureCollection = { type: 'FeatureCollection', features }
      map.getSource<GeoJSONSource>(source)?.setData(data)
    }
    set(AREAS, areas)
    set(CORRIDORS, corridors)
    set(NAMES, names)
  }
}

/** Colour of a geofence: always the same one, and most often another than its neighbour's. */
export function colourOf(id: number, palette: MapPalette): string {
  return palette.geofences[id % palette.geofences.length]!
}

function layersOf(palette: MapPalette): (LayerSpecification & { paint?: object })[] {
  const colour: ExpressionSpecification = ['get', 'colour']
  const rounded = { 'line-join': 'round', 'line-cap': 'round' } as const
  return [
    {
      id: 'geofence-fill',
      type: 'fill',
      source: AREAS,
      paint: { 'fill-color': colour, 'fill-opacity': FILL_OPACITY },
    },
    {
      id: 'geofence-corridor-fill',
      type: 'line',
      source: CORRIDORS,
      layout: rounded,
      paint: { 'line-color': colour, 'line-opacity': FILL_OPACITY, 'line-width': CORRIDOR_WIDTH },
    },
    {
      id: 'geofence-border',
      type: 'line',
      source: AREAS,
      layout: rounded,
      paint: { 'line-color': colour, 'line-width': BORDER_PX, 'line-opacity': 0.9 },
    },
    {
      id: 'geofence-corridor-border',
      type: 'line',
      source: CORRIDORS,
      layout: { 'line-join': 'round' },
      paint: {
        'line-color': colour,
        'line-width': BORDER_PX,
        'line-gap-width': CORRIDOR_WIDTH,
        'line-opacity': 0.9,
      },
    },
    {
      id: 'geofence-names',
      type: 'symbol',
      source: NAMES,
      minzoom: 11,
      layout: {
        'text-field': ['get', 'name'],
        'text-font': ['Inter Variable'],
        'text-size': 11.5,
        'text-max-width': 9,
        'symbol-sort-key': ['-', 0, ['get', 'size']],
      },
      paint: { 'text-color': palette.text, 'text-halo-color': palette.textHalo, 'text-halo-width': 2 },
    },
  ]
}
