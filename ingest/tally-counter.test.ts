import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { LIMITS } from './limits.ts'
import { ingestMetrics } from './metrics.ts'
import { TallyCounter } from './tally-counter.ts'

function counter(registry: Registry) {
  const labelNames: ('protocol' | 'transport')[] = ['protocol', 'transport']
  return new TallyCounter({ name: 'frames_total', help: 'Frames.', labelNames, registers: [registry] })
}

const TCP = { protocol: 'gt06', transport: 'tcp' }

test('shows what was tallied when the metrics are read, each time in full', async () => {
  const registry = new Registry()
  const tally = counter(registry).tally(TCP)
  tally.add()
  tally.add(4)
  expect(await registry.metrics()).toContain('frames_total{protocol="gt06",transport="tcp"} 5\n')
  expect(await registry.metrics()).toContain('frames_total{protocol="gt06",transport="tcp"} 5\n')
  tally.add(2)
  expect(await registry.getMetricsAsJSON()).toMatchObject([{ values: [{ labels: TCP, value: 7 }] }])
})

test('adds tallies and increments of the same labels up, in whatever order the labels come', async () => {
  const registry = new Registry()
  const frames = counter(registry)
  const tally = frames.tally(TCP)
  expect(frames.tally({ transport: 'tcp', protocol: 'gt06' })).toBe(tally)
  expect(frames.tally({ protocol: 'gt06', transport: 'udp' })).not.toBe(tally)
  tally.add(2)
  frames.inc({ transport: 'tcp', protocol: 'gt06' })
  frames.inc(TCP, 10)
  expect(await registry.getMetricsAsJSON()).toMatchObject([{ values: [{ labels: TCP, value: 13 }] }])
})

test('does not show a series before something is counted', async () => {
  const registry = new Registry()
  counter(registry).tally(TCP)
  expect(await registry.getMetricsAsJSON()).toMatchObject([{ values: [] }])
})

test('the tallies of a protocol are series of the metrics of ingest', async () => {
  const registry = new Registry()
  const metrics = ingestMetrics(registry, LIMITS)
  const { frames, positions, replies } = metrics.frameTallies('gt06', 'udp')
  frames.add()
  positions.add(3)
  replies.add(2)
  metrics.frameTallies('gt06', 'tcp').positions.add(10)
  metrics.positions.inc({ protocol: 'h02' })
  const text = await registry.metrics()
  expect(text).toContain('fleetflow_frames_total{protocol="gt06",transport="udp"} 1\n')
  expect(text).toContain('fleetflow_positions_received_total{protocol="gt06"} 13\n')
  expect(text).toContain('fleetflow_positions_received_total{protocol="h02"} 1\n')
  expect(text).toContain('fleetflow_replies_total{protocol="gt06"} 2\n')
  expect(text).not.toContain('transport="tcp"')
})
