/** What decodeFrame adds to the rows of an adapter. */
import { expect, test } from 'vitest'
import { PositionBatch } from '../schemas/position-batch.ts'
import { type Adapter, defineAdapter } from './adapter.ts'
import { DeviceSession, decodeFrame } from './decoder.ts'

/** A frame of which the rows are read from these bytes; [0, 0] is the whole frame. */
function adapterOf(ranges: readonly (readonly [number, number])[]): Adapter {
  return defineAdapter({
    id: 'ranges',
    version: 1,
    makers: ['Acme'],
    source: 'this file',
    listen: {},
    maxFrameBytes: 64,
    decode(_frame, _session, out) {
      for (const [start, end] of ranges) out.setRecord(out.add(1_763_712_000_000, 1, 2), start, end)
    },
  })
}

function digestsOf(frame: string, ranges: readonly (readonly [number, number])[]): string[] {
  const out = new PositionBatch(8)
  // Where the frame lies in the batch must not matter.
  out.add(1_763_712_000_000, 1, 2)
  const adapter = adapterOf(ranges)
  decodeFrame(adapter, Buffer.from(frame), new DeviceSession(adapter, 'tcp', () => undefined), out)
  return Array.from(ranges, (_, i) => `${out.digestHigh[i + 1]} ${out.digestLow[i + 1]}`)
}

test('the digest of a record is that of its bytes, wherever they are in a frame', () => {
  const [first, second, third] = digestsOf('one,two,one', [
    [0, 3],
    [4, 7],
    [8, 11],
  ])
  expect(first).not.toBe(second)
  expect(third).toBe(first)
  expect(digestsOf('two', [[0, 0]])).toEqual([second])
})

test.each([
  ['the whole frame', [0, 0]],
  ['the same bytes of it', [4, 7]],
] as const)('records that share %s have digests of their own, the same each time', (_, range) => {
  const digests = digestsOf('one,two', [range, range, range])
  expect(new Set(digests).size).toBe(3)
  expect(digestsOf('one,two', [range, range, range])).toEqual(digests)
})

test('what no device can mean is not reported, whatever an adapter writes into its columns', () => {
  const out = new PositionBatch(8)
  const adapter = defineAdapter({
    id: 'extremes',
    version: 1,
    makers: ['Acme'],
    source: 'this file',
    listen: {},
    maxFrameBytes: 64,
    decode(_frame, _session, batch) {
      const row = batch.add(1_763_712_000_000, 1, 2)
      batch.altitudeM[row] = -Infinity
      batch.speedKmh[row] = 1e308 * 1.852
      batch.courseDeg[row] = 1e308
      batch.accuracyM[row] = Infinity
      batch.deviceTimeMs[row] = 8e15
      batch.deviceTimeMs[batch.addWithoutFix()] = -1
    },
  })
  const session = new DeviceSession(adapter, 'tcp', () => undefined)
  session.receivedMs = 1_763_712_001_000
  decodeFrame(adapter, Buffer.from('x'), session, out)
  expect([out.altitudeM[0], out.speedKmh[0], out.courseDeg[0], out.accuracyM[0]]).toEqual([
    Number.NaN,
    Number.NaN,
    1e308,
    Number.NaN,
  ])
  expect([out.deviceTimeMs[0], out.fixTimeMs[0]]).toEqual([Number.NaN, 1_763_712_000_000])
  expect([out.deviceTimeMs[1], out.fixTimeMs[1]]).toEqual([Number.NaN, 1_763_712_001_000])
})
