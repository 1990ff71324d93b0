/** Events of geofences, as the API, the stream and the threads of the engine give them. */
import { z } from 'zod'
import { Id, Time } from './text.ts'

export const GEOFENCE_EVENT_TYPES = [
  'enter',
  'exit',
  /** Inside for `dwellS`. */
  'dwell',
  /** Outside for `absenceS` since the last exit. */
  'absence',
  /** Not inside at the time of day of `insideBy`. */
  'missing',
  /** Faster than `speedLimitKmh` inside: the first fix of each time that it happens. */
  'speeding',
] as const
export const GeofenceEventType = z.enum(GEOFENCE_EVENT_TYPES)
export type GeofenceEventType = z.infer<typeof GeofenceEventType>

/** Id of an event: a bigint of PostgreSQL, counted up from 1. */
export const GeofenceEventId = z.int().min(1)

/**
 * An event never changes. When late data changes what happened, a further event says so: one with `replaces` stands in
 * the place of that event, and with `retracted` it says that it did not happen.
 */
export const GeofenceEvent = z
  .object({
    id: GeofenceEventId,
    device: Id,
    geofence: Id,
    geofenceVersion: z.int().min(1).describe('of the geofence that made it'),
    type: GeofenceEventType,
    time: Time.describe('when it happened'),
    fixTime: Time.nullable().describe('fix that showed it; null where a timer did'),
    latitude: z.number().nullable(),
    longitude: z.number().nullable(),
    speed: z.number().nullable().describe('km/h'),
    crossing: z
      .boolean()
      .describe('seen between two fixes that were both outside: time and place are interpolated'),
    revision: z.int().min(0).describe('0 = what was seen at first'),
    replaces: GeofenceEventId.nullable().describe('event that this one corrects'),
    retracted: z.boolean().describe('the event that it replaces did not happen'),
    current: z.boolean().describe('neither corrected by another event nor a retraction'),
    recordedAt: Time,
  })
  .meta({ id: 'GeofenceEvent' })
export type GeofenceEvent = z.infer<typeof GeofenceEvent>
