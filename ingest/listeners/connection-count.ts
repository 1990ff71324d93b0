/** Open device connections over all listeners and what they hold in memory, against their limits. */
import type { Socket } from 'node:net'
import type { LimitName, Limits } from '../limits.ts'
import type { IngestMetrics } from '../metrics.ts'

/** Where a connection is counted. */
export interface ConnectionLabels {
  readonly protocol: string
  readonly transport: string
}

export class ConnectionCount {
  private open = 0
  private readonly openByNetwork = new Map<string, number>()
  private readonly labels = new WeakMap<Socket, ConnectionLabels>()
  private heldBytes = 0
  private readonly limits: Limits
  private readonly metrics: IngestMetrics

  constructor(limits: Limits, metrics: IngestMetrics) {
    this.limits = limits
    this.metrics = metrics
  }

  /**
   * Counts a connection until it closes. Without room for it, it is closed at once. One that is counted already, and
   * was handed over to another listener, is counted there from now on.
   * @returns Whether it is open.
   */
  admit(socket: Socket, labels: ConnectionLabels): boolean {
    const before = this.labels.get(socket)
    if (before !== undefined) {
      this.metrics.connections.dec({ ...before })
      this.metrics.connections.inc({ ...labels })
      this.labels.set(socket, labels)
      return true
    }
    const network = networkOf(socket.remoteAddress ?? '')
    const openThere = this.openByNetwork.get(network) ?? 0
    if (this.open >= this.limits.connectionsMax) return this.refuse(socket, 'connectionsMax')
    if (openThere >= this.limits.connectionsPerAddressMax)
      return this.refuse(socket, 'connectionsPerAddressMax')
    this.open++
    this.openByNetwork.set(network, openThere + 1)
    this.metrics.connections.inc({ ...labels })
    this.labels.set(socket, labels)
    socket.once('close', () => {
      this.open--
      const left = this.openByNetwork.get(network)! - 1
      if (left > 0) this.openByNetwork.set(network, left)
      else this.openByNetwork.delete(network)
      this.metrics.connections.dec({ ...this.labels.get(socket) })
    })
    return true
  }

  /**
   * A connection holds other bytes than before.
   * @returns Whether it may go on: not, where all hold too much and it holds more than its share.
   */
  hold(bytes: number, bytesBefore: number): boolean {
    this.heldBytes += bytes - bytesBefore
    const { heldBytesMax } = this.limits
    if (this.heldBytes <= heldBytesMax || bytes <= heldBytesMax / this.open) return true
    this.metrics.limitMet('heldBytesMax')
    return false
  }

  private refuse(socket: Socket, limit: LimitName): false {
    this.metrics.limitMet(limit)
    socket.destroy()
    return false
  }
}

/** The address itself, or the first 64 bits of an IPv6 address: one host has all that begin so. */
export function networkOf(address: string): string {
  // With a dot it is IPv4, also within IPv6.
  if (!address.includes(':') || address.includes('.')) return address
  const [head = '', tail] = address.split('::')
  const groups = head === '' ? [] : head.split(':')
  const zeros = tail === undefined ? 0 : 8 - groups.length - (tail === '' ? 0 : tail.split(':').length)
  for (let i = 0; i < zeros; i++) groups.push('0')
  return groups.slice(0, 4).join(':')
}
