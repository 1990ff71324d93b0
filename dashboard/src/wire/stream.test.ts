import { expect, test } from 'vitest'
import { retryDelayMs } from './stream.ts'

test('waits double from half a second to half a minute', () => {
  expect([0, 1, 2, 6, 50].map((attempt) => retryDelayMs(attempt, 0.5))).toEqual([
    500, 1000, 2000, 30_000, 30_000,
  ])
})

test('waits are spread, so that pages do not come back in step', () => {
  expect([retryDelayMs(3, 0), retryDelayMs(3, 1)]).toEqual([3000, 5000])
})
