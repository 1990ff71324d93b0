import { expect, test } from 'vitest'
import { seededRandom } from './seeded-random.ts'

test('the same seed gives the same numbers, evenly spread', () => {
  const first = seededRandom(1)
  const again = seededRandom(1)
  const numbers = Array.from({ length: 10_000 }, () => first())
  expect(numbers.slice(0, 5)).toEqual(Array.from({ length: 5 }, () => again()))
  expect(numbers.every((number) => number >= 0 && number < 1)).toBe(true)
  const sum = numbers.reduce((total, number) => total + number, 0)
  expect(sum / numbers.length).toBeCloseTo(0.5, 1)
  expect(seededRandom(2)()).not.toBe(numbers[0])
})
