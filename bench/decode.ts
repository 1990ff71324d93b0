/** Decoding: recorded frames of each protocol into a column batch, on one thread. */
import { readFileSync } from 'node:fs'
import { type Adapter, DecodeError, type KnownDevice, type Transport } from '../device-adapters/adapter.ts'
import { DeviceSession, decodeFrame } from '../device-adapters/decoder.ts'
import { FrameReader } from '../device-adapters/frames.ts'
import type { DecodedLine, RecordedLine } from '../device-adapters/recorded-line.ts'
import { loadAdapters } from '../device-adapters/registry.ts'
import { httpFrame, mqttFrame } from '../device-adapters/requests.ts'
import { PositionBatch } from '../schemas/position-batch.ts'
import { projectRoot } from '../storage/project-root.ts'
import type { Bench } from './bench.ts'
import { figure, spread, times, unitsPerProcessorSecond } from './measure.ts'
import type { Question, Row } from './question.ts'

type Vector = RecordedLine & Omit<DecodedLine, 'error'>

/** Frames of one connection, or of one datagram, request or message. */
interface Exchange {
  readonly session: DeviceSession
  readonly frames: Buffer[]
}

/** Rows after which the batch starts anew, as it would be handed to a shard. */
const BATCH_ROWS = 4096

export const decode: Question = {
  name: 'decode',
  title: 'How fast are frames decoded?',
  method:
    "Every frame of the adapter's vectors (real messages of many devices, those that break the protocol left out) goes through " +
    '`decodeFrame` into a `PositionBatch`, attributes and digest included, over and over on one thread; seconds are those of processor time. The yardstick is ' +
    '`JSON.parse` of the same positions as the vectors write them.',
  measure: async (bench) => {
    const rows: Row[] = []
    for (const [id, adapter] of await loadAdapters()) rows.push(await measureAdapter(bench, id, adapter))
    return rows
  },
}

async function measureAdapter(bench: Bench, id: string, adapter: Adapter): Promise<Row> {
  bench.progress(`decode: ${id}`)
  const vectors = readVectors(id)
  const batch = new PositionBatch(BATCH_ROWS * 2)
  const exchanges = exchangesOf(adapter, vectors, batch)
  const frames = exchanges.reduce((sum, exchange) => sum + exchange.frames.length, 0)
  const pass = () => {
    let positions = 0
    for (const { session, frames } of exchanges) {
      for (const frame of frames) {
        positions += decodeFrame(adapter, frame, session, batch)
        if (batch.length >= BATCH_ROWS) batch.reset()
      }
    }
    return positions
  }
  batch.reset()
  const positions = pass()
  const framesPerSecond = unitsPerProcessorSecond(() => {
    pass()
    return frames
  })
  const texts = vectors.flatMap((vector) => vector.positions.map((position) => JSON.stringify(position)))
  const parsed = unitsPerProcessorSecond(() => {
    for (const text of texts) JSON.parse(text)
    return texts.length
  })
  const positionsPerSecond = (framesPerSecond.mean * positions) / frames
  return {
    name: id,
    cells: {
      frames: String(frames),
      'frames/s': spread(framesPerSecond),
      'slowest sample': figure(framesPerSecond.min),
      'positions/s': figure(positionsPerSecond),
      'of JSON.parse': times(positionsPerSecond / parsed.mean),
    },
    meaning: `${frames} recorded frames with ${positions} positions, of which one thread decodes ${figure(positionsPerSecond)} a second.`,
  }
}

function readVectors(id: string): Vector[] {
  const file = new URL(`device-adapters/protocols/${id}.vectors.jsonl`, projectRoot)
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Vector)
}

/** The frames that decode, each with the session that the frames before it have left. */
function exchangesOf(adapter: Adapter, vectors: readonly Vector[], batch: PositionBatch): Exchange[] {
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
