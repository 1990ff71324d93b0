/** What a replay does when others are slow: its client, storage, or both. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { itemsOf, KeptOutlet, ReplayHarness } from '../../test/replay-harness.ts'

const T0 = Date.UTC(2026, 10, 20, 12)
const DEVICES = 1_000
const SECONDS = 10
/** One replay alone may have so many. */
const ROWS_AHEAD = 2_000

let harness: ReplayHarness
let expected: string[]

beforeAll(async () => {
  harness = await ReplayHarness.create({
    replayRowsAhead: ROWS_AHEAD,
    replaysMax: 3,
    delayedMax: 1,
    replaysPerSocketMax: 2,
  })
  const devices = await harness.devices(DEVICES)
  // All report at the same moments: more rows than are read at once have one and the same time.
  await harness.rows(devices, T0, SECONDS, 1_000)
  expected = Array.from({ length: SECONDS }, (_, second) =>
    devices.map((device) => `${device}@${second}`),
  ).flat()
})
afterAll(() => harness.close())

const from = { beforeUs: T0 * 1_000 }
const toMs = T0 + SECONDS * 1_000
const outlet = () => new KeptOutlet(harness.tenant.organizationId)
const hasEnded = ({ messages }: KeptOutlet) => messages.at(-1)?.type === 'end'

describe('a thousand vehicles on one clock', () => {
  test('come in order and once, with bounded rows in memory, however many report at one moment', async () => {
    const out = outlet()
    const feed = harness.start(out, { from, toMs })
    let most = 0
    await harness.until(() => {
      most = Math.max(most, feed.rows)
      return hasEnded(out)
    })
    expect(itemsOf(out.messages, T0)).toEqual(expected)
    expect(most).toBeLessThanOrEqual(2 * ROWS_AHEAD)
    feed.close()
  })

  test('wait with their clock for a client that takes nothing, and lose nothing by it', async () => {
    const out = outlet()
    const feed = harness.start(out, { from, toMs, speed: 1 })
    out.room = 1_500
    await harness.advance(8_000)
    const held = itemsOf(out.messages, T0)
    expect(held.length).toBeLessThan(2_500)
    expect(feed.rows).toBeLessThanOrEqual(2 * ROWS_AHEAD)
    out.room = Number.POSITIVE_INFINITY
    out.full = false
    feed.drained()
    await harness.advance(1_000)
    const clocks = out.messages.filter(({ type }) => type === 'clock')
    expect(clocks.at(-1)).toMatchObject({ time: expect.stringMatching(/^2026-11-20T12:00:0[123]/) })
    expect(hasEnded(out)).toBe(false)
    await harness.advance(SECONDS * 1_000)
    expect(hasEnded(out)).toBe(true)
    expect(itemsOf(out.messages, T0)).toEqual(expected)
    feed.close()
  })
})

test('there are so many replays of a socket and of all, and no more', () => {
  const socket = {}
  const feeds = [1, 2].map(() => harness.start(outlet(), { from, toMs, socket }))
  expect(() => harness.start(outlet(), { from, toMs, socket })).toThrow('replaysPerSocketMax')
  feeds.push(harness.start(outlet(), { from, toMs }))
  expect(() => harness.start(outlet(), { from, toMs })).toThrow('replaysMax')
  // Those of share links have places of their own.
  feeds.push(harness.start(outlet(), { from, delayed: true }))
  expect(() => harness.start(outlet(), { from, delayed: true })).toThrow('delayedMax')
  expect(harness.limitsMet).toEqual(['replaysPerSocketMax', 'replaysMax', 'delayedMax'])
  for (const feed of feeds) feed.close()
  expect(harness.replays.count).toBe(0)
})

describe('storage that is lost', () => {
  const killReaders = () =>
    harness.owner.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'fleetflow replay'",
    )

  test('for a while only delays a replay', async () => {
    const out = outlet()
    const feed = harness.start(out, { from, toMs })
    for (let i = 0; i < 5 && !hasEnded(out); i++) {
      const before = out.messages.length
      await harness.until(() => out.messages.length > before || hasEnded(out))
      await killReaders()
      // It tries again after half a second.
      harness.nowMs += 1_000
    }
    await harness.until(() => {
      harness.nowMs += 10
      return hasEnded(out)
    })
    expect(itemsOf(out.messages, T0)).toEqual(expected)
    feed.close()
  })

  test('for 30 s ends it, and says so', async () => {
    const lost = await ReplayHarness.create()
    const out = new KeptOutlet(lost.tenant.organizationId)
    lost.start(out, { from, toMs })
    await lost.database.drop()
    const startMs = lost.nowMs
    await lost.until(() => {
      lost.nowMs += 100
      return out.ended
    })
    expect(lost.nowMs - startMs).toBeGreaterThanOrEqual(30_000)
    expect(out.messages.at(-1)).toMatchObject({ type: 'error', id: 7, code: 'storage-unavailable' })
    expect(lost.replays.count).toBe(0)
    await lost.replays.close()
    await lost.owner.end()
  })
})
