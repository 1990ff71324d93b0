/**
 * Finds out which protocol a device speaks by its first bytes. It never guesses: a protocol is found when it alone reads
 * a whole frame, which names its device or gives an undoubted position, and every other one is settled as "no". Two that
 * still fit wait for more bytes. What is tried leaves no trace: whoever goes on begins with the first byte again.
 */
import { PositionBatch } from '../schemas/position-batch.ts'
import type { Adapter, KnownDevice, Transport } from './adapter.ts'
import type { FindDevice } from './decoder.ts'
import { Trial, type TrialContext } from './detection-trial.ts'
import { type Starts, startsWith } from './signature.ts'

/** Protocols on the port that are no adapter's alone: requests and messages tell more than their first bytes. */
export type Carrier = 'http' | 'mqtt'

/** What is known after the bytes so far. `waiting` for more of them; `unknown`: none can change it. */
export type Finding =
  | { readonly kind: 'adapter'; readonly adapter: Adapter }
  | { readonly kind: 'carrier'; readonly carrier: Carrier }
  | { readonly kind: 'waiting' }
  | { readonly kind: 'unknown' }

const WAITING: Finding = { kind: 'waiting' }
const UNKNOWN: Finding = { kind: 'unknown' }

const CARRIERS: readonly (readonly [Carrier, Starts])[] = [
  [
    'http',
    startsWith(
      'GET /',
      'POST /',
      'PUT /',
      'HEAD /',
      'OPTIONS ',
      'DELETE /',
      'PATCH /',
      'GET http',
      'POST http',
    ),
  ],
  // CONNECT: its length takes one or two bytes.
  ['mqtt', mqttConnect],
]

/** Streams that no device should send here, and what to do about them. */
const STRANGERS: readonly (readonly [Starts, string])[] = [
  [startsWith('\x16\x03'), 'looks like TLS, which is to be ended before this port'],
  [startsWith('SSH-'), 'looks like SSH'],
  [
    startsWith('PROXY ', '\r\n\r\n\0\r\nQUIT\n'),
    'looks like the PROXY protocol, which is not understood here',
  ],
]

/** Rows at first of the batch that frames are tried in. */
const SCRATCH_ROWS = 64
/** Looks that a stream gets however little came in since the last one: devices may send a byte at a time. */
const FREE_LOOKS = 2048
/** Afterwards a look is worth it when the bytes have grown by this share of them, so that all looks take O(n). */
const GROWTH = 1 / 16
/** Protocols that an explanation names. */
const EXPLAINED_MAX = 3
/** Characters of an explanation: a reason may hold what the device sent. */
const EXPLANATION_LENGTH_MAX = 500

/** All that can be found, ready for any number of streams. */
export class Detection {
  readonly adapters: readonly Adapter[]
  /** Shared by all trials, each of which leaves it empty. */
  private readonly scratch = new PositionBatch(SCRATCH_ROWS)

  constructor(adapters: Iterable<Adapter>) {
    this.adapters = [...adapters]
  }

  /**
   * Detection of one stream that begins now.
   * @param nowMs Time of receipt, ms UTC.
   * @param find Devices whose model or options a frame may need to be read.
   */
  stream(nowMs: number, find?: FindDevice<KnownDevice>): StreamDetector {
    return new StreamDetector(() => this.trialsOf('tcp', nowMs, find))
  }

  /** Which protocol a datagram is of, which must hold whole frames. */
  datagram(bytes: Buffer, nowMs: number, find?: FindDevice<KnownDevice>): Detected {
    const trials = this.trialsOf('udp', nowMs, find)
    if (bytes.length > 0) for (const trial of trials) trial.look(bytes, true)
    return settle(trials, bytes)
  }

  /** Which protocol a frame of a stream is of, of which delimiters or length may be missing. */
  frame(bytes: Buffer, nowMs: number, find?: FindDevice<KnownDevice>): Detected {
    const trials = this.trialsOf('tcp', nowMs, find)
    if (bytes.length > 0) for (const trial of trials) trial.lookAtFrame(bytes)
    return settle(trials, bytes)
  }

  /**
   * Which protocol an HTTP request or MQTT message is of.
   * @param frame As of requests.ts.
   * @param topic Of a message: it is for those adapters that listen to it.
   */
  request(frame: Buffer, transport: 'http' | 'mqtt', nowMs: number, topic = ''): Detected {
    const trials = this.trialsOf(transport, nowMs).filter(
      ({ adapter }) =>
        transport === 'http' || (adapter.listen.mqtt ?? []).some((filter) => topicFits(filter, topic)),
    )
    for (const trial of trials) trial.goOn().lookAtFrame(frame)
    return settle(trials, frame)
  }

  /**
   * Whether a piece that does not begin as a stream does is surely whole frames of a protocol all the same: of a
   * connection that has begun. A checksum has to hold that fails when a byte is changed.
   */
  surelyFollows(piece: Piece, adapter: Adapter): boolean {
    if (!this.mayFollow(piece, adapter)) return false
    const bytes = Buffer.from(piece.bytes)
    bytes[bytes.length >> 1]! ^= 0xff
    return this.following({ ...piece, bytes }, adapter).fault === 'checksum'
  }

  /** Whether a piece may be whole frames of a connection that has begun, however it begins. */
  mayFollow(piece: Piece, adapter: Adapter): boolean {
    const trial = this.following(piece, adapter)
    return !trial.refuted && trial.faults === 0 && trial.isBetweenFrames
  }

  private following({ bytes, transport, isFrame, nowMs, find }: Piece, adapter: Adapter): Trial {
    const trial = new Trial(adapter, this.context(transport, nowMs, find)).goOn()
    if (isFrame) trial.lookAtFrame(bytes)
    else trial.look(bytes, true)
    return trial
  }

  /** Of all adapters that can be found on a transport. */
  private trialsOf(transport: Transport, nowMs: number, find?: FindDevice<KnownDevice>): Trial[] {
    const context = this.context(transport, nowMs, find)
    const isStream = transport === 'tcp' || transport === 'udp'
    return this.adapters
      .filter(
        ({ listen, starts, frame }) =>
          listen[transport] !== undefined && (!isStream || (starts !== undefined && frame !== undefined)),
      )
      .map((adapter) => new Trial(adapter, context))
  }

  private context(transport: Transport, nowMs: number, find?: FindDevice<KnownDevice>): TrialContext {
    return { transport, nowMs, scratch: this.scratch, ...(find === undefined ? {} : { find }) }
  }
}

/** Bytes of a connection that may have begun before them. */
export interface Piece {
  readonly bytes: Buffer
  readonly transport: 'tcp' | 'udp'
  /** They are one frame, where delimiters and lengths may be missing. */
  readonly isFrame: boolean
  /** Time of receipt, ms UTC. */
  readonly nowMs: number
  readonly find: FindDevice<KnownDevice>
}

/** A finding, and why, as a sentence for people. */
export interface Detected {
  readonly finding: Finding
  /** Protocols that read all of it, no frame broken or cut. */
  readonly fits: readonly Adapter[]
  /** Protocols that it begins as, with frames that are broken or cut. */
  readonly broken: readonly Adapter[]
  explain(): string
}

/** The protocol that was found; undefined while none is, and for a carrier. */
export function adapterFound({ finding }: Detected): Adapter | undefined {
  return finding.kind === 'adapter' ? finding.adapter : undefined
}

/** Detection of one stream: takes its bytes as they come, and keeps them until it is known whose they are. */
export class StreamDetector implements Detected {
  finding: Finding = WAITING
  private readonly begin: () => Trial[]
  /** None before the first bytes: most of what opens a connection and sends nothing needs no memory. */
  private trials: Trial[] | undefined
  private carriers: readonly (readonly [Carrier, Starts])[] = CARRIERS
  private held = Buffer.alloc(0)
  private heldBytes = 0
  private looks = 0
  private nextLookBytes = 1

  /** @param begin Makes the trials of the protocols that may be found. */
  constructor(begin: () => Trial[]) {
    this.begin = begin
  }

  /** All bytes since the beginning. */
  get bytes(): Buffer {
    return this.held.subarray(0, this.heldBytes)
  }

  /** Adds what came in. */
  push(bytes: Buffer): Finding {
    this.keep(bytes)
    if (this.finding !== WAITING || this.heldBytes < this.nextLookBytes) return this.finding
    this.looks++
    this.nextLookBytes = this.heldBytes + (this.looks < FREE_LOOKS ? 1 : Math.ceil(this.heldBytes * GROWTH))
    this.finding = this.look()
    return this.finding
  }

  explain(): string {
    return explanation(this.trials ?? [], this.bytes)
  }

  get fits(): readonly Adapter[] {
    return settle(this.trials ?? [], this.bytes).fits
  }

  get broken(): readonly Adapter[] {
    return settle(this.trials ?? [], this.bytes).broken
  }

  private look(): Finding {
    const { bytes } = this
    this.trials ??= this.begin()
    for (const trial of this.trials) trial.look(bytes, false)
    this.carriers = this.carriers.filter(([, starts]) => starts(bytes) !== false)
    const [carrier] = this.carriers
    if (carrier === undefined) return settle(this.trials, bytes).finding
    const [id, starts] = carrier
    const alone = this.carriers.length === 1 && this.trials.every(({ refuted }) => refuted)
    return alone && starts(bytes) === true ? { kind: 'carrier', carrier: id } : WAITING
  }

  private keep(bytes: Buffer): void {
    const length = this.heldBytes + bytes.length
    if (length > this.held.length) {
      const held = Buffer.allocUnsafeSlow(Math.max(length, 2 * this.held.length))
      this.held.copy(held, 0, 0, this.heldBytes)
      this.held = held
    }
    bytes.copy(this.held, this.heldBytes)
    this.heldBytes = length
  }
}

function settle(trials: readonly Trial[], bytes: Buffer): Detected {
  const possible = trials.filter(({ refuted }) => !refuted)
  const adaptersOf = (some: readonly Trial[]) => some.map(({ adapter }) => adapter)
  return {
    finding: findingOf(possible),
    fits: adaptersOf(
      possible.filter(({ begun, faults, isBetweenFrames }) => begun && faults === 0 && isBetweenFrames),
    ),
    broken: adaptersOf(
      possible.filter(({ begun, faults, isBetweenFrames }) => begun && (faults > 0 || !isBetweenFrames)),
    ),
    explain: () => explanation(trials, bytes),
  }
}

/** @param possible Trials that are not refuted. */
function findingOf(possible: readonly Trial[]): Finding {
  // One that could not read its frame is no doubt against one that could.
  const [first, ...others] = possible.filter(({ reads, faults }) => reads || faults === 0)
  if (first?.reads && others.length === 0) return { kind: 'adapter', adapter: first.adapter }
  return possible.length === 0 ? UNKNOWN : WAITING
}

/** Such as `looks like gt06 (80 %): frame fits, checksum fails; h02 (10 %): …`. */
function explanation(trials: readonly Trial[], bytes: Buffer): string {
  const stranger = STRANGERS.find(([starts]) => starts(bytes) === true)
  if (stranger !== undefined) return stranger[1]
  const likely = trials
    .filter(({ scorePercent }) => scorePercent > 0)
    .sort((a, b) => b.scorePercent - a.scorePercent)
    .slice(0, EXPLAINED_MAX)
  if (likely.length > 0) {
    const parts = likely.map(
      ({ adapter, scorePercent, reason }) => `${adapter.id} (${scorePercent} %): ${reason}`,
    )
    return `looks like ${parts.join('; ')}`.slice(0, EXPLANATION_LENGTH_MAX)
  }
  const open = trials.filter(({ refuted }) => !refuted).map(({ adapter }) => adapter.id)
  return open.length > 0 ? `too few bytes, may be ${open.join(', ')}` : 'no known protocol begins so'
}

/** Whether bytes begin a CONNECT of MQTT, 3.1 or later. */
function mqttConnect(bytes: Buffer): boolean | undefined {
  if (bytes[0] !== 0x10) return false
  let at = 1
  while (at < bytes.length && at < 5 && bytes[at]! >= 0x80) at++
  const name = startsWith('\0\x04MQTT', '\0\x06MQIsdp')
  return at + 1 >= bytes.length ? undefined : name(bytes.subarray(at + 1))
}

/** Whether a topic fits a filter with `+` and `#`. */
function topicFits(filter: string, topic: string): boolean {
  const wanted = filter.split('/')
  const given = topic.split('/')
  return (
    (wanted.length === given.length || wanted.at(-1) === '#') &&
    wanted.every((level, i) => level === '#' || (level === '+' ? given[i] !== undefined : level === given[i]))
  )
}
