import { Writable } from 'node:stream'
import { afterEach, expect, test, vi } from 'vitest'
import { demoFile } from '../demo/files.ts'
import { ENCODERS, type SimulatedProtocol } from './encoders/index.ts'
import { serve, untilRead } from './loopback.ts'
import { type SimulateOptions, simulate } from './simulate.ts'
import { uniqueIdOf } from './unique-ids.ts'

// Real seconds pass in here, and more of them on a busy machine.
vi.setConfig({ testTimeout: 60_000 })

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

async function run(protocol: SimulatedProtocol, options: Partial<SimulateOptions> = {}) {
  const server = await serve(protocol)
  closing.push(() => server.close())
  const summary = await simulate({
    protocol,
    devices: 5,
    rate: 50,
    seconds: 1,
    tracks: demoFile('tracks.csv.gz'),
    port: server.port,
    ...options,
  })
  return { server, summary }
}

test.each(Object.keys(ENCODERS) as SimulatedProtocol[])(
  'a fleet of %s devices sends at its rate, and loses nothing',
  async (protocol) => {
    const acknowledged = new Map<string, number>()
    const { server, summary } = await run(protocol, {
      onAcknowledged: (uniqueId) => acknowledged.set(uniqueId, (acknowledged.get(uniqueId) ?? 0) + 1),
    })
    expect(summary).toMatchObject({
      protocols: [protocol],
      devices: 5,
      positionsDropped: 0,
      positionsBuffered: 0,
      errors: {},
    })
    expect(Math.abs(summary.positionsReported - 50 * summary.durationS)).toBeLessThan(10)
    expect(summary.positionsAcknowledged).toBe(summary.positionsReported)
    await untilRead(protocol, server, summary.positionsReported)
    expect(new Set(server.stored).size).toBe(summary.positionsReported)
    expect([...acknowledged.keys()].sort()).toEqual([0, 1, 2, 3, 4].map((n) => uniqueIdOf(protocol, n)))
    expect(summary.answerMs.p50).toBeGreaterThan(0)
    expect(summary.answerMs.max).toBeGreaterThanOrEqual(summary.answerMs.p99)
  },
)

test('devices of several protocols take turns, each at its own server', async () => {
  const protocols = ['teltonika', 'gt06', 'h02', 'osmand'] as const
  const servers = await Promise.all(protocols.map((protocol) => serve(protocol)))
  for (const server of servers) closing.push(() => server.close())
  const summary = await simulate({
    protocol: protocols.join(', '),
    devices: 8,
    rate: 80,
    seconds: 1,
    tracks: demoFile('tracks.csv.gz'),
    ports: Object.fromEntries(protocols.map((protocol, i) => [protocol, servers[i]!.port])),
  })
  expect(summary).toMatchObject({ protocols, devices: 8, positionsBuffered: 0, errors: {} })
  const stored = servers.map((server) => new Set(server.stored).size)
  expect(stored.reduce((sum, count) => sum + count)).toBe(summary.positionsReported)
  expect(Math.min(...stored)).toBeGreaterThan(0)
})

test('fixes of a device never share a time that its protocol can tell', async () => {
  const times = new Map<string, number[]>()
  await run('h02', {
    rate: 100,
    devices: 2,
    onAcknowledged: (uniqueId, { fixTimeMs }) =>
      times.set(uniqueId, [...(times.get(uniqueId) ?? []), Math.floor(fixTimeMs / 1000)]),
  })
  for (const seconds of times.values()) expect(new Set(seconds).size).toBe(seconds.length)
})

test('a run ends when it is aborted, and says what was left', async () => {
  const controller = new AbortController()
  const running = simulate({
    protocol: 'teltonika',
    devices: 3,
    rate: 100,
    tracks: demoFile('tracks.csv.gz'),
    port: 1,
    signal: controller.signal,
    progress: log(),
  })
  // No server: the run goes on until it is told to end.
  const first = await Promise.race([running.then(() => 'ended'), Promise.resolve('running')])
  expect(first).toBe('running')
  controller.abort()
  const summary = await running
  expect(summary.positionsAcknowledged).toBe(0)
  expect(summary.positionsBuffered).toBe(summary.positionsReported)
})

test('shows its progress as lines where there is no terminal', async () => {
  const lines: string[] = []
  const { summary } = await run('osmand', { progress: log(lines), seconds: 0.2 })
  expect(lines.at(-1)).toContain(
    `${summary.positionsAcknowledged} of ${summary.positionsReported} positions acknowledged, 0 dropped, 0 errors`,
  )
})

test('refuses what is out of range', async () => {
  await expect(run('teltonika', { devices: 0 })).rejects.toThrow('devices must be from 1 to 50000, got 0')
  await expect(run('teltonika', { protocol: 'mqtt' })).rejects.toThrow('no device speaks "mqtt"; give one of')
  await expect(run('teltonika', { rate: Number.NaN })).rejects.toThrow('rate must be')
})

/** A stream that is no terminal. */
function log(lines: string[] = []): NodeJS.WriteStream {
  const write = (chunk: Buffer, _encoding: string, done: () => void) => {
    lines.push(String(chunk))
    done()
  }
  return new Writable({ write }) as NodeJS.WriteStream
}
