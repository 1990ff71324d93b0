/** Lines that do not say their protocol: found out, decoded as if they had said it, and never taken for another. */
import { expect, test } from 'vitest'
import { DetectedStreams } from './detected-streams.ts'
import { Detection } from './detection.ts'
import { RecordedLine } from './recorded-line.ts'
import { loadAdapters } from './registry.ts'
import { decodeAll, nameOf, RECEIVED_MS, vectorsOf } from './vectors-fixture.ts'

const adapters = await loadAdapters()
const detection = new Detection(adapters.values())
const all = [...adapters].flatMap(([id, adapter]) => {
  const vectors = vectorsOf(id)
  const decoded = decodeAll(adapter, vectors)
  return vectors.map((vector, i) => ({ id, vector, decoded: decoded[i]! }))
})
const anonymous = (line: object) => RecordedLine.parse({ ...line, protocol: undefined })
const hex = (text: string) => Buffer.from(text, 'latin1').toString('hex')

/** Takes turns between the protocols, as a recording of many connections would. */
const mixed = all
  .map((entry) => ({ ...entry, turn: entry.vector.seq! / all.filter(({ id }) => id === entry.id).length }))
  .sort((a, b) => a.turn - b.turn)

test('a mix of all recorded streams decodes as if each line had said its protocol', () => {
  const streams = new DetectedStreams(detection)
  let undetected = 0
  for (const { id, vector, decoded } of mixed) {
    const line = anonymous({ ...vector, stream: `${id} ${vector.stream}` })
    const { protocol, positions, replies, error } = streams.decode(line, RECEIVED_MS)
    expect([id, ''], `${id} ${nameOf(vector)}`).toContain(protocol)
    if (protocol === '') undetected++
    else if (vector.transport !== 'udp') {
      expect({ positions, replies, error }, `${id} ${nameOf(vector)}`).toEqual({
        positions: decoded.positions,
        replies: decoded.replies,
        error: decoded.error,
      })
    }
  }
  expect(undetected / mixed.length).toBeLessThan(0.03)
})

test('streams of several protocols that are counted alike are told apart', () => {
  const streams = new DetectedStreams(detection)
  for (const { id, vector } of mixed) {
    const { protocol } = streams.decode(anonymous(vector), RECEIVED_MS)
    expect([id, ''], `${id} ${nameOf(vector)}`).toContain(protocol)
  }
})

test('a line that does not tell says so, and counts once a later one does', () => {
  const streams = new DetectedStreams(detection)
  const decode = (bytes: string) =>
    streams.decode(anonymous({ transport: 'tcp', bytes: hex(bytes) }), RECEIVED_MS)
  expect(decode('*HQ,1234567890,V1,12')).toMatchObject({
    protocol: '',
    positions: [],
    replies: [],
    error: { code: 'undetected', message: 'looks like h02 (30 %): first bytes fit, frame has not ended' },
  })
  const told = decode('0000,A,2235.0000,N,11350.0000,E,010.00,090,011126,FFFFFBFF#')
  expect(told).toMatchObject({ protocol: 'h02', error: null, positions: [{ device: '1234567890' }] })
})

test('what is no protocol at all says so', () => {
  const streams = new DetectedStreams(detection)
  const line = anonymous({ transport: 'tcp', bytes: hex('\x02\x03 what'), stream: 7, seq: 1 })
  expect(streams.decode(line, RECEIVED_MS)).toEqual({
    protocol: '',
    stream: 7,
    seq: 1,
    positions: [],
    replies: [],
    error: { code: 'undetected', message: 'no known protocol begins so' },
  })
})

test('pieces of a frame are put together where its stream is known, and where it begins with them', () => {
  const streams = new DetectedStreams(detection)
  const decode = (bytes: string) =>
    streams.decode(anonymous({ transport: 'tcp', bytes: hex(bytes) }), RECEIVED_MS)
  const fix = (second: string) =>
    `*HQ,1234567890,V1,1200${second},A,2235.0000,N,11350.0000,E,010.00,090,011126,FFFFFBFF#`
  expect(decode(fix('01'))).toMatchObject({ protocol: 'h02', positions: [{ latitude: 22.583333333333332 }] })
  const pieces = [fix('02').slice(0, 30), fix('02').slice(30, 50), fix('02').slice(50)].map(decode)
  expect(pieces.map(({ protocol }) => protocol)).toEqual(['h02', 'h02', 'h02'])
  expect(pieces.map(({ positions }) => positions.length)).toEqual([0, 0, 1])
})

test('what was of no protocol does not spoil the stream that comes after it', () => {
  const streams = new DetectedStreams(detection)
  const decode = (bytes: string) =>
    streams.decode(anonymous({ transport: 'tcp', bytes: hex(bytes) }), RECEIVED_MS)
  expect(decode('\x02\x03 what').protocol).toBe('')
  expect(decode('*HQ,1234567890,HTBT#')).toMatchObject({
    protocol: 'h02',
    error: null,
    replies: [hex('*HQ,1234567890,HTBT#')],
  })
})
