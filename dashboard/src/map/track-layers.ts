/** Layers that draw the track of the chosen vehicle. */
import type { ExpressionSpecification, FilterSpecification, LayerSpecification } from 'maplibre-gl'
import type { MapPalette } from '../ui/theme.ts'

/** All that lies below the track goes under this layer. */
export const LOWEST_TRACK_LAYER = 'track-casing'
/** Name of the image that points along the track. */
export const TRACK_ARROW = 'track-arrow'

const WIDTH: ExpressionSpecification = ['interpolate', ['linear'], ['zoom'], 9, 2.5, 15, 5]
const CASING_WIDTH: ExpressionSpecification = ['interpolate', ['linear'], ['zoom'], 9, 5, 15, 9]
const DRIVE: FilterSpecification = ['==', ['get', 'kind'], 'drive']

/** From the ground up; sources `track` and `track-tail`. */
export function trackLayers(palette: MapPalette): LayerSpecification[] {
  const rounded = { 'line-join': 'round', 'line-cap': 'round' } as const
  return [
    {
      id: 'track-casing',
      type: 'line',
      source: 'track',
      filter: DRIVE,
      layout: rounded,
      paint: { 'line-color': palette.trackCasing, 'line-width': CASING_WIDTH, 'line-opacity': 0.85 },
    },
    {
      id: 'track-tail',
      type: 'line',
      source: 'track-tail',
      layout: rounded,
      paint: { 'line-color': palette.track, 'line-width': WIDTH },
    },
    {
      id: 'track-gap',
      type: 'line',
      source: 'track',
      filter: ['==', ['get', 'kind'], 'gap'],
      paint: {
        'line-color': palette.track,
        'line-width': 1.5,
        'line-dasharray': [2, 2],
        'line-opacity': 0.7,
      },
    },
    {
      id: 'track',
      type: 'line',
      source: 'track',
      filter: DRIVE,
      layout: rounded,
      paint: { 'line-color': palette.track, 'line-width': WIDTH },
    },
    {
      id: 'track-arrows',
      type: 'symbol',
      source: 'track',
      minzoom: 11,
      filter: DRIVE,
      layout: {
        'symbol-placement': 'line',
        'symbol-spacing': 90,
        'icon-image': TRACK_ARROW,
        'icon-size': ['interpolate', ['linear'], ['zoom'], 11, 0.7, 15, 1.1],
        'icon-allow-overlap': true,
        'icon-ignore-placement': true,
      },
    },
    {
      id: 'track-start',
      type: 'circle',
      source: 'track',
      filter: ['==', ['get', 'kind'], 'start'],
      paint: {
        'circle-radius': 5,
        'circle-color': palette.trackCasing,
        'circle-stroke-color': palette.track,
        'circle-stroke-width': 2.5,
      },
    },
  ]
}
