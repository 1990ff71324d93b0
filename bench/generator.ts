/**
 * Load generator, a process of its own: trackers in a closed loop, each sends its next packet when the one before is
 * acknowledged. All packets are made before the clock starts, since a fleet does not share the server's processor.
 */
import { percentile } from './measure.ts'
import { TeltonikaDevices } from './teltonika-devices.ts'
import { TeltonikaTrack } from './teltonika-packets.ts'

export interface GeneratorOptions {
  readonly port: number
  readonly devices: number
  readonly packetsPerDevice: number
  readonly recordsPerPacket: number
  /** Time of the first record of every device, ms UTC. */
  readonly startMs: number
  /** Between two records of a device, ms. */
  readonly stepMs: number
}

export interface GeneratorResult {
  /** Records acknowledged, which are all that were sent. */
  readonly records: number
  /** Packets acknowledged. */
  readonly replies: number
  /** From the first packet to the last reply. */
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Processor time of the generator in that time. */
  readonly cpuSeconds: number
}

const options = JSON.parse(process.argv[2]!) as GeneratorOptions
// The process that started this one is gone.
process.once('disconnect', () => process.exit(1))

const { devices, packetsPerDevice, recordsPerPacket } = options
const packets = Array.from({ length: devices }, (_, device) => {
  const track = new TeltonikaTrack(device, options.startMs, options.stepMs)
  return Array.from({ length: packetsPerDevice }, () => track.packet(recordsPerPacket))
})
const sent = new Uint32Array(devices)
const sentAtMs = new Float64Array(devices)
const latencyMs = new Float64Array(devices * packetsPerDevice)
let replies = 0
let finish: () => void
const finished = new Promise<void>((resolve) => {
  finish = resolve
})

function sendNext(device: number): void {
  sentAtMs[device] = performance.now()
  fleet.send(device, packets[device]![sent[device]!++]!)
}

const fleet = await TeltonikaDevices.connect(options.port, devices, (device, records) => {
  if (records !== recordsPerPacket) {
    throw new Error(`${records} of ${recordsPerPacket} records of a packet were acknowledged`)
  }
  latencyMs[replies++] = performance.now() - sentAtMs[device]!
  if (sent[device]! < packetsPerDevice) sendNext(device)
  else if (replies === latencyMs.length) finish()
})
const startMs = performance.now()
const cpuStart = process.cpuUsage()
for (let device = 0; device < devices; device++) sendNext(device)
await finished
const seconds = (performance.now() - startMs) / 1000
const { user, system } = process.cpuUsage(cpuStart)
fleet.close()

const result: GeneratorResult = {
  records: replies * recordsPerPacket,
  replies,
  seconds,
  p50Ms: percentile(latencyMs, 0.5),
  p99Ms: percentile(latencyMs, 0.99),
  cpuSeconds: (user + system) / 1e6,
}
process.send!(result)
