/** Devices that have left a scope and are still to be told of. */
import type { LastPositions } from '../log/last-positions.ts'
import type { Outlet } from './feed.ts'

/** Devices of one `left` message at most. */
export const LEFT_DEVICES_MAX = 1_000

export class Leaves {
  private readonly slots = new Set<number>()
  private readonly outlet: Outlet
  private readonly positions: LastPositions

  constructor(outlet: Outlet, positions: LastPositions) {
    this.outlet = outlet
    this.positions = positions
  }

  add(slot: number): void {
    this.slots.add(slot)
  }

  /**
   * @param when Those who have to follow a row at once do not wait: they are few.
   * @returns Whether all are told of; false = the socket has enough, or is closed.
   */
  send(when?: 'also when full'): boolean {
    while (this.slots.size > 0) {
      if (this.outlet.full && when === undefined) return false
      const some: number[] = []
      for (const slot of this.slots) {
        if (some.length === LEFT_DEVICES_MAX) break
        some.push(slot)
      }
      for (const slot of some) this.slots.delete(slot)
      const devices = some.map((slot) => this.positions.deviceIn(slot))
      if (!this.outlet.send({ type: 'left', id: this.outlet.id, devices })) return false
    }
    return true
  }
}
