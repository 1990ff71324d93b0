import { expect, test } from 'vitest'
import { type ReplayView, readView, writeView } from './replay-view.ts'

const NOW = Date.parse('2026-11-21T12:00:00Z')
const read = (query: string) => readView(new URLSearchParams(query), NOW)

test('an empty address is the whole fleet in the last hour, from its start', () => {
  expect(read('')).toEqual({
    who: { kind: 'all' },
    fromMs: NOW - 3_600_000,
    toMs: NOW,
    timeMs: NOW - 3_600_000,
    speed: 60,
    trailMinutes: 5,
    vehicle: null,
  })
})

test('a view comes back from its address', () => {
  const view: ReplayView = {
    who: { kind: 'devices', devices: [7, 12] },
    fromMs: NOW - 86_400_000,
    toMs: NOW - 3_600_000,
    timeMs: NOW - 7_200_000,
    speed: 300,
    trailMinutes: 15,
    vehicle: 12,
  }
  expect(read(writeView(view).toString())).toEqual(view)
  const group: ReplayView = { ...view, who: { kind: 'group', group: 3 }, vehicle: null }
  expect(read(writeView(group).toString())).toEqual(group)
})

test('nonsense in an address is as if it were not there', () => {
  const first = read('')
  expect(
    read('from=never&to=2026-11-21T13:00:00Z&speed=fast&trail=&devices=a,0,-1&vehicle=1e3&group=x'),
  ).toEqual(first)
  expect(read('from=2026-11-21T11:30:00Z&to=2026-11-21T11:00:00Z')).toEqual(first)
  expect(read('from=2020-01-01T00:00:00Z')).toEqual(first)
})

test('the clock stays between beginning and end, and the speed is one that can be chosen', () => {
  const late = read('from=2026-11-21T10:00:00Z&to=2026-11-21T11:00:00Z&time=2026-11-22T00:00:00Z&speed=70')
  expect([late.timeMs, late.speed]).toEqual([late.toMs, 60])
  expect(read('speed=1000000').speed).toBe(3600)
})
