import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { BUFFER_REPORTS_MAX, type DeviceOptions, newCounts, SimulatedDevice } from './devices.ts'
import type { Report } from './encoders/encoder.ts'
import { ENCODERS, isUnanswered, type SimulatedProtocol } from './encoders/index.ts'
import type { LinkError } from './links/link.ts'
import { type LoopbackServer, serve, untilRead } from './loopback.ts'
import { uniqueIdOf } from './unique-ids.ts'

// A busy machine needs more than the usual time.
vi.setConfig({ testTimeout: 60_000 })

const PROTOCOLS = Object.keys(ENCODERS) as SimulatedProtocol[]
const closing: (() => Promise<unknown> | undefined)[] = []

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

/** A device that runs until the end of the test. */
function start(protocol: SimulatedProtocol, port: number, options: Partial<DeviceOptions> = {}) {
  const counts = newCounts()
  const acknowledged: Report[] = []
  let fail!: (error: LinkError) => void
  const failed = new Promise<LinkError>((resolve) => {
    fail = resolve
  })
  const device = new SimulatedDevice({
    encoder: ENCODERS[protocol],
    host: '127.0.0.1',
    port,
    uniqueId: uniqueIdOf(protocol, 7),
    counts,
    backoffFirstMs: 5,
    onAcknowledged: (report) => acknowledged.push(report),
    onError: fail,
    ...options,
  })
  const running = device.run()
  closing.push(() => {
    device.stop()
    return running
  })
  return { device, counts, acknowledged, failed, running }
}

async function started(...options: Parameters<typeof serve>): Promise<LoopbackServer> {
  const server = await serve(...options)
  closing.push(() => server.close())
  return server
}

function reportAt(second: number): Omit<Report, 'serial'> {
  return {
    fixTimeMs: Date.UTC(2026, 10, 21, 9) + second * 1000,
    latitudeDeg: 30.2672 + second / 1e4,
    longitudeDeg: -97.7431,
    altitudeM: undefined,
    speedKmh: 40,
    courseDeg: 0,
    satellites: 10,
    ignition: true,
    odometerM: second * 11,
    powerV: 27.5,
    batteryV: 4.1,
    signalBars: 4,
  }
}

describe.each(PROTOCOLS)('a %s device', (protocol) => {
  test('sends its reports on one connection, and each is acknowledged', async () => {
    const server = await started(protocol)
    const { device, counts, acknowledged } = start(protocol, server.port)
    for (let second = 0; second < 100; second++) device.report(reportAt(second))
    await device.drained()
    await untilRead(protocol, server, 100)

    expect(server.stored).toHaveLength(100)
    expect(new Set(server.stored).size).toBe(100)
    expect(server.connections()).toBe(1)
    expect(acknowledged.map(({ serial }) => serial)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1))
    expect(counts).toMatchObject({
      positionsReported: 100,
      positionsSent: 100,
      positionsAcknowledged: 100,
      positionsDropped: 0,
      connected: 1,
      reconnects: 0,
    })
    expect(counts.framesAcknowledged).toBeGreaterThan(0)
    expect(counts.framesAcknowledged).toBeLessThanOrEqual(counts.framesSent)
    expect(counts.errors.size).toBe(0)
    expect(counts.answerUs.count).toBeGreaterThan(0)
  })
})

describe.each(PROTOCOLS.filter((protocol) => !isUnanswered(protocol)))('a %s device', (protocol) => {
  test('connects again when the server comes back, with what it kept meanwhile', async () => {
    const server = await started(protocol)
    const { port } = server
    const { device, counts, failed } = start(protocol, port, { answerTimeoutMs: 200 })
    device.report(reportAt(0))
    await device.drained()
    await server.close()
    device.report(reportAt(1))
    device.report(reportAt(2))
    await failed
    expect(device.buffered).toBe(2)

    const again = await started(protocol, { port })
    await device.drained()
    expect(again.stored).toHaveLength(2)
    expect(counts.positionsAcknowledged).toBe(3)
  })
})

describe.each(PROTOCOLS.filter(isUnanswered))('a %s device, which is not answered,', (protocol) => {
  test('connects again when the server comes back, with what it reports from then on', async () => {
    const server = await started(protocol)
    const { port } = server
    const { device, counts, failed } = start(protocol, port)
    device.report(reportAt(0))
    await device.drained()
    await untilRead(protocol, server, 1)
    await server.close()
    // Before it knows, a report goes to nobody, and counts as acknowledged.
    await failed
    device.report(reportAt(1))
    device.report(reportAt(2))
    expect(device.buffered).toBe(2)

    const again = await started(protocol, { port })
    await device.drained()
    await untilRead(protocol, again, 2)
    expect(again.stored).toHaveLength(2)
    expect(counts.positionsAcknowledged).toBe(3)
  })
})

describe.each(['teltonika', 'gt06', 'h02', 'osmand'] as const)('a %s device', (protocol) => {
  test('sends again what was not acknowledged, the same record', async () => {
    const lost: number[] = []
    const server = await started(protocol, {
      loses(frames) {
        const loses = frames === 0 || frames === 2
        if (loses) lost.push(frames)
        return loses
      },
    })
    const { device, counts } = start(protocol, server.port, { answerTimeoutMs: 200 })
    for (let second = 0; second < 30; second++) device.report(reportAt(second))
    await device.drained()

    expect(lost).toEqual([0, 2])
    expect(new Set(server.stored).size).toBe(30)
    expect(counts.positionsAcknowledged).toBe(30)
    expect(counts.positionsSent).toBeGreaterThan(30)
    expect(counts.errors.size).toBe(1)
  })
})

test('a device sends again only the reports that no answer named', async () => {
  const server = await started('gt06', { loses: (frames) => frames === 1 })
  const { device, counts, acknowledged, failed } = start('gt06', server.port, { answerTimeoutMs: 200 })
  for (let second = 0; second < 3; second++) device.report(reportAt(second))
  await failed
  expect(device.buffered).toBe(2)
  await device.drained()
  expect(acknowledged.map(({ serial }) => serial)).toEqual([1, 2, 3])
  expect(counts).toMatchObject({ positionsSent: 5, positionsAcknowledged: 3 })
})

test('a refused device stays away longer each time, and says so', async () => {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {}).on('data', () => socket.end(Buffer.from([0])))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  closing.push(() => new Promise((resolve) => server.close(resolve)))
  const { counts } = start('teltonika', (server.address() as AddressInfo).port)
  while (sockets.length < 4) await once(server, 'connection')
  const { refused, ...others } = Object.fromEntries(counts.errors)
  expect(refused).toBeGreaterThanOrEqual(3)
  expect(others).toEqual({})
  expect(counts.connected).toBe(0)
})

test('a device with a wrong password is refused', async () => {
  const server = await started('mqtt-json')
  const { counts, failed } = start('mqtt-json', server.port, { password: 'wrong', backoffFirstMs: 60_000 })
  await failed
  expect(Object.fromEntries(counts.errors)).toEqual({ refused: 1 })
})

test('a device publishes under its own name at QoS 1', async () => {
  const server = await started('mqtt-json')
  const { device } = start('mqtt-json', server.port, { password: 'right' })
  device.report(reportAt(0))
  await device.drained()
  expect(server.stored[0]).toMatch(
    /^9000000007 devices\/9000000007\/positions 1 \{"fixTime":"2026-11-21T09:00:00/,
  )
})

test('a device without a server keeps its newest reports', () => {
  const { device, counts, acknowledged } = start('teltonika', 1)
  for (let second = 0; second < BUFFER_REPORTS_MAX + 100; second++) device.report(reportAt(second))
  expect(device.buffered).toBe(BUFFER_REPORTS_MAX)
  expect(counts.positionsDropped).toBe(100)
  expect(acknowledged).toEqual([])
})

test('a device stops while it waits for an answer, and while it waits to try again', async () => {
  const silent = createServer((socket) => socket.on('error', () => {}))
  await once(silent.listen(0, '127.0.0.1'), 'listening')
  closing.push(() => new Promise((resolve) => silent.close(resolve)))
  for (const port of [(silent.address() as AddressInfo).port, 1]) {
    const { device, failed, running } = start('teltonika', port, { backoffFirstMs: 60_000 })
    device.report(reportAt(0))
    if (port === 1) await failed
    else await once(silent, 'connection')
    const drained = device.drained()
    device.stop()
    await drained
    await running
    expect(device.buffered).toBe(1)
  }
})
