/** Whose a stream is, told by its first bytes: never wrong, at the first message where that can be, else later. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Adapter, DecodeError, defineAdapter } from './adapter.ts'
import { Detection, type Finding } from './detection.ts'
import { delimitedBy } from './framing.ts'
import { deviceOf } from './recorded-line.ts'
import { loadAdapters } from './registry.ts'
import { startsWith } from './signature.ts'
import { framesOfVector, nameOf, RECEIVED_MS, type Vector, vectorsOf, wireBytes } from './vectors-fixture.ts'

/**
 * Share of the recorded messages of an adapter that are found by themselves. The others name no device and have no
 * position, or were recorded with a checksum that is wrong: docs/detection.md says what that means for a device.
 */
const FOUND_MIN: Readonly<Record<string, number>> = {
  atrack: 0.6,
  eelink: 0.75,
  galileo: 0.4,
  gl200: 0.98,
  gps103: 0.98,
  gt06: 0.42,
  h02: 1,
  'json-lines': 0.36,
  jt808: 0.95,
  meitrack: 0.88,
  'mqtt-json': 0.62,
  osmand: 0.9,
  owntracks: 1,
  ruptela: 1,
  suntech: 0.98,
  teltonika: 0.77,
  tk103: 1,
  watch: 1,
  wialon: 0.75,
  wondex: 0.66,
}
/** Of an adapter that is not in the table. */
const FOUND_MIN_DEFAULT = 0.5

const adapters = await loadAdapters()
const detection = new Detection(adapters.values())

/** A text protocol whose frames end with `delimiter`, and whose device is the field behind `head`. */
function textProtocol(id: string, head: string, delimiter: string, names = /^\w*$/): Adapter {
  return defineAdapter({
    id,
    version: 1,
    makers: ['Acme'],
    source: 'this file',
    listen: { tcp: 1, udp: 1 },
    maxFrameBytes: 256,
    starts: startsWith(head),
    frame: delimitedBy(delimiter),
    decode(frame, session) {
      const [name = '', checksum] = frame.toString('latin1').slice(head.length, -delimiter.length).split(',')
      if (checksum === 'bad') throw new DecodeError('checksum', 'it does not fit')
      if (!names.test(name)) throw new DecodeError('malformed', 'it is no name')
      if (name !== '') session.identify(name)
    },
  })
}

const nameOfFinding = (finding: Finding) =>
  finding.kind === 'adapter'
    ? finding.adapter.id
    : finding.kind === 'carrier'
      ? finding.carrier
      : finding.kind

/** What is found when the pieces come one after the other. */
function found(detection: Detection, pieces: readonly (Buffer | string)[], setup?: Vector['setup']): string {
  const stream = detection.stream(RECEIVED_MS, () => deviceOf(setup ?? {}))
  for (const piece of pieces) stream.push(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)
  return nameOfFinding(stream.finding)
}

/** What is found by one message alone. */
function foundByOne(adapter: Adapter, vector: Vector): string {
  const find = () => deviceOf(vector.setup ?? {})
  if (vector.transport === 'tcp') return found(detection, [wireBytes(vector)!], vector.setup)
  const { finding } =
    vector.transport === 'udp'
      ? detection.datagram(wireBytes(vector)!, RECEIVED_MS, find)
      : vector.transport === 'frame'
        ? detection.frame(Buffer.from(vector.frame!, 'hex'), RECEIVED_MS, find)
        : detection.request(
            framesOfVector(adapter, vector)[0]!,
            vector.transport,
            RECEIVED_MS,
            vector.mqtt?.topic,
          )
  return nameOfFinding(finding)
}

describe.each([...adapters])('%s', (id, adapter) => {
  const vectors = vectorsOf(id)
  const own = [id, 'waiting', 'unknown']

  test('is found by each of its messages, or nothing is', () => {
    for (const vector of vectors) expect(own, nameOf(vector)).toContain(foundByOne(adapter, vector))
  })

  test('is found by as many of its messages alone as it was', () => {
    const alone = vectors.filter((vector) => foundByOne(adapter, vector) === id)
    expect(alone.length / vectors.length).toBeGreaterThanOrEqual(FOUND_MIN[id] ?? FOUND_MIN_DEFAULT)
  })

  test('is found in each recorded stream, whole and byte by byte', () => {
    const streams = new Map<unknown, Vector[]>()
    for (const vector of vectors.filter(({ transport }) => transport === 'tcp')) {
      streams.set(vector.stream, [...(streams.get(vector.stream) ?? []), vector])
    }
    for (const [stream, lines] of streams) {
      const setup = lines[0]!.setup
      const whole = lines.map((vector) => wireBytes(vector)!)
      expect(found(detection, whole, setup), `stream ${stream}`).toBe(id)
      const bytes = Array.from(Buffer.concat(whole), (byte) => Buffer.from([byte]))
      expect(found(detection, bytes.slice(0, 4096), setup), `stream ${stream}`).toBe(id)
    }
  })

  test('is found no later because its message comes byte by byte', () => {
    for (const vector of vectors.filter(({ transport }) => transport === 'tcp')) {
      const bytes = wireBytes(vector)!
      // A frame that a longer one may begin with ends with its segment.
      if (foundByOne(adapter, vector) !== id || bytes.length > 2000) continue
      const pieces = Array.from(bytes, (byte) => Buffer.from([byte]))
      expect(found(detection, pieces, vector.setup), nameOf(vector)).toBe(id)
    }
  })
})

describe('two protocols that begin alike', () => {
  const two = new Detection([textProtocol('lines', '$A', '\n'), textProtocol('hashes', '$A', '#')])

  test('wait as long as both fit', () => {
    const same = new Detection([
      textProtocol('lines', '$A', '\n'),
      textProtocol('digits', '$A', '\n', /^\d*$/),
    ])
    expect(found(two, ['$A'])).toBe('waiting')
    expect(found(two, ['$A123\n'])).toBe('waiting')
    expect(found(same, ['$A123\n'])).toBe('waiting')
    expect(found(same, ['$A123\n$A4\n'])).toBe('waiting')
  })

  test('are told apart by what only one of them reads', () => {
    const same = new Detection([
      textProtocol('lines', '$A', '\n'),
      textProtocol('digits', '$A', '\n', /^\d*$/),
    ])
    expect(found(two, ['$A123\n', '$A4#'])).toBe('lines')
    expect(found(two, ['$A1#', '\n'])).toBe('hashes')
    expect(found(same, ['$A123\n', '$Ax\n'])).toBe('lines')
  })
})

test('a broken first frame is no reason to give up, three are', () => {
  const one = new Detection([textProtocol('lines', '$A', '\n')])
  expect(found(one, ['$A1,bad\n', '$A1\n'])).toBe('lines')
  expect(found(one, ['$A1,bad\n', '$A1,bad\n', '$A1,bad\n', '$A1\n'])).toBe('unknown')
})

test('a frame that names no device decides nothing', () => {
  const one = new Detection([textProtocol('lines', '$A', '\n')])
  expect(found(one, ['$A\n'])).toBe('waiting')
  expect(found(one, ['$A\n', '$A7\n'])).toBe('lines')
})

test('no more than a few hundred frames are looked at, whether they tell something or not', () => {
  let decoded = 0
  let asked = 0
  const dots = defineAdapter({
    id: 'dots',
    version: 1,
    makers: ['Acme'],
    source: 'this file',
    listen: { tcp: 1, udp: 1 },
    maxFrameBytes: 1,
    starts: startsWith('.', '#'),
    frame: (bytes) => {
      asked++
      return bytes[0] === 0x0a ? -1 : 1
    },
    decode: (frame, session) => {
      decoded++
      if (frame[0] === 0x23) session.identify('a')
    },
  })
  const only = new Detection([dots])
  expect(only.stream(RECEIVED_MS).push(Buffer.alloc(60_000, '.'))).toEqual({ kind: 'waiting' })
  expect(decoded).toBe(256)
  expect(only.datagram(Buffer.alloc(60_000, '#'), RECEIVED_MS).finding).toMatchObject({ kind: 'adapter' })
  expect(decoded).toBe(512)
  asked = 0
  only.stream(RECEIVED_MS).push(Buffer.from(`.${'\n'.repeat(60_000)}`))
  expect(asked).toBeLessThan(300)
})

test('an explanation says what each likely protocol makes of the bytes', () => {
  const explain = (text: string, over = detection) => {
    const stream = over.stream(RECEIVED_MS)
    stream.push(Buffer.from(text, 'latin1'))
    return stream.explain()
  }
  expect(explain('\x02hello')).toBe('no known protocol begins so')
  expect(explain('\x16\x03\x01')).toBe('looks like TLS, which is to be ended before this port')
  const two = new Detection([textProtocol('lines', '$A', '\n'), textProtocol('hashes', '$A', '#')])
  expect(explain('$A1\n', two)).toBe(
    'looks like lines (95 %): frame fits, of device 1; hashes (30 %): first bytes fit, frame has not ended',
  )
  expect(explain('$A1,bad\n', two)).toContain('lines (80 %): frame fits, checksum fails')
  expect(explain('$', two)).toBe('too few bytes, may be lines, hashes')
})

test('requests and connections of MQTT are known by their first bytes', () => {
  expect(found(detection, ['GET /?id=1&lat=1&lon=2 HT'])).toBe('http')
  expect(found(detection, ['P'])).toBe('waiting')
  expect(found(detection, ['PO', 'ST /v1'])).toBe('http')
  expect(found(detection, ['\x10', '\x20\0\x04MQTT'])).toBe('mqtt')
  expect(found(detection, ['\x10\x80\x01\0\x06MQI', 'sdp'])).toBe('mqtt')
  expect(found(detection, ['\x10\x20\0\x04MQTX'])).toBe('unknown')
})

test('a datagram has to hold whole frames', () => {
  const two = new Detection([textProtocol('lines', '$A', '\n'), textProtocol('hashes', '$A', '#')])
  const of = (text: string) => nameOfFinding(two.datagram(Buffer.from(text), RECEIVED_MS).finding)
  expect(of('$A1\n')).toBe('lines')
  expect(of('$A1#')).toBe('hashes')
  expect(of('$A1')).toBe('unknown')
  expect(of('')).toBe('waiting')
})

test('what a protocol is asked does not grow with the bytes that drip in', () => {
  let asked = 0
  const greedy = textProtocol('greedy', '$', '\n')
  const counted: Adapter = {
    ...greedy,
    maxFrameBytes: 1e6,
    frame: (bytes, transport) => {
      asked += 1
      return greedy.frame!(bytes, transport)
    },
  }
  const stream = new Detection([counted]).stream(RECEIVED_MS)
  stream.push(Buffer.from('$'))
  for (let i = 0; i < 100_000; i++) stream.push(Buffer.from('x'))
  expect(stream.finding.kind).toBe('waiting')
  expect(asked).toBeLessThan(2200)
})

test('whatever comes, in whatever pieces, is looked at without a failure', () => {
  const recorded = [...adapters.keys()].flatMap((id) =>
    vectorsOf(id).flatMap((vector) => wireBytes(vector) ?? []),
  )
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    fc
      .tuple(fc.nat(), fc.nat({ max: 80 }), fc.nat(), fc.nat({ max: 255 }))
      .map(([pick, length, at, value]) => {
        const bytes = Buffer.from(recorded[pick % recorded.length]!.subarray(0, length + 1))
        bytes[at % bytes.length] = value
        return bytes
      }),
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
      const stream = detection.stream(RECEIVED_MS)
      for (const bytes of pieces) if (stream.finding.kind === 'waiting') stream.push(bytes)
      expect(stream.explain().length).toBeGreaterThan(0)
      for (const bytes of pieces) detection.datagram(bytes, RECEIVED_MS).explain()
    }),
    { numRuns: 3000 },
  )
})
