import { expect, test } from 'vitest'
import { axisMarks, keyStepMs } from './time-axis.ts'

const at = (text: string) => Date.parse(`2026-11-21T${text}Z`)
const HOUR_MS = 3_600_000

test('marks stand at round times, as many as have room', () => {
  expect(axisMarks(at('10:07:12'), at('11:07:12'), 6, 0)).toEqual(
    ['10:10:00', '10:20:00', '10:30:00', '10:40:00', '10:50:00', '11:00:00'].map(at),
  )
  expect(axisMarks(at('00:00:00'), at('23:59:59'), 5, 0)).toEqual(
    ['00:00:00', '06:00:00', '12:00:00', '18:00:00'].map(at),
  )
})

test('hours are round on the clock of the person', () => {
  expect(axisMarks(at('00:00:00'), at('12:00:00'), 3, 5.5 * HOUR_MS)).toEqual(
    ['00:30:00', '06:30:00'].map(at),
  )
})

test('the arrow keys move a round part of the whole', () => {
  expect([60_000, HOUR_MS, 24 * HOUR_MS, 31 * 24 * HOUR_MS].map(keyStepMs)).toEqual([
    10_000,
    30_000,
    600_000,
    3 * HOUR_MS,
  ])
})
