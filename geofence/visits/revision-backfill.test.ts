import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { noChanges } from './changes.ts'
import { type Box, Boxes, compareFixes, OneDeviceShard, Tables, WATCHED } from './evaluation-fixture.ts'
import {
  boxes,
  cut,
  DAY_MS,
  expectOutcome,
  type Scenario,
  START_MS,
  scenario,
  trackOf,
} from './evaluation-scenarios.ts'
import { backfill } from './revision.ts'
import type { Fix } from './visits-state.ts'

const RUNS = Number(process.env.GEOFENCE_RUNS ?? 200)
const SEED = Number(process.env.GEOFENCE_SEED ?? 7)
const END_MS = START_MS + 3 * DAY_MS

/** A device whose positions come in order. */
class Run {
  readonly fences: Boxes
  readonly tables: Tables
  readonly shard: OneDeviceShard
  nowMs = START_MS
  private readonly pageRows: number

  constructor(list: readonly Box[], pageRows: number) {
    this.fences = new Boxes(list)
    this.pageRows = pageRows
    this.tables = new Tables(this.fences, START_MS - 1)
    this.shard = new OneDeviceShard(this.fences, this.tables, pageRows)
  }

  async take(fixes: readonly Fix[], { pieces, between }: Scenario): Promise<void> {
    for (const [at, piece] of cut(fixes, pieces).entries()) {
      const { fire, waitS } = between[at % between.length]!
      this.nowMs = Math.max(this.nowMs, piece.at(-1)!.timeMs) + waitS * 1000
      if (fire) this.tables.fire(this.nowMs)
      await this.shard.take(piece, this.nowMs)
    }
  }

  async backfill(fromMs: number, toMs: number): Promise<void> {
    const { fences, tables, nowMs, pageRows } = this
    const { lookBack } = fences
    const options = { fences, history: tables.history, lookBack, nowMs, pageRows }
    for (const { id } of fences.boxes) {
      const changes = noChanges()
      await backfill(WATCHED, id, { fromMs, toMs }, options, changes)
      tables.store(changes, [])
    }
    this.shard.forget()
  }

  /** What a backfill would change. */
  async expectNothingToDo(fromMs: number, toMs: number): Promise<void> {
    const { events, visits } = this.tables
    await this.backfill(fromMs, toMs)
    expect(this.tables.events).toEqual(events)
    expect(this.tables.visits).toEqual(visits)
  }
}

const check = (property: (given: Scenario, fixes: Fix[]) => Promise<void>) =>
  fc.assert(
    fc.asyncProperty(scenario, (given) => property(given, trackOf(given).sort(compareFixes))),
    { seed: SEED, numRuns: RUNS },
  )

describe('a backfill', () => {
  test('of a new geofence finds what it would have found from the start', async () => {
    await check(async (given, fixes) => {
      const run = new Run([], given.pageRows)
      await run.take(fixes, given)
      run.tables.fire(run.nowMs)
      run.fences.edit(given.boxes)
      await run.backfill(START_MS, run.nowMs + 1)
      run.tables.fire(END_MS)
      expectOutcome(run.tables, given, fixes)
      run.nowMs = END_MS
      await run.expectNothingToDo(START_MS, END_MS)
    })
  })

  test('is joined with what the geofence has seen since it was made', async () => {
    await check(async (given, fixes) => {
      const run = new Run([], given.pageRows)
      const half = Math.ceil(fixes.length / 2)
      await run.take(fixes.slice(0, half), given)
      run.tables.fire(run.nowMs)
      const madeMs = run.nowMs
      run.fences.edit(given.boxes)
      await run.take(fixes.slice(half), given)
      await run.backfill(START_MS, madeMs + 1)
      run.tables.fire(END_MS)
      expectOutcome(run.tables, given, fixes)
    })
  })

  test('is the same in several spans, and goes on with the device live', async () => {
    await check(async ({ boxes: list, ...others }, fixes) => {
      // At the ends of spans, a run of fixes inside counts as it is recorded later: only speeding sees that.
      const given = {
        ...others,
        boxes: list.map((box) => ({ ...box, rule: { ...box.rule, speedLimitKmh: null } })),
      }
      const run = new Run([], given.pageRows)
      const half = Math.ceil(fixes.length / 2)
      await run.take(fixes.slice(0, half), given)
      run.tables.fire(run.nowMs)
      run.fences.edit(given.boxes)
      const middleMs = Math.round((START_MS + run.nowMs) / 2)
      await run.backfill(START_MS, middleMs)
      await run.backfill(middleMs, run.nowMs + 1)
      await run.take(fixes.slice(half), given)
      run.tables.fire(END_MS)
      expectOutcome(run.tables, given, fixes)
    })
  })

  test('of an edited geofence corrects what the old one has found', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, boxes, async (given, old) => {
        const fixes = trackOf(given).sort(compareFixes)
        const run = new Run(old.slice(0, given.boxes.length), given.pageRows)
        await run.take(fixes, given)
        run.tables.fire(run.nowMs)
        run.fences.edit(given.boxes)
        await run.backfill(START_MS, run.nowMs + 1)
        run.tables.fire(END_MS)
        expectOutcome(run.tables, given, fixes)
      }),
      { seed: SEED, numRuns: RUNS },
    )
  })
})
