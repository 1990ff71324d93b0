import { expect, test } from 'vitest'
import { Backlog } from './backlog.ts'

test('grows while records are skipped, and is drained when it grows no more and is durable', () => {
  const backlog = new Backlog()
  backlog.skip(5, 1_000)
  backlog.skip(9, 1_001)
  expect(backlog.oldest).toEqual({ position: 5, receivedMs: 1_000 })
  expect(backlog.next(100)).toBeUndefined()
  backlog.close()
  expect(backlog.next(9)).toBeUndefined()
  expect(backlog.next(10)).toEqual({ number: 1, range: { from: 5, to: 10 } })
  expect(backlog.next(10)).toBeUndefined()
  backlog.drained(1, 9, 1_001)
  expect(backlog.oldest).toEqual({ position: 9, receivedMs: 1_001 })
  backlog.drained(1, 10, Number.NaN)
  expect(backlog.oldest).toBeUndefined()
})

test('gives its thread one range at a time', () => {
  const backlog = new Backlog()
  for (const position of [10, 20]) {
    backlog.skip(position, 0)
    backlog.close()
  }
  expect(backlog.next(100)?.range).toEqual({ from: 10, to: 11 })
  expect(backlog.next(100)).toBeUndefined()
  backlog.drained(1, 11, Number.NaN)
  expect(backlog.next(100)?.range).toEqual({ from: 20, to: 21 })
})

test('drains the first range while the last one grows', () => {
  const backlog = new Backlog()
  backlog.add({ from: 0, to: 7 })
  backlog.skip(8, 0)
  expect(backlog.next(100)?.range).toEqual({ from: 0, to: 7 })
})

test('has a bounded number of ranges and loses none of their records', () => {
  const backlog = new Backlog()
  for (let position = 0; position < 1_000; position += 2) {
    backlog.skip(position, position)
    backlog.close()
  }
  const drained: { from: number; to: number }[] = []
  for (let next = backlog.next(1_000); next !== undefined; next = backlog.next(1_000)) {
    drained.push(next.range)
    backlog.drained(next.number, next.range.to, Number.NaN)
  }
  expect(drained.length).toBeLessThan(100)
  for (let position = 0; position < 1_000; position += 2) {
    expect(drained.some(({ from, to }) => from <= position && position < to)).toBe(true)
  }
})
