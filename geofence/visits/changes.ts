/** What an evaluation finds: visits and events to be stored with the positions that caused them. No I/O here. */
import type { GeofenceEventType } from '../../schemas/geofence-event.ts'

/** Times are ms UTC; NaN stands for "none". */
export interface Visit {
  readonly device: number
  readonly geofence: number
  /** Of the geofence, by which the device entered. */
  readonly version: number
  readonly enteredMs: number
  /** NaN while the device is inside. */
  readonly exitedMs: number
  /** When a timer looks at the visit next: dwell while it is open, absence after its end; NaN = never. */
  readonly dueMs: number
  /**
   * Time of the event of a timer that is made of it already, by whomever; left out where that is as it was. Where visits
   * become others, the events of their timers may hold on.
   */
  readonly firedMs?: number
}

/** An event that is not stored yet; columns of table `events`. */
export interface NewEvent {
  readonly device: number
  readonly geofence: number
  readonly version: number
  readonly type: GeofenceEventType
  readonly timeMs: number
  /** Fix that showed it; NaN where a timer did. */
  readonly fixTimeMs: number
  readonly latitudeDeg: number
  readonly longitudeDeg: number
  readonly speedKmh: number
  readonly crossing: boolean
  readonly revision: number
  /** Id of the event that it corrects; null = none. */
  readonly replaces: number | null
  /** Its time: events are found by device and time. NaN where there is none. */
  readonly replacesTimeMs: number
  /** The event that it replaces did not happen. */
  readonly retracted: boolean
}

/** Changes of one evaluation, stored as one. */
export interface GeofenceChanges {
  /** Visits to insert; they are not in the table. */
  readonly opened: Visit[]
  /** Visits whose end, due time or version is to become this. */
  readonly changed: Visit[]
  /** Visits that did not happen. */
  readonly removed: Pick<Visit, 'device' | 'geofence' | 'enteredMs'>[]
  /** Their `replaces` are superseded by them. */
  readonly events: NewEvent[]
}

export function noChanges(): GeofenceChanges {
  return { opened: [], changed: [], removed: [], events: [] }
}

/** How far the lists are, for {@link cutBack}. */
export interface ChangesLengths {
  readonly opened: number
  readonly changed: number
  readonly removed: number
  readonly events: number
}

export function lengthsOf({ opened, changed, removed, events }: GeofenceChanges): ChangesLengths {
  return { opened: opened.length, changed: changed.length, removed: removed.length, events: events.length }
}

/** Takes back what was added since. */
export function cutBack(
  changes: GeofenceChanges,
  { opened, changed, removed, events }: ChangesLengths,
): void {
  changes.opened.length = opened
  changes.changed.length = changed
  changes.removed.length = removed
  changes.events.length = events
}

export function countChanges({ opened, changed, removed, events }: GeofenceChanges): number {
  return opened.length + changed.length + removed.length + events.length
}

/** Fixes change more than can be stored as one. */
export class TooManyChanges extends RangeError {
  override readonly name = 'TooManyChanges'

  /** @param max Changes that can be stored as one. */
  constructor(max: number) {
    super(`more than ${max} visits and events change at once`)
  }
}
