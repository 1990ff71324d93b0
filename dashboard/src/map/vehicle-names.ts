/** Which vehicles have their names on the map. */
import type { Fleet } from '../fleet/fleet.ts'
import type { Label } from './labels.ts'
import type { VehicleLayer } from './vehicle-layer.ts'

const FROM_ZOOM = 13
/** Of more than these, few find room: those in view that come first are tried. */
const TRIED_MAX = 400

/**
 * Names of the chosen, the hovered, and close up of all vehicles in view, the most important first.
 * @param hovered Row under the mouse; -1 = none.
 */
export function vehicleNames(
  { byRow, motion }: Fleet,
  { screenX, screenY, selectedRow, sizePx }: VehicleLayer,
  hovered: number,
  zoom: number,
): Label[] {
  const labels: Label[] = []
  const add = (row: number, offsetPx = sizePx * 0.5) => {
    const x = screenX[row]
    if (x === undefined || Number.isNaN(x)) return
    labels.push({ text: byRow[row]!.name, x, y: screenY[row]! + offsetPx })
  }
  if (selectedRow >= 0) add(selectedRow, sizePx * 0.85)
  if (hovered >= 0 && hovered !== selectedRow) add(hovered)
  if (zoom < FROM_ZOOM) return labels
  for (let row = 0; row < screenX.length && labels.length < TRIED_MAX; row++) {
    if (row !== selectedRow && row !== hovered && motion.faint[row] === 0) add(row)
  }
  return labels
}
