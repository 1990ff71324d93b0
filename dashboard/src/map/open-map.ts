/** Makes the map, or says in its place why there is none. */
import type { Fleet } from '../fleet/fleet.ts'
import { element } from '../ui/dom.ts'
import type { MapPalette } from '../ui/theme.ts'
import { FleetMap, type FleetMapListener } from './fleet-map.ts'

/** The map in a container that is in the document; null when the browser cannot draw it. */
export function openMap(
  container: HTMLElement,
  fleet: Fleet,
  palette: MapPalette,
  listener: FleetMapListener,
): FleetMap | null {
  try {
    return new FleetMap(container, fleet, palette, listener)
  } catch {
    const words =
      'This browser cannot draw the map: WebGL 2 is off or missing. Switch on hardware acceleration in its settings, ' +
      'or use another browser. All else still works.'
    container.append(element('p', { class: 'map-fault', role: 'alert' }, words))
    return null
  }
}
