/** What stands in the place of a map that cannot be drawn. */
import { element } from './dom.ts'

export function mapFault(): HTMLElement {
  return element(
    'p',
    { class: 'map-fault', role: 'alert' },
    'This browser cannot draw the map: WebGL 2 is off or missing. Switch on hardware acceleration in its ' +
      'settings, or use another browser. The list still works.',
  )
}
