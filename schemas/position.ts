/** One position as JSON: what the API, the stream and `decode` show of a row of a {@link PositionBatch}. */
import { z } from 'zod'
import { READINGS } from './attributes.ts'
import { ATTRIBUTE_KIND, BOOLEAN_UNKNOWN, type PositionBatch } from './position-batch.ts'
import { QUALITY, qualityNames } from './quality.ts'

const time = z.iso.datetime()
const names = Object.keys(QUALITY) as [keyof typeof QUALITY, ...(keyof typeof QUALITY)[]]

export const Position = z.object({
  device: z.int().describe('id of the device'),
  fixTime: time.describe(
    'time of the GNSS fix, UTC; of a message without a fix, the device time or time of receipt',
  ),
  deviceTime: time.nullable().describe('clock of the device'),
  receivedAt: time.describe('clock of the server when the message came in'),
  latitude: z
    .number()
    .min(-90)
    .max(90)
    .nullable()
    .describe('WGS-84 degrees; null in a message without a place'),
  longitude: z
    .number()
    .min(-180)
    .max(180)
    .nullable()
    .describe('WGS-84 degrees; null in a message without a place'),
  altitude: z.number().nullable().describe('m above mean sea level'),
  speed: z.number().nullable().describe('km/h over ground'),
  course: z.number().nullable().describe('degrees clockwise from true north'),
  accuracy: z.number().nullable().describe('m'),
  hdop: z.number().nullable(),
  satellites: z.int().nullable(),
  valid: z.boolean().describe("the receiver's own verdict on the fix"),
  quality: z.array(z.enum(names)).describe('why the position is doubted; empty = it is not'),
  attributes: z.record(z.string(), z.unknown()).describe('readings and other attributes by key'),
})
export type Position = z.infer<typeof Position>

/** Row `row` of a stored batch as JSON. */
export function positionOf(batch: PositionBatch, row: number): Position {
  return {
    device: batch.device[row]!,
    fixTime: new Date(batch.fixTimeMs[row]!).toISOString(),
    deviceTime:
      orNull(batch.deviceTimeMs[row]!) === null ? null : new Date(batch.deviceTimeMs[row]!).toISOString(),
    receivedAt: new Date(batch.receivedMs[row]!).toISOString(),
    latitude: orNull(batch.latitudeDeg[row]!),
    longitude: orNull(batch.longitudeDeg[row]!),
    altitude: orNull(batch.altitudeM[row]!),
    speed: orNull(roundSpeed(batch.speedKmh[row]!)),
    course: orNull(batch.courseDeg[row]!),
    accuracy: orNull(batch.accuracyM[row]!),
    hdop: orNull(batch.hdop[row]!),
    satellites: orNull(batch.satellites[row]!),
    valid: batch.valid[row] === 1,
    quality: qualityNames(batch.quality[row]!),
    attributes: attributesOf(batch, row, POSITION_FIELDS),
  }
}

/** Readings that a {@link Position} has as fields of its own, not inside `attributes`. */
const POSITION_FIELDS: ReadonlySet<string> = new Set(['sat', 'hdop'])

/**
 * Readings and sparse attributes of a row by key.
 * @param without Keys to leave out.
 */
export function attributesOf(
  batch: PositionBatch,
  row: number,
  without: ReadonlySet<string> = new Set(),
): Record<string, unknown> {
  const attributes: Record<string, unknown> = {}
  for (const reading of READINGS) {
    if (without.has(reading.key)) continue
    const value = batch[reading.column][row]!
    if (reading.type === 'string') {
      if (value !== 0) attributes[reading.key] = batch.texts[value]
    } else if (reading.type === 'boolean') {
      if (value !== BOOLEAN_UNKNOWN) attributes[reading.key] = value === 1
    } else if (!Number.isNaN(value)) attributes[reading.key] = value
  }
  for (let i = batch.attributeFirst[row]!; i >= 0; i = batch.attributeNext[i]!) {
    const value = batch.attributeValue[i]!
    const kind = batch.attributeKind[i]!
    if (kind === ATTRIBUTE_KIND.object) {
      Object.assign(attributes, JSON.parse(batch.texts[value]!))
      continue
    }
    attributes[batch.keys[batch.attributeKey[i]!]!] =
      kind === ATTRIBUTE_KIND.number
        ? value
        : kind === ATTRIBUTE_KIND.boolean
          ? value === 1
          : kind === ATTRIBUTE_KIND.text
            ? batch.texts[value]
            : JSON.parse(batch.texts[value]!)
  }
  return attributes
}

/** Speeds are shown to 0.1 m/h: what a conversion from knots adds below that is noise. */
export function roundSpeed(speedKmh: number): number {
  return Math.round(speedKmh * 1e4) / 1e4
}

function orNull(value: number): number | null {
  return Number.isNaN(value) ? null : value
}
