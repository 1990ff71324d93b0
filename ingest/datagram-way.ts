/**
 * The way back to a device that sends datagrams: the address of its last one, for as long as networks between keep
 * the way open.
 */
import type { Adapter } from '../device-adapters/adapter.ts'
import type { CommandWay } from './command-way.ts'
import type { IntakeSession } from './frame-context.ts'
import type { Intake } from './intake.ts'

export class DatagramWay implements CommandWay {
  readonly adapter: Adapter
  readonly session: IntakeSession
  readonly sinceMs: number
  private readonly closesMs: number
  private readonly write: (bytes: Buffer) => void

  private constructor(
    adapter: Adapter,
    session: IntakeSession,
    sinceMs: number,
    returnMs: number,
    write: (bytes: Buffer) => void,
  ) {
    this.adapter = adapter
    this.session = session
    this.sinceMs = sinceMs
    this.closesMs = performance.now() + returnMs
    this.write = write
  }

  get open(): boolean {
    return performance.now() < this.closesMs
  }

  sendCommand(bytes: Buffer): boolean {
    if (!this.open) return false
    this.write(bytes)
    return true
  }

  /**
   * Keeps the way that a datagram of a registered device came, instead of the one before.
   * @param write Sends to the address that the datagram came from.
   */
  static keep(
    adapter: Adapter,
    session: IntakeSession,
    intake: Intake,
    write: (bytes: Buffer) => void,
  ): void {
    const { device, receivedMs } = session
    if (adapter.commands === undefined || device === undefined) return
    const before = device.traffic.datagramWay
    // The numbers of commands go on, since the device knows nothing of our sessions.
    session.commandSerial = before?.session.commandSerial ?? 0
    const sinceMs = before?.open ? before.sinceMs : receivedMs
    const { datagramReturnMs } = intake.limits
    device.traffic.datagramWay = new DatagramWay(adapter, session, sinceMs, datagramReturnMs, write)
    intake.commands.offer(device.id)
  }
}
