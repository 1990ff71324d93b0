import { expect, test } from 'vitest'
import { READINGS } from './attributes.ts'
import { positionOf } from './position.ts'
import { BOOLEAN_UNKNOWN, PositionBatch, transferables } from './position-batch.ts'
import { QUALITY } from './quality.ts'

const TIME_MS = Date.UTC(2026, 10, 21, 8)

function filled(rows: number): PositionBatch {
  const batch = new PositionBatch(8)
  for (let i = 0; i < rows; i++) {
    const row = batch.add(TIME_MS + i, 30 + i / 100, -97)
    batch.receivedMs[row] = TIME_MS + 1000 + i
    batch.device[row] = i + 1
    batch.decoder[row] = 1000 + i
    batch.speedKmh[row] = i
    batch.set(row, 'ignition', i % 2 === 0)
    batch.set(row, 'odometer', i * 10)
    batch.set(row, 'io5', i)
    batch.set(row, 'card', `card ${i}`)
    batch.setJson(row, 'network', { cellTowers: [i] })
    if (i % 3 === 0) batch.set(row, 'alarm', 'sos')
  }
  return batch
}

const all = (batch: PositionBatch) => Array.from({ length: batch.length }, (_, row) => positionOf(batch, row))

test('gives back what was set, in a column or as an attribute', () => {
  const position = positionOf(filled(1), 0)
  expect(position).toMatchObject({
    device: 1,
    fixTime: '2026-11-21T08:00:00.000Z',
    latitude: 30,
    longitude: -97,
    speed: 0,
    altitude: null,
    valid: true,
    quality: [],
    attributes: {
      ignition: true,
      odometer: 0,
      io5: 0,
      card: 'card 0',
      network: { cellTowers: [0] },
      alarm: 'sos',
    },
  })
})

test('puts every reading into its own column, also after it has grown', () => {
  const batch = new PositionBatch(8)
  for (let i = 0; i < 9; i++) batch.add(TIME_MS + i, 30, -97)
  READINGS.forEach(({ key, type }, i) => {
    if (type !== 'string') batch.set(8, key, type === 'number' ? i : true)
  })
  for (const [i, { column, type }] of READINGS.entries()) {
    if (type !== 'string') expect(batch[column][8]).toBe(type === 'number' ? i : 1)
  }
  expect(batch.attributeCount).toBe(0)
})

test('keeps every row when it grows', () => {
  expect(all(filled(100)).map((position) => position.attributes.io5)).toEqual(
    Array.from({ length: 100 }, (_, i) => i),
  )
  expect(filled(100).capacity).toBe(128)
})

test('crosses a thread without a change', () => {
  const batch = filled(20)
  const before = all(batch)
  const message = batch.toMessage()
  const arrived = PositionBatch.fromMessage(structuredClone(message, { transfer: transferables(message) }))
  expect(all(arrived)).toEqual(before)
  arrived.set(0, 'io5x', 1)
  expect(positionOf(arrived, 0).attributes.io5x).toBe(1)
})

test('appends rows of another batch with their attributes', () => {
  const to = filled(3)
  const from = filled(20)
  to.appendFrom(from, 5, 20)
  expect(all(to)).toEqual([...all(filled(3)), ...all(from).slice(5)])
  expect([...to.decoder.subarray(2, 5)]).toEqual([1002, 1005, 1006])
})

test('takes back what was appended after a mark', () => {
  const batch = filled(3)
  const before = all(batch)
  const mark = batch.mark()
  const row = batch.add(TIME_MS, 1, 1)
  batch.set(row, 'brandNew', 'text')
  batch.set(row, 'motion', true)
  batch.decoder[row] = 7
  batch.rollback(mark)
  expect(all(batch)).toEqual(before)
  expect(batch.keys).not.toContain('brandNew')
  const next = batch.add(TIME_MS, 1, 1)
  expect(batch.motion[next]).toBe(BOOLEAN_UNKNOWN)
  expect(batch.decoder[next]).toBe(0)
})

test('marks a place off the globe and a time that is none', () => {
  const batch = new PositionBatch(8)
  batch.add(TIME_MS, 91, 0)
  batch.add(Number.NaN, 1, 1)
  batch.addWithoutFix()
  expect(batch.quality[0]).toBe(QUALITY.noPlace)
  expect(batch.latitudeDeg[0]).toBeNaN()
  expect(batch.fixTimeMs[1]).toBeNaN()
  expect(batch.quality[2]).toBe(QUALITY.noPlace)
})

test('joins several alarms of one message', () => {
  const batch = filled(1)
  batch.set(0, 'alarm', 'powerCut')
  expect(positionOf(batch, 0).attributes.alarm).toBe('sos,powerCut')
})

test('keeps a value of another type than its reading as an attribute', () => {
  const batch = filled(1)
  batch.set(0, 'event', 'motionchange')
  expect(batch.event[0]).toBeNaN()
  expect(positionOf(batch, 0).attributes.event).toBe('motionchange')
})

test('knows whether rows from one on are of other devices, also after some were taken back', () => {
  const batch = filled(8)
  batch.setUniqueId(2, 'van-2')
  batch.setUniqueId(5, 'van-5')
  expect([0, 5, 6].map((start) => batch.namesDevices(start))).toEqual([true, true, false])
  const marks = [7, 5, 4, 1].map((rows) => ({ rows, attributes: 0, keys: 0, texts: 1 }))
  const seen = marks.map((mark) => {
    batch.rollback(mark)
    return [0, 2, 3].map((start) => batch.namesDevices(start))
  })
  expect(seen).toEqual([
    [true, true, true],
    [true, true, false],
    [true, true, false],
    [false, false, false],
  ])
  expect(batch.uniqueIdOf(5)).toBeUndefined()
})
