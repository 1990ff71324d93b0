import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { readCommits, readHead } from '../../../storage/commits/commit-log.ts'
import {
  batchOf,
  type DrivenFix,
  EvaluationFixture,
  square,
  writeFixes,
} from '../../../test/evaluation-fixture.ts'

const FENCES = 12

let fixture: EvaluationFixture
let device: number

beforeAll(async () => {
  fixture = await EvaluationFixture.start()
}, 30_000)
afterAll(() => fixture.stop())
beforeEach(async () => {
  const organization = await fixture.organization()
  ;[device] = (await fixture.devices(organization)) as [number]
  for (let i = 0; i < FENCES; i++) await fixture.fence(organization, square(0))
})
afterEach(() => fixture.closeShards())

/** In all geofences at odd times, in none at even ones. */
const at = (s: number): DrivenFix => ({ device, s, longitudeDeg: s % 2 === 0 ? 2 : 0.5 })
const current = () =>
  fixture.count('events WHERE device_id = $1 AND NOT superseded AND NOT retracted', [device])

test('a batch that changes more than is stored as one is stored in parts, in order and late', async () => {
  const { writer, evaluator } = fixture.shard({ changesMax: 200 })
  const fixes = Array.from({ length: 80 }, (_, s) => at(s))
  const isLate = ({ s }: DrivenFix) => s % 20 >= 10
  const written = [
    await writer.write(batchOf(fixes.filter((fix) => !isLate(fix)))),
    await writer.write(batchOf(fixes.filter(isLate))),
  ]
  expect(written).toMatchObject([
    { rows: 40, refused: [] },
    { rows: 40, refused: [] },
  ])
  expect(await current()).toBe(79 * FENCES)
  const { rows } = await fixture.pool.query(
    'SELECT count(*)::integer FROM events WHERE device_id = $1 GROUP BY recorded_at ORDER BY 1 DESC',
    [device],
  )
  expect(rows[0].count).toBeLessThanOrEqual(200)
  expect(evaluator.takeFigures()).toMatchObject({ failures: 0, failure: '' })
})

test('a position that changes more than can be stored is stored without', async () => {
  const { writer, evaluator } = fixture.shard({ changesMax: 2 })
  expect(await writeFixes(writer, batchOf([at(0), at(1), at(2)]))).toMatchObject({
    rows: 3,
    refused: [],
    events: [],
  })
  const { failures, failure } = evaluator.takeFigures()!
  expect(failures).toBeGreaterThan(0)
  expect(failure).toContain('more than 20 visits and events')
})

test('each page of the history that is read for a late position counts as an answer of the database', async () => {
  const { writer, evaluator } = fixture.shard()
  const inside = (s: number): DrivenFix => ({ device, s, longitudeDeg: 0.5 })
  await writer.write(batchOf(Array.from({ length: 10 }, (_, i) => inside(i + 10))))
  let heard = 0
  const client = await fixture.pool.connect()
  const batch = batchOf([inside(0)])
  await evaluator.evaluate(client, batch, Uint32Array.of(0), true, () => heard++)
  client.release()
  // What is before it, and what is behind it.
  expect(heard).toBe(2)
})

test('commits of a batch that have too many events together are left to be read, the first ones', async () => {
  const { writer } = fixture.shard({ changesMax: 8_000 })
  const fixes = Array.from({ length: 1_000 }, (_, s) => at(s))
  const client = await fixture.pool.connect()
  const before = await readHead(client)
  const { commits, events } = await writeFixes(writer, batchOf(fixes))
  expect(await current()).toBe(999 * FENCES)
  expect(events.length).toBeLessThanOrEqual(10_000)
  const { last } = await readHead(client)
  expect(commits.at(-1)!.sequence).toBe(last)
  const all: number[] = []
  for (let after = before.last; after < last; ) {
    const page = await readCommits(client, after, { rowsMax: 1 })
    all.push(...page.commits[0]!.events.map(({ id }) => id))
    after = page.commits[0]!.sequence
  }
  client.release()
  expect(all.slice(-events.length)).toEqual(events.map(({ id }) => id))
  expect(all.length).toBeGreaterThan(events.length)
})
