/**
 * How messages are written: JSON or msgpack. A row is encoded once and goes to many sockets and into many messages,
 * so an encoded row is kept as a string with one character a byte: V8 stores that as bytes, joins it fast, and the
 * message becomes a buffer in one copy.
 */
import { Packr } from 'msgpackr'
import type { GeofenceEvent } from '../../schemas/geofence-event.ts'
import { type ServerMessage, STREAM_PROTOCOLS, type StreamRow } from '../../schemas/stream.ts'

/** Messages that carry rows. */
export type RowsType = 'positions' | 'events'

export interface StreamFormat {
  /** 0 or 1: place in {@link STREAM_FORMATS}. */
  readonly index: number
  readonly subprotocol: string
  readonly isBinary: boolean
  /** Stands between two rows of a message. */
  readonly separator: string
  /** One row, or the values of one, one character a byte. */
  encodeRow(row: StreamRow | GeofenceEvent | readonly unknown[]): string
  /** A message of `count` encoded rows that are joined by the separator. */
  encodeRows(type: RowsType, id: number, cursor: string, count: number, rows: string): Buffer
  encode(message: ServerMessage): Buffer
  /** @throws Error of any kind if the bytes are not of this format. */
  decode(bytes: Buffer): unknown
}

/** Without records and other extensions of msgpackr, which would be read by msgpackr only. */
export const packr = new Packr({ useRecords: false, variableMapSize: true })

/** Msgpack of a value, one character a byte. */
function packed(value: unknown): string {
  return packr.pack(value).toString('latin1')
}

function packedArrayHead(length: number): string {
  if (length < 16) return String.fromCharCode(0x90 | length)
  if (length < 65_536) return String.fromCharCode(0xdc, length >>> 8, length & 255)
  return String.fromCharCode(0xdd, length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255)
}

/** Map of 4 entries, the first of them the type. */
const packedHead = (type: RowsType) =>
  String.fromCharCode(0x84) + packed('type') + packed(type) + packed('id')
const PACKED_HEAD = { positions: packedHead('positions'), events: packedHead('events') }
const PACKED_CURSOR = packed('cursor')
const PACKED_ROWS = packed('rows')

const NOT_ASCII = /[^\0-\x7f]/

export const jsonFormat: StreamFormat = {
  index: 0,
  subprotocol: STREAM_PROTOCOLS.json,
  isBinary: false,
  separator: ',',
  encodeRow(row) {
    const text = JSON.stringify(row)
    return NOT_ASCII.test(text) ? Buffer.from(text).toString('latin1') : text
  },
  encodeRows: (type, id, cursor, _count, rows) =>
    Buffer.from(`{"type":"${type}","id":${id},"cursor":"${cursor}","rows":[${rows}]}`, 'latin1'),
  encode: (message) => Buffer.from(JSON.stringify(message)),
  decode: (bytes) => JSON.parse(bytes.toString()),
}

export const msgpackFormat: StreamFormat = {
  index: 1,
  subprotocol: STREAM_PROTOCOLS.msgpack,
  isBinary: true,
  separator: '',
  encodeRow: packed,
  encodeRows: (type, id, cursor, count, rows) =>
    Buffer.from(
      PACKED_HEAD[type] +
        packed(id) +
        PACKED_CURSOR +
        packed(cursor) +
        PACKED_ROWS +
        packedArrayHead(count) +
        rows,
      'latin1',
    ),
  encode: (message) => packr.pack(message),
  decode: (bytes) => packr.unpack(bytes),
}

export const STREAM_FORMATS: readonly StreamFormat[] = [jsonFormat, msgpackFormat]
