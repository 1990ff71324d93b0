import { expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { FUTURE_MS, QUALITY, qualityNames } from '../../schemas/quality.ts'
import { QualityCheck } from './quality.ts'

const TIME_MS = Date.UTC(2026, 10, 21)

/** Quality of fixes of one device, given as seconds after TIME_MS and degrees east of Austin. */
function marked(fixes: readonly (readonly [number, number])[], check = new QualityCheck()): string[][] {
  const batch = new PositionBatch(8)
  for (const [seconds, eastDeg] of fixes) {
    const row = batch.add(TIME_MS + seconds * 1000, 30.27, -97.74 + eastDeg)
    batch.device[row] = 5
    batch.receivedMs[row] = TIME_MS
  }
  check.mark(batch)
  return fixes.map((_, row) => qualityNames(batch.quality[row]!))
}

test('leaves the fixes of a fast vehicle alone', () => {
  // 0.05 degrees in a minute are 289 km/h.
  expect(
    marked([
      [0, 0],
      [60, 0.05],
      [120, 0.1],
    ]),
  ).toEqual([[], [], []])
})

test('marks a jump, and not what follows at the old place', () => {
  expect(
    marked([
      [0, 0],
      [10, 5],
      [20, 0.001],
    ]),
  ).toEqual([[], ['jump'], []])
})

test('believes the new place after three jumps in a row', () => {
  expect(
    marked([
      [0, 0],
      [10, 5],
      [20, 5],
      [30, 5],
      [40, 5],
      [50, 5.001],
    ]),
  ).toEqual([[], ['jump'], ['jump'], ['jump'], [], []])
})

test('measures against the last good fix also across batches and the antimeridian', () => {
  const check = new QualityCheck()
  expect(marked([[0, 277.73]], check)).toEqual([[]])
  expect(marked([[60, -82.25]], check)).toEqual([[]])
})

test('does not take a late fix for a jump', () => {
  expect(
    marked([
      [1000, 0],
      [10, 3],
      [1010, 0.001],
    ]),
  ).toEqual([[], [], []])
})

test('marks a fix of the future', () => {
  expect(
    marked([
      [FUTURE_MS / 1000 + 1, 0],
      [0, 0],
    ]),
  ).toEqual([['future'], []])
})

test('keeps the bits that the adapter set', () => {
  const batch = new PositionBatch(8)
  batch.addWithoutFix(TIME_MS)
  batch.fixTimeMs[0] = TIME_MS
  batch.receivedMs[0] = TIME_MS
  new QualityCheck().mark(batch)
  expect(batch.quality[0]).toBe(QUALITY.noPlace)
})
