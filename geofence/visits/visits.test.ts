import { beforeEach, describe, expect, test } from 'vitest'
import { GeofenceRule } from '../../schemas/geofence.ts'
import { fenceIds } from '../index/fence-ids.ts'
import { type GeofenceChanges, noChanges } from './changes.ts'
import { type Box, Boxes, ORGANIZATION, WATCHED } from './evaluation-fixture.ts'
import { loadState } from './loading.ts'
import { advance } from './visits.ts'
import { DeviceState } from './visits-state.ts'

const START_MS = Date.UTC(2026, 5, 1, 7, 30)
const INSIDE = 0.5
const OUTSIDE = 5
const into = fenceIds()
let fences: Boxes
let state: DeviceState
let changes: GeofenceChanges

function box(rule: Partial<GeofenceRule> = {}, id = 10): Box {
  return { id, south: 0, north: 1, west: 0, east: 1, timeZone: 'UTC', rule: GeofenceRule.parse(rule) }
}

const fixAt = (second: number, latitudeDeg: number, speedKmh = Number.NaN) => ({
  timeMs: START_MS + second * 1000,
  digestHigh: 5,
  digestLow: 5,
  latitudeDeg,
  longitudeDeg: 0.5,
  speedKmh,
})

/** Takes a fix in a piece of its own. */
function take(second: number, latitudeDeg: number, { speedKmh = Number.NaN, nowS = second } = {}): boolean {
  const fix = fixAt(second, latitudeDeg, speedKmh)
  changes = noChanges()
  state = state.clone()
  fences.inside(ORGANIZATION, fix.latitudeDeg, fix.longitudeDeg, into)
  return advance(state, fix, into, fences, START_MS + nowS * 1000, changes)
}

const events = () => changes.events.map(({ type, timeMs }) => `${type} ${(timeMs - START_MS) / 1000}`)

beforeEach(() => {
  fences = new Boxes([box()])
  state = new DeviceState(WATCHED)
})

describe('a fix', () => {
  test('is next, late, or another one of a time that is passed', () => {
    expect(state.order(fixAt(-9, 0))).toBe('next')
    take(10, OUTSIDE)
    expect(state.order(fixAt(11, 0))).toBe('next')
    expect(state.order(fixAt(9, 0))).toBe('late')
    expect(state.order(fixAt(10, 0))).toBe('passed')
    expect(state.order({ ...fixAt(10, 0), digestLow: 6 })).toBe('passed')
    expect(state.order({ ...fixAt(10, 0), digestHigh: 4, digestLow: 2 ** 32 - 1 })).toBe('late')
  })

  test('that changes nothing keeps what is known as it is', () => {
    take(0, INSIDE)
    const { members, raw } = state
    take(1, INSIDE)
    expect(state.members).toBe(members)
    expect(state.raw).toBe(raw)
    expect(state.timeMs).toBe(START_MS + 1000)
    expect(changes).toEqual(noChanges())
  })

  test('of a piece that is thrown away leaves no trace', () => {
    take(0, INSIDE)
    const committed = state
    take(1, OUTSIDE)
    expect(events()).toEqual(['exit 1'])
    state = committed
    take(2, OUTSIDE)
    expect(events()).toEqual(['exit 2'])
  })
})

describe('a visit', () => {
  test('that begins and ends in one piece is stored once', () => {
    take(0, OUTSIDE)
    changes = noChanges()
    for (const [second, latitudeDeg] of [
      [1, INSIDE],
      [2, OUTSIDE],
      [3, INSIDE],
    ] as const) {
      const fix = fixAt(second, latitudeDeg)
      fences.inside(ORGANIZATION, fix.latitudeDeg, fix.longitudeDeg, into)
      advance(state, fix, into, fences, fix.timeMs, changes)
    }
    expect(events()).toEqual(['enter 1', 'exit 2', 'enter 3'])
    expect(changes.opened).toMatchObject([{ exitedMs: START_MS + 2000 }, { exitedMs: Number.NaN }])
    expect(changes.changed).toEqual([])
  })

  test('goes on with the version of its entering, and its exit has that of then', () => {
    take(0, INSIDE)
    fences.edit([box({ speedLimitKmh: 50 })])
    take(1, INSIDE, { speedKmh: 60 })
    expect(changes.events).toMatchObject([{ type: 'speeding', version: 2 }])
    take(2, OUTSIDE)
    expect(changes.changed).toMatchObject([{ version: 1 }])
    expect(changes.events).toMatchObject([{ type: 'exit', version: 2 }])
  })

  test('of a geofence that is gone is dropped without a word', () => {
    take(0, INSIDE)
    fences.edit([])
    take(1, INSIDE)
    expect(changes).toEqual(noChanges())
    expect(state.members).toEqual([])
    fences.edit([box()])
    take(2, INSIDE)
    expect(events()).toEqual(['enter 2'])
  })

  test('of a geofence that watches the device no more ends without an event', () => {
    take(0, INSIDE)
    fences.edit([box({ group: 4 })])
    take(1, INSIDE)
    expect(changes).toMatchObject({ changed: [{ exitedMs: START_MS + 1000, dueMs: Number.NaN }], events: [] })
    take(2, OUTSIDE)
    expect(changes).toEqual(noChanges())
  })

  test('begins where a geofence is made round a device, without a look at its other fixes', () => {
    fences.edit([])
    take(0, INSIDE)
    fences.edit([box()])
    take(1, INSIDE)
    expect(events()).toEqual(['enter 1'])
  })

  test('has the dwell that a timer may have made by the rule of then', () => {
    fences.edit([box({ dwellS: 10 })])
    take(0, INSIDE)
    fences.edit([box({ dwellS: 30 })])
    take(20, INSIDE)
    take(40, OUTSIDE)
    expect(events()).toEqual(['dwell 10', 'exit 40'])
    take(50, INSIDE)
    fences.edit([box({ dwellS: 15 })])
    take(55, INSIDE)
    take(70, OUTSIDE)
    expect(events()).toEqual(['dwell 65', 'exit 70'])
  })

  test('that ends before a moment of insideBy that has passed needs a revision', () => {
    fences.edit([box({ insideBy: { time: '07:31', days: [1] } })])
    take(0, INSIDE)
    expect(take(61, OUTSIDE, { nowS: 70 })).toBe(true)
    take(62, INSIDE)
    fences.edit([box({ insideBy: { time: '07:32', days: [1] } })])
    expect(take(100, OUTSIDE, { nowS: 119 })).toBe(true)
    take(101, INSIDE)
    expect(take(102, OUTSIDE, { nowS: 120 })).toBe(false)
  })
})

test('a way through is interpolated, the shorter way round the globe', () => {
  fences.edit([{ ...box({ crossingGapS: 100 }), west: 179, east: 179.5, south: -1 }])
  // A fixture that knows no antimeridian: the way is given.
  fences.crossed = () => [{ geofence: 10, from: 0.25, to: 0.5 }]
  const over = (second: number, longitudeDeg: number) => {
    changes = noChanges()
    const fix = { ...fixAt(second, 0), longitudeDeg }
    fences.inside(ORGANIZATION, 0, longitudeDeg, into)
    advance(state, fix, into, fences, fix.timeMs, changes)
  }
  over(0, 178)
  over(100, -178)
  expect(changes.events).toMatchObject([
    { type: 'enter', timeMs: START_MS + 25_000, longitudeDeg: 179, crossing: true },
    { type: 'exit', timeMs: START_MS + 50_000, longitudeDeg: 180, fixTimeMs: START_MS + 100_000 },
  ])
  expect(changes.opened).toMatchObject([{ enteredMs: START_MS + 25_000, exitedMs: START_MS + 50_000 }])
  over(201, 178)
  expect(changes).toEqual(noChanges())
})

test('a state that is loaded is the one that was forgotten', () => {
  const rule = { debounceFixes: 3, speedLimitKmh: 50 }
  fences.edit([box(rule), { ...box(rule, 11), south: 4, north: 6 }])
  const fixes = [
    fixAt(0, INSIDE),
    fixAt(1, INSIDE),
    fixAt(2, INSIDE, 60),
    fixAt(3, OUTSIDE),
    fixAt(4, OUTSIDE),
  ]
  for (const { timeMs, latitudeDeg, speedKmh } of fixes) {
    take((timeMs - START_MS) / 1000, latitudeDeg, { speedKmh })
  }
  const visit = { geofence: 10, version: 2, enteredMs: START_MS, exitedMs: Number.NaN, dueMs: Number.NaN }
  const loaded = loadState(WATCHED, [visit], fixes, fences)
  const known = ({ members }: DeviceState) => members.map(({ openedAt, ...member }) => member)
  expect(known(loaded)).toEqual(known(state))
  expect(known(loaded)).toMatchObject([
    { geofence: 10, run: { fixes: 2 }, enteredMs: START_MS },
    { geofence: 11, run: { fixes: 2 }, enteredMs: Number.NaN },
  ])
  state = loaded
  take(5, OUTSIDE)
  expect(events()).toEqual(['exit 3', 'enter 3'])
})
