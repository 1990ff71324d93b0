/** What the map is made of where nothing is added yet. */
import type { LayerSpecification, StyleSpecification } from 'maplibre-gl'
import type { MapPalette } from '../ui/theme.ts'
import { BASEMAP_SOURCES, basemapLayers, EMPTY } from './basemap.ts'
import { trackLayers } from './track-layers.ts'

/** Basemap and track, from the ground up. */
export function layersOf(palette: MapPalette): (LayerSpecification & { paint?: object })[] {
  return [...basemapLayers(palette), ...trackLayers(palette)]
}

export function styleOf(palette: MapPalette): StyleSpecification {
  const sources = [...BASEMAP_SOURCES, 'track', 'track-tail']
  return {
    version: 8,
    sources: Object.fromEntries(sources.map((id) => [id, { type: 'geojson', data: EMPTY }])),
    layers: layersOf(palette),
  }
}
