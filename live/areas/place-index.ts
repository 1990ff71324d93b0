/**
 * Where devices are: the newest place of each slot by cell, to find those in an area without looking at all. Slots of a
 * cell are a linked list in columns, so that a move costs no memory.
 */

import type { Area } from './area.ts'
import { AREA_FINEST, ancestorKey, placeKey } from './area-cells.ts'

/**
 * Resolutions of the lists, ascending: cells some 125 km and 7 km wide. A cell of an area is looked for in the finest list
 * that is not finer than it is; areas of coarser cells look at every slot, 0.2 ms for 100,000.
 */
const LEVELS = [3, 6] as const
const SLOTS_MIN = 1_024
/** Key of a slot without a place. */
export const NO_PLACE = -1

/** Slots of the cells of one resolution. */
class Level {
  private readonly resolution: number
  /** By key of a cell: first slot of its list. */
  private readonly first = new Map<number, number>()
  /** By slot. */
  private next = new Int32Array(SLOTS_MIN)
  private previous = new Int32Array(SLOTS_MIN)

  constructor(resolution: number) {
    this.resolution = resolution
  }

  grow(slots: number): void {
    this.next = grown(this.next, new Int32Array(slots))
    this.previous = grown(this.previous, new Int32Array(slots))
  }

  /** @param from Key of the former place, {@link NO_PLACE} = none. @param to Key of the new one. */
  move(slot: number, from: number, to: number): void {
    const fromCell = from === NO_PLACE ? NO_PLACE : ancestorKey(from, this.resolution)
    const toCell = ancestorKey(to, this.resolution)
    if (fromCell === toCell) return
    if (fromCell !== NO_PLACE) this.unlink(slot, fromCell)
    this.link(slot, toCell)
  }

  /** Calls `visit` for the slots of the cell that has this cell, which is not coarser. */
  each(key: number, visit: (slot: number) => void): void {
    for (let slot = this.first.get(key) ?? NO_PLACE; slot !== NO_PLACE; slot = this.next[slot]!) visit(slot)
  }

  private link(slot: number, cell: number): void {
    const first = this.first.get(cell) ?? NO_PLACE
    this.next[slot] = first
    this.previous[slot] = NO_PLACE
    if (first !== NO_PLACE) this.previous[first] = slot
    this.first.set(cell, slot)
  }

  private unlink(slot: number, cell: number): void {
    const next = this.next[slot]!
    const previous = this.previous[slot]!
    if (next !== NO_PLACE) this.previous[next] = previous
    if (previous !== NO_PLACE) this.next[previous] = next
    else if (next !== NO_PLACE) this.first.set(cell, next)
    else this.first.delete(cell)
  }
}

export class PlaceIndex {
  private readonly levels = LEVELS.map((resolution) => new Level(resolution))
  /** Slots below it may have a place. */
  private end = 0
  /** By slot: degrees, and key of the cell, {@link NO_PLACE} = no place. */
  private latitudes = new Float64Array(SLOTS_MIN)
  private longitudes = new Float64Array(SLOTS_MIN)
  private keys = new Int32Array(SLOTS_MIN).fill(NO_PLACE)

  /** Sets the place of a slot, degrees. @returns The key of its cell, see area-cells.ts. */
  set(slot: number, latitudeDeg: number, longitudeDeg: number): number {
    this.reserve(slot)
    const key = placeKey(latitudeDeg, longitudeDeg)
    for (const level of this.levels) level.move(slot, this.keys[slot]!, key)
    this.keys[slot] = key
    this.latitudes[slot] = latitudeDeg
    this.longitudes[slot] = longitudeDeg
    return key
  }

  /** Whether the slot has a place in the area. */
  isWithin(slot: number, area: Area): boolean {
    return (
      slot < this.end &&
      this.keys[slot] !== NO_PLACE &&
      area.contains(this.latitudes[slot]!, this.longitudes[slot]!)
    )
  }

  /** Key of the cell of the slot, {@link NO_PLACE} if it has none. */
  keyOf(slot: number): number {
    return slot < this.end ? this.keys[slot]! : NO_PLACE
  }

  latitudeDeg(slot: number): number {
    return this.latitudes[slot]!
  }

  longitudeDeg(slot: number): number {
    return this.longitudes[slot]!
  }

  /** Slots with a place in the area, in no order, each once. */
  within(area: Area): number[] {
    const { keys, resolutions } = area.cells
    const slots: number[] = []
    const visit = (slot: number) => {
      if (area.contains(this.latitudes[slot]!, this.longitudes[slot]!)) slots.push(slot)
    }
    if (Math.min(...resolutions) < LEVELS[0]) {
      for (let slot = 0; slot < this.end; slot++) if (this.keys[slot] !== NO_PLACE) visit(slot)
      return slots
    }
    // Of one list only: cells of different levels may lie in each other.
    const coarsest = Math.min(...resolutions)
    const level = LEVELS.findLastIndex((resolution) => resolution <= coarsest)
    const cells = new Set<number>()
    for (const [i, key] of keys.entries())
      cells.add(ancestorKey(key, LEVELS[level]! + AREA_FINEST - resolutions[i]!))
    for (const cell of cells) this.levels[level]!.each(cell, visit)
    return slots
  }

  private reserve(slot: number): void {
    if (slot >= this.keys.length) {
      const length = Math.max(slot + 1, 2 * this.keys.length)
      this.latitudes = grown(this.latitudes, new Float64Array(length))
      this.longitudes = grown(this.longitudes, new Float64Array(length))
      this.keys = grown(this.keys, new Int32Array(length).fill(NO_PLACE))
      for (const level of this.levels) level.grow(length)
    }
    this.end = Math.max(this.end, slot + 1)
  }
}

function grown<T extends Int32Array | Float64Array>(from: T, to: T): T {
  to.set(from)
  return to
}
