/** What one device does over all its connections: how many it has, how much it sends, and how it is reached. */
import type { CommandWay } from '../commands/command-way.ts'

/** So many bytes a second; what is not used in one second is not there in the next. */
export class ByteBudget {
  private readonly bytesPerSecond: number
  /** Below 0: more was spent than there was. */
  private bytes: number
  private atMs = 0

  constructor(bytesPerSecond: number) {
    this.bytesPerSecond = bytesPerSecond
    this.bytes = bytesPerSecond
  }

  /**
   * Takes out bytes that were received already, more than there are if need be.
   * @returns How long to receive nothing, ms; 0 = not at all.
   */
  spend(bytes: number, nowMs = performance.now()): number {
    this.refill(nowMs)
    this.bytes -= bytes
    return this.bytes >= 0 ? 0 : (-this.bytes * 1000) / this.bytesPerSecond
  }

  /** Takes out bytes that may also be dropped. @returns Whether there was anything left for them. */
  take(bytes: number, nowMs = performance.now()): boolean {
    this.refill(nowMs)
    if (this.bytes <= 0) return false
    this.bytes -= bytes
    return true
  }

  private refill(nowMs: number): void {
    const bytes = this.bytes + ((nowMs - this.atMs) * this.bytesPerSecond) / 1000
    this.bytes = Math.min(bytes, this.bytesPerSecond)
    this.atMs = nowMs
  }
}

/** A connection that a newer one of its device takes the place of. */
export interface Replaceable {
  /** To the device, where commands can go on it. */
  readonly way?: CommandWay
  /** Closes it. */
  replace(): void
}

export class DeviceTraffic {
  readonly budget: ByteBudget
  /** The oldest first. */
  private readonly connections: Replaceable[] = []
  /** Of the last datagram, open or not. */
  datagramWay: CommandWay | undefined

  constructor(bytesPerSecondMax: number) {
    this.budget = new ByteBudget(bytesPerSecondMax)
  }

  get hasConnections(): boolean {
    return this.connections.length > 0
  }

  /** The newest way to the device that is open; a datagram's only where there is no connection. */
  get way(): CommandWay | undefined {
    const way = this.connections.findLast((connection) => connection.way?.open)?.way ?? this.datagramWay
    return way?.open ? way : undefined
  }

  /** A connection is known to be the device's: it replaces the oldest if there are more than `max` then. */
  join(connection: Replaceable, max: number): void {
    this.connections.push(connection)
    if (this.connections.length > max) this.connections.shift()!.replace()
  }

  leave(connection: Replaceable): void {
    const at = this.connections.indexOf(connection)
    if (at >= 0) this.connections.splice(at, 1)
  }
}
