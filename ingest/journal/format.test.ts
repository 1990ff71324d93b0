import fc from 'fast-check'
import { expect, test } from 'vitest'
import { crc32c } from './crc32c.ts'
import {
  isRecord,
  isSegmentHeader,
  lengthOfRecord,
  parseRecord,
  sealRecord,
  segmentHeader,
} from './format.ts'
import { groupOf, record } from './journal-fixture.ts'

test.each([
  ['32 zeros', Buffer.alloc(32), 0x8a9136aa],
  ['32 ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
  ['0 to 31', Buffer.from(Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e],
  ['31 to 0', Buffer.from(Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c],
  ['the digits', Buffer.from('123456789'), 0xe3069283],
])('CRC-32C of %s is the one of RFC 3720', (_, bytes, crc) => {
  expect(crc32c(bytes, 0, bytes.length)).toBe(crc)
})

test('CRC-32C of two parts, the second seeded with the first, is that of the whole', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), fc.integer(), (bytes, cut, seed) => {
      const at = Math.min(cut, bytes.length)
      const whole = crc32c(bytes, 0, bytes.length, seed)
      expect(crc32c(bytes, at, bytes.length, crc32c(bytes, 0, at, seed))).toBe(whole)
    }),
  )
})

test('a record is whole at its own position only', () => {
  const { bytes } = groupOf([record(7)])
  const position = 2 ** 40 + 5
  sealRecord(bytes, 0, position)
  expect(lengthOfRecord(bytes, 0, bytes.length)).toBe(bytes.length)
  expect(isRecord(bytes, 0, bytes.length, position)).toBe(true)
  for (const other of [0, 5 + 1, position - 1, position + 1]) {
    expect(isRecord(bytes, 0, bytes.length, other)).toBe(false)
  }
  expect(parseRecord(bytes, 0, bytes.length)).toEqual(record(7))
})

test('a record with any changed bit is not whole', () => {
  const { bytes } = groupOf([record(7)])
  sealRecord(bytes, 0, 3)
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = Buffer.concat([bytes, Buffer.alloc(64)])
    changed[bit >> 3]! ^= 1 << (bit & 7)
    const length = lengthOfRecord(changed, 0, changed.length)
    const whole = length > 0 && length <= changed.length && isRecord(changed, 0, length, 3)
    expect(whole).toBe(false)
  }
})

test('a segment header with any changed bit is none, whatever version it seems to be of', () => {
  const header = segmentHeader(77, Date.now())
  expect(isSegmentHeader(header, 77)).toBe(true)
  expect(isSegmentHeader(header, 78)).toBe(false)
  expect(isSegmentHeader(header.subarray(0, 31), 77)).toBe(false)
  for (let bit = 0; bit < header.length * 8; bit++) {
    const changed = Buffer.from(header)
    changed[bit >> 3]! ^= 1 << (bit & 7)
    expect(isSegmentHeader(changed, 77)).toBe(false)
  }
})

test('a segment of another version is refused, and the message says what to do', () => {
  const header = segmentHeader(0, 0)
  header.writeUInt32LE(2, 8)
  header.writeUInt32LE(crc32c(header, 16, 32, crc32c(header, 0, 12)), 12)
  expect(() => isSegmentHeader(header, 0)).toThrow(
    expect.objectContaining({
      code: 'journal-version',
      message: expect.stringContaining('start the version'),
    }),
  )
})
