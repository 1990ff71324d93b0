import { expect, test } from 'vitest'
import { uniqueIdOf } from './unique-ids.ts'

test('an IMEI ends in its check digit', () => {
  // A well-known example of an IMEI: 49-015420-323751-8.
  expect(uniqueIdOf('teltonika', 20_323_751, '490154')).toBe('490154203237518')
  expect(uniqueIdOf('gt06', 0)).toMatch(/^35000000000000\d$/)
})

test('other names are the prefix and the number', () => {
  expect(uniqueIdOf('h02', 12)).toBe('9000000012')
  expect(uniqueIdOf('osmand', 12, 'van-')).toBe('van-000012')
  expect(uniqueIdOf('mqtt-json', 12, 'delivery-van-')).toBe('delivery-van-0012')
})

test('no two devices share a name', () => {
  const names = Array.from({ length: 20_000 }, (_, number) => uniqueIdOf('teltonika', number))
  expect(new Set(names).size).toBe(20_000)
})

test('a prefix that does not fit is refused', () => {
  expect(() => uniqueIdOf('teltonika', 1, 'van')).toThrow('no room for the prefix "van"')
  expect(() => uniqueIdOf('gt06', 12_345, '1234567890')).toThrow('no room')
  expect(() => uniqueIdOf('mqtt-json', 1, 'a/b')).toThrow('letters, digits')
})
