/** What one protocol makes of the first bytes of a stream or datagram: evidence for the detection, and words for people. */
import type { PositionBatch } from '../schemas/position-batch.ts'
import { QUALITY } from '../schemas/quality.ts'
import {
  type Adapter,
  DecodeError,
  type DecodeErrorCode,
  type KnownDevice,
  type Transport,
} from './adapter.ts'
import { DeviceSession, decodeFrame, type FindDevice } from './decoder.ts'
import { unescaped } from './frames.ts'

/** How sure the evidence is that a device speaks a protocol, percent. Only whoever {@link Trial.reads} may be chosen. */
const SCORE = {
  begins: 10,
  breaksFrame: 20,
  awaitsEnd: 30,
  breaksLayout: 40,
  unsupported: 60,
  nameless: 70,
  checksum: 80,
  doubtful: 85,
  reads: 95,
} as const

/** Names that a device can have. */
const NAME = /^[\x21-\x7e]{1,128}$/

/** Broken frames of a stream after which it is not this protocol; one may have been damaged on its way. */
const FAULTS_MAX = 3

/** Frames of a stream, and fills between them, that are looked at: what they do not tell, more will not. */
const STEPS_MAX = 256

/** Before it no tracker was built. */
const FIX_TIME_MIN_MS = Date.UTC(2000, 0, 1)
/** How far the clock of a receiver may be ahead of the server's. */
const FIX_TIME_AHEAD_MAX_MS = 2 * 24 * 3600 * 1000

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const SPACE = 0x20
const DOLLAR = 0x24

/** A device that is registered: what a stream is depends on nobody's registry. */
const ANY_DEVICE: KnownDevice = { model: '', options: {} }

/** What a trial needs beside the bytes. */
export interface TrialContext {
  readonly transport: Transport
  /** Time of receipt, ms UTC. */
  readonly nowMs: number
  /** Frames are decoded into it, and taken back. */
  readonly scratch: PositionBatch
  /** What is known of devices, for frames that can be read only so; those not found count as registered, too. */
  readonly find?: FindDevice<KnownDevice>
}

/** A protocol that is tried on the bytes of one stream, or of one datagram. */
export class Trial {
  readonly adapter: Adapter
  /** The first bytes fit. */
  begun = false
  /** No bytes that may follow make it this protocol. */
  refuted = false
  /** A whole frame named its device or gave an undoubted position, and none after it was broken. */
  reads = false
  /** Whole frames that were broken, and how the last of them was. */
  faults = 0
  fault: DecodeErrorCode | undefined
  /** Nothing is left of the bytes so far: there is no piece of a frame at their end. */
  isBetweenFrames = false
  /** 0 to 100. */
  scorePercent = 0
  /** Why it has this score, as words that follow a colon. */
  reason = 'too few bytes'
  private readonly context: TrialContext
  private session: DeviceSession | undefined
  private steps = 0
  /** Bytes of the whole frames so far, and of what is between them. */
  private readBytes = 0

  constructor(adapter: Adapter, context: TrialContext) {
    this.adapter = adapter
    this.context = context
  }

  /**
   * Looks at the bytes again, frames that were read left out.
   * @param bytes All since the beginning; never empty.
   * @param isWhole Nothing follows them: a datagram.
   */
  look(bytes: Buffer, isWhole: boolean): void {
    if (this.refuted) return
    if (!this.begun && !this.begins(bytes, isWhole)) return
    this.isBetweenFrames = false
    while (!this.refuted && this.readBytes < bytes.length) {
      const rest = bytes.subarray(this.readBytes)
      const length = this.frameLength(rest)
      if (length === undefined) return
      if (length === 0) {
        if (isWhole) this.refute(SCORE.breaksFrame, 'first bytes fit, frame is cut')
        else if (!this.reads) this.say(SCORE.awaitsEnd, 'first bytes fit, frame has not ended')
        return
      }
      if (this.steps >= STEPS_MAX) return
      this.steps++
      if (length > 0) this.take(rest.subarray(0, length))
      this.readBytes += Math.abs(length)
    }
    this.isBetweenFrames = true
  }

  /** Decodes bytes that are one frame, where delimiters and lengths may be missing. */
  lookAtFrame(frame: Buffer): void {
    if (!this.begun && !this.begins(frame, true)) return
    this.decode(frame)
    this.isBetweenFrames = true
  }

  /** Takes it as settled that the stream is of this protocol as far as its first bytes tell: these are later ones. */
  goOn(): this {
    this.begun = true
    return this
  }

  /** Whether it is settled by the first bytes that it may be this protocol. */
  private begins(bytes: Buffer, isWhole: boolean): boolean {
    let starts: boolean | undefined
    try {
      starts = this.adapter.starts?.(bytes, this.context.transport)
    } catch (error) {
      this.refute(0, DecodeError.of(error).message)
      return false
    }
    if (starts === true) {
      this.begun = true
      this.say(SCORE.begins, 'first bytes fit')
      return true
    }
    if (starts === false || isWhole) this.refute(0, 'first bytes do not fit')
    return false
  }

  /** Length of the next frame, below zero of padding; undefined once refuted. */
  private frameLength(rest: Buffer): number | undefined {
    const { adapter, context } = this
    let length: number
    try {
      length = adapter.frame!(rest, context.transport)
    } catch (error) {
      this.refute(SCORE.breaksFrame, `first bytes fit, frame breaks: ${DecodeError.of(error).message}`)
      return undefined
    }
    if (length < 0 && !isPadding(rest.subarray(0, -length), this.readBytes > 0)) {
      this.refute(SCORE.breaksFrame, `first bytes fit, then ${-length} bytes belong to no frame`)
      return undefined
    }
    if (length > adapter.maxFrameBytes || (length === 0 && rest.length > adapter.maxFrameBytes)) {
      this.refute(SCORE.breaksFrame, `first bytes fit, frame is longer than ${adapter.maxFrameBytes} bytes`)
      return undefined
    }
    return length
  }

  private take(wire: Buffer): void {
    let frame: Buffer
    try {
      frame = unescaped(this.adapter, wire)
    } catch (error) {
      this.broke(SCORE.breaksFrame, `first bytes fit, frame breaks: ${DecodeError.of(error).message}`)
      return
    }
    this.decode(frame)
  }

  private decode(frame: Buffer): void {
    const { adapter, context } = this
    const { scratch, nowMs, transport, find } = context
    this.session ??= new DeviceSession(adapter, transport, (uniqueId) => find?.(uniqueId) ?? ANY_DEVICE)
    const { session } = this
    session.receivedMs = nowMs
    scratch.reset()
    try {
      decodeFrame(adapter, frame, session, scratch)
    } catch (error) {
      const { code, message } = DecodeError.of(error)
      this.fault = code
      if (code === 'checksum') this.broke(SCORE.checksum, 'frame fits, checksum fails')
      else if (code === 'unsupported') this.broke(SCORE.unsupported, `frame fits, not supported: ${message}`)
      else this.broke(SCORE.breaksLayout, `frame fits, layout does not: ${message}`)
      return
    }
    session.answers.length = 0
    this.weigh(session.uniqueId)
    scratch.reset()
  }

  /** What a frame is worth that decoded. */
  private weigh(uniqueId: string): void {
    const { scratch, nowMs } = this.context
    if (uniqueId !== '' && !NAME.test(uniqueId)) {
      this.broke(SCORE.breaksLayout, 'frame fits, no device can have its name')
      return
    }
    let placed = false
    let doubt: keyof typeof SCORE | undefined
    for (let row = 0; row < scratch.length; row++) {
      const quality = scratch.quality[row]!
      if ((quality & QUALITY.checksum) !== 0) doubt = 'checksum'
      if ((quality & QUALITY.noPlace) !== 0) continue
      const fixTimeMs = scratch.fixTimeMs[row]!
      if (fixTimeMs < FIX_TIME_MIN_MS || fixTimeMs > nowMs + FIX_TIME_AHEAD_MAX_MS) doubt ??= 'doubtful'
      placed = true
    }
    // What was read before stays read: a clock may go wrong later.
    if (this.reads) return
    if (doubt === 'checksum') this.say(SCORE.checksum, 'frame fits, checksum fails')
    else if (doubt !== undefined) this.say(SCORE.doubtful, 'frame fits, its time is none of a tracker')
    else if (uniqueId === '' && !placed) this.say(SCORE.nameless, 'frame fits, no device is named yet')
    else {
      this.reads = true
      this.say(
        SCORE.reads,
        uniqueId === '' ? 'frame fits, with a position' : `frame fits, of device ${uniqueId}`,
      )
    }
  }

  private say(scorePercent: number, reason: string): void {
    this.scorePercent = scorePercent
    this.reason = reason
  }

  /** The bytes are a frame of it, which cannot be read. */
  private broke(scorePercent: number, reason: string): void {
    this.faults++
    this.reads = false
    if (this.faults >= FAULTS_MAX) this.refuted = true
    this.say(scorePercent, reason)
  }

  private refute(scorePercent: number, reason: string): void {
    this.refuted = true
    this.reads = false
    this.say(scorePercent, reason)
  }
}

/** Line ends and fill bytes, which stand between frames and belong to none; a dollar may end the frame before them. */
function isPadding(bytes: Buffer, follows: boolean): boolean {
  return bytes.every(
    (byte, i) =>
      byte === LINE_FEED ||
      byte === CARRIAGE_RETURN ||
      byte === SPACE ||
      byte === 0 ||
      (byte === DOLLAR && i === 0 && follows),
  )
}
