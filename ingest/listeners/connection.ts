/**
 * One TCP connection of a device: bytes to frames, frames to the intake, replies back in the order of the frames.
 * It knows no sockets but their smallest face ({@link Peer}), so that its tests need none.
 */
import type { Adapter } from '../../device-adapters/adapter.ts'
import { FrameReader } from '../../device-adapters/frames.ts'
import type { CommandWay } from '../commands/command-way.ts'
import { ByteBudget, type DeviceTraffic, type Replaceable } from '../devices/device-traffic.ts'
import type { IntakeSession } from '../frame-context.ts'
import type { Intake } from '../intake.ts'
import type { Receipt } from '../receipt.ts'

/** A device that sent too much is not waited for any longer than this before a look whether it still has to be, ms. */
const BUDGET_WAIT_MS_MAX = 1_000

/** Frames of a connection that are taken in a row: others have their turn then, since a frame may be as short as a byte. */
const FRAMES_PER_TURN = 256

/** What a connection needs of its socket. */
export interface Peer {
  readonly address: string
  write(bytes: Buffer): void
  /** Bytes written that the device has not taken. */
  readonly unsentBytes: number
  pause(): void
  resume(): void
  /** Told how many bytes wait in the connection. @returns Whether it may go on. */
  hold(bytes: number, bytesBefore: number): boolean
  /** Sends what is written, then closes. */
  close(): void
}

interface PendingReply {
  replies: readonly Buffer[]
  ready: boolean
  closeAfter: boolean
}

export class Connection implements Replaceable, CommandWay {
  readonly adapter: Adapter
  private readonly intake: Intake
  private readonly peer: Peer
  readonly session: IntakeSession
  private readonly reader: FrameReader
  private readonly pending: PendingReply[] = []
  private paused = false
  /** A frame waits for its device to be registered: those behind it wait too. */
  private busy = false
  private pumping = false
  /** Others have their turn. */
  private resting = false
  /** The stream cannot be read on; what was received before still gets its replies. */
  private broken = false
  /** The device sends no more: what it sent is still taken and gets its replies. */
  private ended = false
  private closed = false
  private faults = 0
  private heldBytes = 0
  /** Receipt of the frame that named the device. */
  sinceMs = 0
  /** Of the device, once it is known. */
  private traffic: DeviceTraffic | undefined
  private readonly ownBudget: ByteBudget
  /** Runs while nothing is read since the device sent too much. */
  private budgetTimer: NodeJS.Timeout | undefined
  private readonly resumeWhenRoom = () => this.pump()

  /** A whole frame has come in that did not break its protocol. */
  private spoke = false

  constructor(adapter: Adapter, intake: Intake, peer: Peer) {
    this.adapter = adapter
    this.intake = intake
    this.peer = peer
    this.session = intake.open(adapter, 'tcp')
    this.reader = new FrameReader(adapter, 'tcp', intake.limits.frameBytesMax)
    this.ownBudget = new ByteBudget(intake.limits.bytesPerSecondPerDeviceMax)
  }

  /** Whether there was no whole frame yet, and that is not because the socket is not read. */
  get owesFirstFrame(): boolean {
    return !this.spoke && !this.paused
  }

  get way(): CommandWay {
    return this
  }

  /** Whether the device can be told something: it has not closed its side, and we have not closed ours. */
  get open(): boolean {
    return !this.closed && !this.broken && !this.ended
  }

  /** Between replies, which keep their order whatever comes between. */
  sendCommand(bytes: Buffer): boolean {
    if (!this.open) return false
    if (!this.write(bytes)) this.close()
    return true
  }

  /** Takes what came in on the socket. */
  receive(bytes: Buffer): void {
    if (this.closed || this.broken) return
    this.reader.push(bytes)
    this.pump()
    const waitMs = this.budget.spend(bytes.length)
    if (waitMs > 0 && this.budgetTimer === undefined) {
      this.intake.metrics.limitMet('bytesPerSecondPerDeviceMax')
      this.awaitBudget(waitMs)
    }
  }

  /** The device has closed its side. */
  end(): void {
    this.ended = true
    this.pump()
  }

  /** The socket is gone: nothing more is read or replied. */
  gone(): void {
    // Where frames wait for room, what is left is no piece of one.
    if (!this.closed && !this.broken && !this.paused) this.rejectCut()
    this.stop()
  }

  /** Nothing more is read or replied. */
  stop(): void {
    this.closed = true
    this.intake.forgetWaiting(this.resumeWhenRoom)
    clearTimeout(this.budgetTimer)
    this.traffic?.leave(this)
    this.peer.hold(0, this.heldBytes)
    this.heldBytes = 0
  }

  replace(): void {
    this.intake.metrics.limitMet('connectionsPerDeviceMax')
    this.close()
  }

  private get budget(): ByteBudget {
    return this.traffic?.budget ?? this.ownBudget
  }

  private awaitBudget(waitMs: number): void {
    if (this.closed || this.broken) return
    this.pause()
    const resume = () => {
      this.budgetTimer = undefined
      const leftMs = this.budget.spend(0)
      if (leftMs > 0) this.awaitBudget(leftMs)
      else this.pump()
    }
    this.budgetTimer = setTimeout(resume, Math.min(Math.ceil(waitMs), BUDGET_WAIT_MS_MAX))
  }

  /** Takes frames while there is room for them, and reads on as soon as there is. */
  private pump(): void {
    // A reply that goes at once comes back here: the loop below is running then.
    if (this.pumping || this.resting) return
    this.pumping = true
    for (let frames = 0; this.takesMore(); frames++) {
      if (frames === FRAMES_PER_TURN) {
        this.rest()
        break
      }
      let frame: Buffer | undefined
      try {
        frame = this.reader.next()
      } catch (error) {
        this.intake.fault(this.adapter, this.session, this.reader.take(), this.peer.address, error)
        this.break()
        break
      }
      if (frame === undefined) {
        if (this.ended) {
          this.rejectCut()
          this.break()
        } else if (this.budgetTimer === undefined) this.unpause()
        break
      }
      this.take(frame)
    }
    this.pumping = false
    this.hold()
  }

  private rest(): void {
    this.pause()
    this.resting = true
    setImmediate(() => {
      this.resting = false
      this.pump()
    })
  }

  /** Counts what is left. */
  private hold(): void {
    const bytes = this.closed ? 0 : this.reader.buffered
    if (bytes === this.heldBytes) return
    const mayGoOn = this.peer.hold(bytes, this.heldBytes)
    this.heldBytes = bytes
    if (!mayGoOn) this.close()
  }

  private takesMore(): boolean {
    if (this.closed || this.broken || this.busy) return false
    if (this.pending.length >= this.intake.limits.pendingFramesPerConnectionMax) {
      // Goes on in `release`.
      if (!this.paused) this.intake.metrics.limitMet('pendingFramesPerConnectionMax')
      this.pause()
      return false
    }
    const { missingRoom } = this.intake
    if (missingRoom !== undefined) {
      if (!this.paused) this.intake.metrics.limitMet(missingRoom)
      this.pause()
      this.intake.whenRoom(this.resumeWhenRoom)
      return false
    }
    return true
  }

  private take(frame: Buffer): void {
    const reply: PendingReply = { replies: [], ready: false, closeAfter: false }
    this.pending.push(reply)
    const receipt = this.intake.accept(this.adapter, this.session, frame, this.peer.address, () => {
      reply.ready = true
      this.release()
    })
    if (!(receipt instanceof Promise)) {
      this.settle(reply, receipt)
      return
    }
    this.busy = true
    this.pause()
    void receipt.then((settled) => {
      this.busy = false
      this.settle(reply, settled)
      this.pump()
    })
  }

  private settle(reply: PendingReply, receipt: Receipt): void {
    reply.replies = receipt.replies
    const traffic = this.session.device?.traffic
    if (traffic !== this.traffic) {
      this.belongTo(traffic)
      if (this.session.device !== undefined) this.intake.commands.offer(this.session.device.id)
    }
    if (receipt.kind === 'fault') {
      this.faults++
      const tooMany = this.faults >= this.intake.limits.faultsPerConnectionMax
      if (tooMany) this.intake.metrics.limitMet('faultsPerConnectionMax')
      // After a bug nobody knows what the adapter's state of this connection is worth.
      reply.closeAfter = tooMany || receipt.error.code === 'adapter-bug'
    } else {
      this.faults = 0
      this.spoke = true
      // A refusal is the last word: a protocol without one just gets no reply.
      reply.closeAfter = receipt.kind === 'unknown' && receipt.replies.length > 0
    }
    if (receipt.kind !== 'pending') {
      reply.ready = true
      this.release()
    }
  }

  private belongTo(traffic: DeviceTraffic | undefined): void {
    if (this.closed) return
    this.traffic?.leave(this)
    this.traffic = traffic
    this.sinceMs = this.session.receivedMs
    traffic?.join(this, this.intake.limits.connectionsPerDeviceMax)
  }

  /** Sends every reply that is ready and has none before it that is not. */
  private release(): void {
    if (this.closed) return
    const ready: Buffer[] = []
    let close = false
    while (!close && this.pending.length > 0 && this.pending[0]!.ready) {
      const reply = this.pending.shift()!
      ready.push(...reply.replies)
      close = reply.closeAfter
    }
    if (ready.length > 0) {
      this.session.tallies.replies.add(ready.length)
      if (!this.write(ready.length === 1 ? ready[0]! : Buffer.concat(ready))) close = true
    }
    if (close) this.close()
    else if (this.paused) this.pump()
  }

  /** @returns Whether the device takes what is written. */
  private write(bytes: Buffer): boolean {
    this.peer.write(bytes)
    if (this.peer.unsentBytes <= this.intake.limits.unsentReplyBytesMax) return true
    this.intake.metrics.limitMet('unsentReplyBytesMax')
    return false
  }

  /** Reads no more, and closes once the frames before the fault have their replies. */
  private break(): void {
    this.broken = true
    this.pause()
    this.pending.push({ replies: [], ready: true, closeAfter: true })
    this.release()
  }

  /** A frame whose end does not come. */
  private rejectCut(): void {
    if (this.reader.buffered === 0) return
    this.intake.reject(this.adapter.id, 'cut', this.reader.take(), this.peer.address, this.session.uniqueId)
  }

  private close(): void {
    this.stop()
    this.peer.close()
  }

  private pause(): void {
    if (this.paused) return
    this.paused = true
    this.peer.pause()
  }

  private unpause(): void {
    if (!this.paused) return
    this.paused = false
    this.peer.resume()
  }
}
