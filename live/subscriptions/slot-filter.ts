/** Scopes that are a set of devices: named by the client, or kept by somebody else, such as the members of a group. */
import type { LogSegment } from '../log/segment.ts'
import type { Dispatcher, ScopeFilter, ScopeSink } from './scope-filter.ts'

/** Finds the filters that have a device. */
export class SlotIndex implements Dispatcher {
  /** By slot. */
  private readonly filters = new Map<number, Set<SlotFilter>>()

  dispatch(segment: LogSegment, index: number, item: number): void {
    if (this.filters.size === 0) return
    const filters = this.filters.get(segment.slots[index]!)
    if (filters !== undefined) for (const filter of filters) filter.sink!.take(item)
  }

  enter(slot: number, filter: SlotFilter): void {
    const filters = this.filters.get(slot)
    if (filters === undefined) this.filters.set(slot, new Set([filter]))
    else filters.add(filter)
  }

  leave(slot: number, filter: SlotFilter): void {
    const filters = this.filters.get(slot)
    if (filters?.delete(filter) && filters.size === 0) this.filters.delete(slot)
  }
}

export class SlotFilter implements ScopeFilter {
  /** While it is open. */
  sink: ScopeSink | undefined
  readonly byPlace = false
  readonly deviceCount: number
  private readonly index: SlotIndex
  private readonly held: Set<number>

  /** @param deviceCount Devices that the client named; 0 where others keep the set. */
  constructor(index: SlotIndex, slots: Iterable<number>, deviceCount = 0) {
    this.index = index
    this.held = new Set(slots)
    this.deviceCount = deviceCount
  }

  slots(): Iterable<number> {
    return this.held
  }

  has(segment: LogSegment, index: number): boolean {
    return this.held.has(segment.slots[index]!)
  }

  includes(slot: number): boolean {
    return this.held.has(slot)
  }

  open(sink: ScopeSink): void {
    this.sink = sink
    for (const slot of this.held) this.index.enter(slot, this)
  }

  close(): void {
    for (const slot of this.held) this.index.leave(slot, this)
    this.sink = undefined
  }

  /** The devices are in the scope from now on: what is known of them is shown. */
  add(slots: Iterable<number>): void {
    for (const slot of slots) {
      if (this.held.has(slot)) continue
      this.held.add(slot)
      if (this.sink === undefined) continue
      this.index.enter(slot, this)
      this.sink.show(slot)
    }
  }

  /** The devices are in the scope no more. */
  remove(slots: Iterable<number>): void {
    for (const slot of slots) {
      if (!this.held.delete(slot) || this.sink === undefined) continue
      this.index.leave(slot, this)
      this.sink.left(slot)
    }
  }
}
