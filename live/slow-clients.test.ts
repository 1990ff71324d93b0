import { setImmediate } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ServerMessage } from '../schemas/stream.ts'
import { fixes, type StreamClient, StreamFixture } from '../test/stream-fixture.ts'
import { CHUNK_BYTES, type LiveLimits } from './options.ts'

const START_MS = Date.UTC(2026, 0, 2, 3, 4, 5)
const DEVICES = 200
const SLOW_BYTES = 65_536
/** A chunk is filled until it is full, so it may be longer by a row. */
const BUDGET_BYTES = SLOW_BYTES + CHUNK_BYTES + 1_000

describe('a client that does not read', () => {
  let stream: StreamFixture
  let organizationId: number
  let devices: number[]
  let round: number

  beforeEach(async () => {
    stream = await StreamFixture.create()
    organizationId = await stream.organization()
    devices = await stream.devices(organizationId, DEVICES)
    round = 0
  })
  afterEach(() => stream.stop())

  const start = (limits: Partial<LiveLimits> = {}) =>
    stream.start({ limits: { slowSocketBytes: SLOW_BYTES, ...limits } })
  const connect = () => stream.connect({ organizationId, role: 'viewer' })

  /** Publishes a position of every device, waits until a client that reads has them, and gives what it got. */
  async function publishTo(reader: StreamClient): Promise<[number, number][]> {
    round++
    stream.publish(...devices.map((device) => ({ device, fixTimeMs: START_MS + round })))
    const last = devices.at(-1)!
    const messages = await reader.until((message) =>
      fixes([message]).some(([device, fixTimeMs]) => device === last && fixTimeMs === START_MS + round),
    )
    return fixes(messages)
  }

  const slowSockets = () => stream.metric('fleetflow_stream_limits_total', { limit: 'slowSocketBytes' })
  const bufferedBytes = () => stream.metric('fleetflow_stream_buffered_bytes')

  test('costs its budget and no more, then gets the newest position of each device', async () => {
    await start()
    const reader = await connect()
    await reader.subscribe(1)
    const stopped: StreamClient[] = []
    for (let i = 0; i < 8; i++) {
      const client = await connect()
      await client.subscribe(1)
      await client.subscribe(2, devices.slice(0, 10))
      client.socket.pause()
      stopped.push(client)
    }
    // The kernel takes some megabytes before a socket is slow.
    while ((await slowSockets()) < stopped.length) await publishTo(reader)
    const rssBefore = process.memoryUsage().rss
    let mostBytes = 0
    for (let i = 0; i < 300; i++) {
      await publishTo(reader)
      mostBytes = Math.max(mostBytes, await bufferedBytes())
    }
    // Kept for each client, these rounds are more than 120 MB.
    expect(mostBytes).toBeGreaterThan(stopped.length * SLOW_BYTES)
    expect(mostBytes).toBeLessThan(stopped.length * BUDGET_BYTES)
    expect(process.memoryUsage().rss - rssBefore).toBeLessThan(80_000_000)

    for (const client of stopped) {
      client.socket.resume()
      const newest = new Map<string, number>()
      let backwards = 0
      const accounted = new Map([
        [1, 0],
        [2, 0],
      ])
      const account = (id: number, count: number) => accounted.set(id, accounted.get(id)! + count)
      const dropped = new Map<number, number>()
      const read = (message: ServerMessage) => {
        if (message.type === 'lagging') {
          account(message.id, message.dropped)
          dropped.set(message.id, message.dropped)
        } else if (message.type === 'positions') {
          account(message.id, message.rows.length)
          for (const [device, fixTimeMs] of fixes([message])) {
            const key = `${message.id}/${device}`
            if (fixTimeMs <= (newest.get(key) ?? 0)) backwards++
            newest.set(key, fixTimeMs)
          }
        }
      }
      const complete = () =>
        newest.size === DEVICES + 10 && [...newest.values()].every((timeMs) => timeMs === START_MS + round)
      while (!complete()) read(await client.next())
      expect(backwards).toBe(0)
      // What was not sent was told, to the row.
      expect(accounted.get(1)).toBe(round * DEVICES)
      expect(accounted.get(2)).toBe(round * 10)
      expect(dropped.get(1)).toBeGreaterThan(250 * DEVICES)
    }
    // In step again.
    await publishTo(reader)
    for (const client of stopped) {
      const messages = await client.until((message) => message.type === 'positions' && message.id === 2)
      expect(fixes(messages).every(([, timeMs]) => timeMs === START_MS + round)).toBe(true)
    }
  }, 60_000)

  test('is one of many, and they cost what is promised and those who read nothing', async () => {
    const many = 100
    const closeSocketBytes = SLOW_BYTES + 2 * CHUNK_BYTES
    await start({ closeSocketBytes })
    const reader = await connect()
    await reader.subscribe(1)
    for (let place = 0; place < many; place++) {
      const client = await connect()
      // Some watch everything, some a part, some a part at intervals.
      const scope = place % 2 === 0 ? { all: true as const } : { devices: devices.slice(0, DEVICES / 2) }
      const interval = place % 4 === 3 ? { intervalMs: 50 } : {}
      client.send({ type: 'subscribe', id: 1, scope, ...interval })
      await client.until(({ type }) => type === 'live')
      client.socket.pause()
    }
    while ((await slowSockets()) < many) await publishTo(reader)
    const rssBefore = process.memoryUsage().rss
    let mostBytes = 0
    for (let i = 0; i < 100; i++) {
      // Every row of every round reaches who reads: it waits for the last of each, and fails where one is missing.
      const { length } = await publishTo(reader)
      expect(length).toBe(DEVICES)
      mostBytes = Math.max(mostBytes, await bufferedBytes())
    }
    expect(mostBytes).toBeGreaterThan(many * SLOW_BYTES)
    expect(mostBytes).toBeLessThan(many * closeSocketBytes)
    expect(process.memoryUsage().rss - rssBefore).toBeLessThan(80_000_000)
  }, 120_000)

  test('is closed when it stays so, and its place is held until its memory is free', async () => {
    await start({ slowSocketTimeoutMs: 200, socketsMax: 2 })
    const reader = await connect()
    await reader.subscribe(1)
    const client = await connect()
    await client.subscribe(1)
    client.socket.pause()
    while ((await stream.metric('fleetflow_stream_closed_total', { code: '1013' })) === 0) {
      if ((await slowSockets()) === 0) await publishTo(reader)
      else await setImmediate()
    }
    expect(await stream.metric('fleetflow_stream_limits_total', { limit: 'slowSocketTimeoutMs' })).toBe(1)
    expect(await stream.metric('fleetflow_stream_sockets')).toBe(1)
    await expect(connect()).rejects.toThrow('503')
    client.socket.resume()
    expect(await client.closed).toMatchObject({ code: 1013 })
  }, 30_000)

  test('is closed when the answers to its own messages fill its socket', async () => {
    await start({ closeSocketBytes: SLOW_BYTES + 2 * CHUNK_BYTES, messagesPerSecondMax: 1e9 })
    const client = await connect()
    client.socket.pause()
    const wrong = JSON.stringify({ type: 'x'.repeat(100), id: 1 })
    while ((await stream.metric('fleetflow_stream_closed_total', { code: '1013' })) === 0) {
      for (let i = 0; i < 500; i++) client.socket.send(wrong)
      await setImmediate()
    }
    expect(await stream.metric('fleetflow_stream_limits_total', { limit: 'closeSocketBytes' })).toBe(1)
  }, 30_000)

  test('loses nothing of a snapshot that its socket can not take at once', async () => {
    await start()
    // 12 MB of snapshots, more than the kernel takes.
    const note = 'x'.repeat(4_000)
    stream.publish(...devices.map((device) => ({ device, fixTimeMs: START_MS, attributes: { note } })))
    const client = await connect()
    client.socket.pause()
    for (let id = 1; id <= 15; id++) client.send({ type: 'subscribe', id, scope: { all: true } })
    while ((await slowSockets()) === 0) await setImmediate()
    client.socket.resume()
    const counts = new Map<number, number>()
    let live = 0
    while (live < 15) {
      const message = await client.next()
      if (message.type === 'positions')
        counts.set(message.id, (counts.get(message.id) ?? 0) + message.rows.length)
      if (message.type === 'live') {
        live++
        expect(counts.get(message.id)).toBe(DEVICES)
      }
    }
    expect(await stream.metric('fleetflow_stream_lagging_total')).toBe(0)
  })
})
