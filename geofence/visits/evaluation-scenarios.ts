/** Tracks over geofences with rules, made up at random, and what is to be stored of them. */
import fc from 'fast-check'
import { expect } from 'vitest'
import { GeofenceRule } from '../../schemas/geofence.ts'
import { type Box, compareFixes, type Tables } from './evaluation-fixture.ts'
import { type Happened, type Stay, whatHappened } from './evaluation-oracle.ts'
import type { Fix } from './visits-state.ts'

/** A Monday. */
export const START_MS = Date.UTC(2026, 5, 1, 7, 30)
export const DAY_MS = 86_400_000

const sometimes = <T>(value: fc.Arbitrary<T>) => fc.option(value, { freq: 2 })
const time = fc
  .tuple(fc.integer({ min: 7, max: 9 }), fc.integer({ min: 0, max: 59 }))
  .map(([hour, minute]) => `0${hour}:${String(minute).padStart(2, '0')}`)
const rule = fc
  .record({
    enter: fc.integer({ max: 9, min: 0 }).map((number) => number > 0),
    exit: fc.integer({ max: 9, min: 0 }).map((number) => number > 0),
    dwellS: sometimes(fc.integer({ min: 1, max: 400 })),
    absenceS: sometimes(fc.integer({ min: 1, max: 400 })),
    insideBy: sometimes(fc.record({ time, days: fc.constantFrom([1], [1, 2, 3, 4, 5, 6, 7], [2]) })),
    debounceFixes: fc.integer({ min: 1, max: 4 }),
    debounceS: fc.constantFrom(0, 0, 20, 150),
    crossingGapS: fc.constantFrom(0, 60, 3600),
    speedLimitKmh: sometimes(fc.constantFrom(30, 50.1)),
    windows: fc.oneof(
      { weight: 3, arbitrary: fc.constant([]) },
      fc.tuple(time, time).map(([from, to]) => [{ days: [1], from, to }]),
    ),
  })
  .map((fields) => {
    const { crossingGapS } = fields
    return GeofenceRule.parse(crossingGapS > 0 ? { ...fields, debounceFixes: 1, debounceS: 0 } : fields)
  })
const span = fc
  .tuple(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 1, max: 4 }))
  .map(([low, size]) => [low, low + size] as const)
export const boxes = fc
  .array(fc.tuple(span, span, rule, fc.constantFrom('UTC', 'Europe/Berlin')), { minLength: 1, maxLength: 4 })
  .map((list) =>
    list.map(
      ([[south, north], [west, east], ruleOf, timeZone], at): Box => ({
        id: 10 + at,
        south,
        north,
        west,
        east,
        timeZone,
        rule: ruleOf,
      }),
    ),
  )
const step = fc.record({
  gapMs: fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: 1, max: 90 }).map((seconds) => seconds * 1000) },
    { weight: 1, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 900_000 }) },
  ),
  latitudeDeg: fc.integer({ min: -1, max: 11 }),
  longitudeDeg: fc.integer({ min: -1, max: 11 }),
  stays: fc.boolean(),
  speedKmh: fc.constantFrom(NaN, 10, 40, 50.1, 90),
  digestHigh: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
})
export const scenario = fc.record({
  boxes,
  steps: fc.array(step, { minLength: 2, maxLength: 40 }),
  pieces: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 8 }),
  /** What is done after a piece, over and over. */
  between: fc.array(fc.record({ fire: fc.boolean(), forget: fc.boolean(), waitS: fc.nat(600) }), {
    minLength: 1,
    maxLength: 9,
  }),
  shuffle: fc.array(fc.nat(1000), { minLength: 10, maxLength: 10 }),
  pageRows: fc.constantFrom(2, 5, 1000),
})
export interface Scenario {
  readonly boxes: readonly Box[]
  readonly steps: readonly {
    gapMs: number
    latitudeDeg: number
    longitudeDeg: number
    stays: boolean
    speedKmh: number
    digestHigh: number
  }[]
  readonly pieces: readonly number[]
  readonly between: readonly { readonly fire: boolean; readonly forget: boolean; readonly waitS: number }[]
  readonly shuffle: readonly number[]
  readonly pageRows: number
}

/** The first one lies outside of all boxes: the device has reported before anything happens. */
export function trackOf({ steps }: Scenario): Fix[] {
  const fixes: Fix[] = [fixAt(START_MS, -50, -50, NaN, 0)]
  let timeMs = START_MS
  for (const { gapMs, latitudeDeg, longitudeDeg, stays, speedKmh, digestHigh } of steps) {
    const last = fixes.at(-1)!
    // Nothing is of the time of the first one.
    timeMs += fixes.length === 1 ? Math.max(gapMs, 1) : gapMs
    const [latitude, longitude] =
      stays && fixes.length > 1 ? [last.latitudeDeg, last.longitudeDeg] : [latitudeDeg, longitudeDeg]
    const fix = fixAt(timeMs, latitude, longitude, speedKmh, digestHigh)
    if (!fixes.some((other) => compareFixes(other, fix) === 0)) fixes.push(fix)
  }
  return fixes
}

function fixAt(
  timeMs: number,
  latitudeDeg: number,
  longitudeDeg: number,
  speedKmh: number,
  digest: number,
): Fix {
  return { timeMs, latitudeDeg, longitudeDeg, speedKmh, digestHigh: digest, digestLow: 1 }
}

export function cut(fixes: readonly Fix[], sizes: readonly number[]): Fix[][] {
  const pieces: Fix[][] = []
  for (let at = 0, i = 0; at < fixes.length; i++) {
    const size = sizes[i % sizes.length]!
    pieces.push(fixes.slice(at, at + size))
    at += size
  }
  return pieces
}

function eventText({ geofence, type, timeMs, ...event }: Happened): string {
  const { fixTimeMs, latitudeDeg, longitudeDeg, speedKmh, crossing } = event
  return [geofence, type, timeMs - START_MS, fixTimeMs, latitudeDeg, longitudeDeg, speedKmh, crossing].join(
    ' ',
  )
}
const visitText = ({ geofence, enteredMs, exitedMs }: Stay) =>
  `${geofence} ${enteredMs - START_MS} ${exitedMs - START_MS}`

export function expectOutcome(tables: Tables, { boxes: list }: Scenario, fixes: readonly Fix[]): void {
  const expected = whatHappened(list, fixes, START_MS + 3 * DAY_MS)
  expect(tables.visits.map(visitText).sort()).toEqual(expected.visits.map(visitText).sort())
  expect(tables.current().map(eventText).sort()).toEqual(expected.events.map(eventText).sort())
  expect(tables.visits.filter(({ dueMs }) => !Number.isNaN(dueMs))).toEqual([])
  // Each that is superseded is so by one; revisions are counted up.
  const corrected = tables.events.filter(({ replaces }) => replaces !== null)
  const superseded = tables.events.filter((event) => event.superseded)
  expect(corrected.map(({ replaces }) => replaces).sort()).toEqual(superseded.map(({ id }) => id).sort())
  for (const { replaces, revision } of corrected) {
    expect(revision).toBeGreaterThan(tables.events.find(({ id }) => id === replaces)!.revision)
  }
}
