import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  crc8Nrsc5,
  crc16CcittFalse,
  crc16Ibm,
  crc16Kermit,
  crc16Modbus,
  luhnDigit,
  rotatedSum16,
  sum8,
  xor8,
} from './checksums.ts'

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

test('CRC-16/KERMIT has its published check value', () => {
  const digits = Buffer.from('123456789')
  expect(crc16Kermit(digits, 0, digits.length)).toBe(0x2189)
})

test('CRC-16/MODBUS has its published check value', () => {
  const digits = Buffer.from('123456789')
  expect(crc16Modbus(digits, 0, digits.length)).toBe(0x4b37)
})

test('the exclusive or leaves out what is around the bytes', () => {
  expect(xor8(Buffer.from([0xff, 0x0f, 0xf1, 0xff]), 1, 3)).toBe(0xfe)
  expect(xor8(Buffer.alloc(0), 0, 0)).toBe(0)
})

test('the check digit of an IMEI and of a card number is that of their documents', () => {
  // 3GPP TS 23.003 annex B, and the customary example of the formula.
  expect(luhnDigit('26053179311383')).toBe(7)
  expect(luhnDigit('7992739871')).toBe(3)
})

test('a sum of bytes keeps its low 8 bits', () => {
  // An example of the Meitrack GPRS Protocol V1.6.
  const text = Buffer.from('@@h27,353358017784062,AFF,1*')
  expect(sum8(text, 0, text.length)).toBe(0x0b)
  expect(sum8(Buffer.from([1, 0xff, 0xff, 9]), 1, 3)).toBe(0xfe)
})

test('the rotated sum of 16 bits turns its highest bit to the lowest place', () => {
  const bytes = Buffer.from('xx\xff\x80\x01'.repeat(9), 'latin1')
  const sums = [2, 3, 4].map((end) => rotatedSum16(bytes, 2, end))
  expect(sums).toEqual([0, 0xff, 0x27e])
  const all = bytes.reduce(
    (sum, byte) => (((sum * 2) % 0x10000) + Math.floor(sum / 0x8000) + byte) % 0x10000,
    0,
  )
  expect(rotatedSum16(bytes, 0, bytes.length)).toBe(all)
})

test('CRC-16/IBM-3740 and CRC-8/NRSC-5 have their published check values', () => {
  const digits = Buffer.from('123456789')
  expect(crc16CcittFalse(digits, 0, digits.length)).toBe(0x29b1)
  expect(crc8Nrsc5(digits, 0, digits.length)).toBe(0xf7)
})
