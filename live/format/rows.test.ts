import { describe, expect, test } from 'vitest'
import { READINGS } from '../../schemas/attributes.ts'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { type ServerMessage, streamRowOf } from '../../schemas/stream.ts'
import { seededRandom } from '../../test/seeded-random.ts'
import { encodingOf } from './encoding.ts'
import { jsonFormat, msgpackFormat } from './stream-format.ts'

/** Rows with every reading, every kind of attribute, and numbers and texts of every length that is written differently. */
function batchOf(): PositionBatch {
  const batch = new PositionBatch(8)
  const add = () => {
    const row = batch.add(1_700_000_000_123.25, -89.999999999, 179.5)
    batch.device[row] = 2_147_483_647
    batch.receivedMs[row] = 1_700_000_001_000
    return row
  }
  const readings = add()
  READINGS.forEach(({ key, type }, i) => {
    batch.set(readings, key, type === 'number' ? i * 1.5 : type === 'boolean' ? i % 2 === 0 : 'sos,tow')
  })
  batch.altitudeM[readings] = -3.5
  batch.speedKmh[readings] = 51.23456
  batch.courseDeg[readings] = 0
  const numbers = add()
  for (const value of [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]) {
    batch.set(numbers, `n${value}`, value)
    batch.set(numbers, `m${value}`, -value)
  }
  batch.set(numbers, 'fraction', 0.1 + 0.2)
  batch.set(numbers, 'tiny', -5e-324)
  const texts = add()
  for (const length of [0, 1, 31, 32, 255, 256, 70_000]) {
    batch.set(texts, `a${length}`, 'x'.repeat(length))
    batch.set(texts, `ä${length}`, '日"\\\u0007'.repeat(length))
  }
  batch.setJson(texts, 'nested', { list: [1, { a: null }], text: 'Zoë' })
  const stored = add()
  batch.set(stored, 'ignition', true)
  batch.setObject(
    stored,
    '{"io24":12,"text":"Zoë 🚚","flag":false,"none":null,"network":{"towers":[{"mcc":310}]}}',
  )
  batch.setObject(add(), '{}')
  add()
  return batch
}

/** As it looks on the wire: JSON knows no -0. */
const onWire = (value: unknown) => JSON.parse(JSON.stringify(value))

describe.each([jsonFormat, msgpackFormat])('$subprotocol', (format) => {
  test('an object says what the row says', () => {
    const batch = batchOf()
    const encoding = encodingOf(format, 'objects')
    const rows = Array.from({ length: batch.length }, (_, row) => encoding.encodePosition(batch, row))
    const bytes = encoding.encodeRows('positions', 1, 'c', rows.length, rows.join(encoding.separator))
    const message = format.decode(bytes) as ServerMessage & { rows: unknown[] }
    expect(onWire(message.rows)).toEqual(onWire(rows.map((_, row) => streamRowOf(batch, row))))
  })

  test('an array says what the object of the same row says', () => {
    const batch = batchOf()
    const encoding = encodingOf(format, 'arrays')
    const rows = Array.from({ length: batch.length }, (_, row) => encoding.encodePosition(batch, row))
    const bytes = encoding.encodeRows('positions', 1, 'c', rows.length, rows.join(encoding.separator))
    const message = format.decode(bytes) as ServerMessage & { rows: unknown[][] }
    message.rows.forEach((array, row) => {
      const { device, latitude, longitude, altitude, speed, course, attributes } = streamRowOf(batch, row)
      const [fixTimeMs, receivedMs] = [batch.fixTimeMs[row], batch.receivedMs[row]]
      expect(onWire(array)).toEqual(
        onWire([device, fixTimeMs, receivedMs, latitude, longitude, altitude, speed, course, attributes]),
      )
    })
    expect(message.rows).toHaveLength(6)
  })

  test('attributes are left out for who may not see them', () => {
    const batch = batchOf()
    const encoding = encodingOf(format, 'arrays', false)
    const rows = [encoding.encodePosition(batch, 0)]
    const bytes = encoding.encodeRows('positions', 1, 'c', 1, rows.join(encoding.separator))
    expect((format.decode(bytes) as { rows: unknown[][] }).rows[0]!.at(-1)).toEqual({})
  })
})

test('numbers of JSON are those that the batch has, to the last digit', () => {
  const random = seededRandom(7)
  const numbers = [0, -0, 1, 9, 10, 1e-6, 1e-7, 1.5e-7, 1e-8, 5e-324, 0.1 + 0.2, 0.3, 1 / 3, 179.9999999]
  for (const bound of [2 ** 29, 2 ** 31, 2 ** 32, 1e9, 1e15, 1e16, 2 ** 53, 1e21, 1e22, 1e300]) {
    for (const near of [-1, -0.5, -1e-7, 0, 1e-7, 0.5, 1]) numbers.push(bound + near)
  }
  for (let i = 0; i < 10_000; i++) {
    const value = 10 ** (24 * random() - 8)
    numbers.push(value, Number(value.toFixed(Math.floor(9 * random()))), Math.floor(value))
  }
  const batch = new PositionBatch(8)
  for (const number of numbers.flatMap((value) => [value, -value])) {
    const row = batch.add(1_700_000_000_000, 50, 10)
    batch.altitudeM[row] = number
  }
  const encoding = encodingOf(jsonFormat, 'arrays')
  for (let row = 0; row < batch.length; row++) {
    const altitudeM = batch.altitudeM[row]!
    const [, written] = /^(?:[^,]*,){5}([^,]*),/.exec(encoding.encodePosition(batch, row))!
    // JSON knows no -0.
    expect(Object.is(JSON.parse(written!), altitudeM + 0)).toBe(true)
    // Short, too: no digit more than needed.
    if (Math.abs(altitudeM) >= 1e-6) expect(written).toBe(String(altitudeM))
  }
})
