/**
 * The fleet, a process of its own: devices that make records at a steady pace, keep each until it is acknowledged, and
 * send it again as trackers do. It is never killed, so what it remembers of made and acknowledged is the truth.
 */
import { BUFFER_REPORTS_MAX, newCounts, SimulatedDevice } from '../../simulate/devices.ts'
import { ENCODERS } from '../../simulate/encoders/index.ts'
import { keepPace } from '../../simulate/pace.ts'
import { seededRandom } from '../seeded-random.ts'
import {
  type CrashProtocol,
  type FleetDevice,
  type FleetOptions,
  fleetOf,
  numberOf,
  recordOf,
} from './fleet.ts'

export interface SimulatorOptions extends FleetOptions {
  readonly seed: number
  readonly ports: Readonly<Record<CrashProtocol, number>>
  /** Records of the whole fleet a second. */
  readonly recordsPerSecond: number
  /** Share of the records that a device keeps back, and sends after later ones; 0 = none. */
  readonly lateShare?: number
}

/** How far the fleet is. */
export interface Progress {
  /** Records made; all of them are sent sooner or later. */
  readonly made: number
  readonly acknowledged: number
  /** Records put on the wire, each time that they were. */
  readonly sent: number
  readonly errors: Readonly<Record<string, number>>
}

/** Of one device, in the order of the fleet. */
export interface DeviceJournal {
  /** Records 0 … made − 1 were made. */
  readonly made: number
  /** Numbers of those that the server acknowledged. */
  readonly acknowledged: readonly number[]
}

/** From the parent: make no more records; tell the journal. */
export type ToSimulator = 'halt' | 'journal'
export type FromSimulator =
  | { readonly kind: 'progress'; readonly progress: Progress }
  /** Answer to `halt`. */
  | { readonly kind: 'halted'; readonly made: number }
  | { readonly kind: 'journal'; readonly devices: readonly DeviceJournal[] }

const PROGRESS_MS = 50
/** Chance that a record that is kept back is sent instead of the next one. */
const LATE_ENDS = 0.05
const BACKOFF_MS = { backoffFirstMs: 50, backoffMaxMs: 800 } as const
/** A datagram may be lost for good; all else is told by its connection, and waits longer. */
const ANSWER_TIMEOUT_MS = { udp: 700, tcp: 6000, http: 6000, mqtt: 6000 } as const

const options = JSON.parse(process.argv[2]!) as SimulatorOptions
// The process that started this one is gone.
process.once('disconnect', () => process.exit(1))

const counts = newCounts()
const random = seededRandom(options.seed)

interface Member {
  readonly spec: FleetDevice
  readonly device: SimulatedDevice
  made: number
  readonly acknowledged: number[]
  /** Number of a record that it keeps back. */
  late: number | undefined
}

const members = fleetOf(options).map((spec): Member => {
  const encoder = ENCODERS[spec.protocol]
  const acknowledged: number[] = []
  const device = new SimulatedDevice({
    encoder,
    host: '127.0.0.1',
    port: options.ports[spec.protocol],
    uniqueId: spec.uniqueId,
    counts,
    answerTimeoutMs: ANSWER_TIMEOUT_MS[encoder.transport],
    ...BACKOFF_MS,
    onAcknowledged: (report) => acknowledged.push(numberOf(spec, report.fixTimeMs)!),
  })
  return { spec, device, made: 0, acknowledged, late: undefined }
})

function send(message: FromSimulator): void {
  process.send!(message)
}

const halt = keepPace(options.recordsPerSecond, () => {
  const member = members[Math.floor(random() * members.length)]!
  // A device that cannot send makes no more: it would forget what it has kept.
  if (member.device.buffered >= BUFFER_REPORTS_MAX) return
  if (member.late === undefined && random() < (options.lateShare ?? 0)) member.late = member.made++
  else if (member.late !== undefined && random() < LATE_ENDS) reportLate(member)
  else member.device.report(recordOf(member.spec, member.made++))
})

function reportLate(member: Member): void {
  if (member.late === undefined) return
  member.device.report(recordOf(member.spec, member.late))
  member.late = undefined
}

for (const { device } of members) {
  device.run().catch((error: unknown) => {
    // A fault of the simulator itself must not pass for one of the server.
    process.stderr.write(`simulator: ${(error as Error).stack}\n`)
    process.exit(1)
  })
}

setInterval(() => {
  const { positionsReported, positionsAcknowledged, positionsSent, errors } = counts
  send({
    kind: 'progress',
    progress: {
      made: positionsReported,
      acknowledged: positionsAcknowledged,
      sent: positionsSent,
      errors: Object.fromEntries(errors),
    },
  })
}, PROGRESS_MS)

process.on('message', (message: ToSimulator) => {
  if (message === 'halt') {
    halt()
    for (const member of members) reportLate(member)
    send({ kind: 'halted', made: counts.positionsReported })
  } else {
    send({ kind: 'journal', devices: members.map(({ made, acknowledged }) => ({ made, acknowledged })) })
  }
})
