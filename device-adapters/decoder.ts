/** One frame through its adapter: what every caller of an adapter does around `decode`, in one place. */
import type { PositionBatch } from '../schemas/position-batch.ts'
import { QUALITY } from '../schemas/quality.ts'
import {
  type Adapter,
  type CommandAnswer,
  DecodeError,
  type KnownDevice,
  type Reply,
  type Session,
  type Transport,
} from './adapter.ts'
import { digestInto } from './digest.ts'

/** As `PositionBatch.addWithoutFix` has it: after 2106 there is no tracker. */
const TIME_END_MS = 4_294_967_296_000

/** Answers to commands of one frame that are kept. */
const ANSWERS_MAX = 16

/** Finds a registered device by its unique id. */
export type FindDevice<Device extends KnownDevice> = (uniqueId: string) => Device | undefined

/** The session of one connection, datagram, request or message. */
export class DeviceSession<Device extends KnownDevice = KnownDevice> implements Session {
  uniqueId = ''
  device: Device | undefined = undefined
  receivedMs = 0
  dialect = ''
  commandSerial = 0
  /** What the last frame said of commands, in its order; emptied by who takes it. */
  readonly answers: CommandAnswer[] = []
  readonly transport: Transport
  readonly state: unknown
  private readonly find: FindDevice<Device>

  constructor(adapter: Adapter, transport: Transport, find: FindDevice<Device>) {
    this.transport = transport
    this.state = adapter.open?.()
    this.find = find
  }

  identify(...uniqueIds: [string, ...string[]]): void {
    this.uniqueId = uniqueIds[0]
    this.device = undefined
    for (const uniqueId of uniqueIds) {
      const device = this.find(uniqueId)
      if (device === undefined) continue
      this.uniqueId = uniqueId
      this.device = device
      return
    }
  }

  answer(answer: CommandAnswer): void {
    if (this.answers.length < ANSWERS_MAX) this.answers.push(answer)
  }
}

/**
 * Decodes one frame into `out`, and completes its rows: time of receipt, a fix time where the message has none,
 * and the digest. The device column stays the caller's.
 *
 * @returns Rows appended.
 * @throws DecodeError if the frame breaks its protocol; nothing of it is left in `out` then.
 */
export function decodeFrame(adapter: Adapter, frame: Buffer, session: Session, out: PositionBatch): number {
  const mark = out.mark()
  try {
    adapter.decode(frame, session, out)
  } catch (error) {
    out.rollback(mark)
    if (error instanceof DecodeError) throw error
    if (error instanceof RangeError) throw new DecodeError('malformed', error.message)
    throw error
  }
  for (let row = mark.rows; row < out.length; row++) {
    out.receivedMs[row] = session.receivedMs
    dropImpossible(out, row)
    if (Number.isNaN(out.fixTimeMs[row]!)) {
      const deviceTimeMs = out.deviceTimeMs[row]!
      if (Number.isNaN(deviceTimeMs)) out.quality[row]! |= QUALITY.noTime
      out.fixTimeMs[row] = Number.isNaN(deviceTimeMs) ? session.receivedMs : deviceTimeMs
    }
    const start = out.recordStart[row]!
    const end = out.recordEnd[row]!
    digestInto(frame, start, end === 0 ? frame.length : end, out.digestHigh, out.digestLow, row)
    // Rows that share the whole frame, or the bytes of the row before, are told apart by their place in the frame.
    const shared =
      end === 0 || (row > mark.rows && start === out.recordStart[row - 1] && end === out.recordEnd[row - 1])
    if (shared) out.digestLow[row]! ^= row - mark.rows
  }
  return out.length - mark.rows
}

/** Takes for not reported what adapters write into the columns themselves, and no device can mean. */
function dropImpossible(out: PositionBatch, row: number): void {
  // 1e308 is a number of JSON, and in knots it is more than a number can be in km/h.
  out.altitudeM[row] = finite(out.altitudeM[row]!)
  out.speedKmh[row] = finite(out.speedKmh[row]!)
  out.courseDeg[row] = finite(out.courseDeg[row]!)
  out.accuracyM[row] = finite(out.accuracyM[row]!)
  // Written so that NaN stays.
  if (out.deviceTimeMs[row]! < 0 || out.deviceTimeMs[row]! >= TIME_END_MS) out.deviceTimeMs[row] = Number.NaN
}

function finite(value: number): number {
  return Number.isFinite(value) ? value : Number.NaN
}

/** Replies of a frame that decoded, as buffers. */
export function repliesOf(adapter: Adapter, frame: Buffer, session: Session): Buffer[] {
  const reply = adapter.ack?.(frame, session)
  if (reply === undefined) return []
  return Array.isArray(reply) ? reply.map(toBuffer) : [toBuffer(reply as Reply)]
}

export function toBuffer(reply: Reply): Buffer {
  return typeof reply === 'string' ? Buffer.from(reply, 'latin1') : reply
}
