import { once } from 'node:events'
import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ShardToLive } from '../../schemas/live-port.ts'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { QUALITY } from '../../schemas/quality.ts'
import { testEvent } from '../../test/stream-fixture.ts'
import { LIVE_BATCHES_MAX, LiveOutlet } from './live-outlet.ts'

let live: MessagePort
let outlet: LiveOutlet
let untaken: Int32Array

beforeEach(() => {
  const { port1, port2 } = new MessageChannel()
  live = port2
  outlet = new LiveOutlet(port1)
  const count = taken()
  untaken = 'type' in count && count.type === 'count' ? count.untaken : new Int32Array(1)
})
afterEach(() => outlet.close())

function publish(...devices: number[]): void {
  const batch = new PositionBatch(8)
  for (const device of devices) batch.device[batch.add(1_000, 50, 10)] = device
  outlet.publish(batch)
}

/** What came next, which must be there. */
function taken(): ShardToLive {
  const { message } = receiveMessageOnPort(live)! as { message: ShardToLive }
  return message
}

function takeBatches(count: number): void {
  for (let i = 0; i < count; i++) {
    expect(taken()).toMatchObject({ length: 1 })
    Atomics.sub(untaken, 0, 1)
  }
}

test('batches go on as long as live takes them', () => {
  for (let i = 0; i < 3 * LIVE_BATCHES_MAX; i++) {
    publish(1)
    takeBatches(1)
  }
  expect(Atomics.load(untaken, 0)).toBe(0)
})

test('batches that live is too slow for are left out, and their devices told once it has caught up', async () => {
  for (let device = 1; device <= LIVE_BATCHES_MAX; device++) publish(device)
  publish(101, 102)
  publish(102, 103)
  takeBatches(LIVE_BATCHES_MAX)
  expect(receiveMessageOnPort(live)).toBeUndefined()
  // Not before what was left out: live is to have caught up first.
  publish(104)
  expect(receiveMessageOnPort(live)).toBeUndefined()

  const [missed] = (await once(live, 'message')) as [ShardToLive]
  expect(missed).toEqual({ type: 'missed', devices: Uint32Array.of(101, 102, 103, 104) })
  publish(105)
  expect((await once(live, 'message'))[0]).toMatchObject({ length: 1 })
  expect(Atomics.load(untaken, 0)).toBe(1)
})

test('devices of doubtful rows are not told, as these are not shown', async () => {
  for (let device = 1; device <= LIVE_BATCHES_MAX; device++) publish(device)
  const batch = new PositionBatch(8)
  for (const device of [7, 8]) batch.device[batch.add(1_000, 50, 10)] = device
  batch.quality[0]! |= QUALITY.jump
  outlet.publish(batch)
  takeBatches(LIVE_BATCHES_MAX)
  expect((await once(live, 'message'))[0]).toEqual({ type: 'missed', devices: Uint32Array.of(8) })
})

test('events follow their batch and count as one, and no message is made where there is none', () => {
  publish(1)
  outlet.publishEvents([
    testEvent({ id: 1, device: 1, organizationId: 3 }),
    testEvent({ id: 2, device: 1, organizationId: 3 }),
  ])
  outlet.publishEvents([])
  takeBatches(1)
  expect(taken()).toEqual({
    type: 'events',
    events: [
      testEvent({ id: 1, device: 1, organizationId: 3 }),
      testEvent({ id: 2, device: 1, organizationId: 3 }),
    ],
  })
  expect(receiveMessageOnPort(live)).toBeUndefined()
  expect(Atomics.load(untaken, 0)).toBe(1)
})

test('events that live is too slow for are left out, and how many of each device is told', async () => {
  for (let device = 1; device <= LIVE_BATCHES_MAX; device++) publish(device)
  outlet.publishEvents([
    testEvent({ id: 1, device: 1, organizationId: 3 }),
    testEvent({ id: 2, device: 2, organizationId: 3 }),
    testEvent({ id: 3, device: 1, organizationId: 3 }),
  ])
  outlet.publishEvents([testEvent({ id: 4, device: 1, organizationId: 3 })])
  takeBatches(LIVE_BATCHES_MAX)
  expect((await once(live, 'message'))[0]).toEqual({
    type: 'missed-events',
    missed: [
      { organizationId: 3, device: 1, count: 3 },
      { organizationId: 3, device: 2, count: 1 },
    ],
  })
  outlet.publishEvents([testEvent({ id: 5, device: 1, organizationId: 3 })])
  expect((await once(live, 'message'))[0]).toEqual({
    type: 'events',
    events: [testEvent({ id: 5, device: 1, organizationId: 3 })],
  })
})

test('events that are too many for their batch are left out although live is fast enough', async () => {
  outlet.leaveOutEvents([1, 2].map((id) => testEvent({ id, device: 1, organizationId: 3 })))
  expect((await once(live, 'message'))[0]).toEqual({
    type: 'missed-events',
    missed: [{ organizationId: 3, device: 1, count: 2 }],
  })
})
