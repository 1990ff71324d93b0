/** Groups of devices as scopes: which devices are in which groups, and the subscriptions that follow this. */
import type { ScopeSink } from '../subscriptions/scope-filter.ts'
import { SlotFilter, type SlotIndex } from '../subscriptions/slot-filter.ts'

const NO_GROUPS: readonly number[] = []

/** The devices of some groups, as they are at the time. */
export class GroupFilter extends SlotFilter {
  readonly groups: readonly number[]
  private readonly scopes: GroupScopes

  constructor(scopes: GroupScopes, index: SlotIndex, groups: readonly number[]) {
    super(index, scopes.slotsOf(groups))
    this.scopes = scopes
    this.groups = groups
  }

  override open(sink: ScopeSink): void {
    super.open(sink)
    this.scopes.watch(this)
  }

  override close(): void {
    this.scopes.unwatch(this)
    super.close()
  }
}

export class GroupScopes {
  private readonly index: SlotIndex
  /** By slot: groups of the device, where it is in any. */
  private readonly groups = new Map<number, readonly number[]>()
  /** By group: slots of its devices, and who watches it. */
  private readonly members = new Map<number, Set<number>>()
  private readonly watchers = new Map<number, Set<GroupFilter>>()

  constructor(index: SlotIndex) {
    this.index = index
  }

  /**
   * It has to be opened in the same turn.
   * @param groups Ids of groups that the user may see.
   */
  filter(groups: readonly number[]): GroupFilter {
    return new GroupFilter(this, this.index, [...new Set(groups)])
  }

  /**
   * Takes the groups that a device is in now, none if it is gone.
   * @returns Whether anybody has been told of it.
   */
  setGroups(slot: number, groups: readonly number[]): boolean {
    const before = this.groups.get(slot) ?? NO_GROUPS
    const gone = before.filter((group) => !groups.includes(group))
    const come = groups.filter((group) => !before.includes(group))
    if (gone.length + come.length === 0) return false
    if (groups.length === 0) this.groups.delete(slot)
    else this.groups.set(slot, groups)
    for (const group of gone) removeFrom(this.members, group, slot)
    for (const group of come) addTo(this.members, group, slot)
    let isTold = false
    for (const group of [...gone, ...come]) {
      for (const filter of this.watchers.get(group) ?? []) {
        if (filter.groups.some((other) => groups.includes(other))) filter.add([slot])
        else filter.remove([slot])
        isTold = true
      }
    }
    return isTold
  }

  slotsOf(groups: readonly number[]): Set<number> {
    const slots = new Set<number>()
    for (const group of groups) for (const slot of this.members.get(group) ?? []) slots.add(slot)
    return slots
  }

  watch(filter: GroupFilter): void {
    for (const group of filter.groups) addTo(this.watchers, group, filter)
  }

  unwatch(filter: GroupFilter): void {
    for (const group of filter.groups) removeFrom(this.watchers, group, filter)
  }
}

function addTo<Value>(sets: Map<number, Set<Value>>, key: number, value: Value): void {
  const set = sets.get(key)
  if (set === undefined) sets.set(key, new Set([value]))
  else set.add(value)
}

function removeFrom<Value>(sets: Map<number, Set<Value>>, key: number, value: Value): void {
  const set = sets.get(key)
  if (set?.delete(value) && set.size === 0) sets.delete(key)
}
