import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Boxes, compareFixes, OneDeviceShard, Tables } from './evaluation-fixture.ts'
import {
  cut,
  DAY_MS,
  expectOutcome,
  type Scenario,
  START_MS,
  scenario,
  trackOf,
} from './evaluation-scenarios.ts'
import type { Fix } from './visits-state.ts'

/** How many tracks; each is delivered in five ways. */
const RUNS = Number(process.env.GEOFENCE_RUNS ?? 350)
const SEED = Number(process.env.GEOFENCE_SEED ?? 7)
/** The first fix, then the pieces, with timers and restarts between; at the end all timers. */
async function deliver(
  { boxes: list, between, pageRows }: Scenario,
  [first, ...pieces]: readonly (readonly Fix[])[],
): Promise<Tables> {
  const fences = new Boxes(list)
  const tables = new Tables(fences, START_MS - 1)
  const shard = new OneDeviceShard(fences, tables, pageRows)
  let nowMs = START_MS
  await shard.take(first!, nowMs)
  for (const [at, piece] of pieces.entries()) {
    const { fire, forget, waitS } = between[at % between.length]!
    nowMs = Math.max(nowMs, ...piece.map(({ timeMs }) => timeMs)) + waitS * 1000
    if (fire) tables.fire(nowMs)
    if (forget) shard.forget()
    await shard.take(piece, nowMs)
    const again = await shard.takeAgain(piece, nowMs)
    expect(again).toEqual({ opened: [], changed: [], removed: [], events: [] })
  }
  tables.fire(START_MS + 3 * DAY_MS)
  return tables
}

/** The ways of delivery; the first piece is the first fix. */
const WAYS: Readonly<Record<string, (given: Scenario, fixes: readonly Fix[]) => Fix[][]>> = {
  'in order': ({ pieces }, fixes) => [fixes.slice(0, 1), ...cut(fixes.slice(1), pieces)],
  'one by one': (_, fixes) => fixes.map((fix) => [fix]),
  'all at once': (_, fixes) => [fixes.slice(0, 1), fixes.slice(1)],
  'reversed in blocks': ({ pieces }, fixes) => [fixes.slice(0, 1), ...cut(fixes.slice(1), pieces).reverse()],
  'in shuffled blocks': ({ pieces, shuffle }, fixes) => [
    fixes.slice(0, 1),
    ...cut(fixes.slice(1), pieces)
      .map((piece, at) => ({ piece, rank: shuffle[at % shuffle.length]! }))
      .sort((a, b) => a.rank - b.rank)
      .map(({ piece }) => piece),
  ],
  'twice, the second time in other blocks': ({ pieces }, fixes) => [
    fixes.slice(0, 1),
    ...cut(fixes.slice(1), pieces).filter((_, at) => at % 2 === 0),
    ...cut(fixes.slice(1), pieces),
    ...cut(fixes, [3]),
  ],
}

describe('what is stored at the end is what the set of fixes says', () => {
  for (const [way, deliveryOf] of Object.entries(WAYS)) {
    test(`delivered ${way}`, async () => {
      await fc.assert(
        fc.asyncProperty(scenario, async (given) => {
          const fixes = trackOf(given).sort(compareFixes)
          const tables = await deliver(given, deliveryOf(given, fixes))
          expectOutcome(tables, given, fixes)
        }),
        { seed: SEED, numRuns: RUNS },
      )
    })
  }
})
