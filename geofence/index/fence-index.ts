/**
 * Geofences of all organisations, found by the place of a fix: typed arrays over SharedArrayBuffers, which one thread
 * builds and all threads read.
 *
 * A place has one finest cell; it and its ancestors, at the resolutions that the organisation's geofences use, are
 * looked up in one hash table. Keys have the organisation, so that organisations cost each other nothing. Of the
 * geofences that are not found to be inside by their cells alone most are ruled out by a box beside them in the list.
 */
import Flatbush from 'flatbush'
import { segmentIntervalsAt } from '../shapes/geometry-segments.ts'
import { lookUp } from './cell-table.ts'
import { type Cell, FINEST, findCell } from './cells.ts'
import { type FenceIds, placeOf, reserve, sortFrom } from './fence-ids.ts'
import { containsByBelts } from './fence-index-belts.ts'
import {
  BLOCK_HEADER,
  BLOCK_RESOLUTION,
  BOX_UNITS,
  bitOf,
  type FenceIndexData,
  keyHi,
  keyLo,
  MARGIN_DEG,
} from './fence-index-data.ts'

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

/** Bits of the resolutions whose cells are a block each. */
const ABOVE_BLOCKS = (1 << BLOCK_RESOLUTION) - 1
/** Bits of the lower half of a cell that tell where it lies in its block, and unused ones. */
const BELOW_BLOCKS = 45 - 3 * BLOCK_RESOLUTION

/** Reads an index; many may read the same data, in any thread. */
export class FenceIndex {
  /** Geofences in it. */
  readonly count: number
  private readonly data: FenceIndexData
  /** Numbers of organisations by id. */
  private readonly organizations: ReadonlyMap<number, number>
  private readonly crossings = new Map<number, CrossingTree>()
  private readonly cell: Cell = { hi: 0, lo: 0 }
  /** What was looked up last: words of the cell, the lower one without what is below a block; 0 = nothing. */
  private lastHi = 0
  private lastLo = 0
  private lastOrganization = 0
  private lastBlock = 0

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
    const levels = this.data.organizationLevels[organization]!
    const block = levels > ABOVE_BLOCKS ? this.nearBlock(organization) : 0
    if (block !== 0) this.appendBlock(block, latitudeDeg, longitudeDeg, into)
    else {
      for (let above = levels & ABOVE_BLOCKS; above !== 0; above &= above - 1) {
        const resolution = 31 - Math.clz32(above & -above)
        const found = this.blockOf(organization, resolution)
        if (found !== 0) this.append(found + BLOCK_HEADER + 1, resolution, latitudeDeg, longitudeDeg, into)
      }
    }
    if (into.length - first > 1) sortFrom(into, first)
  }

  /** Block of the last cell, which often is that of the cell before. 1.04 times as many look-ups. */
  private nearBlock(organization: number): number {
    const { hi, lo } = this.cell
    const above = lo >>> BELOW_BLOCKS
    if (above !== this.lastLo || hi !== this.lastHi || organization !== this.lastOrganization) {
      this.lastBlock = this.blockOf(organization, BLOCK_RESOLUTION)
      this.lastHi = hi
      this.lastLo = above
      this.lastOrganization = organization
    }
    return this.lastBlock
  }

  /** Where the block of the ancestor of the last cell begins, 0 = it has none. */
  private blockOf(organization: number, resolution: number): number {
    const { hi, lo } = this.cell
    return lookUp(this.data.slots, keyHi(organization, hi, resolution), keyLo(organization, lo, resolution))
  }

  /** Appends from the lists of the last cell and of all its ancestors; `block` is that of its ancestor. */
  private appendBlock(block: number, latitudeDeg: number, longitudeDeg: number, into: FenceIds): void {
    const { blocks } = this.data
    const bits0 = blocks[block]!
    const bits1 = blocks[block + 1]!
    let at = block + BLOCK_HEADER
    for (let above = blocks[block + 2]!; above !== 0; above &= above - 1) {
      this.append(blocks[at++]!, 31 - Math.clz32(above & -above), latitudeDeg, longitudeDeg, into)
    }
    for (let resolution = BLOCK_RESOLUTION; resolution <= FINEST; resolution++) {
      const bit = bitOf(this.cell.lo, resolution)
      const bits = bit < 32 ? bits0 : bits1
      if (((bits >>> (bit & 31)) & 1) === 0) continue
      const below = (1 << (bit & 31)) - 1
      const before = bit < 32 ? bitCount(bits0 & below) : bitCount(bits0) + bitCount(bits1 & below)
      this.append(block + blocks[at + before]!, resolution, latitudeDeg, longitudeDeg, into)
    }
  }

  private append(
    list: number,
    resolution: number,
    latitudeDeg: number,
    longitudeDeg: number,
    into: FenceIds,
  ): void {
    const { blocks, numbers } = this.data
    const inside = blocks[list]!
    const boundary = blocks[list + 1]!
    reserve(into, inside + boundary)
    const { ids } = into
    let { length } = into
    let at = list + 2
    for (const end = at + inside; at < end; at++) ids[length++] = blocks[at]!
    if (boundary > 0) {
      const units = BOX_UNITS[resolution]!
      const x = Math.floor(longitudeDeg * units)
      const y = Math.floor(latitudeDeg * units)
      // At a pole a place has every longitude; far beyond a turn a longitude does not have enough digits.
      const anyLongitude = latitudeDeg === 90 || latitudeDeg === -90 || Math.abs(longitudeDeg) > 360
      for (const end = at + 2 * boundary; at < end; at += 2) {
        const box = blocks[at + 1]!
        if (((y - (box >>> 16)) & 255) > box >>> 24) continue
        if (((x - box) & 255) > ((box >>> 8) & 255) && !anyLongitude) continue
        const start = blocks[at]!
        if (containsByBelts(numbers, start, latitudeDeg, longitudeDeg)) ids[length++] = numbers[start - 1]!
      }
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
    return placeOf(this.data.ids, id)
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

/** How many bits of a word are set. */
function bitCount(word: number): number {
  let count = word - ((word >>> 1) & 0x55555555)
  count = (count & 0x33333333) + ((count >>> 2) & 0x33333333)
  return Math.imul((count + (count >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}
