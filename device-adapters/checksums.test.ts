import fc from 'fast-check'
import { expect, test } from 'vitest'
import { crc16Ibm } from './checksums.ts'

test('CRC-16/IBM has its published check value', () => {
  const digits = Buffer.from('123456789')
  expect(crc16Ibm(digits, 0, digits.length)).toBe(0xbb3d)
})

test('CRC-16/IBM by table is that of the polynomial, wherever the bytes lie', () => {
  const bitByBit = (bytes: Buffer) => {
    let crc = 0
    for (const byte of bytes) {
      crc ^= byte
      for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xa001 : crc >>> 1
    }
    return crc
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), fc.nat(100), (array, a, b) => {
      const bytes = Buffer.from(array)
      const start = Math.min(a, b, bytes.length)
      const end = Math.min(Math.max(a, b), bytes.length)
      expect(crc16Ibm(bytes, start, end)).toBe(bitByBit(bytes.subarray(start, end)))
    }),
  )
})
