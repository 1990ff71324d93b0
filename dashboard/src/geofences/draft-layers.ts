/** How a draft looks on the map. */
import type { ExpressionSpecification, LayerSpecification } from 'maplibre-gl'
import type { MapPalette } from '../ui/theme.ts'
import { CORRIDOR_WIDTH } from './geofence-overlay.ts'

const IS_AREA: ExpressionSpecification = ['==', ['geometry-type'], 'Polygon']

/**
 * From the ground up.
 * @param area Source of a polygon, or of the line that is none yet.
 * @param corridor Source of a corridor.
 */
export function draftLayers(
  area: string,
  corridor: string,
  palette: MapPalette,
): (LayerSpecification & { paint?: object })[] {
  const colour = palette.track
  const rounded = { 'line-join': 'round', 'line-cap': 'round' } as const
  return [
    {
      id: 'draft-fill',
      type: 'fill',
      source: area,
      filter: IS_AREA,
      paint: { 'fill-color': colour, 'fill-opacity': 0.18 },
    },
    {
      id: 'draft-corridor-fill',
      type: 'line',
      source: corridor,
      layout: rounded,
      paint: { 'line-color': colour, 'line-opacity': 0.22, 'line-width': CORRIDOR_WIDTH },
    },
    ...[area, corridor].map((source): LayerSpecification & { paint?: object } => ({
      id: `${source}-line`,
      type: 'line',
      source,
      layout: rounded,
      paint: { 'line-color': colour, 'line-width': 2 },
    })),
  ]
}
