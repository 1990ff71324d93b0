/**
 * The ground under the vehicles, from inside the machine only: outlines of the world (Natural Earth, bundled) and, if
 * the server has it, an overlay of routes and stops. Text is drawn with the page's own font: no glyphs are fetched.
 */
import type { Feature, FeatureCollection, GeoJSON, Geometry, Position } from 'geojson'
import type { GeoJSONSource, LayerSpecification, Map as MapLibre } from 'maplibre-gl'
import { feature, mesh } from 'topojson-client'
import type { GeometryCollection, Topology } from 'topojson-specification'
import worldUrl from 'world-atlas/countries-50m.json?url'
import type { MapPalette } from '../ui/theme.ts'
import { unwrapped } from './unwrap.ts'

const OVERLAY_URL = '/basemap/overlay.geojson'
const FONT = ['Inter Variable']

export const EMPTY: FeatureCollection = { type: 'FeatureCollection', features: [] }
/** Sources of the basemap, empty until their data is there. */
export const BASEMAP_SOURCES = ['land', 'coast', 'borders', 'countries', 'grid', 'overlay'] as const

type World = Topology<{ countries: GeometryCollection<{ name: string }>; land: GeometryCollection }>

/** Loads the outlines and the overlay into their sources; what does not come stays empty. */
export async function loadBasemap(map: MapLibre): Promise<void> {
  const set = (source: (typeof BASEMAP_SOURCES)[number], data: GeoJSON) =>
    map.getSource<GeoJSONSource>(source)?.setData(data)
  const overlay = fetch(OVERLAY_URL).then(async (response) => {
    if (response.ok) set('overlay', (await response.json()) as FeatureCollection)
  })
  const world = fetch(worldUrl).then(async (response) => {
    const topology = (await response.json()) as World
    const { countries, land } = topology.objects
    set('land', unwrapped(feature(topology, land)))
    set('coast', unwrapped(mesh(topology, countries, (a, b) => a === b)))
    set('borders', unwrapped(mesh(topology, countries, (a, b) => a !== b)))
    set('countries', namePoints(unwrapped(feature(topology, countries))))
  })
  await Promise.allSettled([overlay, world])
}

/** Layers of the basemap from the ground up. */
export function basemapLayers(palette: MapPalette): LayerSpecification[] {
  const halo = { 'text-color': palette.text, 'text-halo-color': palette.textHalo, 'text-halo-width': 2.25 }
  return [
    { id: 'sea', type: 'background', paint: { 'background-color': palette.sea } },
    { id: 'land', type: 'fill', source: 'land', paint: { 'fill-color': palette.land } },
    {
      id: 'grid',
      type: 'line',
      source: 'grid',
      minzoom: 5,
      paint: { 'line-color': palette.grid, 'line-width': 1 },
    },
    {
      id: 'coast',
      type: 'line',
      source: 'coast',
      paint: { 'line-color': palette.coast, 'line-width': 1 },
    },
    {
      id: 'borders',
      type: 'line',
      source: 'borders',
      paint: { 'line-color': palette.border, 'line-width': 1, 'line-dasharray': [3, 2] },
    },
    {
      id: 'routes',
      type: 'line',
      source: 'overlay',
      filter: ['==', ['get', 'kind'], 'route'],
      layout: { 'line-join': 'round', 'line-cap': 'round' },
      paint: {
        'line-color': palette.route,
        'line-width': ['interpolate', ['linear'], ['zoom'], 9, 0.75, 13, 2, 17, 5],
      },
    },
    {
      id: 'stops',
      type: 'circle',
      source: 'overlay',
      minzoom: 13,
      filter: ['==', ['get', 'kind'], 'stop'],
      paint: {
        'circle-color': palette.land,
        'circle-stroke-color': palette.stop,
        'circle-stroke-width': 1.25,
        'circle-radius': ['interpolate', ['linear'], ['zoom'], 13, 1.5, 17, 4.5],
      },
    },
    {
      id: 'route-names',
      type: 'symbol',
      source: 'overlay',
      minzoom: 12.5,
      filter: ['==', ['get', 'kind'], 'route'],
      layout: {
        'symbol-placement': 'line',
        'symbol-spacing': 420,
        'text-field': ['get', 'name'],
        'text-font': FONT,
        'text-size': 11,
        'text-max-angle': 30,
        // Beside the line: on it, the line shows through between the words.
        'text-offset': [0, -0.9],
      },
      paint: halo,
    },
    {
      id: 'stop-names',
      type: 'symbol',
      source: 'overlay',
      minzoom: 15.5,
      filter: ['==', ['get', 'kind'], 'stop'],
      layout: {
        'text-field': ['get', 'name'],
        'text-font': FONT,
        'text-size': 11,
        'text-variable-anchor': ['left', 'right', 'top', 'bottom'],
        'text-radial-offset': 0.8,
        'text-justify': 'auto',
      },
      paint: halo,
    },
    {
      id: 'country-names',
      type: 'symbol',
      source: 'countries',
      maxzoom: 8,
      // Square degrees: the small countries wait until there is room.
      filter: ['>', ['get', 'area'], ['step', ['zoom'], 30, 2, 12, 3, 3, 4, 0]],
      layout: {
        'text-field': ['get', 'name'],
        'text-font': FONT,
        'text-size': ['interpolate', ['linear'], ['zoom'], 1, 10, 6, 15],
        'text-letter-spacing': 0.06,
        'text-max-width': 7,
        'symbol-sort-key': ['-', 0, ['get', 'area']],
        'text-padding': 8,
      },
      paint: halo,
    },
  ]
}

/** One point a country, in the middle of its largest part: a name on a polygon would come once a tile. */
function namePoints(countries: FeatureCollection<Geometry, { name: string }>): FeatureCollection {
  const features: Feature[] = []
  for (const { geometry, properties } of countries.features) {
    const parts = ringsOf(geometry).map(middleOf)
    const largest = parts.sort((a, b) => b.area - a.area)[0]
    if (largest === undefined) continue
    features.push({
      type: 'Feature',
      properties: { name: properties.name, area: largest.area },
      geometry: { type: 'Point', coordinates: largest.middle },
    })
  }
  return { type: 'FeatureCollection', features }
}

function ringsOf(geometry: Geometry): Position[][] {
  if (geometry.type === 'Polygon') return [geometry.coordinates[0]!]
  if (geometry.type === 'MultiPolygon') {
    return geometry.coordinates.map((polygon) => polygon[0]!)
  }
  return []
}

/** Centroid and area of a ring, in square degrees: only to compare and to place a name. */
function middleOf(ring: Position[]): { area: number; middle: Position } {
  let [twice, x, y] = [0, 0, 0]
  for (let i = 0; i + 1 < ring.length; i++) {
    const [ax, ay] = ring[i] as [number, number]
    const [bx, by] = ring[i + 1] as [number, number]
    const cross = ax * by - bx * ay
    twice += cross
    x += (ax + bx) * cross
    y += (ay + by) * cross
  }
  return { area: Math.abs(twice / 2), middle: twice === 0 ? ring[0]! : [x / (3 * twice), y / (3 * twice)] }
}
