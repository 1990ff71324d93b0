/** The recorded messages of every protocol, and what the tests do with them: read, decode, cut into frames. */
import { existsSync, readFileSync } from 'node:fs'
import type { PositionBatch } from '../schemas/position-batch.ts'
import { type Adapter, DecodeError, type Transport } from './adapter.ts'
import { DeviceSession, decodeFrame } from './decoder.ts'
import { FrameReader } from './frames.ts'
import {
  type DecodedLine,
  deviceOf,
  type RecordedLine,
  RecordedStream,
  wholeFramesOf,
} from './recorded-line.ts'

/** A recorded message and what it decodes to. */
export type Vector = RecordedLine & Omit<DecodedLine, 'error'> & { readonly flags?: readonly string[] }

/** Time of receipt where a vector gives none. */
export const RECEIVED_MS = Date.UTC(2026, 10, 21)

/** Lines of a file of JSON; none where there is no file. */
export function linesOf<Line>(url: URL): Line[] {
  if (!existsSync(url)) return []
  return readFileSync(url, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)
}

/** Recorded messages of an adapter, in the order of the file. */
export function vectorsOf(id: string): Vector[] {
  return linesOf<Vector>(new URL(`./protocols/${id}.vectors.jsonl`, import.meta.url))
}

export function nameOf({ stream, seq }: Vector): string {
  return `${stream}/${seq}`
}

/** What the messages decode to, each stream with the state of its connection. */
export function decodeAll(adapter: Adapter, vectors: readonly Vector[]): DecodedLine[] {
  const streams = new Map<number | string, RecordedStream>()
  return vectors.map((vector) => {
    let stream = streams.get(vector.stream)
    if (stream === undefined) {
      stream = new RecordedStream(adapter)
      streams.set(vector.stream, stream)
    }
    return stream.decode(vector, RECEIVED_MS)
  })
}

/** Bytes of a message as they are on the wire; undefined for requests, messages and frames without their framing. */
export function wireBytes({ transport, bytes, udpBytes }: Vector): Buffer | undefined {
  const hex = transport === 'udp' ? (udpBytes ?? bytes) : transport === 'tcp' ? bytes : undefined
  return hex === undefined ? undefined : Buffer.from(hex, 'hex')
}

/** Frames of a stream that comes in these pieces, as hex; the last is the error that ends them, if one does. */
export function framesOf(adapter: Adapter, pieces: readonly Buffer[]): string[] {
  const reader = new FrameReader(adapter, 'tcp')
  const frames: string[] = []
  try {
    for (const piece of pieces) {
      reader.push(piece)
      for (let frame = reader.next(); frame !== undefined; frame = reader.next())
        frames.push(frame.toString('hex'))
    }
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
    frames.push(error.code)
  }
  return frames
}

/** Frames of one message, up to where it cannot be read on. */
export function framesOfVector(adapter: Adapter, vector: Vector): Buffer[] {
  return wholeFramesOf(vector, new FrameReader(adapter, transportOf(vector)))
}

export function transportOf({ transport }: Vector): Transport {
  return transport === 'frame' ? 'tcp' : transport
}

/** A session of a device that is registered, whatever its name. */
export function sessionOf(adapter: Adapter, vector: Vector): DeviceSession {
  const session = new DeviceSession(adapter, transportOf(vector), () => deviceOf(vector.setup ?? {}))
  session.receivedMs = RECEIVED_MS
  return session
}

/** Decodes a frame and asks for its reply; whether it decoded. Throws what no adapter may throw. */
export function tryDecode(
  adapter: Adapter,
  frame: Buffer,
  session: DeviceSession,
  batch: PositionBatch,
): boolean {
  try {
    decodeFrame(adapter, frame, session, batch)
    adapter.ack?.(frame, session)
    return true
  } catch (error) {
    if (error instanceof DecodeError) return false
    throw error
  }
}
