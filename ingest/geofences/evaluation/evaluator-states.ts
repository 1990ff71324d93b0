/** What a shard knows of devices, and no more of them than it has memory for. */
import type { DeviceState } from '../../../geofence/visits/visits.ts'

interface Entry {
  state: DeviceState
  /** Looked at since it was last considered for leaving. */
  used: boolean
}

/**
 * States of devices by their id. Beyond a number the ones that were not looked at for the longest time leave; they are
 * in the database, too.
 */
export class DeviceStates {
  /** States that left for want of room, since it was set to 0 last. */
  evicted = 0
  private readonly entries = new Map<number, Entry>()
  private readonly max: number

  /** @param max More may be there between two calls of {@link evict}. */
  constructor(max: number) {
    this.max = max
  }

  get size(): number {
    return this.entries.size
  }

  devices(): number[] {
    return [...this.entries.keys()]
  }

  has(device: number): boolean {
    return this.entries.has(device)
  }

  get(device: number): DeviceState | undefined {
    const entry = this.entries.get(device)
    if (entry === undefined) return undefined
    entry.used = true
    return entry.state
  }

  set(device: number, state: DeviceState): void {
    const entry = this.entries.get(device)
    if (entry === undefined) this.entries.set(device, { state, used: true })
    else entry.state = state
  }

  delete(device: number): void {
    this.entries.delete(device)
  }

  /** Makes room. Who was looked at since the last time gets a second chance: exact order would cost each look. */
  evict(): void {
    for (const [device, entry] of this.entries) {
      if (this.entries.size <= this.max) return
      this.entries.delete(device)
      if (!entry.used) {
        this.evicted++
        continue
      }
      entry.used = false
      // At the end, where this loop gets to it again if all were looked at.
      this.entries.set(device, entry)
    }
  }
}
