import { expect, test } from 'vitest'
import type { FleetEvent } from '../wire/rows.ts'
import { EventLog } from './event-log.ts'

function eventOf(id: number, values: Partial<FleetEvent> = {}): FleetEvent {
  return {
    id,
    device: 7,
    geofence: 3,
    type: 'enter',
    timeMs: id * 1_000,
    latitude: 30.26,
    longitude: -97.74,
    speed: 23,
    crossing: false,
    replaces: null,
    retracted: false,
    current: true,
    ...values,
  }
}

const ids = (log: EventLog) => log.events.map(({ id }) => id)

test('events are there once, the newest first, wherever they come from', () => {
  const log = new EventLog()
  expect(log.add([eventOf(2), eventOf(1)])).toBe(true)
  expect(log.add([eventOf(2), eventOf(3, { timeMs: 1_500 })])).toBe(true)
  expect(log.add([eventOf(1)])).toBe(false)
  expect(ids(log)).toEqual([2, 3, 1])
})

test('a corrected event and its correction both say so, whichever comes first', () => {
  const [first, second] = [eventOf(1), eventOf(2, { replaces: 1, timeMs: 900 })]
  for (const order of [
    [first, second],
    [second, first],
  ]) {
    const log = new EventLog()
    for (const event of order) log.add([event])
    expect(ids(log)).toEqual([1, 2])
    expect(log.events.map((event) => log.standingOf(event))).toEqual(['corrected', 'correction'])
  }
})

test('an event that did not happen is shown as such, and what says so is not shown twice', () => {
  const log = new EventLog()
  const retraction = eventOf(2, { replaces: 1, retracted: true, current: false })
  log.add([retraction])
  expect(ids(log)).toEqual([2])
  log.add([eventOf(1, { current: false })])
  expect(ids(log)).toEqual([1])
  expect(log.standingOf(log.events[0]!)).toBe('retracted')
})

test('an event whose correction was not read is still known to be corrected', () => {
  const log = new EventLog()
  log.add([eventOf(1, { current: false })])
  expect(log.standingOf(log.events[0]!)).toBe('corrected')
})

test('the oldest events go when there are too many', () => {
  const log = new EventLog()
  log.add(Array.from({ length: 5_100 }, (_, index) => eventOf(index + 1)))
  expect([log.events.length, log.events.at(-1)!.id]).toEqual([5_000, 101])
})
