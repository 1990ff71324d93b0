/**
 * Load generator, a process of its own: trackers in a closed loop, each sends its next packet when the one before is
 * acknowledged; or paced, all together at a steady rate, whatever is acknowledged. All packets are made before the clock
 * starts, since a fleet does not share the server's processor.
 */
import { percentile } from './measure.ts'
import { TeltonikaDevices } from './teltonika-devices.ts'
import { type StraightWay, TeltonikaTrack } from './teltonika-packets.ts'

export interface GeneratorOptions {
  readonly port: number
  readonly devices: number
  readonly packetsPerDevice: number
  readonly recordsPerPacket: number
  /** Time of the first record of every device, ms UTC. */
  readonly startMs: number
  /** Between two records of a device, ms. */
  readonly stepMs: number
  /** Of all devices, each from its own start; undefined = they wander. */
  readonly way?: StraightWay
  /** Rate of all devices together, spread evenly over them; undefined = a closed loop. */
  readonly packetsPerSecond?: number
}

export interface GeneratorResult {
  /** Records acknowledged, which are all that were sent. */
  readonly records: number
  /** Packets acknowledged. */
  readonly replies: number
  /** Wall clock at the first packet, ms since 1970. */
  readonly startedMs: number
  /** From the first packet to the last reply. */
  readonly seconds: number
  /** From a packet to its reply; of a paced packet from when it was due, so that a generator that is late does not flatter the server. */
  readonly p50Ms: number
  readonly p99Ms: number
  /** Processor time of the generator in that time. */
  readonly cpuSeconds: number
}

const options = JSON.parse(process.argv[2]!) as GeneratorOptions
// The process that started this one is gone.
process.once('disconnect', () => process.exit(1))

const { devices, packetsPerDevice, recordsPerPacket, packetsPerSecond } = options
const packets = Array.from({ length: devices }, (_, device) => {
  const track = new TeltonikaTrack(device, options.startMs, options.stepMs, options.way)
  return Array.from({ length: packetsPerDevice }, () => track.packet(recordsPerPacket))
})
const total = devices * packetsPerDevice
/** By device: packets sent, packets acknowledged. */
const sent = new Uint32Array(devices)
const acknowledged = new Uint32Array(devices)
/** When the packets were sent, or due; packet n of a device is at n x devices + device. */
const sinceMs = new Float64Array(total)
const latencyMs = new Float64Array(total)
let replies = 0
let finish: () => void
const finished = new Promise<void>((resolve) => {
  finish = resolve
})

function sendNext(device: number, dueMs: number): void {
  const packet = sent[device]!++
  sinceMs[packet * devices + device] = dueMs
  fleet.send(device, packets[device]![packet]!)
}

/** Sends what is due, about every millisecond. */
function sendDue(next: number, rate: number): void {
  const due = Math.min(total, ((performance.now() - startMs) * rate) / 1000)
  let number = next
  for (; number < due; number++) sendNext(number % devices, startMs + (number * 1000) / rate)
  if (number < total) setTimeout(sendDue, 1, number, rate)
}

const fleet = await TeltonikaDevices.connect(options.port, devices, (device, records) => {
  if (records !== recordsPerPacket) {
    throw new Error(`${records} of ${recordsPerPacket} records of a packet were acknowledged`)
  }
  const nowMs = performance.now()
  latencyMs[replies++] = nowMs - sinceMs[acknowledged[device]!++ * devices + device]!
  if (replies === total) finish()
  else if (packetsPerSecond === undefined && sent[device]! < packetsPerDevice) sendNext(device, nowMs)
})
const startedMs = Date.now()
const startMs = performance.now()
const cpuStart = process.cpuUsage()
if (packetsPerSecond !== undefined) sendDue(0, packetsPerSecond)
else for (let device = 0; device < devices; device++) sendNext(device, performance.now())
await finished
const seconds = (performance.now() - startMs) / 1000
const { user, system } = process.cpuUsage(cpuStart)
fleet.close()

const result: GeneratorResult = {
  records: replies * recordsPerPacket,
  replies,
  startedMs,
  seconds,
  p50Ms: percentile(latencyMs, 0.5),
  p99Ms: percentile(latencyMs, 0.99),
  cpuSeconds: (user + system) / 1e6,
}
process.send!(result)
