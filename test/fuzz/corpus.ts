/**
 * Sound messages to be damaged: the recorded ones of an adapter's vectors and those that simulated devices send, on
 * every transport on which the adapter listens.
 */
import { readFileSync } from 'node:fs'
import type { Adapter, KnownDevice, Transport } from '../../device-adapters/adapter.ts'
import type { RecordedLine } from '../../device-adapters/recorded-line.ts'
import type { Encoder, Report } from '../../simulate/encoders/encoder.ts'
import { ENCODERS } from '../../simulate/encoders/index.ts'
import { projectRoot } from '../../storage/project-root.ts'

/** One message. */
export interface Message {
  /** What a stream or datagram carries; body of a request; payload of an MQTT message. */
  readonly bytes: Buffer
  /** Of a request. */
  readonly method: string
  /** Of a request. */
  readonly target: string
  /** Of a request. */
  readonly contentType: string
  /** Of a request. */
  readonly idempotencyKey: string
  /** Of an MQTT message. */
  readonly topic: string
}

/** Messages of one device in their order. */
export interface Recording {
  readonly transport: Transport
  readonly uniqueId: string
  readonly device: KnownDevice
  readonly messages: readonly Message[]
}

const NOTHING: Message = {
  bytes: Buffer.alloc(0),
  method: '',
  target: '',
  contentType: '',
  idempotencyKey: '',
  topic: '',
}
const ENCODED_REPORTS = 24

/** @throws Error if the adapter has no vectors. */
export function recordingsOf(adapter: Adapter): Recording[] {
  const recordings = [...recordedOf(adapter), ...encodedOf(adapter)]
  const others = recordings.flatMap((recording) => onOtherTransports(adapter, recording))
  const all = [...recordings, ...others].filter(({ messages }) => messages.length > 0)
  if (all.length === 0) throw new Error(`${adapter.id} has no recorded messages`)
  return all
}

function recordedOf(adapter: Adapter): Recording[] {
  const file = new URL(`device-adapters/protocols/${adapter.id}.vectors.jsonl`, projectRoot)
  const recordings = new Map<string, Recording & { messages: Message[] }>()
  const setups = new Map<string, Record<string, unknown>>()
  for (const line of readFileSync(file, 'utf8').split('\n').filter(Boolean)) {
    const recorded = JSON.parse(line) as RecordedLine
    const stream = String(recorded.stream)
    const setup = { ...setups.get(stream), ...recorded.setup }
    setups.set(stream, setup)
    const transport = recorded.transport === 'frame' ? 'tcp' : recorded.transport
    // A device that is registered otherwise is another one here.
    const key = JSON.stringify([stream, transport, setup])
    let recording = recordings.get(key)
    if (recording === undefined) {
      const model = typeof setup.modelOverride === 'string' ? setup.modelOverride : ''
      const uniqueId = recorded.deviceIds?.[0] ?? '123456789012345'
      recording = { transport, uniqueId, device: { model, options: setup }, messages: [] }
      recordings.set(key, recording)
    }
    recording.messages.push(messageOf(recorded))
  }
  return [...recordings.values()]
}

function messageOf({ http, mqtt, bytes, udpBytes, frame, transport }: RecordedLine): Message {
  if (http !== undefined) {
    const { method, uri: target, headers = {}, body = '' } = http
    const header = (wanted: string) =>
      Object.entries(headers).find(([name]) => name.toLowerCase() === wanted)?.[1] ?? ''
    const contentType = header('content-type')
    const idempotencyKey = header('idempotency-key')
    return { ...NOTHING, method, target, contentType, idempotencyKey, bytes: Buffer.from(body) }
  }
  if (mqtt !== undefined) return { ...NOTHING, topic: mqtt.topic, bytes: Buffer.from(mqtt.payload) }
  const hex = frame ?? (transport === 'udp' ? (udpBytes ?? bytes) : bytes)
  return { ...NOTHING, bytes: Buffer.from(hex ?? '', 'hex') }
}

function encodedOf(adapter: Adapter): Recording[] {
  const encoders: Readonly<Record<string, Encoder>> = ENCODERS
  const encoder = encoders[adapter.id]
  if (encoder === undefined) return []
  const uniqueId = encoder.namedByImei ? '350000000022285' : '9000002228'
  const reports = Array.from({ length: ENCODED_REPORTS }, (_, i) => reportOf(i + 1))
  const device = { model: '', options: {} }
  return [{ transport: encoder.transport, uniqueId, device, messages: encode(encoder, uniqueId, reports) }]
}

function encode(encoder: Encoder, uniqueId: string, reports: readonly Report[]): Message[] {
  switch (encoder.transport) {
    case 'http':
      return reports.map((report) => ({
        ...NOTHING,
        method: 'GET',
        target: encoder.target(uniqueId, report),
      }))
    case 'mqtt':
      return reports.map((report) => ({
        ...NOTHING,
        topic: encoder.topic(uniqueId),
        bytes: Buffer.from(encoder.payload(report)),
      }))
    default: {
      const head = [encoder.login?.(uniqueId), encoder.heartbeat?.()].filter((frame) => frame !== undefined)
      const frames: Buffer[] = []
      for (
        let at = 0, many = 1;
        at < reports.length;
        at += many, many = Math.min(many + 1, encoder.reportsMax)
      )
        frames.push(...encoder.frames(uniqueId, reports.slice(at, at + many)))
      return [...head, ...frames].map((bytes) => ({ ...NOTHING, bytes }))
    }
  }
}

function reportOf(serial: number): Report {
  return {
    serial,
    fixTimeMs: Date.UTC(2026, 10, 21, 9, 0, serial),
    latitudeDeg: serial % 2 === 0 ? 30.2672123 : -33.8688,
    longitudeDeg: serial % 3 === 0 ? -97.7430608 : 151.2093,
    altitudeM: serial % 4 === 0 ? undefined : 149,
    speedKmh: serial,
    courseDeg: serial * 14.3,
    satellites: 11,
    ignition: serial % 5 !== 0,
    odometerM: 1_234_567 + serial,
    powerV: 27.6,
    batteryV: 4.1,
    signalBars: 4,
  }
}

/** The same messages where the adapter listens too: datagrams of what was recorded on TCP, bodies as MQTT payloads. */
function onOtherTransports(adapter: Adapter, recording: Recording): Recording[] {
  const { transport, messages } = recording
  if (transport === 'tcp' && adapter.listen.udp !== undefined) return [{ ...recording, transport: 'udp' }]
  const filter = adapter.listen.mqtt?.[0]
  if (transport === 'http' && filter !== undefined) {
    const topic = filter.replaceAll('+', 'name')
    return [{ ...recording, transport: 'mqtt', messages: messages.map((message) => ({ ...message, topic })) }]
  }
  return []
}
