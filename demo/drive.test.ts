import { afterEach, expect, test, vi } from 'vitest'
import { type LoopbackServer, serve } from '../simulate/loopback.ts'
import { DEMO_PROTOCOLS, type DemoProtocol, type DriveProgress, demoDevices, driveBuses } from './drive.ts'

// Real seconds pass in here, and more of them on a busy machine.
vi.setConfig({ testTimeout: 60_000 })

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

test('lists every bus once, with some of each protocol', async () => {
  const devices = await demoDevices()
  expect(devices).toHaveLength(179)
  expect(new Set(devices.map(({ uniqueId }) => uniqueId)).size).toBe(179)
  expect(devices.find(({ name }) => name === 'Bus 1975')).toBeDefined()
  for (const protocol of DEMO_PROTOCOLS) {
    const share = Math.floor(179 / DEMO_PROTOCOLS.length)
    expect(devices.filter((device) => device.protocol === protocol).length).toBeGreaterThanOrEqual(share)
  }
  const numbers = devices.map(({ name }) => Number(name.slice('Bus '.length)))
  expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
})

test('drives the buses, each about once a second, until it is told to stop', async () => {
  const servers = new Map<DemoProtocol, LoopbackServer>()
  for (const protocol of DEMO_PROTOCOLS) {
    const server = await serve(protocol)
    closing.push(() => server.close())
    servers.set(protocol, server)
  }
  const ports = Object.fromEntries(Array.from(servers, ([protocol, { port }]) => [protocol, port]))
  const controller = new AbortController()
  let connected = 0
  let last: DriveProgress | undefined
  await driveBuses({
    ports: ports as Record<DemoProtocol, number>,
    host: '127.0.0.1',
    signal: controller.signal,
    onProgress(progress) {
      last = progress
      connected = progress.counts.connected
      if (progress.counts.positionsAcknowledged >= 2 * progress.busesOut) controller.abort()
    },
  })
  expect(last!.busesOut).toBeGreaterThan(80)
  expect(connected).toBe(179)
  expect(last!.counts.errors.size).toBe(0)
  expect(last!.counts.positionsReported).toBeLessThan(5 * 179)
  const share = last!.counts.positionsReported / DEMO_PROTOCOLS.length
  for (const server of servers.values()) expect(server.stored.length).toBeGreaterThan(share / 2)
})
