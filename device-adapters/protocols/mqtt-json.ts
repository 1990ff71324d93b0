/**
 * FleetFlow's own format for phones, gateways and scripts: an MQTT message on `devices/UNIQUE_ID/positions` whose
 * payload is one position as the API has it, or an array of at most {@link POSITIONS_MAX}.
 *
 *     {"fixTime":"2026-01-02T03:04:05Z","latitude":52.52,"longitude":13.405,"altitude":34,"speed":48.2,"course":270,
 *      "accuracy":4,"hdop":0.9,"satellites":11,"valid":true,"attributes":{"ignition":true,"odometer":120500}}
 *
 * Only `fixTime` is required, as ISO 8601 with a zone or as ms since 1970. A message without latitude and longitude
 * (which come together) is a status. Units are the API's: degrees, m, km/h, degrees from north; attributes have the
 * keys, units and types of schemas/attributes.ts, and any others the sender likes. Fields that are not named here
 * are refused, so that a misspelt one is noticed; an array is taken as a whole or not at all.
 *
 * Source: this file.
 */
import { z } from 'zod'
import { READINGS } from '../../schemas/attributes.ts'
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { DecodeError, defineAdapter } from '../adapter.ts'
import { ReportedAttributes, uniqueIdFrom } from '../reported-fields.ts'
import { parseJson, parseMqttFrame } from '../requests.ts'

/** Positions of one message. */
export const POSITIONS_MAX = 100

/** Times before 1990 are seconds taken for milliseconds, or a clock that was never set; a batch ends at 2106. */
const TIME_MIN_MS = Date.UTC(1990)
const TIME_MAX_MS = Date.UTC(2106)

const TOPIC = /^devices\/([^/]+)\/positions$/

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

const Message = z
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
type Message = z.infer<typeof Message>

export const mqttJson = defineAdapter({
  id: 'mqtt-json',
  version: 1,
  source: 'device-adapters/protocols/mqtt-json.ts',
  listen: { mqtt: ['devices/+/positions'] },
  maxFrameBytes: 256 * 1024,

  decode(frame, session, out) {
    const { topic, payload } = parseMqttFrame(frame)
    session.identify(uniqueIdFrom('topic', TOPIC.exec(topic)?.[1]))
    const value = parseJson(payload)
    if (!Array.isArray(value)) {
      addPosition('', value, out)
      return
    }
    if (value.length > POSITIONS_MAX)
      throw new DecodeError('malformed', `more than ${POSITIONS_MAX} positions`)
    value.forEach((element, i) => {
      addPosition(`[${i}]`, element, out)
    })
  },
})

/** @param element Where the position stands in the payload, for the error. */
function addPosition(element: string, value: unknown, out: PositionBatch): void {
  const parsed = Message.safeParse(value)
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!
    const where = [element, ...path].filter((part) => part !== '').join('.')
    throw new DecodeError('malformed', where === '' ? message : `${where}: ${message}`)
  }
  const position: Message = parsed.data
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
}
