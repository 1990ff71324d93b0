/** What others draw on the map under the vehicles, with sources and layers of their own. */
import type { Map as MapLibre } from 'maplibre-gl'
import type { MapPalette } from '../ui/theme.ts'

export interface MapOverlay {
  /**
   * Adds sources and layers; again after the browser took the graphics away.
   * @param before Layer that all of them are to be under.
   */
  attach(map: MapLibre, palette: MapPalette, before: string): void
  /** The colours have changed. */
  setPalette(palette: MapPalette): void
}
