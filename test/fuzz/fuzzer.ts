/**
 * Damaged messages of one protocol through everything that stands between a socket and the database: framing, decoding,
 * replies, batch, COPY. It does what the listeners and the intake do, without sockets and threads.
 */
import { serialize } from 'node:v8'
import { type Adapter, DecodeError, type KnownDevice } from '../../device-adapters/adapter.ts'
import { DeviceSession, decodeFrame, repliesOf, toBuffer } from '../../device-adapters/decoder.ts'
import { FrameReader } from '../../device-adapters/frames.ts'
import { LIMITS } from '../../ingest/limits.ts'
import { PositionBatch, ROWS_MAX } from '../../schemas/position-batch.ts'
import { type Recording, recordingsOf } from './corpus.ts'
import { Damager } from './damage.ts'
import { faultOfRows } from './invariants.ts'
import { Random } from './random.ts'
import { REPAIRS, type Repair } from './repair.ts'
import { faultOfReplay } from './replay.ts'
import { damagedMessage, damagedRequest } from './requests.ts'

/** Time of processor that no frame may take, ms; other processes take some of it too, so a slow frame is tried again. */
export const FRAME_MS_MAX = 50
const SLOW_FRAME_TRIES = 3
/** Bytes that a connection's state may have, tables that sessions share included. */
const STATE_BYTES_MAX = 64 * 1024
const DIALECT_LENGTH_MAX = 256
/** An error is told to whoever sent the frame, and may be logged. */
const MESSAGE_LENGTH_MAX = 400
/** Most bytes that a socket gives at once, and of a datagram. */
const PUSH_BYTES_MAX = 65_536
const DATAGRAM_BYTES_MAX = 65_507
/** Replies of one frame: twice it, and what even an empty one may get. */
const REPLY_BYTES_MIN = 4_096
/** Messages of a connection, of a long one, and one connection in how many is one. */
const MESSAGES_MAX = 32
const LONG_MESSAGES_MAX = 4_000
const LONG_ONCE_IN = 500
/** One frame with positions in so many is decoded again as the journal would. */
const REPLAY_EVERY = 16
/** What a RangeError says that is no read past the end of a frame. */
const NO_END_OF_FRAME =
  /call stack|array length|string length|time value|names in a batch|rows in a batch|BigInt/i
const RECEIVED_MS = Date.UTC(2026, 10, 21, 12)

/** Something that must not happen. */
export class Finding extends Error {
  readonly connection: number
  readonly frame: Buffer

  constructor(what: string, connection: number, frame: Buffer, cause?: unknown) {
    super(what, { cause })
    this.connection = connection
    this.frame = frame
  }
}

export interface FuzzCounts {
  /** Damaged messages that were sent. */
  damaged: number
  /** Sound ones between them. */
  sound: number
  /** Frames that decoded, damaged or not. */
  decoded: number
  rows: number
  replies: number
  /** Faults by code. */
  readonly faults: Map<string, number>
  slowestMs: number
  slowestFrame: Buffer
}

/** Half of what a batch may hold: no frame has as many records as the other half. */
const FULL_ROWS = ROWS_MAX / 2

export class Fuzzer {
  readonly counts: FuzzCounts = {
    damaged: 0,
    sound: 0,
    decoded: 0,
    rows: 0,
    replies: 0,
    faults: new Map(),
    slowestMs: 0,
    slowestFrame: Buffer.alloc(0),
  }
  /** Rows of the frames so far; the caller empties it with {@link clear}. */
  readonly batch = new PositionBatch(8192)
  /** Frame of each row of {@link batch}. */
  readonly frameOfRow: Buffer[] = []
  /** Number of the connection that is played. */
  connection = 0

  private readonly adapter: Adapter
  private readonly seed: number
  private readonly random = new Random()
  private readonly damager: Damager
  private readonly recordings: readonly Recording[]
  private device: KnownDevice = { model: '', options: {} }
  private registered = true
  private lastFrame: Buffer = Buffer.alloc(0)

  constructor(adapter: Adapter, seed: number) {
    this.adapter = adapter
    this.seed = seed
    this.recordings = recordingsOf(adapter)
    const messages = this.recordings.flatMap((recording) => recording.messages)
    this.damager = new Damager(
      this.random,
      messages.flatMap(({ bytes, target }) => [bytes, Buffer.from(target)]),
    )
  }

  clear(): void {
    this.batch.reset()
    this.frameOfRow.length = 0
  }

  /**
   * Plays connection number `connection` of the seed: it is the same whatever was played before.
   * @throws Finding
   */
  play(connection: number): void {
    const { random } = this
    this.connection = connection
    random.start(this.seed, connection)
    const recording = random.pick(this.recordings)
    this.device = recording.device
    this.registered = !random.once(16)
    this.lastFrame = Buffer.alloc(0)
    const long = random.once(LONG_ONCE_IN)
    const messages = 1 + random.below(long ? LONG_MESSAGES_MAX : MESSAGES_MAX)
    try {
      if (recording.transport === 'tcp') this.playStream(recording, messages, long)
      else for (let i = 0; i < messages; i++) this.playAlone(recording)
    } catch (error) {
      if (error instanceof Finding) throw error
      throw new Finding(String(error), connection, this.lastFrame, error)
    }
  }

  private playStream(recording: Recording, messages: number, long: boolean): void {
    const { random, adapter } = this
    let session = this.open(recording)
    let reader = new FrameReader(adapter, 'tcp')
    let faultsInRow = 0
    const repair = REPAIRS[`${adapter.id} tcp`]
    for (let sent = 0; sent < messages; ) {
      // Several messages in one segment, or one message in several.
      const many = random.once(4) ? 1 + random.below(4) : 1
      const pieces: Buffer[] = []
      for (let i = 0; i < many; i++, sent++) pieces.push(this.messageBytes(recording, repair))
      const bytes = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
      let ends = false
      for (const push of this.cut(bytes)) {
        reader.push(push)
        const faults = this.drain(reader, session, faultsInRow)
        if (faults === undefined) {
          ends = true
          break
        }
        faultsInRow = faults
        if (reader.buffered > adapter.maxFrameBytes + PUSH_BYTES_MAX)
          this.fail(`${reader.buffered} bytes wait in the reader`, bytes)
      }
      // The device gives up on half a frame and comes again.
      if (!ends && reader.buffered > 0 && !random.once(4)) {
        this.count('cut')
        ends = true
      }
      if (!ends) continue
      if (long) this.checkState(session)
      session = this.open(recording)
      reader = new FrameReader(adapter, 'tcp')
      faultsInRow = 0
    }
    if (long || random.once(64)) this.checkState(session)
  }

  /** @returns Faults in a row; undefined where the engine closes the connection. */
  private drain(reader: FrameReader, session: DeviceSession, before: number): number | undefined {
    let faults = before
    for (;;) {
      let frame: Buffer | undefined
      try {
        frame = reader.next()
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error
        this.count(error.code)
        return undefined
      }
      if (frame === undefined) return faults
      if (frame.length === 0 || frame.length > this.adapter.maxFrameBytes)
        this.fail(`a frame of ${frame.length} bytes`, frame)
      faults = this.accept(frame, session) ? 0 : faults + 1
      if (faults === LIMITS.faultsPerConnectionMax) return undefined
    }
  }

  /** A datagram, request or message, which has a session of its own. */
  private playAlone(recording: Recording): void {
    const { random, adapter, damager } = this
    const session = new DeviceSession(adapter, recording.transport, this.find)
    const message = random.pick(recording.messages)
    switch (recording.transport) {
      case 'udp': {
        const reader = new FrameReader(adapter, 'udp')
        const bytes = this.messageBytes(recording, REPAIRS[`${adapter.id} udp`])
        reader.push(bytes.subarray(0, DATAGRAM_BYTES_MAX))
        this.drain(reader, session, -Infinity)
        if (reader.buffered > 0) this.count('malformed')
        break
      }
      case 'http':
        this.counts.damaged++
        this.accept(damagedRequest(message, damager, random, adapter.maxFrameBytes), session)
        break
      default:
        this.counts.damaged++
        this.accept(damagedMessage(message, damager, random, adapter.maxFrameBytes), session)
    }
    if (random.once(256)) this.checkState(session)
  }

  private messageBytes(recording: Recording, repair: Repair | undefined): Buffer {
    const { random } = this
    const { bytes } = random.pick(recording.messages)
    if (random.once(10)) {
      this.counts.sound++
      return bytes
    }
    this.counts.damaged++
    const damaged = this.damager.damage(bytes)
    if (repair !== undefined && !random.once(3)) repair(damaged, random)
    return damaged
  }

  /** As the network brings it: whole, or in pieces. */
  private cut(bytes: Buffer): Buffer[] {
    const { random } = this
    const pushes: Buffer[] = []
    const pieces = random.once(4) ? 2 + random.below(3) : 1
    for (let at = 0, left = pieces; at < bytes.length; left--) {
      const rest = bytes.length - at
      const length = Math.min(PUSH_BYTES_MAX, left > 1 ? 1 + random.below(rest) : rest)
      pushes.push(bytes.subarray(at, at + length))
      at += length
    }
    return pushes
  }

  private open(recording: Recording): DeviceSession {
    const session = new DeviceSession(this.adapter, recording.transport, this.find)
    // Most devices have logged in; the others' first frames are what they are.
    if (!this.random.once(4)) session.identify(recording.uniqueId)
    return session
  }

  private readonly find = () => (this.registered ? this.device : undefined)

  /** As the intake does it. @returns Whether the frame decoded. */
  private accept(frame: Buffer, session: DeviceSession): boolean {
    // The engine hands a full batch over after a frame, here that is done after a connection: of one that fills several,
    // only the last is looked at.
    if (this.batch.length >= FULL_ROWS) this.clear()
    const { batch, adapter, counts } = this
    this.lastFrame = frame
    session.receivedMs = RECEIVED_MS + this.connection
    if (session.uniqueId !== '') session.device = this.find()
    const mark = batch.mark()
    const startMs = performance.now()
    try {
      decodeFrame(adapter, frame, session, batch)
    } catch (error) {
      this.checkSpeed(frame, session, performance.now() - startMs)
      if (!(error instanceof DecodeError)) this.fail(`decode threw ${String(error)}`, frame, error)
      if (NO_END_OF_FRAME.test(error.message)) this.fail(`a bug in disguise: ${error.message}`, frame, error)
      if (error.message.length > MESSAGE_LENGTH_MAX)
        this.fail(`an error of ${error.message.length} characters`, frame)
      if (batch.length !== mark.rows || batch.attributeCount !== mark.attributes)
        this.fail('rows of a broken frame stay', frame)
      this.count(error.code)
      return false
    }
    const fault = faultOfRows(batch, mark, frame.length)
    if (fault !== undefined) this.fail(fault, frame)
    counts.decoded++
    const rows = batch.length - mark.rows
    if (rows > 0 && counts.decoded % REPLAY_EVERY === 0) {
      const difference = faultOfReplay(adapter, frame, session, batch, mark.rows)
      if (difference !== undefined) this.fail(`decoded without its connection, ${difference}`, frame)
    }
    let replies: Buffer[] = []
    try {
      if (session.device === undefined && (session.uniqueId !== '' || rows > 0)) {
        batch.rollback(mark)
        this.count('unknown-device')
        const refusal = adapter.refuse?.(frame, session)
        if (refusal !== undefined) replies = [toBuffer(refusal)]
      } else {
        replies = repliesOf(adapter, frame, session)
        counts.rows += rows
        batch.device.fill(1, mark.rows, batch.length)
        for (let row = 0; row < rows; row++) this.frameOfRow.push(frame)
      }
    } catch (error) {
      this.fail(`the reply threw ${String(error)}`, frame, error)
    }
    this.checkSpeed(frame, session, performance.now() - startMs)
    this.checkReplies(replies, frame)
    if (session.dialect.length > DIALECT_LENGTH_MAX) this.fail('a long dialect', frame)
    return true
  }

  private checkReplies(replies: readonly Buffer[], frame: Buffer): void {
    let bytes = 0
    for (const reply of replies) bytes += reply.length
    this.counts.replies += replies.length
    if (bytes > REPLY_BYTES_MIN + 2 * frame.length) this.fail(`a reply of ${bytes} bytes`, frame)
  }

  private checkSpeed(frame: Buffer, { transport, uniqueId, device }: DeviceSession, tookMs: number): void {
    const { counts } = this
    if (tookMs <= counts.slowestMs || tookMs < 1) return
    // It may have been another process, the garbage collector, or code that was not compiled yet.
    let leastMs = tookMs
    const batch = new PositionBatch(64)
    for (let i = 0; i < SLOW_FRAME_TRIES; i++) {
      const session = new DeviceSession(this.adapter, transport, () => device)
      if (uniqueId !== '') session.identify(uniqueId)
      session.receivedMs = RECEIVED_MS
      batch.reset()
      const before = process.cpuUsage()
      try {
        decodeFrame(this.adapter, frame, session, batch)
      } catch {
        // What it throws was looked at.
      }
      const { user, system } = process.cpuUsage(before)
      leastMs = Math.min(leastMs, (user + system) / 1000)
    }
    if (leastMs > counts.slowestMs) {
      counts.slowestMs = leastMs
      counts.slowestFrame = Buffer.from(frame)
    }
    if (leastMs > FRAME_MS_MAX) this.fail(`a frame takes ${leastMs.toFixed(1)} ms`, frame)
  }

  private checkState(session: DeviceSession): void {
    if (session.state === undefined) return
    const bytes = serialize(session.state).length
    if (bytes > STATE_BYTES_MAX) this.fail(`the state of a connection has ${bytes} bytes`, this.lastFrame)
  }

  private count(code: string): void {
    this.counts.faults.set(code, (this.counts.faults.get(code) ?? 0) + 1)
  }

  private fail(what: string, frame: Buffer, cause?: unknown): never {
    throw new Finding(what, this.connection, frame, cause)
  }
}
