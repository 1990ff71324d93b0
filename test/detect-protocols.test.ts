/** Each protocol on the port of all of them, over a real socket: answered as its vectors say, its position stored. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Detection } from '../device-adapters/detection.ts'
import type { DecodedLine, RecordedLine } from '../device-adapters/recorded-line.ts'
import { loadAdapters } from '../device-adapters/registry.ts'
import { IngestHarness } from './ingest-harness.ts'

type Vector = RecordedLine & DecodedLine & { readonly flags?: readonly string[] }

const adapters = await loadAdapters()
const detection = new Detection(adapters.values())
const vectorsOf = (id: string): Vector[] =>
  readFileSync(new URL(`../device-adapters/protocols/${id}.vectors.jsonl`, import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Vector)

/** The first message of each protocol that a connection can begin with, has an answer, and needs nothing but its device. */
const firsts = [...adapters.keys()].flatMap((id) => {
  const first = vectorsOf(id).find((vector) => {
    const { transport, bytes, deviceIds, setup, replies, flags } = vector
    if (transport !== 'tcp' || deviceIds?.length !== 1 || setup !== undefined) return false
    if (replies.length === 0 || flags?.includes('repliesClockDependent')) return false
    const stream = detection.stream(Date.now())
    const finding = stream.push(Buffer.from(bytes!, 'hex'))
    return finding.kind === 'adapter' && finding.adapter.id === id
  })
  return first === undefined ? [] : [[id, first] as const]
})

let harness: IngestHarness

beforeAll(async () => {
  harness = await IngestHarness.start({ detects: true })
})
afterAll(() => harness.stop())

test('most protocols have a message to begin with', () => {
  expect(firsts.length).toBeGreaterThanOrEqual(10)
})

test.each(firsts)(
  '%s is answered as on its own port',
  async (_, { bytes, deviceIds, replies, positions }) => {
    const [uniqueId] = deviceIds!
    const id = await harness.register(uniqueId!)
    const device = harness.device(harness.portOf('detect'))
    device.send(Buffer.from(bytes!, 'hex'))
    const expected = replies.join('')
    expect(await device.reply(expected.length / 2)).toBe(expected)
    await expect.poll(() => harness.storedOf(id)).toBe(positions.length)
  },
)
