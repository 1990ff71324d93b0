/** Geofences: places on the map, and the rules by which devices that enter, leave or stay away make events. */
import { z } from 'zod'
import { ID_MAX, Id, line, Time } from './text.ts'

/** Most vertices of one geofence, all its rings together. */
export const VERTICES_MAX = 10_000
/** Most rules of one geofence. */
export const RULES_MAX = 50
const WINDOWS_MAX = 21
const RADIUS_M_MAX = 1_000_000
const HALF_WIDTH_M_MAX = 50_000
/** Longest times of a rule, s. */
export const DWELL_S_MAX = 30 * 24 * 3600
export const DEBOUNCE_S_MAX = 3600
export const DEBOUNCE_FIXES_MAX = 20
export const CROSSING_GAP_S_MAX = 3600

/** GeoJSON position: longitude, latitude, degrees; more numbers are passed over. */
const Place = z
  .array(z.number())
  .min(2)
  .max(4)
  .describe('longitude and latitude in degrees, in this order; an altitude is passed over')

/**
 * Shapes as they are given; what else must hold (rings closed, nothing crosses itself, not empty) is found by
 * `compileShape` in geofence/. Edges of polygons are straight in longitude and latitude; circles and corridors are
 * measured in metres on the sphere of 6,371,008.8 m.
 */
export const GeofenceShape = z
  .discriminatedUnion('type', [
    z
      .strictObject({ type: z.literal('Polygon'), coordinates: z.array(z.array(Place)) })
      .describe('GeoJSON: the first ring is the outer one, others are holes'),
    z.strictObject({ type: z.literal('MultiPolygon'), coordinates: z.array(z.array(z.array(Place))) }),
    z.strictObject({
      type: z.literal('Circle'),
      center: Place,
      radiusM: z.number().positive().max(RADIUS_M_MAX),
    }),
    z
      .strictObject({
        type: z.literal('Corridor'),
        coordinates: z.array(Place),
        halfWidthM: z.number().positive().max(HALF_WIDTH_M_MAX),
      })
      .describe('all places that are no further than halfWidthM from the line'),
  ])
  .meta({ id: 'GeofenceShape' })
export type GeofenceShape = z.infer<typeof GeofenceShape>

/** Days of the week, 1 = Monday … 7 = Sunday. */
const Days = z.array(z.int().min(1).max(7)).min(1).max(7)
const TimeOfDay = z.string().regex(/^(?:[01]\d|2[0-3]):[0-5]\d$/, 'must be a time of day such as 08:00')

export const GeofenceWindow = z
  .strictObject({
    days: Days,
    from: TimeOfDay,
    to: TimeOfDay.describe('not included; the same as `from` or earlier is the next day'),
  })
  .meta({ id: 'GeofenceWindow' })
export type GeofenceWindow = z.infer<typeof GeofenceWindow>

export const GeofenceRule = z
  .strictObject({
    group: Id.nullable().default(null).describe('device group that it is for; null = every device'),
    enter: z.boolean().default(true).describe('whether entering makes an event'),
    exit: z.boolean().default(true).describe('whether leaving makes an event'),
    dwellS: z
      .int()
      .min(1)
      .max(DWELL_S_MAX)
      .nullable()
      .default(null)
      .describe('event after so long inside, s'),
    absenceS: z
      .int()
      .min(1)
      .max(DWELL_S_MAX)
      .nullable()
      .default(null)
      .describe('event when a device that left has been outside for so long, s'),
    insideBy: z
      .strictObject({ time: TimeOfDay, days: Days })
      .nullable()
      .default(null)
      .describe('event when a device is not inside at that time of day'),
    debounceFixes: z
      .int()
      .min(1)
      .max(DEBOUNCE_FIXES_MAX)
      .default(1)
      .describe('so many fixes in a row must agree before a device counts as inside or outside'),
    debounceS: z
      .int()
      .min(0)
      .max(DEBOUNCE_S_MAX)
      .default(0)
      .describe('and they must span so much time, s; the event has the time of the first'),
    crossingGapS: z
      .int()
      .min(0)
      .max(CROSSING_GAP_S_MAX)
      .default(0)
      .describe(
        'a straight way through between two fixes outside counts as enter and exit where they are no further apart, s; 0 = never',
      ),
    speedLimitKmh: z.number().positive().max(1000).nullable().default(null).describe('event above it inside'),
    windows: z
      .array(GeofenceWindow)
      .max(WINDOWS_MAX)
      .default([])
      .describe('events outside of these times are not made; none = always'),
  })
  .refine(
    (rule) => rule.crossingGapS === 0 || (rule.debounceFixes === 1 && rule.debounceS === 0),
    'crossingGapS and debouncing exclude each other: a short crossing is what debouncing leaves out',
  )
  .meta({ id: 'GeofenceRule' })
export type GeofenceRule = z.infer<typeof GeofenceRule>

/** IANA name that this machine's time zones have. */
export const TimeZone = line(1, 64).refine((name) => {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}, 'must be a time zone such as Europe/Berlin or UTC')

const fields = {
  name: line(1, 200),
  shape: GeofenceShape,
  timeZone: TimeZone.describe('of all times of day in the rules'),
  rules: z
    .array(GeofenceRule)
    .min(1)
    .max(RULES_MAX)
    .describe('the first rule whose group has the device holds; a device that none is for is not watched'),
  disabled: z.boolean().describe('a disabled geofence watches nothing'),
}

export const GeofenceCreate = z
  .strictObject({
    organizationId: Id.optional().describe('required from a super admin; else their own'),
    ...fields,
    timeZone: fields.timeZone.default('UTC'),
    rules: fields.rules.prefault([{}]),
    disabled: fields.disabled.default(false),
  })
  .meta({ id: 'GeofenceCreate' })
export type GeofenceCreate = z.infer<typeof GeofenceCreate>

export const GeofenceUpdate = z
  .strictObject({
    name: fields.name.optional(),
    shape: fields.shape.optional(),
    timeZone: fields.timeZone.optional(),
    rules: fields.rules.optional().describe('replaces all rules'),
    disabled: fields.disabled.optional(),
  })
  .meta({ id: 'GeofenceUpdate' })

export const Geofence = z
  .object({
    id: Id,
    organizationId: Id,
    ...fields,
    version: z
      .int()
      .min(1)
      .max(ID_MAX)
      .describe('counted up with each change of shape, rules, time zone or disabled'),
    createdAt: Time,
    updatedAt: Time,
  })
  .meta({ id: 'Geofence' })
export type Geofence = z.infer<typeof Geofence>

export const DeviceGroupInput = z.strictObject({
  organizationId: Id.optional().describe('required from a super admin; else their own'),
  name: line(1, 200),
})

export const DeviceGroup = z
  .object({ id: Id, organizationId: Id, name: z.string(), deviceCount: z.int().min(0), createdAt: Time })
  .meta({ id: 'DeviceGroup' })
export type DeviceGroup = z.infer<typeof DeviceGroup>
