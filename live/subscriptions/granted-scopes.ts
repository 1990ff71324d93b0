/** Scopes of those who see a few devices only: drivers, and who has a share link. They follow what is granted. */
import type { LastPositions } from '../log/last-positions.ts'
import type { LogSegment } from '../log/segment.ts'
import type { Grant, GrantChange } from '../sockets/grants.ts'
import type { ScopeFilter, ScopeSink } from './scope-filter.ts'
import { SlotFilter, type SlotIndex } from './slot-filter.ts'

/** A scope that follows a grant. */
interface GrantedScope {
  readonly grant: Grant
  /** Whether it has all devices that it wants; the stream may not have heard of a new one yet. */
  isComplete: boolean
  /** Adds what is granted and wanted. */
  complete(): void
  remove(slots: Iterable<number>): void
}

/** The scopes of all sockets, by what is granted to them. */
export class GrantedScopes {
  private readonly positions: LastPositions
  private readonly index: SlotIndex
  private readonly open = new Map<Grant, Set<GrantedScope>>()

  constructor(positions: LastPositions, index: SlotIndex) {
    this.positions = positions
    this.index = index
  }

  /**
   * @param organizationId Of whom the devices are granted to.
   * @param named Devices that the client names, all of which are granted; null = all that are.
   */
  filter(grant: Grant, organizationId: number | null, named: ReadonlySet<number> | null): SlotFilter {
    return new GrantedFilter(this, this.index, grant, organizationId, named)
  }

  /**
   * What is granted, as far as it is in the area of a filter of its own.
   * @param slotOf Device of an item of the log.
   */
  within(
    area: ScopeFilter,
    grant: Grant,
    organizationId: number | null,
    slotOf: (item: number) => number,
  ): ScopeFilter {
    return new GrantedArea(this, area, grant, organizationId, slotOf)
  }

  /** Gives the scopes what has come to them, and takes what has gone. @returns Whether anything is to be sent. */
  changed(changes: readonly GrantChange[]): boolean {
    let any = false
    for (const { grant, removed } of changes) {
      for (const filter of this.open.get(grant) ?? []) {
        filter.remove(this.slotsOf(null, removed))
        filter.isComplete = false
      }
    }
    for (const filters of this.open.values()) {
      for (const filter of filters) {
        if (filter.isComplete) continue
        filter.complete()
        any = true
      }
    }
    return any
  }

  slotsOf(organizationId: number | null, devices: Iterable<number>): number[] {
    return [...devices].flatMap((device) => this.positions.slotIn(organizationId, device) ?? [])
  }

  enter(filter: GrantedScope): void {
    const filters = this.open.get(filter.grant)
    if (filters === undefined) this.open.set(filter.grant, new Set([filter]))
    else filters.add(filter)
  }

  leave(filter: GrantedScope): void {
    const filters = this.open.get(filter.grant)
    if (filters?.delete(filter) && filters.size === 0) this.open.delete(filter.grant)
  }
}

class GrantedFilter extends SlotFilter implements GrantedScope {
  isComplete = false
  readonly grant: Grant
  readonly organizationId: number | null
  readonly named: ReadonlySet<number> | null
  private readonly scopes: GrantedScopes

  constructor(
    scopes: GrantedScopes,
    index: SlotIndex,
    grant: Grant,
    organizationId: number | null,
    named: ReadonlySet<number> | null,
  ) {
    super(index, scopes.slotsOf(organizationId, named ?? grant.devices), named?.size ?? 0)
    this.scopes = scopes
    this.grant = grant
    this.organizationId = organizationId
    this.named = named
  }

  complete(): void {
    const { grant, named } = this
    const wanted = named === null ? grant.devices : [...named].filter((device) => grant.devices.has(device))
    const slots = this.scopes.slotsOf(this.organizationId, wanted)
    this.add(slots)
    this.isComplete = slots.length === (named ?? grant.devices).size
  }

  override open(sink: ScopeSink): void {
    super.open(sink)
    this.scopes.enter(this)
  }

  override close(): void {
    this.scopes.leave(this)
    super.close()
  }
}

class GrantedArea implements ScopeFilter, GrantedScope {
  readonly byPlace = true
  readonly deviceCount = 0
  readonly grant: Grant
  isComplete = false
  private readonly scopes: GrantedScopes
  private readonly area: ScopeFilter
  private readonly organizationId: number | null
  private readonly slotOf: (item: number) => number
  private readonly granted = new Set<number>()
  private sink: ScopeSink | undefined

  constructor(
    scopes: GrantedScopes,
    area: ScopeFilter,
    grant: Grant,
    organizationId: number | null,
    slotOf: (item: number) => number,
  ) {
    this.scopes = scopes
    this.area = area
    this.grant = grant
    this.organizationId = organizationId
    this.slotOf = slotOf
    this.complete()
  }

  slots(): Iterable<number> {
    return [...this.granted].filter((slot) => this.area.includes(slot))
  }

  contains(latitudeDeg: number, longitudeDeg: number): boolean {
    return this.area.contains?.(latitudeDeg, longitudeDeg) ?? true
  }

  has(segment: LogSegment, index: number): boolean {
    return this.granted.has(segment.slots[index]!) && this.area.has(segment, index)
  }

  includes(slot: number): boolean {
    return this.granted.has(slot) && this.area.includes(slot)
  }

  open(sink: ScopeSink): void {
    this.sink = sink
    const { granted } = this
    this.area.open({
      take: (item) => granted.has(this.slotOf(item)) && sink.take(item),
      show: (slot) => granted.has(slot) && sink.show(slot),
      left: (slot) => granted.has(slot) && sink.left(slot),
      fail: (code, detail) => sink.fail(code, detail),
    })
    this.scopes.enter(this)
  }

  close(): void {
    this.sink = undefined
    this.scopes.leave(this)
    this.area.close()
  }

  complete(): void {
    const slots = this.scopes.slotsOf(this.organizationId, this.grant.devices)
    for (const slot of slots) {
      if (this.granted.has(slot)) continue
      this.granted.add(slot)
      if (this.area.includes(slot)) this.sink?.show(slot)
    }
    this.isComplete = slots.length === this.grant.devices.size
  }

  remove(slots: Iterable<number>): void {
    for (const slot of slots) {
      if (this.granted.delete(slot) && this.area.includes(slot)) this.sink?.left(slot)
    }
  }
}
