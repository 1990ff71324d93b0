/**
 * Holds every adapter to its vectors and to the rules of adapter.ts: frames survive any split of the stream, and
 * damaged frames only ever raise DecodeError. A new adapter is covered by its file in protocols/ alone.
 */
import { existsSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { COMMANDS, type CommandType } from '../schemas/command.ts'
import { PositionBatch } from '../schemas/position-batch.ts'
import { type Adapter, type CommandEncoder, DecodeError, type Transport } from './adapter.ts'
import { DeviceSession, decodeFrame, toBuffer } from './decoder.ts'
import { FrameReader } from './frames.ts'
import {
  type DecodedLine,
  type RecordedLine,
  type RecordedPosition,
  RecordedStream,
} from './recorded-line.ts'
import { loadAdapters } from './registry.ts'
import { httpFrame, mqttFrame } from './requests.ts'

type Vector = RecordedLine & Omit<DecodedLine, 'error'> & { readonly flags?: readonly string[] }

/** A command and its bytes, `protocols/NAME.commands.jsonl`: what the device is set up as, its dialect, and the transport where it is not TCP. */
interface CommandVector {
  readonly type: CommandType
  readonly deviceId: string
  readonly attributes: Readonly<Record<string, unknown>>
  readonly setup?: Readonly<Record<string, unknown>>
  readonly dialect?: string
  readonly transport?: Transport
  readonly kind: 'text' | 'binary'
  /** Text, or hex. */
  readonly expected: string
}

/** Share of the attributes of an adapter's vectors that must have the key and the value of the vectors. */
const ATTRIBUTES_MIN = 0.98

/** Expected values of an adapter that a vendor's document contradicts, `protocols/NAME.exceptions.json`: `stream/seq` to why. */
function exceptionsOf(id: string): ReadonlyMap<string, string> {
  const file = new URL(`./protocols/${id}.exceptions.json`, import.meta.url)
  if (!existsSync(file)) return new Map()
  return new Map(Object.entries(JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>))
}

/** Cuts that no adapter could see: the bytes before are a whole frame of the protocol too. */
const UNSEEN_CUTS: Readonly<Record<string, (bytes: Buffer, cut: number) => boolean>> = {
  // The first 32 bytes of its frames of 45 are a frame of 32, see h02.ts; its test holds what such a cut may cost.
  h02: (bytes, cut) => bytes.length === 45 && bytes[0] === 0x24 && cut === 32,
}

const linesOf = <Line>(url: URL): Line[] =>
  readFileSync(url, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)

for (const [id, adapter] of await loadAdapters()) {
  describe(id, () => {
    const file = new URL(`./protocols/${id}.vectors.jsonl`, import.meta.url)
    test('has vectors', () => expect(existsSync(file)).toBe(true))
    const vectors = linesOf<Vector>(file)
    const decoded = decodeAll(adapter, vectors)
    const name = (vector: Vector) => `${vector.stream}/${vector.seq}`
    const exceptions = exceptionsOf(id)

    test.each(vectors.map((vector, i) => [name(vector), vector, decoded[i]!] as const))(
      'decodes %s',
      (key, vector, line) => {
        if (exceptions.has(key)) return
        const clockDependent = vector.flags?.includes('clockDependent') ?? false
        const found = line.positions.map((position, p) => {
          // Some recorded values leave out an accuracy that the message has.
          const { accuracy, ...rest } = core(position, clockDependent)
          return vector.positions[p]?.accuracy === undefined ? rest : { ...rest, accuracy }
        })
        expect(found).toEqual(vector.positions.map((position) => core(position, clockDependent)))
        if (vector.flags?.includes('repliesClockDependent')) {
          expect(line.replies.map((reply) => reply.length)).toEqual(
            vector.replies.map((reply) => reply.length),
          )
        } else expect(line.replies).toEqual(vector.replies)
      },
    )

    test('reads the attributes of its vectors', () => {
      let expected = 0
      const missed: string[] = []
      vectors.forEach((vector, i) => {
        if (exceptions.has(name(vector))) return
        vector.positions.forEach((position, p) => {
          const found = decoded[i]!.positions[p]
          for (const [key, value] of Object.entries(position.attributes)) {
            expected++
            if (!same(found?.attributes[key], value)) {
              missed.push(
                `${name(vector)} ${key}: ${JSON.stringify(value)}, got ${JSON.stringify(found?.attributes[key])}`,
              )
            }
          }
        })
      })
      const share = expected === 0 ? 1 : 1 - missed.length / expected
      expect(share, missed.join('\n')).toBeGreaterThanOrEqual(ATTRIBUTES_MIN)
    })

    const commands = new URL(`./protocols/${id}.commands.jsonl`, import.meta.url)
    test.each(
      (existsSync(commands) ? linesOf<CommandVector>(commands) : []).map(
        (line) => [line.type, line] as const,
      ),
    )('encodes %s', (type, line) => {
      const { devicePassword, ...given } = line.attributes
      const options = { ...line.setup, ...(devicePassword !== undefined && { devicePassword }) }
      const model = typeof line.setup?.modelOverride === 'string' ? line.setup.modelOverride : ''
      const session = new DeviceSession(adapter, line.transport ?? 'tcp', () => ({ model, options }))
      session.identify(line.deviceId)
      session.dialect = line.dialect ?? ''
      session.receivedMs = Date.UTC(2026, 10, 21, 1, 2, 3)
      const encode = adapter.commands?.[type] as CommandEncoder<CommandType, unknown> | undefined
      expect(encode).toBeDefined()
      const reply = encode!(COMMANDS[type].parse(given) as never, session)
      expect(toBuffer(reply).toString(line.kind === 'text' ? 'latin1' : 'hex')).toBe(line.expected)
    })

    const streams = vectors
      .filter((vector) => vector.transport === 'tcp')
      .map((vector) => Buffer.from(vector.bytes!, 'hex'))

    test('finds the same frames wherever the stream is cut', () => {
      for (const bytes of streams) {
        const whole = framesOf(adapter, [bytes])
        for (let cut = 1; cut < bytes.length; cut += bytes.length > 2000 ? 97 : 1) {
          if (UNSEEN_CUTS[id]?.(bytes, cut)) continue
          expect(framesOf(adapter, [bytes.subarray(0, cut), bytes.subarray(cut)])).toEqual(whole)
        }
      }
    })

    test('survives every one-byte damage and truncation', () => {
      const batch = new PositionBatch(4096)
      for (const vector of vectors) {
        const transport = vector.transport === 'frame' ? 'tcp' : vector.transport
        for (const frame of framesOfVector(adapter, vector)) {
          const step = frame.length > 2000 ? 61 : 1
          for (let at = 0; at < frame.length; at += step) {
            const damaged = Buffer.from(frame)
            damaged[at]! ^= 0xff
            tryDecode(adapter, damaged, batch, transport)
            tryDecode(adapter, frame.subarray(0, at), batch, transport)
          }
        }
      }
    })

    test('survives random bytes', () => {
      const batch = new PositionBatch(4096)
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
          tryDecode(adapter, Buffer.from(bytes), batch)
          if (adapter.frame !== undefined) tryFrames(adapter, Buffer.from(bytes))
        }),
        { numRuns: 2000 },
      )
    })
  })
}

describe('framing', async () => {
  const adapters = await loadAdapters()
  type Framing = { protocol: string; stream: string; seq: number; input: string; output: string | null }
  const lines = linesOf<Framing>(new URL('./framing.vectors.jsonl', import.meta.url))
  // Those of protocols that are not there yet wait for their adapter.
  const known = lines.filter(({ protocol }) => adapters.has(protocol))
  test.each(known.map((line) => [`${line.protocol} ${line.stream} ${line.seq}`, line] as const))(
    'finds the first frame of %s',
    (_, line) => {
      const reader = new FrameReader(adapters.get(line.protocol)!, 'tcp')
      reader.push(Buffer.from(line.input, 'hex'))
      expect(reader.next()?.toString('hex') ?? null).toBe(line.output)
    },
  )
})

function decodeAll(adapter: Adapter, vectors: readonly Vector[]): DecodedLine[] {
  const streams = new Map<number | string, RecordedStream>()
  return vectors.map((vector) => {
    let stream = streams.get(vector.stream)
    if (stream === undefined) {
      stream = new RecordedStream(adapter)
      streams.set(vector.stream, stream)
    }
    return stream.decode(vector, Date.UTC(2026, 10, 21))
  })
}

/** Everything but the attributes, with numbers cut to what 1e-6 can tell. */
function core(position: RecordedPosition, clockDependent: boolean): Record<string, unknown> {
  const { attributes, deviceTime, fixTime, network, ...rest } = position
  return {
    ...(network === undefined ? {} : { network: sorted(network) }),
    ...Object.fromEntries(
      Object.entries(rest).map(([key, value]) => [
        key,
        typeof value === 'number' ? Number(value.toFixed(6)) : value,
      ]),
    ),
    ...(clockDependent ? {} : { deviceTime, fixTime }),
  }
}

/** A network with its towers and access points in one order: the recorded values hold them as sets. */
function sorted(network: unknown): object {
  return Object.fromEntries(
    Object.entries(network as object).map(([key, value]) => [
      key,
      Array.isArray(value)
        ? value.toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)))
        : value,
    ]),
  )
}

function same(found: unknown, expected: unknown): boolean {
  if (typeof found === 'number' && typeof expected === 'number') {
    return Math.abs(found - expected) <= 1e-6 * Math.max(1, Math.abs(expected))
  }
  return JSON.stringify(found) === JSON.stringify(expected)
}

function framesOf(adapter: Adapter, chunks: readonly Buffer[]): string[] {
  const reader = new FrameReader(adapter, 'tcp')
  const frames: string[] = []
  for (const chunk of chunks) {
    reader.push(chunk)
    for (let frame = reader.next(); frame !== undefined; frame = reader.next())
      frames.push(frame.toString('hex'))
  }
  return frames
}

function framesOfVector(adapter: Adapter, vector: Vector): Buffer[] {
  const { http, mqtt } = vector
  if (mqtt !== undefined) return [mqttFrame({ topic: mqtt.topic, payload: Buffer.from(mqtt.payload) })]
  if (http !== undefined) {
    const contentType = http.headers?.['Content-Type'] ?? ''
    const idempotencyKey = http.headers?.['Idempotency-Key'] ?? ''
    const body = Buffer.from(http.body ?? '')
    return [httpFrame({ method: http.method, target: http.uri, contentType, idempotencyKey, body })]
  }
  if (vector.transport === 'tcp') {
    return framesOf(adapter, [Buffer.from(vector.bytes!, 'hex')]).map((hex) => Buffer.from(hex, 'hex'))
  }
  return vector.frame === undefined ? [] : [Buffer.from(vector.frame, 'hex')]
}

function tryDecode(
  adapter: Adapter,
  frame: Buffer,
  batch: PositionBatch,
  transport: Transport = 'tcp',
): void {
  batch.reset()
  const session = new DeviceSession(adapter, transport, () => ({ model: '', options: {} }))
  try {
    decodeFrame(adapter, frame, session, batch)
    adapter.ack?.(frame, session)
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
  }
}

function tryFrames(adapter: Adapter, bytes: Buffer): void {
  const reader = new FrameReader(adapter, 'tcp')
  reader.push(bytes)
  try {
    while (reader.next() !== undefined);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
  }
}
