/**
 * How rows are written: JSON or msgpack, as objects or as arrays, with or without their attributes. A row is encoded
 * once and goes to many sockets and into many messages, so an encoded row is kept as a string with one character a byte:
 * V8 stores that as bytes, joins it fast, and the message becomes a buffer in one copy.
 *
 * An array has the fields of the object in their order, and times as ms UTC: it is less than half as long.
 */
import type { GeofenceEvent } from '../../schemas/geofence-event.ts'
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { type ServerMessage, streamRowOf } from '../../schemas/stream.ts'
import { jsonArray, jsonObject } from './json-row.ts'
import { packedRow } from './packed-row.ts'
import { jsonFormat, msgpackFormat, type StreamFormat } from './stream-format.ts'

/** How rows are written: format of the socket, and objects or arrays as the subscription asked. */
export interface Encoding {
  /** Place among all encodings, 0 and up: what is encoded once is kept by it. */
  readonly index: number
  /** Stands between two rows of a message. */
  readonly separator: string
  /** Row `row` of a batch, which must have a place; one character a byte. */
  encodePosition(batch: PositionBatch, row: number): string
  encodeEvent(event: GeofenceEvent): string
  /** The `header` of a subscription whose rows are arrays; null where they are objects. */
  header(id: number): ServerMessage | null
  /** A message of `count` encoded rows that are joined by the separator. */
  encodeRows(type: 'positions' | 'events', id: number, cursor: string, count: number, joined: string): Buffer
}

/** Fields of a row that is an array. */
const POSITION_FIELDS = [
  'device',
  'fixTimeMs',
  'receivedMs',
  'latitude',
  'longitude',
  'altitude',
  'speed',
  'course',
  'attributes',
] as const
/** By field of an event that is an array: the event's own. */
const EVENT_FIELDS: readonly (readonly [string, keyof GeofenceEvent])[] = [
  ['id', 'id'],
  ['device', 'device'],
  ['geofence', 'geofence'],
  ['geofenceVersion', 'geofenceVersion'],
  ['type', 'type'],
  ['timeMs', 'time'],
  ['fixTimeMs', 'fixTime'],
  ['latitude', 'latitude'],
  ['longitude', 'longitude'],
  ['speed', 'speed'],
  ['crossing', 'crossing'],
  ['revision', 'revision'],
  ['replaces', 'replaces'],
  ['retracted', 'retracted'],
  ['current', 'current'],
  ['recordedMs', 'recordedAt'],
]

export type RowShape = 'objects' | 'arrays'

class RowEncoding implements Encoding {
  readonly index: number
  readonly separator: string
  private readonly format: StreamFormat
  private readonly shape: RowShape
  private readonly withAttributes: boolean

  constructor(index: number, format: StreamFormat, shape: RowShape, withAttributes: boolean) {
    this.index = index
    this.format = format
    this.shape = shape
    this.withAttributes = withAttributes
    this.separator = format.separator
  }

  encodePosition(batch: PositionBatch, row: number): string {
    const { format, shape, withAttributes } = this
    if (format === jsonFormat) {
      return shape === 'arrays'
        ? jsonArray(batch, row, withAttributes)
        : jsonObject(batch, row, withAttributes)
    }
    if (shape === 'arrays') return packedRow(batch, row, withAttributes)
    const position = streamRowOf(batch, row)
    return format.encodeRow(withAttributes ? position : { ...position, attributes: {} })
  }

  encodeEvent(event: GeofenceEvent): string {
    if (this.shape === 'objects') return this.format.encodeRow(event)
    const values = EVENT_FIELDS.map(([field, name]) => {
      const value = event[name]
      return field.endsWith('Ms') && value !== null ? Date.parse(value as string) : value
    })
    return this.format.encodeRow(values)
  }

  header(id: number): ServerMessage | null {
    if (this.shape === 'objects') return null
    return { type: 'header', id, positions: POSITION_FIELDS, events: EVENT_FIELDS.map(([field]) => field) }
  }

  encodeRows(type: 'positions' | 'events', id: number, cursor: string, count: number, rows: string): Buffer {
    return this.format.encodeRows(type, id, cursor, count, rows)
  }
}

/** All there are, each in the place of its index. */
export const ENCODINGS: readonly Encoding[] = [jsonFormat, msgpackFormat].flatMap((format) =>
  [true, false].flatMap((withAttributes) =>
    (['objects', 'arrays'] as const).map(
      (shape) => new RowEncoding(encodingIndex(format, shape, withAttributes), format, shape, withAttributes),
    ),
  ),
)

/** @param withAttributes False writes `{}` in their place, for those who may not see them. */
export function encodingOf(format: StreamFormat, shape: RowShape, withAttributes = true): Encoding {
  return ENCODINGS[encodingIndex(format, shape, withAttributes)]!
}

function encodingIndex(format: StreamFormat, shape: RowShape, withAttributes: boolean): number {
  return format.index * 4 + (withAttributes ? 0 : 2) + (shape === 'arrays' ? 1 : 0)
}
