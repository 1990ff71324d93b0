/**
 * One TCP connection of a device: bytes to frames, frames to the intake, replies back in the order of the frames.
 * It knows no sockets but their smallest face ({@link Peer}), so that its tests need none.
 */
import type { Adapter } from '../device-adapters/adapter.ts'
import { FrameReader } from '../device-adapters/frames.ts'
import type { Intake, IntakeSession, Receipt } from './intake.ts'

/** What a connection needs of its socket. */
export interface Peer {
  readonly address: string
  write(bytes: Buffer): void
  /** Bytes written that the device has not taken. */
  readonly unsentBytes: number
  pause(): void
  resume(): void
  /** Sends what is written, then closes. */
  close(): void
}

interface PendingReply {
  replies: readonly Buffer[]
  ready: boolean
  closeAfter: boolean
}

export class Connection {
  private readonly adapter: Adapter
  private readonly intake: Intake
  private readonly peer: Peer
  private readonly session: IntakeSession
  private readonly reader: FrameReader
  private readonly pending: PendingReply[] = []
  private paused = false
  /** A frame waits for its device to be registered: those behind it wait too. */
  private busy = false
  private pumping = false
  /** The stream cannot be read on; what was received before still gets its replies. */
  private broken = false
  /** The device sends no more: what it sent is still taken and gets its replies. */
  private ended = false
  private closed = false
  private faults = 0
  private readonly resumeWhenRoom = () => this.pump()

  /** Whether a whole frame has come in that did not break its protocol. */
  spoke = false

  constructor(adapter: Adapter, intake: Intake, peer: Peer) {
    this.adapter = adapter
    this.intake = intake
    this.peer = peer
    this.session = intake.open(adapter, 'tcp')
    this.reader = new FrameReader(adapter, 'tcp')
  }

  /** Takes what came in on the socket. */
  receive(bytes: Buffer): void {
    if (this.closed || this.broken) return
    this.reader.push(bytes)
    this.pump()
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
  }

  /** Takes frames while there is room for them, and reads on as soon as there is. */
  private pump(): void {
    // A reply that goes at once comes back here: the loop below is running then.
    if (this.pumping) return
    this.pumping = true
    while (this.takesMore()) {
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
        } else this.unpause()
        break
      }
      this.take(frame)
    }
    this.pumping = false
  }

  private takesMore(): boolean {
    if (this.closed || this.broken || this.busy) return false
    if (this.pending.length >= this.intake.limits.pendingFramesPerConnectionMax) {
      // Goes on in `release`.
      this.pause()
      return false
    }
    if (!this.intake.hasRoom) {
      this.pause()
      this.intake.whenRoom(this.resumeWhenRoom)
      return false
    }
    return true
  }

  private take(frame: Buffer): void {
    const reply: PendingReply = { replies: [], ready: false, closeAfter: false }
    this.pending.push(reply)
    const receipt = this.intake.accept(this.adapter, this.session, frame, this.peer.address, (stored) => {
      reply.ready = true
      // A frame that the database refused gets no reply, and those behind it must not be taken for it.
      if (!stored) {
        reply.replies = []
        reply.closeAfter = true
      }
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
    if (receipt.kind === 'fault') {
      this.faults++
      const tooMany = this.faults >= this.intake.limits.faultsPerConnectionMax
      if (tooMany) this.intake.metrics.limits.inc({ limit: 'faultsPerConnectionMax' })
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
      this.intake.metrics.replies.inc({ protocol: this.adapter.id }, ready.length)
      this.peer.write(ready.length === 1 ? ready[0]! : Buffer.concat(ready))
      if (this.peer.unsentBytes > this.intake.limits.unsentReplyBytesMax) {
        this.intake.metrics.limits.inc({ limit: 'unsentReplyBytesMax' })
        close = true
      }
    }
    if (close) this.close()
    else if (this.paused) this.pump()
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
