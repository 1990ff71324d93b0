import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { LiveEvent, ShardToLive } from '../../schemas/live-port.ts'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { testEvent } from '../../test/stream-fixture.ts'
import { LIVE_BATCHES_MAX, LiveOutlet } from './live-outlet.ts'

let live: MessagePort
let outlet: LiveOutlet
let untaken: Int32Array

beforeEach(() => {
  const { port1, port2 } = new MessageChannel()
  live = port2
  outlet = new LiveOutlet(port1)
  untaken = (taken() as ShardToLive & { type: 'count' }).untaken
})
afterEach(() => outlet.close())

/** Publishes a row of the device as one commit. */
function publish(sequence: number, events: readonly LiveEvent[] = []): void {
  const batch = new PositionBatch(8)
  batch.device[batch.add(1_000, 50, 10)] = sequence
  outlet.publish(batch, [{ sequence, rows: Uint32Array.of(0), events }])
}

/** What came next; undefined = nothing. */
function taken(): ShardToLive | undefined {
  return (receiveMessageOnPort(live) as { message: ShardToLive } | undefined)?.message
}

/** As live does it. @returns Numbers of the commits, up to where nothing follows. */
function takeAll(): number[] {
  const sequences: number[] = []
  for (let message = taken(); message !== undefined; message = taken()) {
    const { commits } = message as ShardToLive & { type: 'stored' }
    sequences.push(...commits.map(({ sequence }) => sequence))
    Atomics.sub(untaken, 0, 1)
  }
  return sequences
}

test('a batch goes on with its commits and their events', () => {
  const event = testEvent({ id: 1, device: 7, organizationId: 3 })
  publish(7, [event])
  const message = taken() as ShardToLive & { type: 'stored' }
  expect(message.commits).toEqual([{ sequence: 7, rows: Uint32Array.of(0), events: [event] }])
  expect(PositionBatch.fromMessage(message.batch!).device[0]).toBe(7)
})

test('commits of events alone have no batch', () => {
  const commit = {
    sequence: 3,
    rows: new Uint32Array(0),
    events: [testEvent({ id: 2, device: 1, organizationId: 3 })],
  }
  outlet.publish(null, [commit])
  expect(taken()).toEqual({ type: 'stored', batch: null, commits: [commit] })
})

test('nothing is sent where nothing was committed', () => {
  outlet.publish(new PositionBatch(8), [])
  expect(taken()).toBeUndefined()
  expect(Atomics.load(untaken, 0)).toBe(0)
})

test('batches go on as long as live takes them', () => {
  for (let sequence = 1; sequence <= 3 * LIVE_BATCHES_MAX; sequence++) {
    publish(sequence)
    expect(takeAll()).toEqual([sequence])
  }
  expect(Atomics.load(untaken, 0)).toBe(0)
})

test('what live is too slow for is left out, and what follows goes on', () => {
  const all = Array.from({ length: LIVE_BATCHES_MAX }, (_, i) => i + 1)
  for (const sequence of all) publish(sequence)
  publish(101)
  publish(102)
  expect(takeAll()).toEqual(all)
  publish(103)
  expect(takeAll()).toEqual([103])
  expect(Atomics.load(untaken, 0)).toBe(0)
})
