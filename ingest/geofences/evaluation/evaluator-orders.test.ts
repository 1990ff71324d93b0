/** However positions come, what is said at the end is what all of them tell. */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  batchOf,
  type DrivenFix,
  EvaluationFixture,
  START_MS,
  square,
} from '../../../test/evaluation-fixture.ts'
import { eventsOf, type OracleFence } from '../../../test/geofence-oracle.ts'

const CASES = 60

let fixture: EvaluationFixture
let organization: number
const fences: OracleFence[] = []

beforeAll(async () => {
  fixture = await EvaluationFixture.start()
  organization = await fixture.organization()
  const rules = [
    {},
    { dwellS: 40 },
    { debounceFixes: 3 },
    { debounceFixes: 2, debounceS: 15, dwellS: 30 },
    { speedLimitKmh: 50 },
  ]
  for (const [i, rule] of rules.entries()) {
    // They overlap by half.
    const west = i / 2
    const id = await fixture.fence(organization, square(west), rule)
    fences.push({ id, west, south: 0, east: west + 1, north: 1, ...rule })
  }
}, 30_000)
afterAll(() => fixture.stop())

type Fix = Omit<DrivenFix, 'device'>

/** Fixes every five seconds, some of them twice at one time, that end outside of all. */
const track: fc.Arbitrary<Fix[]> = fc
  .array(
    fc.record({
      step: fc.constantFrom(0, 5, 5, 5, 5, 10, 30),
      place: fc.integer({ min: -1, max: 8 }),
      speedKmh: fc.constantFrom(Number.NaN, 20, 50, 80),
      digest: fc.integer({ min: 0, max: 2 ** 26 - 1 }),
    }),
    { minLength: 5, maxLength: 50 },
  )
  .map((steps) => {
    let s = 0
    const fixes = steps.map(({ step, place, speedKmh, digest }, i) => {
      s += step
      // Time and digest are the key of a position.
      return { s, longitudeDeg: place / 2 + 0.25, speedKmh, digest: digest * 64 + i }
    })
    return [...fixes, ...[60, 120, 180].map((more) => ({ s: s + more, longitudeDeg: 20, digest: 7 }))]
  })

/** Blocks in which a track comes, and what happens before each: another process gets it, or a restart. */
const delivery = fc.record({
  sizes: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 6 }),
  order: fc.constantFrom<'ascending' | 'reversed' | 'shuffled' | 'twice' | 'at once'>(
    'ascending',
    'reversed',
    'shuffled',
    'twice',
    'at once',
  ),
  seed: fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 60, maxLength: 60 }),
  shards: fc.array(fc.constantFrom<'first' | 'second' | 'restarted'>('first', 'second', 'restarted'), {
    minLength: 1,
    maxLength: 5,
  }),
})
type Delivery = typeof delivery extends fc.Arbitrary<infer T> ? T : never

function blocksOf(fixes: readonly Fix[], { sizes, order, seed }: Delivery): Fix[][] {
  const blocks: Fix[][] = []
  if (order === 'at once') return [[...fixes]]
  for (let start = 0, i = 0; start < fixes.length; i++) {
    const size = sizes[i % sizes.length]!
    blocks.push(fixes.slice(start, start + size))
    start += size
  }
  if (order === 'reversed') return blocks.reverse()
  if (order === 'twice') return [...blocks, ...blocks]
  if (order === 'shuffled') {
    const rank = new Map(blocks.map((block, i) => [block, seed[i % seed.length]!]))
    return blocks.sort((a, b) => rank.get(a)! - rank.get(b)!)
  }
  return blocks
}

test('events are those of all positions, in whatever order and by whichever process they were stored', async () => {
  let first = fixture.shard()
  const second = fixture.shard()
  await fc.assert(
    fc.asyncProperty(track, fc.array(delivery, { minLength: 2, maxLength: 3 }), async (fixes, deliveries) => {
      const devices = await fixture.devices(organization, deliveries.length)
      const blocks = deliveries.map((one) => blocksOf(fixes, one))
      for (let i = 0; blocks.some((of) => i < of.length); i++) {
        const how = deliveries[0]!.shards[i % deliveries[0]!.shards.length]!
        if (how === 'restarted') {
          await first.writer.close()
          first = fixture.shard()
        }
        const { writer } = how === 'second' ? second : first
        // Devices share batches: late ones and others.
        const rows = blocks.flatMap((of, at) =>
          (of[i] ?? []).map((fix) => ({ ...fix, device: devices[at]! })),
        )
        await writer.write(batchOf(rows))
      }
      const oracle = fixes.map(({ s, longitudeDeg, speedKmh = Number.NaN, digest = s }) => ({
        timeMs: START_MS + s * 1000,
        digest: BigInt(digest),
        latitudeDeg: 0.5,
        longitudeDeg,
        speedKmh,
      }))
      const expected = eventsOf(oracle, fences).map(({ geofence, type, timeMs }) => ({
        geofence,
        type,
        s: (timeMs - START_MS) / 1000,
      }))
      const found = await fixture.currentEvents(devices)
      for (const device of devices) {
        const own = found.filter((event) => event.device === device)
        expect(own.map(({ geofence, type, s }) => ({ geofence, type, s }))).toEqual(expected)
      }
    }),
    { numRuns: CASES, seed: 7 },
  )
  // A corrected event is corrected once.
  expect(
    await fixture.count(
      '(SELECT replaces FROM events WHERE replaces IS NOT NULL GROUP BY 1 HAVING count(*) > 1) d',
    ),
  ).toBe(0)
}, 120_000)
