/** Scopes of those who see a few devices only: drivers, and who has a share link. They follow what is granted. */
import type { LastPositions } from '../log/last-positions.ts'
import type { Grant, GrantChange } from '../sockets/grants.ts'
import type { ScopeSink } from './scope-filter.ts'
import { SlotFilter, type SlotIndex } from './slot-filter.ts'

/** The scopes of all sockets, by what is granted to them. */
export class GrantedScopes {
  private readonly positions: LastPositions
  private readonly index: SlotIndex
  private readonly open = new Map<Grant, Set<GrantedFilter>>()

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

  enter(filter: GrantedFilter): void {
    const filters = this.open.get(filter.grant)
    if (filters === undefined) this.open.set(filter.grant, new Set([filter]))
    else filters.add(filter)
  }

  leave(filter: GrantedFilter): void {
    const filters = this.open.get(filter.grant)
    if (filters?.delete(filter) && filters.size === 0) this.open.delete(filter.grant)
  }
}

class GrantedFilter extends SlotFilter {
  /** Whether it has all devices that it wants; the stream may not have heard of a new one yet. */
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

  /** Adds what is granted and wanted. */
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
