/** Trackers and a subscriber of the stream in one process: both ends of the way of a position, on one clock. */
import { WebSocket } from 'ws'
import { type ClientMessage, type ServerMessage, STREAM_PROTOCOLS } from '../schemas/stream.ts'
import { TeltonikaDevices } from './teltonika-devices.ts'
import { TeltonikaTrack } from './teltonika-packets.ts'

export interface LatencyOptions {
  readonly port: number
  readonly streamUrl: string
  readonly token: string
  readonly devices: number
  /** Positions a second, all devices together. */
  readonly ratePerSecond: number
  readonly seconds: number
}

export interface LatencyResult {
  readonly acknowledged: number
  /** Of each position that arrived, ms. */
  readonly replyToArrivalMs: number[]
  readonly sendToArrivalMs: number[]
  /** Of each position, ms. */
  readonly sendToReplyMs: number[]
}

/** How long the last positions may take to arrive, ms. */
const LAST_ARRIVALS_MS = 2000

const options = JSON.parse(process.argv[2]!) as LatencyOptions
process.once('disconnect', () => process.exit(1))

const { devices, ratePerSecond } = options
const total = ratePerSecond * options.seconds
// The time of the fix is the number of the position: all devices together count up by a millisecond.
const startMs = Date.now() - total
const sentMs = new Float64Array(total)
const repliedMs = new Float64Array(total)
const arrivedMs = new Float64Array(total)
/** Numbers of the positions of a device that are not acknowledged yet. */
const inFlight: number[][] = Array.from({ length: devices }, () => [])
let acknowledged = 0
let arrived = 0
let allAcknowledged: () => void
const acknowledgedAll = new Promise<void>((resolve) => {
  allAcknowledged = resolve
})

const fleet = await TeltonikaDevices.connect(options.port, devices, (device) => {
  repliedMs[inFlight[device]!.shift()!] = performance.now()
  if (++acknowledged === total) allAcknowledged()
})

const subscriber = new WebSocket(options.streamUrl, STREAM_PROTOCOLS.json, {
  headers: { Authorization: `Bearer ${options.token}` },
  perMessageDeflate: false,
})
const subscribed = new Promise<void>((resolve) => {
  subscriber.on('message', (bytes: Buffer) => {
    const nowMs = performance.now()
    const message = JSON.parse(bytes.toString()) as ServerMessage
    if (message.type === 'live') resolve()
    else if (message.type === 'positions') {
      for (const { fixTime } of message.rows) {
        arrivedMs[Date.parse(fixTime) - startMs] = nowMs
        arrived++
      }
    } else throw new Error(`the stream said ${bytes}`)
  })
})
subscriber.on('close', (code) => {
  throw new Error(`the stream closed the subscriber: ${code}`)
})
subscriber.on('open', () => {
  const message: ClientMessage = { type: 'subscribe', id: 1, scope: { all: true } }
  subscriber.send(JSON.stringify(message))
})
await subscribed

// Every packet has its number as its time, whichever device sends it.
const tracks = Array.from(
  { length: devices },
  (_, device) => new TeltonikaTrack(device, startMs + device, devices),
)
await new Promise<void>((resolve) => {
  const beginMs = performance.now()
  let sent = 0
  const send = () => {
    const due = Math.min(total, Math.floor(((performance.now() - beginMs) * ratePerSecond) / 1000))
    while (sent < due) {
      const device = sent % devices
      inFlight[device]!.push(sent)
      sentMs[sent] = performance.now()
      fleet.send(device, tracks[device]!.packet(1))
      sent++
    }
    if (sent === total) resolve()
    else setTimeout(send, 1)
  }
  send()
})
await acknowledgedAll
const lastMs = performance.now() + LAST_ARRIVALS_MS
while (arrived < total && performance.now() < lastMs) await new Promise((resolve) => setTimeout(resolve, 50))
subscriber.removeAllListeners('close')
subscriber.close()
fleet.close()

const seen = [...arrivedMs.keys()].filter((number) => arrivedMs[number] !== 0)
const result: LatencyResult = {
  acknowledged,
  replyToArrivalMs: seen.map((number) => arrivedMs[number]! - repliedMs[number]!),
  sendToArrivalMs: seen.map((number) => arrivedMs[number]! - sentMs[number]!),
  sendToReplyMs: [...repliedMs].map((atMs, number) => atMs - sentMs[number]!),
}
process.send!(result)
