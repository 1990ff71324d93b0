import { expect, test } from 'vitest'
import { presetRange, rangeFault } from './range-picker.ts'

const NOW = new Date(2026, 10, 21, 14, 30, 15).getTime()

test('usual ranges end now or at midnight of the person', () => {
  expect(presetRange('last-hour', NOW)).toEqual({ fromMs: NOW - 3_600_000, toMs: NOW })
  expect(presetRange('today', NOW)).toEqual({ fromMs: new Date(2026, 10, 21).getTime(), toMs: NOW })
  expect(presetRange('yesterday', NOW)).toEqual({
    fromMs: new Date(2026, 10, 20).getTime(),
    toMs: new Date(2026, 10, 21).getTime(),
  })
})

test('a range that cannot be is told in words', () => {
  const fault = (fromMs: number, toMs: number) => rangeFault({ fromMs, toMs }, NOW)
  expect(fault(NOW - 1000, NOW)).toBe('')
  expect(fault(Number.NaN, NOW)).toMatch(/both dates/)
  expect(fault(NOW, NOW - 1)).toMatch(/after the beginning/)
  expect(fault(NOW + 1, NOW + 2)).toMatch(/future/)
  expect(fault(NOW - 32 * 86_400_000, NOW)).toMatch(/31 days/)
})
