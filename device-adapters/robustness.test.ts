/**
 * Holds every adapter to what it must stand: a stream cut anywhere or read in one piece gives the same frames, damaged
 * frames only ever raise DecodeError, name no other device, and cost no more than their bytes.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PositionBatch } from '../schemas/position-batch.ts'
import { type Adapter, DecodeError } from './adapter.ts'
import { DeviceSession } from './decoder.ts'
import { FrameReader } from './frames.ts'
import { deviceOf } from './recorded-line.ts'
import { loadAdapters } from './registry.ts'
import {
  framesOf,
  framesOfVector,
  nameOf,
  sessionOf,
  tryDecode,
  vectorsOf,
  wireBytes,
} from './vectors-fixture.ts'

/** Cuts that no adapter could see: the bytes before are a whole frame of the protocol too. */
const UNSEEN_CUTS: Readonly<Record<string, (bytes: Buffer, cut: number) => boolean>> = {
  // The first 32 bytes of its frames of 45 are a frame of 32, see h02.ts; its test holds what such a cut may cost.
  h02: (bytes, cut) => bytes.length === 45 && bytes[0] === 0x24 && cut === 32,
}

for (const [id, adapter] of await loadAdapters()) {
  describe(id, () => {
    const vectors = vectorsOf(id)
    const batch = new PositionBatch(4096)

    test('finds the same frames wherever the stream is cut', () => {
      for (const vector of vectors) {
        const bytes = wireBytes(vector)
        if (bytes === undefined || vector.transport !== 'tcp') continue
        const whole = framesOf(adapter, [bytes])
        for (let cut = 1; cut < bytes.length; cut += bytes.length > 2000 ? 97 : 1) {
          if (UNSEEN_CUTS[id]?.(bytes, cut)) continue
          expect(framesOf(adapter, [bytes.subarray(0, cut), bytes.subarray(cut)]), nameOf(vector)).toEqual(
            whole,
          )
        }
      }
    })

    test('survives every one-byte damage and truncation', () => {
      for (const vector of vectors) {
        for (const frame of framesOfVector(adapter, vector)) {
          const step = frame.length > 2000 ? 61 : 1
          for (let at = 0; at < frame.length; at += step) {
            const damaged = Buffer.from(frame)
            damaged[at]! ^= 0xff
            for (const broken of [damaged, frame.subarray(0, at)]) {
              batch.reset()
              tryDecode(adapter, broken, sessionOf(adapter, vector), batch)
            }
          }
        }
      }
    })

    test('survives random bytes', () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 300 }), (array) => {
          const bytes = Buffer.from(array)
          batch.reset()
          tryDecode(adapter, bytes, new DeviceSession(adapter, 'tcp', () => deviceOf({})), batch)
          if (adapter.frame !== undefined) tryFrames(adapter, bytes)
        }),
        { numRuns: 2000 },
      )
    })
  })
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
