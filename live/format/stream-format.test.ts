import { pack, unpack } from 'msgpackr'
import { describe, expect, test } from 'vitest'
import type { ServerMessage, StreamRow } from '../../schemas/stream.ts'
import { jsonFormat, msgpackFormat, STREAM_FORMATS, type StreamFormat } from './stream-format.ts'

function read(format: StreamFormat, bytes: Buffer): unknown {
  return format === jsonFormat ? JSON.parse(bytes.toString('utf8')) : unpack(bytes)
}

function rowOf(device: number, attributes: Record<string, unknown> = {}): StreamRow {
  return {
    device,
    fixTime: '2026-01-02T03:04:05.678Z',
    receivedAt: '2026-01-02T03:04:06.000Z',
    latitude: 52.123456789,
    longitude: -0.000012,
    altitude: null,
    speed: 51.2,
    course: 359,
    attributes,
  }
}

function positions(format: StreamFormat, id: number, cursor: string, rows: StreamRow[]): Buffer {
  const encoded = rows.map((row) => format.encodeRow(row)).join(format.separator)
  return format.encodeRows('positions', id, cursor, rows.length, encoded)
}

describe.each(STREAM_FORMATS.map((format) => [format.subprotocol, format] as const))(
  '%s',
  (_name, format) => {
    test.each([0, 1, 15, 16, 65_535, 65_536])(
      'writes a message of %i rows that reads back whole',
      (count) => {
        const rows = Array.from({ length: count }, (_, device) => rowOf(device + 1))
        const message: ServerMessage = { type: 'positions', id: 7, cursor: '1700000000000000', rows }
        expect(read(format, positions(format, 7, message.cursor, rows))).toEqual(message)
      },
    )

    test('keeps text beyond ASCII, and what looks like syntax', () => {
      const row = rowOf(1, { driver: 'Zoë 日本 🚚', note: '"],}\\\u0007ÿ', list: [1, { a: null }] })
      expect(read(format, positions(format, 0, 'c', [row, row]))).toEqual({
        type: 'positions',
        id: 0,
        cursor: 'c',
        rows: [row, row],
      })
    })

    test('gives an encoded row one character a byte', () => {
      const encoded = format.encodeRow(rowOf(1, { driver: 'Zoë 日本 🚚' }))
      expect([...encoded].every((character) => character.charCodeAt(0) < 256)).toBe(true)
    })

    test('writes and reads a subscription id of the whole range', () => {
      for (const id of [0, 127, 128, 65_536, 2_147_483_647]) {
        expect(read(format, positions(format, id, 'c', []))).toMatchObject({ id })
      }
    })

    test('writes other messages', () => {
      const message: ServerMessage = { type: 'error', id: null, code: 'malformed', detail: 'déjà' }
      expect(read(format, format.encode(message))).toEqual(message)
    })

    test('refuses bytes that are not of the format', () => {
      expect(() => format.decode(Buffer.from([0x93, 0x01]))).toThrow()
    })
  },
)

test('msgpack is read by names alone: a message carries no table of an encoder', () => {
  const bytes = msgpackFormat.encode({ type: 'end', id: 3, cursor: 'x' })
  expect(bytes).toEqual(Buffer.from('\x83\xa4type\xa3end\xa2id\x03\xa6cursor\xa1x', 'latin1'))
})

test('an array that claims more elements than it brings is refused before room is made for it', () => {
  const heapBefore = process.memoryUsage().heapUsed
  expect(() => msgpackFormat.decode(Buffer.from([0xdd, 0x06, 0, 0, 0, 1, 2]))).toThrow()
  expect(process.memoryUsage().heapUsed - heapBefore).toBeLessThan(10_000_000)
  expect(msgpackFormat.decode(pack({ type: 'unsubscribe', id: 1 }))).toEqual({ type: 'unsubscribe', id: 1 })
})
