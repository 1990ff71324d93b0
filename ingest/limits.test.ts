/** The page of limits says what the code says, and so do the metrics. */
import { readFileSync } from 'node:fs'
import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { FIXED_LIMITS, LIMITS } from './limits.ts'
import { ingestMetrics } from './metrics.ts'

/** Those of the stream are live's own. */
const page = readFileSync('docs/limits.md', 'utf8').replace(/^## Stream\n[\s\S]*?(?=^## )/m, '')

test('the page of limits has each limit with its default, and no other', () => {
  const written = [...page.matchAll(/^\| `(\w+)` +\| [^|]+ \| +(\d+) +\| /gm)]
  expect(Object.fromEntries(written.map(([, name, value]) => [name, Number(value)]))).toEqual({
    ...LIMITS,
    ...FIXED_LIMITS,
  })
})

test('the metrics show the value of each limit, and how often it was met from the first reading on', async () => {
  const registry = new Registry()
  const metrics = ingestMetrics(registry, { ...LIMITS, connectionsMax: 7 })
  const before = await registry.metrics()
  for (const name of Object.keys({ ...LIMITS, ...FIXED_LIMITS })) {
    expect(before).toContain(`fleetflow_limits_total{limit="${name}"} 0\n`)
    expect(before).toContain(`fleetflow_limit{limit="${name}"} `)
  }
  expect(before).toContain('fleetflow_limit{limit="connectionsMax"} 7\n')
  metrics.limitMet('connectionsMax')
  expect(await registry.metrics()).toContain('fleetflow_limits_total{limit="connectionsMax"} 1\n')
})
