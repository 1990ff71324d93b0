/** What a scope has, now: devices, and items of the log and of last positions. */
import type { LogSegment } from '../log/segment.ts'
import type { View } from './chunks.ts'
import type { Hub } from './hub.ts'
import type { ScopeFilter } from './scope-filter.ts'

export class ScopeItems {
  private readonly hub: Hub
  private readonly view: View
  private readonly filter: ScopeFilter

  constructor(hub: Hub, view: View, filter: ScopeFilter) {
    this.hub = hub
    this.view = view
    this.filter = filter
  }

  /** Whether an item of the log may be seen by the organisation. */
  sees(item: number): boolean {
    const { commits } = this.hub.stream
    return this.hub.chunks.sees(this.view.organizationId, commits.segmentOf(item), commits.indexOf(item))
  }

  /** Whether the item, of the log or read from storage, is a position that is as new as the last of its device. */
  isLast(segment: LogSegment, index: number): boolean {
    const { positions } = this.hub.stream
    const row = positions.rowInSlot(segment.slots[index]!)
    if (row < 0 || segment.isEvent(index)) return false
    return segment.batch.fixTimeMs[index]! >= positions.batch.fixTimeMs[row]!
  }

  /** Slots of all devices in the scope; of an area also those that the organisation does not see. */
  slots(): Set<number> {
    const { positions } = this.hub.stream
    return new Set(this.filter.slots() ?? positions.slotsSeenBy(this.view.organizationId))
  }

  /** Last positions from an item on, and those of some slots whatever their age; ascending. */
  lastPositions(from: number, shown: ReadonlySet<number>): number[] {
    const slots = shown.size === 0 ? (this.filter.slots() ?? []) : new Set([...this.slots(), ...shown])
    const { positions } = this.hub.stream
    return this.lastOf(slots).filter((item) => item >= from || shown.has(positions.slotOfItem(item)))
  }

  /** Last positions of some slots, those that are seen; ascending. */
  lastOf(slots: Iterable<number>): number[] {
    const { positions } = this.hub.stream
    const items: number[] = []
    for (const slot of slots) {
      const row = positions.rowInSlot(slot)
      if (row >= 0 && positions.sees(this.view.organizationId, slot)) items.push(positions.itemOf(row))
    }
    return items.sort((a, b) => a - b)
  }

  /** Items of a walk: those, and events from an item on; ascending. */
  walk(from: number, shown: ReadonlySet<number>, eventsFrom: number): number[] {
    const items = this.lastPositions(from, shown)
    items.push(...this.events(eventsFrom))
    return items.sort((a, b) => a - b)
  }

  /** Events that are seen, from an item of the log on. */
  events(from: number): number[] {
    const { chunks, stream } = this.hub
    const items = [...chunks.visibleEvents(this.view, from)]
    if (this.filter.slots() === null) return items
    const { commits } = stream
    return items.filter((item) => this.filter.has(commits.segmentOf(item), commits.indexOf(item)))
  }

  /** What a walk from an item on would send, and events from another on. */
  countWalk(from: number, eventsFrom: number): { rows: number; events: number } {
    const rows =
      this.filter.slots() === null
        ? this.hub.chunks.countWalk(this.view, from)
        : this.lastPositions(from, new Set()).length
    return { rows, events: this.events(eventsFrom).length }
  }
}
