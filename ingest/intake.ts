/**
 * Where all transports meet: one frame is decoded, its device looked up, the frame written to the journal, its positions
 * put into the shard of their device, and its fate told: a reply now, a reply when they are safe, or none.
 */
import type { Logger } from 'pino'
import { type Adapter, DecodeError, type Transport } from '../device-adapters/adapter.ts'
import { decodeFrame, repliesOf, toBuffer } from '../device-adapters/decoder.ts'
import { PositionBatch, type PositionBatchMark } from '../schemas/position-batch.ts'
import { QUALITY } from '../schemas/quality.ts'
import { AdapterBugLog } from './adapter-bugs.ts'
import type { CommandDelivery } from './commands/commands.ts'
import type { DeviceRegistry, RegisteredDevice } from './devices/devices.ts'
import { checkUniqueId, storableId, strangersOf } from './devices/unique-ids.ts'
import { IntakeSession } from './frame-context.ts'
import type { Journal, JournalPosition } from './journal/journal.ts'
import type { LimitName, Limits } from './limits.ts'
import type { FrameTallies, IngestMetrics } from './metrics.ts'
import type { Quarantine } from './quarantine.ts'
import { type FaultReceipt, LIMITED, NO_REPLIES, RENAMED, type Receipt, type WhenSafe } from './receipt.ts'
import type { Shard } from './shards/shard.ts'
import { SyncQueue } from './sync-queue.ts'

export interface IntakeOptions {
  readonly shards: readonly Shard[]
  readonly journal: Journal
  /** Id of the version of each adapter, see decoders.ts. */
  readonly decoders: ReadonlyMap<string, number>
  /** When a frame with positions gets its reply. */
  readonly ackAfter: 'journal' | 'database'
  readonly devices: DeviceRegistry
  readonly commands: CommandDelivery
  readonly quarantine: Quarantine
  readonly limits: Limits
  readonly metrics: IngestMetrics
  readonly log: Logger
}

/** Code of what a device sent that is not registered. */
const UNKNOWN_DEVICE = 'unknown-device'

export class Intake {
  readonly limits: Limits
  readonly metrics: IngestMetrics
  readonly commands: CommandDelivery
  private readonly shards: readonly Shard[]
  private readonly journal: Journal
  private readonly decoders: ReadonlyMap<string, number>
  private readonly ackAfter: 'journal' | 'database'
  private readonly unsynced = new SyncQueue()
  private readonly devices: DeviceRegistry
  private readonly quarantine: Quarantine
  private readonly bugs: AdapterBugLog
  private readonly tallies = new Map<string, FrameTallies>()
  private readonly waitingForRoom = new Set<() => void>()

  constructor(options: IntakeOptions) {
    this.shards = options.shards
    this.journal = options.journal
    this.decoders = options.decoders
    this.ackAfter = options.ackAfter
    this.devices = options.devices
    this.quarantine = options.quarantine
    this.commands = options.commands
    this.limits = options.limits
    this.metrics = options.metrics
    this.bugs = new AdapterBugLog(options.log)
  }

  /**
   * A session of a connection, datagram, request or message.
   * @param mayBe Names that the session may give its device; all if not given.
   */
  open(adapter: Adapter, transport: Transport, mayBe?: (uniqueId: string) => boolean): IntakeSession {
    const { find } = this.devices
    return new IntakeSession(
      adapter,
      transport,
      this.talliesOf(adapter, transport),
      mayBe === undefined ? find : (uniqueId) => (mayBe(uniqueId) ? find(uniqueId) : undefined),
    )
  }

  private talliesOf({ id }: Adapter, transport: Transport): FrameTallies {
    const key = id + transport
    let tallies = this.tallies.get(key)
    if (tallies === undefined) {
      tallies = this.metrics.frameTallies(id, transport)
      this.tallies.set(key, tallies)
    }
    return tallies
  }

  /** The registered device of that name. */
  find(uniqueId: string): RegisteredDevice | undefined {
    return this.devices.find(uniqueId)
  }

  /** Whether a frame may be taken; when not, ask {@link whenRoom} and read nothing until then. */
  get hasRoom(): boolean {
    return this.missingRoom === undefined
  }

  /** The limit that leaves no room; undefined if there is. */
  get missingRoom(): LimitName | undefined {
    if (!this.journal.hasRoom) return 'journalGroupBytesMax'
    for (const shard of this.shards) if (shard.full) return 'batchesPerShardMax'
    return undefined
  }

  /** Calls `resume` once when there is room, in the order of the asking; it is not kept beyond its turn. */
  whenRoom(resume: () => void): void {
    this.waitingForRoom.add(resume)
  }

  forgetWaiting(resume: () => void): void {
    this.waitingForRoom.delete(resume)
  }

  /** All records of the journal before `position` are durable. */
  synced(position: JournalPosition): void {
    this.unsynced.release(position)
  }

  /** A shard or the journal has room again. */
  room(): void {
    // One by one: who is first may fill the batch, and those behind keep their place.
    for (const resume of this.waitingForRoom) {
      if (!this.hasRoom) return
      this.waitingForRoom.delete(resume)
      resume()
    }
  }

  /**
   * Takes one frame; there must be room.
   * @param whenSafe Called if the receipt is `pending`; never before the return.
   * @returns A promise only where the device is unknown and has to be registered first.
   */
  accept(
    adapter: Adapter,
    session: IntakeSession,
    frame: Buffer,
    address: string,
    whenSafe: WhenSafe,
  ): Receipt | Promise<Receipt> {
    session.receivedMs = Date.now()
    // Of a frame that was not taken.
    if (session.answers.length > 0) session.answers.length = 0
    // Each time, since a device may be registered, changed or removed while it is connected.
    if (session.uniqueId !== '') session.device = this.devices.find(session.uniqueId)
    const shard = this.shardOf(session.device)
    const mark = shard.open.mark()
    try {
      return this.decode(adapter, session, frame, address, whenSafe, shard, mark)
    } catch (error) {
      shard.open.rollback(mark)
      return this.fault(adapter, session, frame, address, error)
    }
  }

  /** @throws whatever the adapter throws; rows behind `mark` are to be taken back then. */
  private decode(
    adapter: Adapter,
    session: IntakeSession,
    frame: Buffer,
    address: string,
    whenSafe: WhenSafe,
    shard: Shard,
    mark: PositionBatchMark,
  ): Receipt | Promise<Receipt> {
    const protocol = adapter.id
    const out = shard.open
    const namedBefore = session.uniqueId
    decodeFrame(adapter, frame, session, out)
    if (session.uniqueId.length > this.limits.uniqueIdLengthMax) this.metrics.limitMet('uniqueIdLengthMax')
    checkUniqueId(session.uniqueId, this.limits.uniqueIdLengthMax)
    session.tallies.frames.add()
    if (hasWrongChecksum(out, mark.rows)) {
      this.reject(protocol, 'checksum', frame, address, session.uniqueId)
      if (namedBefore !== '' && session.uniqueId !== namedBefore) {
        out.rollback(mark)
        session.identify(namedBefore)
        return RENAMED
      }
    }
    if (session.device === undefined && (session.uniqueId !== '' || out.length > mark.rows)) {
      if (session.uniqueId === '' || !this.devices.registersUnknown) {
        out.rollback(mark)
        return this.refuse(adapter, session, frame, address)
      }
      const held = takenFrom(out, mark)
      return this.register(adapter, session, frame, address, held, whenSafe)
    }
    if (!this.affords(session, frame.length)) {
      out.rollback(mark)
      return LIMITED
    }
    if (session.answers.length > 0 && session.device !== undefined) {
      this.commands.answered(session.device.id, session)
    }
    if (out.length === mark.rows) return { kind: 'session', replies: repliesOf(adapter, frame, session) }
    const device = session.device!
    // Mostly the frame was decoded where it belongs: into the batch of the shard of its only device.
    if (this.shardOf(device) === shard && !out.namesDevices(mark.rows)) {
      const replies = repliesOf(adapter, frame, session)
      out.device.fill(device.id, mark.rows, out.length)
      out.decoder.fill(this.decoders.get(protocol)!, mark.rows, out.length)
      session.tallies.positions.add(out.length - mark.rows)
      const { receivedMs } = session
      const context = session.context()
      const position = this.journal.append({ receivedMs, device: device.id, context, frame })
      if (this.ackAfter === 'journal') {
        shard.added(mark, position, receivedMs, frame.length)
        this.unsynced.add(position, whenSafe)
      } else shard.added(mark, position, receivedMs, frame.length, whenSafe)
      return { kind: 'pending', replies }
    }
    const moved = takenFrom(out, mark)
    if (this.devices.registersUnknown && strangersOf(session, moved, this.devices).size > 0) {
      return this.register(adapter, session, frame, address, moved, whenSafe)
    }
    return this.place(adapter, session, frame, address, moved, device, whenSafe)
  }

  /**
   * Bytes that break their protocol: a frame, a stream that cannot be read on, a datagram without a whole frame.
   * @param thrown By the adapter or its framing: a DecodeError, or anything else, which is a bug.
   */
  fault(
    adapter: Adapter,
    session: IntakeSession,
    bytes: Buffer,
    address: string,
    thrown: unknown,
  ): FaultReceipt {
    const error = DecodeError.of(thrown)
    if (error.code === 'adapter-bug') this.bugs.add(adapter.id, error)
    if (error.code === 'too-large') this.metrics.limitMet('frameBytesMax')
    this.reject(adapter.id, error.code, bytes, address, session.uniqueId, error.message)
    return { kind: 'fault', error, replies: NO_REPLIES }
  }

  /** Whether the device of a datagram or request may send so much now; connections wait in the socket instead. */
  private affords({ transport, device }: IntakeSession, bytes: number): boolean {
    if (transport === 'tcp' || transport === 'mqtt' || device === undefined) return true
    if (device.traffic.budget.take(bytes)) return true
    this.metrics.limitMet('bytesPerSecondPerDeviceMax')
    return false
  }

  /**
   * Counts what is not taken, by protocol and code, and keeps it in the quarantine.
   * @param uniqueId As the sender gives it; '' if it names no device.
   * @param detail Why, in words.
   */
  reject(
    protocol: string,
    code: string,
    bytes: Buffer,
    address: string,
    uniqueId: string,
    detail = '',
  ): void {
    this.metrics.faults.inc({ protocol, code })
    const storable = storableId(uniqueId, this.limits.uniqueIdLengthMax)
    this.quarantine.add({ protocol, uniqueId: storable, reason: code, detail, frame: bytes, address })
  }

  /** Registers the devices of a frame, then puts the rows that they sent meanwhile where they belong. */
  private async register(
    adapter: Adapter,
    session: IntakeSession,
    frame: Buffer,
    address: string,
    held: PositionBatch,
    whenSafe: WhenSafe,
  ): Promise<Receipt> {
    const { uniqueId } = session
    await Promise.all(
      Array.from(strangersOf(session, held, this.devices), (name) => this.devices.register(name, name)),
    )
    return new Promise((resolve) => {
      const take = () => {
        try {
          // By the session, which may be one that is not allowed to be this device.
          session.identify(uniqueId)
          const { device } = session
          if (device === undefined) resolve(this.refuse(adapter, session, frame, address))
          else if (held.length === 0) {
            resolve({ kind: 'session', replies: repliesOf(adapter, frame, session) })
          } else resolve(this.place(adapter, session, frame, address, held, device, whenSafe))
        } catch (error) {
          resolve(this.fault(adapter, session, frame, address, error))
        }
      }
      // Devices of one moment are registered together, and what they hold may be more than there is room for.
      if (this.hasRoom) take()
      else this.whenRoom(take)
    })
  }

  private refuse(adapter: Adapter, session: IntakeSession, frame: Buffer, address: string): Receipt {
    this.reject(adapter.id, UNKNOWN_DEVICE, frame, address, session.uniqueId)
    const reply = adapter.refuse?.(frame, session)
    const replies = reply === undefined ? NO_REPLIES : [toBuffer(reply)]
    return { kind: 'unknown', uniqueId: session.uniqueId, replies }
  }

  /** Puts rows into the shards of their devices: those of a gateway may belong to several. */
  private place(
    adapter: Adapter,
    session: IntakeSession,
    frame: Buffer,
    address: string,
    rows: PositionBatch,
    device: RegisteredDevice,
    whenSafe: WhenSafe,
  ): Receipt {
    const owners = new Map<string, number>()
    for (let row = 0; row < rows.length; row++) {
      const named = rows.uniqueIdOf(row)
      const owner = named === undefined ? device : this.devices.find(named)
      if (owner === undefined) {
        this.reject(adapter.id, UNKNOWN_DEVICE, frame, address, named!)
        return { kind: 'unknown', uniqueId: named!, replies: NO_REPLIES }
      }
      rows.device[row] = owner.id
      owners.set(named ?? session.uniqueId, owner.id)
    }
    rows.decoder.fill(this.decoders.get(adapter.id)!, 0, rows.length)
    const replies = repliesOf(adapter, frame, session)
    session.tallies.positions.add(rows.length)
    // Not the session's, which may have taken a frame since, while the device was registered.
    const receivedMs = rows.receivedMs[0]!
    const [only] = owners.values()
    const position = this.journal.append({
      receivedMs,
      device: owners.size === 1 ? only! : 0,
      context: session.contextWith(owners),
      frame,
    })
    const marks = new Map<Shard, PositionBatchMark>()
    for (let row = 0; row < rows.length; row++) {
      const shard = this.shardOfId(rows.device[row]!)
      if (!marks.has(shard)) marks.set(shard, shard.open.mark())
      shard.open.appendFrom(rows, row, row + 1)
    }
    let pending = marks.size
    const committed = () => {
      if (--pending === 0) whenSafe()
    }
    for (const [shard, mark] of marks) {
      if (this.ackAfter === 'journal') shard.added(mark, position, receivedMs, frame.length)
      else shard.added(mark, position, receivedMs, frame.length, committed)
    }
    if (this.ackAfter === 'journal') this.unsynced.add(position, whenSafe)
    return { kind: 'pending', replies }
  }

  /** Shard of a device; of an unknown one the first, whose batch is then only a place to decode into. */
  private shardOf(device: RegisteredDevice | undefined): Shard {
    return this.shardOfId(device?.id ?? 0)
  }

  private shardOfId(deviceId: number): Shard {
    return this.shards[deviceId % this.shards.length]!
  }
}

/** Takes the rows behind `mark` out of a batch. */
function takenFrom(batch: PositionBatch, mark: PositionBatchMark): PositionBatch {
  const taken = new PositionBatch(8)
  taken.appendFrom(batch, mark.rows, batch.length)
  batch.rollback(mark)
  return taken
}

/** Whether the adapter took rows of a frame whose checksum does not fit. */
function hasWrongChecksum(batch: PositionBatch, start: number): boolean {
  for (let row = start; row < batch.length; row++) {
    if ((batch.quality[row]! & QUALITY.checksum) !== 0) return true
  }
  return false
}
