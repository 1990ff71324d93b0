/** Makes the map, or says in its place why there is none. */
import type { Fleet } from '../fleet/fleet.ts'
import { mapFault } from '../ui/map-fault.ts'
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
    container.append(mapFault())
    return null
  }
}
