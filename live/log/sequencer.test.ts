import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { takeAway } from '../../test/database.ts'
import { fixes, type StreamClient, StreamFixture, testEvent } from '../../test/stream-fixture.ts'

const START_MS = Date.UTC(2026, 0, 2, 3, 4, 5)

describe('commits', () => {
  let stream: StreamFixture
  let organizationId: number
  let devices: number[]
  let client: StreamClient
  let cursor: string

  beforeEach(async () => {
    stream = await StreamFixture.create()
    organizationId = await stream.organization()
    devices = await stream.devices(organizationId, 3)
  })
  afterEach(() => stream.stop())

  async function start(limits = {}): Promise<void> {
    await stream.start({ limits })
    client = await stream.connect({ organizationId, role: 'viewer' })
    cursor = ((await client.subscribe(1)).at(-1) as { cursor: string }).cursor
  }

  const row = (second: number) => ({ device: devices[second % 3]!, fixTimeMs: START_MS + second * 1_000 })

  /** Seconds of the rows that come, up to one of them. */
  async function secondsUpTo(last: number): Promise<number[]> {
    const messages = await client.until((message) =>
      fixes([message]).some(([, timeMs]) => timeMs === START_MS + last * 1_000),
    )
    return fixes(messages).map(([, timeMs]) => (timeMs - START_MS) / 1_000)
  }

  const lookedUp = () => stream.metric('fleetflow_stream_looked_up_commits_total')

  test('that overtake each other, or come twice, are sent in their order and once', async () => {
    await start()
    for (const sequence of [3, 2, 3, 1, 2, 5, 1, 4]) stream.tell([row(sequence)], [], sequence)
    expect(await secondsUpTo(5)).toEqual([1, 2, 3, 4, 5])
    stream.tell([row(5)], [], 5)
    stream.tell([row(6)], [], 6)
    expect(await secondsUpTo(6)).toEqual([6])
    expect(await lookedUp()).toBe(0)
  })

  test('that are lost on the way are read from storage when a later one comes', async () => {
    await start()
    await stream.commit([row(1)])
    for (const second of [2, 3, 4]) await stream.storeCommit([row(second)])
    await stream.commit([row(5)], [testEvent({ id: 1, device: devices[0]!, organizationId })])
    await stream.commit([row(6)])
    expect(await secondsUpTo(6)).toEqual([1, 2, 3, 4, 5, 6])
    expect(await lookedUp()).toBeGreaterThanOrEqual(3)
  })

  test('that are lost are found when nothing comes behind them, rows and events', async () => {
    await start()
    const { organizationId: _, ...event } = testEvent({ id: 7, device: devices[1]!, organizationId })
    await stream.storeCommit([row(1), row(2)], [{ ...event, organizationId }])
    expect(await secondsUpTo(2)).toEqual([1, 2])
    expect(await client.next()).toMatchObject({ type: 'events', rows: [event] })
    await stream.commit([row(3)])
    expect(await secondsUpTo(3)).toEqual([3])
  })

  test('whose numbers were never there hold up the others for a moment only', async () => {
    await start()
    await stream.commit([row(1)])
    await stream.owner.query("SELECT setval('batch_sequence', 20)")
    const { rows } = await stream.owner.query("SELECT nextval('batch_sequence') AS next")
    const sequence = Number(rows[0].next)
    expect(sequence).toBe(21)
    stream.tell([row(2)], [], sequence + 1)
    stream.tell([row(3)], [], sequence + 3)
    stream.tell([row(4)], [], sequence + 4)
    expect(await secondsUpTo(4)).toEqual([1, 2, 3, 4])
    stream.tell([row(5)], [], sequence + 5)
    expect(await secondsUpTo(5)).toEqual([5])
  })

  test('of devices that are new wait for these, and those behind them do', async () => {
    await start()
    const [added] = await stream.devices(organizationId, 1)
    stream.tell([row(1), { device: added!, fixTimeMs: START_MS + 1_500 }], [])
    stream.tell([row(2), { device: 2_000_000_000, fixTimeMs: START_MS + 2_500 }], [])
    stream.tell([row(3)], [])
    expect(await secondsUpTo(3)).toEqual([1, 1.5, 2, 3])
  })

  test('further behind than the log can hold are left out, which is told, and a cursor still leads to them', async () => {
    await start({ rowsKept: 256 })
    await stream.storeCommit(Array.from({ length: 400 }, (_, i) => row(i + 1)))
    await stream.commit([row(401)])
    const messages = await client.until((message) =>
      fixes([message]).some(([, timeMs]) => timeMs === START_MS + 401_000),
    )
    expect(messages[0]).toEqual({ type: 'lagging', id: 1, dropped: 0, events: 0 })
    const seconds = fixes(messages).map(([, timeMs]) => (timeMs - START_MS) / 1_000)
    expect(seconds).toEqual(expect.arrayContaining([399, 400, 401]))
    expect(seconds.length).toBeLessThanOrEqual(4)
    expect(await stream.metric('fleetflow_stream_jumps_total')).toBe(1)

    client.send({ type: 'subscribe', id: 2, scope: { all: true }, from: cursor })
    const all = await client.until(({ type }) => type === 'live')
    const behind = fixes(all).map(([, timeMs]) => (timeMs - START_MS) / 1_000)
    expect(behind.sort((a, b) => a - b)).toEqual(Array.from({ length: 401 }, (_, i) => i + 1))
    // Both go on.
    await stream.commit([row(402)])
    const both = [await client.next(), await client.next()]
    expect(both.map((message) => [message.type, (message as { id: number }).id])).toEqual([
      ['positions', 1],
      ['positions', 2],
    ])
  }, 60_000)

  test('that storage can not be asked for come when it can', async () => {
    await start()
    const giveBack = await takeAway(stream.database.url, 'fleetflow live%')
    await stream.storeCommit([row(1)])
    await stream.commit([row(2)])
    // It asks for what is missing, and does not get it.
    while ((await stream.metric('fleetflow_stream_database_up')) === 1) await setImmediate()
    await sleep(600)
    expect(client.waiting).toEqual([])
    await giveBack()
    expect(await secondsUpTo(2)).toEqual([1, 2])
  }, 60_000)
})
