/** Recorded frames of an adapter's vectors that decode, each with the session that the frames before it have left. */
import { readFileSync } from 'node:fs'
import { type Adapter, DecodeError, type KnownDevice, type Transport } from '../device-adapters/adapter.ts'
import { DeviceSession, decodeFrame } from '../device-adapters/decoder.ts'
import { FrameReader } from '../device-adapters/frames.ts'
import {
  type DecodedLine,
  deviceOf,
  type RecordedLine,
  wholeFramesOf,
} from '../device-adapters/recorded-line.ts'
import { PositionBatch } from '../schemas/position-batch.ts'
import { projectRoot } from '../storage/project-root.ts'

export type Vector = RecordedLine & Omit<DecodedLine, 'error'>

/** Rows of one frame at first. */
const ROWS = 64

/** Frames of one connection, or of one datagram, request or message. */
export interface Exchange {
  readonly session: DeviceSession
  readonly frames: Buffer[]
}

export function readVectors(id: string): Vector[] {
  const file = new URL(`device-adapters/protocols/${id}.vectors.jsonl`, projectRoot)
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Vector)
}

/** The frames that decode, each with the session that the frames before it have left. */
export function exchangesOf(adapter: Adapter, vectors: readonly Vector[]): Exchange[] {
  const batch = new PositionBatch(ROWS)
  const exchanges: Exchange[] = []
  const streams = new Map<number | string, { exchange: Exchange; reader: FrameReader }>()
  const setups = new Map<number | string, KnownDevice>()
  for (const vector of vectors) {
    const device = deviceOf({ ...setups.get(vector.stream)?.options, ...vector.setup })
    setups.set(vector.stream, device)
    const transport: Transport = vector.transport === 'frame' ? 'tcp' : vector.transport
    let stream = streams.get(vector.stream)
    // A datagram, a request and a message each stand alone; a changed device is another session here.
    if (stream === undefined || transport !== 'tcp' || vector.setup !== undefined) {
      const session = new DeviceSession(adapter, transport, () => device)
      session.receivedMs = Date.UTC(2026, 10, 21)
      stream = { exchange: { session, frames: [] }, reader: new FrameReader(adapter, transport) }
      if (transport === 'tcp') streams.set(vector.stream, stream)
      exchanges.push(stream.exchange)
    }
    const { exchange, reader } = stream
    exchange.session.device = device
    for (const frame of wholeFramesOf(vector, reader)) {
      try {
        batch.reset()
        decodeFrame(adapter, frame, exchange.session, batch)
        exchange.frames.push(frame)
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error
      }
    }
  }
  return exchanges
}
