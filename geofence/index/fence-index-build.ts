/**
 * Builds an index of geofences from one pass over them. What is known of each is appended to lists of numbers, which are
 * packed at the end; a geofence that was taken can be forgotten at once.
 */
import Flatbush from 'flatbush'
import { FINEST, findCell } from './cells.ts'
import { coverShape, emptyCover } from './cover.ts'
import { FenceBlocks } from './fence-blocks.ts'
import { beltsLength, writeBelts } from './fence-index-belts.ts'
import {
  boxOf,
  type FenceIndexData,
  type FenceSource,
  ORGANIZATIONS_MAX,
  resolutionOf,
  sharedInt32,
} from './fence-index-data.ts'
import { NumberList } from './number-list.ts'

/** Geofences between two reports of the progress. */
const PROGRESS_EVERY = 1000

/**
 * Builds an index of geofences that are at hand. Memory while it builds is about twice that of the index.
 *
 * @param fences in any order, each id once.
 * @param onProgress is told how many were taken, from time to time.
 * @throws {RangeError} for an id that comes twice.
 */
export function buildFenceIndex(
  fences: Iterable<FenceSource>,
  onProgress?: (count: number) => void,
): FenceIndexData {
  const builder = new FenceIndexBuilder()
  for (const fence of fences) {
    builder.add(fence)
    if (builder.count % PROGRESS_EVERY === 0) onProgress?.(builder.count)
  }
  onProgress?.(builder.count)
  return builder.finish()
}

/** Builds an index of geofences that come one by one; see {@link buildFenceIndex}. */
export class FenceIndexBuilder {
  /** How many were taken; the lists have them in the order in which they came. */
  count = 0
  private readonly ids = new NumberList(Int32Array)
  /** Numbers of organisations, not ids. */
  private readonly organizations = new NumberList(Int32Array)
  private readonly versions = new NumberList(Int32Array)
  private readonly terms = new NumberList(Int32Array)
  /** Where a geofence begins in `numbers`, and its cells in `blocks`. */
  private readonly numbersStart = new NumberList(Float64Array)
  private readonly cellsStart = new NumberList(Float64Array)
  /** Finest cell in the middle of each, as a number that sorts by place. */
  private readonly places = new NumberList(Float64Array)
  /** Id and region of each. */
  private readonly numbers = new NumberList(Float64Array)
  /** Of all of them. */
  private beltsLength = 0
  private readonly blocks = new FenceBlocks()
  private readonly organizationNumbers = new Map<number, number>()
  private readonly organizationCounts: number[] = []
  private readonly organizationLevels: number[] = []
  /** By organisation's number: geofences with `crossing`. */
  private readonly crossing = new Map<number, number[]>()
  private readonly cover = emptyCover()
  private readonly middle = { hi: 0, lo: 0 }

  /** In any order, each id once. */
  add({ id, organizationId, version, terms, crossing, shape: { numbers } }: FenceSource): void {
    const organization = this.numberOf(organizationId)
    const fence = this.count++
    this.ids.push(id)
    this.organizations.push(organization)
    this.versions.push(version)
    this.terms.push(terms)
    this.numbersStart.push(this.numbers.length)
    this.cellsStart.push(this.blocks.cellCount)
    this.numbers.push(id)
    this.numbers.pushAll(numbers)
    this.beltsLength += beltsLength(numbers, 0)
    findCell((numbers[3]! + numbers[5]!) / 2, (numbers[2]! + numbers[4]!) / 2, FINEST, this.middle)
    this.places.push((this.middle.hi & 0xfffff) * 0x20000 + (this.middle.lo >>> 15))
    this.organizationCounts[organization]!++
    if (crossing) {
      const others = this.crossing.get(organization)
      if (others === undefined) this.crossing.set(organization, [fence])
      else others.push(fence)
    }
    this.addCells(numbers, organization)
  }

  private numberOf(organizationId: number): number {
    const known = this.organizationNumbers.get(organizationId)
    if (known !== undefined) return known
    const organization = this.organizationNumbers.size
    if (organization === ORGANIZATIONS_MAX) throw new RangeError('too many organisations for one index')
    this.organizationNumbers.set(organizationId, organization)
    this.organizationCounts.push(0)
    this.organizationLevels.push(0)
    return organization
  }

  private addCells(numbers: Float64Array, organization: number): void {
    const { cover } = this
    coverShape(numbers, 0, cover)
    for (let i = 0; i < cover.length; i++) {
      const hi = cover.hi[i]!
      const resolution = resolutionOf(hi)
      this.organizationLevels[organization]! |= 1 << resolution
      this.blocks.add(organization, hi, cover.lo[i]!, cover.interior[i] === 1, boxOf(numbers, resolution))
    }
  }

  /** Ends the building. @throws {RangeError} for an id that came twice. */
  finish(): FenceIndexData {
    const { count } = this
    this.numbersStart.push(this.numbers.length)
    this.cellsStart.push(this.blocks.cellCount)
    const { numbers, starts } = this.packNumbers()
    const byId = Uint32Array.from({ length: count }, (_, fence) => fence)
    const ids = this.ids.toArray()
    byId.sort((a, b) => ids[a]! - ids[b]!)
    const organizationIds = shared([...this.organizationNumbers.keys()])
    const inOrder = (value: (fence: number) => number) => {
      const values = sharedInt32(count)
      for (let i = 0; i < count; i++) values[i] = value(byId[i]!)
      return values
    }
    const sortedIds = inOrder((fence) => ids[fence]!)
    for (let i = 1; i < count; i++) {
      if (sortedIds[i] === sortedIds[i - 1]) throw new RangeError(`geofence ${sortedIds[i]} comes twice`)
    }
    return {
      count,
      ids: sortedIds,
      organizations: inOrder((fence) => organizationIds[this.organizations.at(fence)]!),
      versions: inOrder((fence) => this.versions.at(fence)),
      terms: inOrder((fence) => this.terms.at(fence)),
      numbers,
      organizationIds,
      organizationCounts: shared(this.organizationCounts),
      organizationLevels: shared(this.organizationLevels),
      ...this.blocks.pack(byId, (fence) => this.cellsStart.at(fence), ids, starts),
      ...this.packCrossing(numbers, starts),
    }
  }

  /** Regions by place: what is tested for one position lies side by side. */
  private packNumbers(): { numbers: Float64Array; starts: Int32Array } {
    const places = this.places.toArray()
    const byPlace = Uint32Array.from({ length: this.count }, (_, fence) => fence)
    byPlace.sort((a, b) => places[a]! - places[b]!)
    const numbers = new Float64Array(new SharedArrayBuffer(8 * (this.numbers.length + this.beltsLength)))
    const starts = new Int32Array(this.count)
    let at = 0
    for (const fence of byPlace) {
      const from = this.numbersStart.at(fence)
      const to = this.numbersStart.at(fence + 1)
      starts[fence] = at + 1
      for (let i = from; i < to; i++) numbers[at++] = this.numbers.at(i)
      writeBelts(numbers, starts[fence]!)
      at += beltsLength(numbers, starts[fence]!)
    }
    return { numbers, starts }
  }

  private packCrossing(
    numbers: Float64Array,
    starts: Int32Array,
  ): Pick<FenceIndexData, 'crossingOrganizations' | 'crossingTrees' | 'crossingItems' | 'trees' | 'items'> {
    const trees: Uint8Array[] = []
    const treeStarts: number[] = []
    const itemStarts: number[] = []
    const items: number[] = []
    let bytes = 0
    for (const fences of this.crossing.values()) {
      const tree = new Flatbush(fences.length)
      treeStarts.push(bytes)
      itemStarts.push(items.length)
      for (const fence of fences) {
        const start = starts[fence]!
        tree.add(numbers[start + 2]!, numbers[start + 3]!, numbers[start + 4]!, numbers[start + 5]!)
        items.push(start)
      }
      tree.finish()
      const packed = new Uint8Array(tree.data)
      trees.push(packed)
      bytes += Math.ceil(packed.length / 8) * 8
    }
    const buffer = new SharedArrayBuffer(bytes)
    for (const [i, tree] of trees.entries()) new Uint8Array(buffer).set(tree, treeStarts[i]!)
    return {
      crossingOrganizations: shared([...this.crossing.keys()]),
      crossingTrees: Float64Array.from(treeStarts),
      crossingItems: shared(itemStarts),
      trees: buffer,
      items: shared(items),
    }
  }
}

function shared(values: readonly number[]): Int32Array {
  const array = sharedInt32(values.length)
  array.set(values)
  return array
}
