/** Recorded frames of an adapter's vectors that decode, each with the session that the frames before it have left. */
import { readFileSync } from 'node:fs'
import { type Adapter, DecodeError, type KnownDevice, type Transport } from '../device-adapters/adapter.ts'
import { DeviceSession, decodeFrame } from '../device-adapters/decoder.ts'
import { FrameReader } from '../device-adapters/frames.ts'
import type { DecodedLine, RecordedLine } from '../device-adapters/recorded-line.ts'
import { httpFrame, mqttFrame } from '../device-adapters/requests.ts'
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
    const device = knownDevice(setups.get(vector.stream), vector.setup)
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
    for (const frame of framesOf(vector, reader)) {
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

function knownDevice(before: KnownDevice | undefined, setup: Vector['setup']): KnownDevice {
  const options = { ...before?.options, ...setup }
  const model = options.modelOverride
  return { model: typeof model === 'string' ? model : '', options }
}

function framesOf({ http, mqtt, frame, bytes, udpBytes }: Vector, reader: FrameReader): Buffer[] {
  if (http !== undefined) {
    const contentType = http.headers?.['Content-Type'] ?? ''
    return [
      httpFrame({ method: http.method, target: http.uri, contentType, body: Buffer.from(http.body ?? '') }),
    ]
  }
  if (mqtt !== undefined) return [mqttFrame({ topic: mqtt.topic, payload: Buffer.from(mqtt.payload) })]
  if (frame !== undefined) return [Buffer.from(frame, 'hex')]
  reader.push(Buffer.from(bytes ?? udpBytes ?? '', 'hex'))
  const frames: Buffer[] = []
  try {
    for (let next = reader.next(); next !== undefined; next = reader.next()) frames.push(next)
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
    reader.take()
  }
  return frames
}
