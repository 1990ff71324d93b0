import { describe, expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { type ServerMessage, streamRowOf } from '../../schemas/stream.ts'
import { testEvent } from '../../test/stream-fixture.ts'
import { ENCODINGS, encodingOf } from './encoding.ts'
import { jsonFormat, msgpackFormat } from './stream-format.ts'

function batchOf(): PositionBatch {
  const batch = new PositionBatch(8)
  for (const device of [7, 8]) {
    const row = batch.add(1_700_000_000_123, 52.123456789, -0.000012)
    batch.device[row] = device
    batch.receivedMs[row] = 1_700_000_001_000
    batch.speedKmh[row] = 51.2
    batch.set(row, 'ignition', true)
    batch.set(row, 'driver', 'Zoë 日本 🚚 "],}\\\u0007ÿ')
    batch.setJson(row, 'list', [1, { a: null }])
  }
  batch.courseDeg[1] = 359
  batch.altitudeM[1] = -3.5
  return batch
}

const ATTRIBUTES = { ignition: true, driver: 'Zoë 日本 🚚 "],}\\\u0007ÿ', list: [1, { a: null }] }

describe.each([jsonFormat, msgpackFormat])('$subprotocol', (format) => {
  const read = (
    rows: readonly string[],
    type: 'positions' | 'events',
    encoding = encodingOf(format, 'arrays'),
  ) =>
    format.decode(
      encoding.encodeRows(type, 3, 'c', rows.length, rows.join(encoding.separator)),
    ) as ServerMessage & { rows: unknown[] }

  test('writes rows as objects, whole', () => {
    const batch = batchOf()
    const encoding = encodingOf(format, 'objects')
    const rows = [0, 1].map((row) => encoding.encodePosition(batch, row))
    expect(read(rows, 'positions', encoding)).toEqual({
      type: 'positions',
      id: 3,
      cursor: 'c',
      rows: [streamRowOf(batch, 0), streamRowOf(batch, 1)],
    })
    expect(encoding.header(3)).toBeNull()
  })

  test('writes rows as arrays in the order of the header', () => {
    const batch = batchOf()
    const encoding = encodingOf(format, 'arrays')
    const header = encoding.header(3)!
    expect(header).toMatchObject({ type: 'header', id: 3 })
    const fields = header.type === 'header' ? header.positions : []
    const { rows } = read(
      [0, 1].map((row) => encoding.encodePosition(batch, row)),
      'positions',
    )
    const objects = (rows as unknown[][]).map((row) =>
      Object.fromEntries(row.map((value, i) => [fields[i], value])),
    )
    const { fixTime: _, receivedAt: __, ...rest } = streamRowOf(batch, 1)
    expect(objects[1]).toEqual({ ...rest, fixTimeMs: 1_700_000_000_123, receivedMs: 1_700_000_001_000 })
    expect(objects[0]).toMatchObject({ device: 7, altitude: null, course: null, attributes: ATTRIBUTES })
  })

  test('writes events as arrays in the order of the header, with times as numbers', () => {
    const { organizationId: _, ...event } = testEvent({ id: 5, device: 7, organizationId: 1, replaces: 4 })
    const encoding = encodingOf(format, 'arrays')
    const timer = { ...event, fixTime: null, latitude: null }
    const header = encoding.header(3)!
    const fields = header.type === 'header' ? header.events : []
    const { rows } = read([encoding.encodeEvent(event), encoding.encodeEvent(timer)], 'events')
    const objects = (rows as unknown[][]).map((row) =>
      Object.fromEntries(row.map((value, i) => [fields[i], value])),
    )
    const { time, fixTime, recordedAt, ...rest } = event
    expect(objects[0]).toEqual({
      ...rest,
      timeMs: Date.parse(time),
      fixTimeMs: Date.parse(fixTime!),
      recordedMs: Date.parse(recordedAt),
    })
    expect(objects[1]).toMatchObject({ fixTimeMs: null, latitude: null })
  })

  test('writes nothing of the attributes for who may not see them', () => {
    const batch = batchOf()
    for (const shape of ['objects', 'arrays'] as const) {
      const encoding = encodingOf(format, shape, false)
      const { rows } = read([encoding.encodePosition(batch, 0)], 'positions', encoding)
      expect(JSON.stringify(rows)).not.toContain('Zoë')
      expect(JSON.stringify(rows)).not.toContain('ignition')
    }
  })
})

test('every encoding stands in its place, and gives one character a byte', () => {
  const batch = batchOf()
  ENCODINGS.forEach((encoding, index) => {
    expect(encoding.index).toBe(index)
    expect([...encoding.encodePosition(batch, 0)].every((character) => character.charCodeAt(0) < 256)).toBe(
      true,
    )
  })
  expect(ENCODINGS).toHaveLength(8)
})
