import { expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { commitStatement } from './commit-statement.ts'

const START_MS = Date.UTC(2000, 0, 1)

/** Of rows `[device, seconds since 2000]`. */
function statement(...rows: [device: number, s: number][]): string {
  const batch = new PositionBatch(8)
  for (const [device, s] of rows) batch.device[batch.add(START_MS + s * 1000, 30, -97)] = device
  return commitStatement(batch, Uint32Array.from(rows.keys()), 7)
}

test('rows of a device that follow each other are one span', () => {
  expect(statement([1, 0], [1, 600], [1, 1_199.5], [2, 5])).toBe(
    "SELECT commit_batch(7, 4, '{1,2}', '{0,5000000}', '{1199500000,5000000}')",
  )
})

test('rows of a device with a gap between them are several', () => {
  expect(statement([1, 0], [1, 601])).toBe(
    "SELECT commit_batch(7, 2, '{1,1}', '{0,601000000}', '{0,601000000}')",
  )
})

test('two records of one moment are found once', () => {
  expect(statement([1, 3], [1, 3])).toBe("SELECT commit_batch(7, 2, '{1}', '{3000000}', '{3000000}')")
})
