/**
 * Stands between the socket of an MQTT connection and the broker, which reads the socket itself: checks what comes in,
 * and holds it back while the device has sent too much, or there is no room for it. The socket is not read then.
 */
import type { Socket } from 'node:net'
import { ByteBudget } from '../devices/device-traffic.ts'
import type { Intake } from '../intake.ts'
import { type MqttFault, MqttGuard } from './mqtt-guard.ts'

/** A device that sent too much is not waited for any longer than this before a look whether it still has to be, ms. */
const BUDGET_WAIT_MS_MAX = 1_000
const NO_BYTES = Buffer.alloc(0)

export interface MqttGateEvents {
  /** Bytes came in, before anything is known of them. */
  onBytes(bytes: Buffer): void
  /** Told how many bytes wait here. @returns Whether the connection may go on. */
  hold(bytes: number, bytesBefore: number): boolean
}

export class MqttGate {
  readonly guard: MqttGuard
  /** What breaks the protocol; nothing is read any more then. */
  fault: MqttFault | undefined
  /** Of the device, once it is known. */
  private budget: ByteBudget
  private isConnected = false
  private readonly intake: Intake
  private readonly socket: Socket
  private readonly events: MqttGateEvents
  private readonly pass: (bytes: Buffer) => boolean
  /** What the broker is to get next. */
  private waiting: Buffer = NO_BYTES
  private heldBytes = 0
  /** Messages that the broker has and that have no answer yet. */
  private messages = 0
  private timer: NodeJS.Timeout | undefined
  private readonly goOn = () => {
    clearTimeout(this.timer)
    this.timer = undefined
    if (this.waiting.length === 0 || this.socket.destroyed) return
    const waitMs = this.budget.spend(0)
    if (!this.opens(waitMs)) return
    const bytes = this.waiting
    this.waiting = NO_BYTES
    this.hold()
    this.pass(bytes)
  }

  constructor(socket: Socket, intake: Intake, packetBytesMax: number, events: MqttGateEvents) {
    this.socket = socket
    this.intake = intake
    this.events = events
    this.guard = new MqttGuard(packetBytesMax)
    this.budget = new ByteBudget(intake.limits.bytesPerSecondPerDeviceMax)
    const pass = socket.push.bind(socket)
    this.pass = pass
    // Node hands over what it reads by `push`, and reads no more when that says no, until it is asked again.
    socket.push = (chunk: unknown, encoding?: BufferEncoding) =>
      chunk instanceof Buffer ? this.receive(chunk) : pass(chunk, encoding)
  }

  /** The device said who it is, and may. Before, nothing waits for room: a device is told at once whether it may. */
  connected(budget: ByteBudget): void {
    this.budget = budget
    this.isConnected = true
  }

  /** The broker has a message. */
  messageTaken(): void {
    this.messages++
  }

  /** A message has its answer. */
  messageDone(): void {
    this.messages--
    // Not within the answer: what comes next may be answered as fast.
    if (this.waiting.length > 0 && this.timer === undefined) setImmediate(this.goOn)
  }

  /** The socket is gone. */
  close(): void {
    clearTimeout(this.timer)
    this.intake.forgetWaiting(this.goOn)
    this.waiting = NO_BYTES
    this.events.hold(0, this.heldBytes)
    this.heldBytes = 0
  }

  private receive(bytes: Buffer): boolean {
    this.fault = this.guard.check(bytes)
    this.events.onBytes(bytes)
    if (this.fault !== undefined) {
      if (this.fault === 'too-large') this.intake.metrics.limitMet('frameBytesMax')
      this.socket.destroy()
      return false
    }
    const waitMs = this.budget.spend(bytes.length)
    if (waitMs > 0) this.intake.metrics.limitMet('bytesPerSecondPerDeviceMax')
    const passes = this.waiting.length === 0 && this.opens(waitMs)
    if (!passes) this.waiting = this.waiting.length === 0 ? bytes : Buffer.concat([this.waiting, bytes])
    this.hold()
    return passes && this.pass(bytes)
  }

  /** Whether the broker may get more now; if not, `goOn` is called when it may be. */
  private opens(waitMs: number): boolean {
    const { intake } = this
    const isFirstTry = this.waiting.length === 0
    if (waitMs > 0) {
      this.timer ??= setTimeout(this.goOn, Math.min(Math.ceil(waitMs), BUDGET_WAIT_MS_MAX))
      return false
    }
    if (!this.isConnected) return true
    const { missingRoom } = intake
    if (missingRoom !== undefined) {
      if (isFirstTry) intake.metrics.limitMet(missingRoom)
      intake.whenRoom(this.goOn)
      return false
    }
    if (this.messages >= intake.limits.pendingFramesPerConnectionMax) {
      if (isFirstTry) intake.metrics.limitMet('pendingFramesPerConnectionMax')
      return false
    }
    return true
  }

  /** Counts what waits here, and the piece of a packet that waits in the broker. */
  private hold(): void {
    const bytes = this.waiting.length + this.guard.pieceBytes
    if (bytes === this.heldBytes) return
    const mayGoOn = this.events.hold(bytes, this.heldBytes)
    this.heldBytes = bytes
    if (!mayGoOn) this.socket.destroy()
  }
}
