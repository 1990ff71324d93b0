/**
 * Holds every adapter to what it must stand: a stream cut anywhere or read in one piece gives the same frames; damaged
 * frames only ever raise DecodeError, give no position to another device, and cost no more than their bytes.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PositionBatch } from '../schemas/position-batch.ts'
import { QUALITY } from '../schemas/quality.ts'
import { type Adapter, DecodeError, type Transport } from './adapter.ts'
import { DeviceSession, decodeFrame } from './decoder.ts'
import { FrameReader, unescaped } from './frames.ts'
import { deviceOf } from './recorded-line.ts'
import { loadAdapters } from './registry.ts'
import {
  framesOf,
  framesOfVector,
  nameOf,
  sessionOf,
  transportOf,
  tryDecode,
  type Vector,
  vectorsOf,
  wireBytes,
} from './vectors-fixture.ts'

/** Frames that are longer are not damaged at each byte. */
const LONG_BYTES = 2000
const LONG_STEP = 61
/** Damages of a byte: to one that no text has, and to another digit. */
const DAMAGES = [0xff, 0x01]
/** Bound of a test that looks at each byte of all messages, on a machine that does much else, ms. */
const TIMEOUT_MS = 120_000
/** Attributes that a frame may have beside one for each of its bytes. */
const ATTRIBUTES_EXTRA = 64
/** Longest key before a name, and longest rest of its field. */
const KEY_BYTES_MAX = 16

/** How a name is written as a number. */
const NUMBERS = [
  [8, 'writeBigUInt64BE'],
  [8, 'writeBigUInt64LE'],
  [4, 'writeBigUInt64LE'],
] as const

/** Damages that no checksum of the protocol shows. */
const UNSEEN_DAMAGES: Readonly<Record<string, (damaged: number) => boolean>> = {
  // An escape takes the place of the byte and the next: the exclusive or of both can be the same.
  jt808: (damaged) => damaged === 0x7d || damaged === 0x3e,
}

/** Messages with frames that a checksum guards, and one that names the device and has none. */
const UNGUARDED: Readonly<Record<string, RegExp>> = {
  // A login without a version, and the name before a datagram's packet.
  wialon: /^(#L#[^.;]*;|[\d.]+;\w+#)/,
}

/** Cuts that no adapter could see: the bytes before are a whole frame of the protocol too. */
const UNSEEN_CUTS: Readonly<Record<string, (bytes: Buffer, cut: number) => boolean>> = {
  // The first 32 bytes of its frames of 45 are a frame of 32, see h02.ts; its test holds what such a cut may cost.
  h02: (bytes, cut) => bytes.length === 45 && bytes[0] === 0x24 && cut === 32,
}

for (const [id, adapter] of await loadAdapters()) {
  describe(id, () => {
    const vectors = vectorsOf(id)
    const batch = new PositionBatch(4096)
    const frames = vectors.flatMap((vector) =>
      framesOfVector(adapter, vector).map((frame) => ({ vector, frame })),
    )

    test('finds the same frames wherever the stream is cut', () => {
      for (const vector of vectors) {
        const bytes = wireBytes(vector)
        if (bytes === undefined || vector.transport !== 'tcp') continue
        const whole = framesOf(adapter, [bytes])
        for (let cut = 1; cut < bytes.length; cut += bytes.length > LONG_BYTES ? LONG_STEP : 1) {
          if (UNSEEN_CUTS[id]?.(bytes, cut)) continue
          const pieces = [bytes.subarray(0, cut), bytes.subarray(cut)]
          expect(framesOf(adapter, pieces), nameOf(vector)).toEqual(whole)
        }
      }
    })

    test('finds the same frames when a stream comes in one piece', () => {
      const streams = new Map<unknown, Buffer[]>()
      for (const vector of vectors) {
        if (vector.transport !== 'tcp') continue
        const bytes = wireBytes(vector)!
        streams.set(vector.stream, [...(streams.get(vector.stream) ?? []), bytes])
      }
      for (const lines of streams.values()) {
        expect(framesOf(adapter, [Buffer.concat(lines)])).toEqual(framesOf(adapter, lines))
      }
    })

    test(
      'takes a damaged or cut message for none of another device',
      () => {
        const wrong: string[] = []
        for (const vector of vectors) {
          const bytes = wireBytes(vector) ?? framesOfVector(adapter, vector)[0]!
          const whole = outcome(adapter, vector, bytes, batch)
          const own = new Set([...whole.names, ...(vector.deviceIds ?? [])])
          // Of a message that is refused nobody knows whose it is; a recorded checksum that is wrong guards nothing.
          if (whole.checksum || (own.size === 0 && whole.refused)) continue
          const step = bytes.length > LONG_BYTES ? LONG_STEP : 1
          const others: { at: number; names: readonly string[]; marked: boolean }[] = []
          const isBare = UNGUARDED[id]?.test(bytes.toString('latin1')) ?? false
          let isProtected = false
          for (let at = 0; at < bytes.length; at += step) {
            for (const damage of DAMAGES) {
              const damaged = Buffer.from(bytes)
              damaged[at]! ^= damage
              if (UNSEEN_DAMAGES[id]?.(damaged[at]!)) continue
              const { names, checksum, marked } = outcome(adapter, vector, damaged, batch)
              isProtected ||= checksum
              if (!names.every((name) => own.has(name))) others.push({ at, names, marked })
            }
            if (wireBytes(vector) === undefined) continue
            const { names, marked } = outcome(adapter, vector, bytes.subarray(0, at), batch)
            if (!names.every((name) => own.has(name))) others.push({ at: -at, names, marked })
          }
          // Where nothing guards the name it may be read wrong, but not because other bytes are.
          const places = [...own].flatMap((name) => placesOf(name, bytes))
          for (const { at, names, marked } of others) {
            const inName = places.some(([start, end]) => Math.abs(at) >= start && Math.abs(at) < end)
            if (isProtected && !isBare ? marked : inName) continue
            wrong.push(
              `${nameOf(vector)} ${isProtected ? 'guarded ' : ''}${at} of ${bytes.length}: ${[...own]} became ${names}`,
            )
          }
        }
        expect(wrong.slice(0, 8), `${wrong.length}`).toEqual([])
      },
      TIMEOUT_MS,
    )

    test(
      'survives frames that are spliced, repeated, cut and overwritten',
      () => {
        const change = fc.record({
          kind: fc.constantFrom('splice', 'repeat', 'delete', 'byte', 'length'),
          at: fc.nat(),
          size: fc.nat({ max: 64 }),
          value: fc.oneof(fc.constantFrom(0, 1, 0x7f, 0xff, 0xffff), fc.nat({ max: 0xffff })),
        })
        const changed = fc.tuple(fc.nat(), fc.array(change, { minLength: 1, maxLength: 4 }))
        fc.assert(
          fc.property(changed, ([pick, changes]) => {
            const { vector, frame } = frames[pick % frames.length]!
            let bytes = frame
            for (const { kind, at, size, value } of changes) {
              bytes = changedBy(
                bytes,
                kind,
                bytes.length === 0 ? 0 : at % bytes.length,
                size,
                value,
                frames[value % frames.length]!.frame,
              )
            }
            batch.reset()
            tryDecode(adapter, bytes, sessionOf(adapter, vector), batch)
            outcome(adapter, vector, bytes, batch)
            cutIntoFrames(adapter, bytes, transportOf(vector))
          }),
          { numRuns: 3000 },
        )
      },
      TIMEOUT_MS,
    )

    test('survives random bytes', () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 300 }), (array) => {
          const bytes = Buffer.from(array)
          batch.reset()
          tryDecode(adapter, bytes, new DeviceSession(adapter, 'tcp', () => deviceOf({})), batch)
          cutIntoFrames(adapter, bytes, 'tcp')
          cutIntoFrames(adapter, bytes, 'udp')
          expect(
            bytes.length < 64 || adapter.starts?.(bytes, 'tcp') !== undefined || adapter.starts === undefined,
          ).toBe(true)
        }),
        { numRuns: 2000 },
      )
    })
  })
}

interface Outcome {
  /** Devices that are named, or that rows are given to. */
  readonly names: readonly string[]
  /** A frame was refused. */
  readonly refused: boolean
  /** A checksum failed. */
  readonly checksum: boolean
  /** All that there is are rows that are marked as of a wrong checksum. */
  readonly marked: boolean
}

/** What comes of a message in a session of its own; it may cost no more than its bytes. */
function outcome(adapter: Adapter, vector: Vector, bytes: Buffer, batch: PositionBatch): Outcome {
  const session = sessionOf(adapter, vector)
  const names = new Set<string>()
  let refused = false
  let checksum = false
  let marked = true
  batch.reset()
  for (const frame of wireFrames(adapter, vector, bytes)) {
    const first = batch.length
    try {
      decodeFrame(adapter, frame, session, batch)
      adapter.ack?.(frame, session)
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      refused = true
      checksum ||= error.code === 'checksum'
      continue
    }
    if (session.uniqueId !== '') names.add(session.uniqueId)
    if (batch.length === first) marked = false
    for (let row = first; row < batch.length; row++) {
      const isMarked = (batch.quality[row]! & QUALITY.checksum) !== 0
      checksum ||= isMarked
      marked &&= isMarked
      const name = batch.uniqueIdOf(row)
      if (name !== undefined) names.add(name)
    }
  }
  expect(batch.length).toBeLessThanOrEqual(bytes.length)
  expect(batch.attributeCount).toBeLessThanOrEqual(bytes.length + ATTRIBUTES_EXTRA)
  return { names: [...names], refused, checksum, marked }
}

/** Frames of the bytes as its listener would find them. */
function wireFrames(adapter: Adapter, vector: Vector, bytes: Buffer): Buffer[] {
  if (wireBytes(vector) === undefined) return [bytes]
  const reader = new FrameReader(adapter, transportOf(vector))
  reader.push(bytes)
  const frames: Buffer[] = []
  try {
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) frames.push(frame)
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
  }
  return frames
}

/** Where a name stands in a message, in text, in BCD or as a number, with the key and the delimiters of its field. */
function placesOf(name: string, bytes: Buffer): (readonly [number, number])[] {
  const places: (readonly [number, number])[] = []
  const text = bytes.toString('latin1')
  for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1)) {
    let start = at - 1
    while (start > at - KEY_BYTES_MAX && !/[\s,;&?{(#*]/.test(text[start] ?? ' ')) start--
    let end = at + name.length
    while (end < at + name.length + KEY_BYTES_MAX && !/[\s,;&})#*]/.test(text[end] ?? ' ')) end++
    places.push([start, end + 1])
  }
  const hex = bytes.toString('hex')
  for (let at = hex.indexOf(name); at >= 0; at = hex.indexOf(name, at + 1)) {
    places.push([(at >> 1) - 1, ((at + name.length + 1) >> 1) + 1])
  }
  if (/^\d{1,19}$/.test(name)) {
    for (const [size, write] of NUMBERS) {
      const number = Buffer.alloc(8)
      number[write](BigInt(name))
      const at = size === 8 ? bytes.indexOf(number) : bytes.indexOf(number.subarray(0, size))
      if (at >= 0) places.push([at, at + size])
    }
  }
  return places
}

function changedBy(
  bytes: Buffer,
  kind: string,
  at: number,
  size: number,
  value: number,
  other: Buffer,
): Buffer {
  const before = bytes.subarray(0, at)
  const behind = bytes.subarray(at + size)
  switch (kind) {
    case 'splice':
      return Buffer.concat([before, other.subarray(value % (other.length + 1)), behind])
    case 'repeat':
      return Buffer.concat([before, bytes.subarray(at, at + size), bytes.subarray(at)])
    case 'delete':
      return Buffer.concat([before, behind])
    case 'byte':
      return Buffer.concat([before, Buffer.from([value & 0xff]), bytes.subarray(at + 1)])
    default:
      return Buffer.concat([before, Buffer.from([value >> 8, value & 0xff]), bytes.subarray(at + 2)])
  }
}

/** Cuts bytes into frames; each step has to get on, and none may reach beyond the bytes. */
function cutIntoFrames(adapter: Adapter, bytes: Buffer, transport: Transport): void {
  if (adapter.frame === undefined || transport === 'http' || transport === 'mqtt') return
  let rest = bytes
  try {
    while (rest.length > 0) {
      const length = adapter.frame(rest, transport)
      expect(Number.isInteger(length) && Math.abs(length) <= rest.length).toBe(true)
      if (length === 0) return
      if (length > 0) unescaped(adapter, rest.subarray(0, length))
      rest = rest.subarray(Math.abs(length))
    }
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
  }
}
