/**
 * A position as JSON of FleetFlow's own, as its MQTT and HTTP formats have it:
 *
 *     {"fixTime":"2026-01-02T03:04:05Z","latitude":52.52,"longitude":13.405,"altitude":34,"speed":48.2,"course":270,
 *      "accuracy":4,"hdop":0.9,"satellites":11,"valid":true,"attributes":{"ignition":true,"odometer":120500}}
 *
 * Only `fixTime` is required, as ISO 8601 with a zone or as ms since 1970. A position without latitude and longitude
 * (which come together) is a status. Units are the API's: degrees, m, km/h, degrees from north; attributes have the
 * keys, units and types of schemas/attributes.ts, and any others the sender likes. Fields that are not named here
 * are refused, so that a misspelt one is noticed.
 */
import { z } from 'zod'
import { READINGS } from '../schemas/attributes.ts'
import type { PositionBatch } from '../schemas/position-batch.ts'
import { DecodeError } from './adapter.ts'
import { ATTRIBUTES_MAX, cut, ReportedAttributes } from './reported-fields.ts'

/** Fields of a position, named here or not: more are no misspelling. */
const FIELDS_MAX = 32

/** UTF-16 units of what is wrong with a field. */
const REASON_LENGTH_MAX = 200

/** Times before 1990 are seconds taken for milliseconds, or a clock that was never set; a batch ends at 2106. */
const TIME_MIN_MS = Date.UTC(1990)
const TIME_MAX_MS = Date.UTC(2106)

const time = z
  .union([z.iso.datetime({ offset: true }).transform(Date.parse), z.number()], {
    error: 'must be ISO 8601 with a zone, or ms since 1970',
  })
  .refine((timeMs) => timeMs >= TIME_MIN_MS && timeMs < TIME_MAX_MS, 'must lie in 1990 to 2105')

const attributes = z
  .record(
    z.string(),
    z.union([z.number(), z.boolean(), z.string()], { error: 'must be a number, text, true or false' }),
  )
  .superRefine((values, context) => {
    for (const { key, type } of READINGS) {
      if (Object.hasOwn(values, key) && typeof values[key] !== type) {
        context.addIssue({ code: 'custom', path: [key], message: `must be a ${type}` })
      }
    }
  })

const JsonPosition = z
  .strictObject({
    fixTime: time,
    latitude: z.number().min(-90).max(90).nullish(),
    longitude: z.number().min(-180).max(180).nullish(),
    altitude: z.number().min(-12_000).max(100_000).nullish(),
    speed: z.number().min(0).max(10_000).nullish(),
    course: z.number().min(0).max(360).nullish(),
    accuracy: z.number().min(0).max(1e7).nullish(),
    hdop: z.number().min(0).max(1000).nullish(),
    satellites: z.int().min(0).max(1000).nullish(),
    valid: z.boolean().nullish(),
    attributes: attributes.nullish(),
  })
  .refine(({ latitude, longitude }) => (latitude == null) === (longitude == null), {
    path: ['longitude'],
    message: 'must come with latitude',
  })
type JsonPosition = z.infer<typeof JsonPosition>

/**
 * Appends the position that `value` is.
 * @returns Its row.
 * @throws DecodeError that names the field which is wrong.
 */
export function addJsonPosition(value: unknown, out: PositionBatch): number {
  checkMembers(value)
  const parsed = JsonPosition.safeParse(value)
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!
    const where = path.map(cut).join('.')
    // It may name fields that are as long as the message.
    const what = message.length > REASON_LENGTH_MAX ? `${message.slice(0, REASON_LENGTH_MAX)}…` : message
    throw new DecodeError('malformed', where === '' ? what : `${where}: ${what}`)
  }
  const position: JsonPosition = parsed.data
  const { latitude, longitude } = position
  const placed = typeof latitude === 'number' && typeof longitude === 'number'
  const row = placed ? out.add(position.fixTime, latitude, longitude) : out.addWithoutFix(position.fixTime)
  if (placed) out.setValid(row, position.valid ?? true)
  out.altitudeM[row] = position.altitude ?? Number.NaN
  out.speedKmh[row] = position.speed ?? Number.NaN
  out.courseDeg[row] = position.course ?? Number.NaN
  out.accuracyM[row] = position.accuracy ?? Number.NaN
  out.set(row, 'hdop', position.hdop ?? undefined)
  out.set(row, 'sat', position.satellites ?? undefined)
  const reported = new ReportedAttributes()
  for (const [key, attribute] of Object.entries(position.attributes ?? {})) reported.set(key, attribute)
  reported.writeTo(out, row)
  return row
}

/**
 * A message has room for tens of thousands of members, and the check of the fields looks at each before it says no.
 * @throws DecodeError if there are more than any position has.
 */
function checkMembers(value: unknown): void {
  const position = (value ?? {}) as { readonly attributes?: unknown }
  if (typeof position !== 'object') return
  if (Object.keys(position).length > FIELDS_MAX) {
    throw new DecodeError('malformed', `more than ${FIELDS_MAX} fields`)
  }
  const { attributes } = position
  if (typeof attributes === 'object' && Object.keys(attributes ?? {}).length > ATTRIBUTES_MAX) {
    throw new DecodeError('malformed', `more than ${ATTRIBUTES_MAX} attributes`)
  }
}
