/**
 * Geofences of all organisations, found by the place of a fix: typed arrays over SharedArrayBuffers, which one thread
 * builds and all threads read.
 *
 * A place has one finest cell; it and its ancestors, at the resolutions that the organisation's geofences use, are
 * looked up in one hash table. Keys have the organisation, so that organisations cost each other nothing.
 */
import Flatbush from 'flatbush'
import { lookUp } from './cell-table.ts'
import { type Cell, FINEST, findCell } from './cells.ts'
import { type FenceIds, reserve, sortFrom } from './fence-ids.ts'
import { type FenceIndexData, keyHi, keyLo } from './fence-index-data.ts'
import { containsAt } from './geometry.ts'
import { segmentIntervalsAt } from './geometry-segments.ts'

export { buildFenceIndex, FenceIndexBuilder } from './fence-index-build.ts'
export type { FenceIndexData, FenceSource } from './fence-index-data.ts'

/** A straight way through a geofence; `from` and `to` are fractions of the way, 0 to 1. */
export interface Crossing {
  readonly geofence: number
  readonly from: number
  readonly to: number
}

/** Ways through geofences of one organisation. */
interface CrossingTree {
  readonly tree: Flatbush
  readonly firstItem: number
}

/** Bounds are met within this, so that rounding leaves none out that the exact test would take. */
const MARGIN_DEG = 1e-9

/** Reads an index; many may read the same data, in any thread. */
export class FenceIndex {
  /** Geofences in it. */
  readonly count: number
  private readonly data: FenceIndexData
  /** Numbers of organisations by id. */
  private readonly organizations: ReadonlyMap<number, number>
  private readonly crossings = new Map<number, CrossingTree>()
  private readonly cell: Cell = { hi: 0, lo: 0 }

  constructor(data: FenceIndexData) {
    this.data = data
    this.count = data.count
    this.organizations = new Map(Array.from(data.organizationIds, (id, number) => [id, number]))
    for (const [i, organization] of data.crossingOrganizations.entries()) {
      const tree = Flatbush.from(data.trees, data.crossingTrees[i]!)
      this.crossings.set(data.organizationIds[organization]!, { tree, firstItem: data.crossingItems[i]! })
    }
  }

  /** How many geofences an organisation has in this index. */
  countOf(organizationId: number): number {
    const organization = this.organizations.get(organizationId)
    return organization === undefined ? 0 : this.data.organizationCounts[organization]!
  }

  /** Appends the ids of the organisation's geofences that the place is inside of, ascending. Degrees. */
  inside(organizationId: number, latitudeDeg: number, longitudeDeg: number, into: FenceIds): void {
    const organization = this.organizations.get(organizationId)
    if (organization === undefined) return
    if (!(latitudeDeg >= -90 && latitudeDeg <= 90 && Math.abs(longitudeDeg) < Number.POSITIVE_INFINITY))
      return
    const { cell } = this
    findCell(latitudeDeg, longitudeDeg, FINEST, cell)
    const first = into.length
    for (let levels = this.data.organizationLevels[organization]!; levels !== 0; levels &= levels - 1) {
      const resolution = 31 - Math.clz32(levels & -levels)
      const list = lookUp(
        this.data.slots,
        keyHi(organization, cell.hi, resolution) >>> 0,
        keyLo(organization, cell.lo, resolution) >>> 0,
      )
      if (list === 0) continue
      this.append(list, latitudeDeg, longitudeDeg, into)
    }
    if (into.length - first > 1) sortFrom(into, first)
  }

  private append(list: number, latitudeDeg: number, longitudeDeg: number, into: FenceIds): void {
    const { lists, numbers } = this.data
    const boundary = list + 2 + lists[list]!
    const end = boundary + lists[list + 1]!
    reserve(into, end - list)
    const { ids } = into
    let { length } = into
    for (let i = list + 2; i < boundary; i++) ids[length++] = lists[i]!
    // Beyond a turn, and at a pole, the longitude of a place does not tell whether it is within bounds.
    const anyLongitude = latitudeDeg === 90 || latitudeDeg === -90 || Math.abs(longitudeDeg) > 180
    for (let i = boundary; i < end; i++) {
      const start = lists[i]!
      if (latitudeDeg < numbers[start + 3]! - MARGIN_DEG || latitudeDeg > numbers[start + 5]! + MARGIN_DEG)
        continue
      const east = numbers[start + 4]! + MARGIN_DEG
      const outside = longitudeDeg < numbers[start + 2]! - MARGIN_DEG || longitudeDeg > east
      if (outside && longitudeDeg + 360 > east && !anyLongitude) continue
      if (containsAt(numbers, start, latitudeDeg, longitudeDeg)) ids[length++] = numbers[start - 1]!
    }
    into.length = length
  }

  /**
   * Ways through the organisation's geofences with `crossing`, along the straight line in longitude and latitude, the
   * shorter way round the globe; by geofence, then along the line.
   */
  crossed(
    organizationId: number,
    fromLatitudeDeg: number,
    fromLongitudeDeg: number,
    toLatitudeDeg: number,
    toLongitudeDeg: number,
  ): Crossing[] {
    const crossing = this.crossings.get(organizationId)
    if (crossing === undefined) return []
    const { tree, firstItem } = crossing
    let to = toLongitudeDeg
    while (to - fromLongitudeDeg > 180) to -= 360
    while (to - fromLongitudeDeg < -180) to += 360
    const west = Math.min(fromLongitudeDeg, to) - MARGIN_DEG
    const east = Math.max(fromLongitudeDeg, to) + MARGIN_DEG
    const south = Math.min(fromLatitudeDeg, toLatitudeDeg) - MARGIN_DEG
    const north = Math.max(fromLatitudeDeg, toLatitudeDeg) + MARGIN_DEG
    const starts = new Set<number>()
    // Bounds go on beyond 180, and so may the line.
    for (let turn = -720; west + turn <= tree.maxX; turn += 360) {
      if (east + turn < tree.minX) continue
      for (const item of tree.search(west + turn, south, east + turn, north)) {
        starts.add(this.data.items[firstItem + item]!)
      }
    }
    const { numbers } = this.data
    const crossings: Crossing[] = []
    for (const start of starts) {
      for (const [from, to] of segmentIntervalsAt(
        numbers,
        start,
        fromLatitudeDeg,
        fromLongitudeDeg,
        toLatitudeDeg,
        toLongitudeDeg,
      )) {
        crossings.push({ geofence: numbers[start - 1]!, from, to })
      }
    }
    return crossings.sort((a, b) => a.geofence - b.geofence || a.from - b.from)
  }

  /** Number of the geofence in this index, −1 = none; to be handed to the functions below. */
  find(id: number): number {
    const { ids } = this.data
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (ids[middle]! < id) low = middle + 1
      else high = middle
    }
    return low < this.count && ids[low] === id ? low : -1
  }

  organizationAt(fence: number): number {
    return this.data.organizations[fence]!
  }

  versionAt(fence: number): number {
    return this.data.versions[fence]!
  }

  termsAt(fence: number): number {
    return this.data.terms[fence]!
  }
}
