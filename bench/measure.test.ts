import { expect, test } from 'vitest'
import { figure, percentile, spread, summarise, times } from './measure.ts'

test('samples are summed up by mean, standard deviation and range', () => {
  expect(summarise([2, 4, 6])).toEqual({ mean: 4, deviation: 2, min: 2, max: 6 })
  expect(summarise([3])).toEqual({ mean: 3, deviation: 0, min: 3, max: 3 })
})

test('a percentile is the value that so many samples are below', () => {
  const samples = Float64Array.from({ length: 100 }, (_, i) => 100 - i)
  expect(percentile(samples, 0.5)).toBe(51)
  expect(percentile(samples, 0.99)).toBe(100)
  expect(percentile(samples, 1)).toBe(100)
})

test('figures have three significant digits', () => {
  expect([1_234_567, 123.4, 12.34, 1.234, 0.012345, 0, -2.5].map(figure)).toEqual([
    '1,230,000',
    '123',
    '12.3',
    '1.23',
    '0.0123',
    '0',
    '-2.50',
  ])
  expect(figure(Number.NaN)).toBe('–')
  expect(spread({ mean: 1000, deviation: 45, min: 0, max: 0 })).toBe('1,000 ± 5 %')
  expect(times(0.5)).toBe('0.500 ×')
})
