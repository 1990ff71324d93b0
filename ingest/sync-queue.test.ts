import { expect, test } from 'vitest'
import { SyncQueue } from './sync-queue.ts'

test('calls those whose record is durable, in order and once', () => {
  const queue = new SyncQueue()
  const called: number[] = []
  for (const position of [3, 4, 4, 7]) queue.add(position, () => called.push(position))
  queue.release(4)
  expect(called).toEqual([3])
  queue.release(7)
  expect(called).toEqual([3, 4, 4])
  queue.release(8)
  queue.release(9)
  expect(called).toEqual([3, 4, 4, 7])
  expect(queue.length).toBe(0)
})

test('takes others from those it calls', () => {
  const queue = new SyncQueue()
  const called: number[] = []
  queue.add(0, () => {
    called.push(0)
    queue.add(1, () => called.push(1))
  })
  queue.release(1)
  expect(called).toEqual([0])
  queue.release(2)
  expect(called).toEqual([0, 1])
})

test('keeps none that was called', () => {
  const queue = new SyncQueue()
  let called = 0
  for (let position = 0; position < 100_000; position++) {
    queue.add(position, () => called++)
    queue.release(position - 10)
  }
  expect(called).toBe(99_989)
  expect(queue.length).toBe(11)
  expect((queue as unknown as { positions: number[] }).positions.length).toBeLessThan(20_000)
})
