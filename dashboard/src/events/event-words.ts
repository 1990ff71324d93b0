/** Events in words. */
import type { GeofenceEventType } from '../../../schemas/geofence-event.ts'
import { formatSpeed } from '../ui/format.ts'
import type { FleetEvent } from '../wire/rows.ts'
import type { Standing } from './event-log.ts'

/** Types in the order in which they are offered, with their names. */
export const EVENT_TYPE_NAMES: Readonly<Record<GeofenceEventType, string>> = {
  enter: 'Entered',
  exit: 'Left',
  dwell: 'Stayed',
  absence: 'Long away',
  missing: 'Not there in time',
  speeding: 'Too fast',
}

const VERBS: Readonly<Record<GeofenceEventType, string>> = {
  enter: 'entered',
  exit: 'left',
  dwell: 'stayed in',
  absence: 'has been away from',
  missing: 'is not in',
  speeding: 'too fast in',
}

/** What the vehicle did, to be followed by the name of the geofence: `entered`, `62 km/h, too fast in`. */
export function deedOf(event: FleetEvent): string {
  const verb = VERBS[event.type]
  return event.type === 'speeding' && event.speed !== null ? `${formatSpeed(event.speed)}, ${verb}` : verb
}

/** What later data said of it; empty where nothing. */
export const STANDING_WORDS: Readonly<Record<Standing, string>> = {
  first: '',
  correction: 'Corrected',
  corrected: 'Replaced by a correction',
  retracted: 'Did not happen',
}
