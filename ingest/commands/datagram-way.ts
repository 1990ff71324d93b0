/**
 * The way back to a device that sends datagrams: the address of its last one, for as long as networks between keep
 * the way open.
 */
import type { Adapter } from '../../device-adapters/adapter.ts'
import type { IntakeSession } from '../frame-context.ts'
import type { Intake } from '../intake.ts'
import type { CommandWay } from './command-way.ts'

/** One a device: each datagram renews it, so that who is about to send goes by the newest. */
export class DatagramWay implements CommandWay {
  adapter: Adapter
  session: IntakeSession
  sinceMs: number
  private closesMs = 0
  private write: (bytes: Buffer) => void

  private constructor(adapter: Adapter, session: IntakeSession, write: (bytes: Buffer) => void) {
    this.adapter = adapter
    this.session = session
    this.sinceMs = session.receivedMs
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
   * Keeps the way that a datagram of a registered device came.
   * @param write Sends to the address that the datagram came from.
   */
  static keep(
    adapter: Adapter,
    session: IntakeSession,
    intake: Intake,
    write: (bytes: Buffer) => void,
  ): void {
    const { device } = session
    if (adapter.commands === undefined || device === undefined) return
    const before = device.traffic.datagramWay
    const way = before instanceof DatagramWay ? before : new DatagramWay(adapter, session, write)
    if (!way.open) way.sinceMs = session.receivedMs
    // The numbers of commands go on, since the device knows nothing of our sessions.
    session.commandSerial = way.session.commandSerial
    way.adapter = adapter
    way.session = session
    way.write = write
    way.closesMs = performance.now() + intake.limits.datagramReturnMs
    device.traffic.datagramWay = way
    intake.commands.offer(device.id)
  }
}
