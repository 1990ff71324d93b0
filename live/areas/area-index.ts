/**
 * Who watches a place: areas by cell, so that a row costs one look-up for each resolution in use, however many areas there
 * are elsewhere.
 */

import type { Area } from './area.ts'
import { AREA_FINEST, ancestorKey } from './area-cells.ts'

/** A watcher and its area, in one of the cells of that. */
interface Entry<Watcher> {
  readonly watcher: Watcher
  readonly area: Area
  readonly interior: boolean
}

export class AreaIndex<Watcher> {
  /** By resolution: entries of each cell. */
  private readonly cells = Array.from({ length: AREA_FINEST + 1 }, () => new Map<number, Entry<Watcher>[]>())
  /** Resolutions that have cells, ascending. */
  private resolutions: number[] = []

  /** Whether nobody watches anything. */
  get empty(): boolean {
    return this.resolutions.length === 0
  }

  /** A watcher has one area at most. */
  add(watcher: Watcher, area: Area): void {
    const { keys, resolutions, interior } = area.cells
    for (let i = 0; i < keys.length; i++) {
      const cells = this.cells[resolutions[i]!]!
      const entry = { watcher, area, interior: interior[i] === 1 }
      const entries = cells.get(keys[i]!)
      if (entries === undefined) cells.set(keys[i]!, [entry])
      else entries.push(entry)
    }
    this.findResolutions()
  }

  /** @param area The one that it was added with. */
  remove(watcher: Watcher, area: Area): void {
    const { keys, resolutions } = area.cells
    for (let i = 0; i < keys.length; i++) {
      const cells = this.cells[resolutions[i]!]!
      const entries = cells.get(keys[i]!)
      const at = entries?.findIndex((entry) => entry.watcher === watcher) ?? -1
      if (entries === undefined || at === -1) continue
      const last = entries.pop()!
      if (at < entries.length) entries[at] = last
      else if (entries.length === 0) cells.delete(keys[i]!)
    }
    this.findResolutions()
  }

  /**
   * Calls `visit` for those whose area has the place, each once.
   * @param key Of the place, see area-cells.ts.
   */
  find(key: number, latitudeDeg: number, longitudeDeg: number, visit: (watcher: Watcher) => void): void {
    for (const resolution of this.resolutions) {
      const entries = this.cells[resolution]!.get(ancestorKey(key, resolution))
      if (entries === undefined) continue
      for (const { watcher, area, interior } of entries) {
        if (interior || area.contains(latitudeDeg, longitudeDeg)) visit(watcher)
      }
    }
  }

  private findResolutions(): void {
    this.resolutions = this.cells.flatMap(({ size }, resolution) => (size === 0 ? [] : resolution))
  }
}
