/**
 * Builds an index of geofences from one pass over them. What is known of each is appended to lists of numbers, which are
 * packed at the end; a geofence that was taken can be forgotten at once.
 */
import Flatbush from 'flatbush'
import { CellTable } from './cell-table.ts'
import { FINEST, findCell } from './cells.ts'
import { coverShape, emptyCover } from './cover.ts'
import {
  BLOCK_RESOLUTION,
  bitOf,
  boxOf,
  type FenceIndexData,
  type FenceSource,
  keyHi,
  keyLo,
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
  /** Where a geofence begins in `numbers`, and its cells in `cells`. */
  private readonly numbersStart = new NumberList(Float64Array)
  private readonly cellsStart = new NumberList(Float64Array)
  /** Finest cell in the middle of each, as a number that sorts by place. */
  private readonly places = new NumberList(Float64Array)
  /** Id and region of each. */
  private readonly numbers = new NumberList(Float64Array)
  /** Number of the cell in `listed` times 2, plus 1 where it is inside; and the box. */
  private readonly cells = new NumberList(Uint32Array)
  private readonly boxes = new NumberList(Int32Array)
  /** Keys of the blocks. */
  private readonly blocks = new CellTable()
  /** Cells with a list: numbers of their blocks and their bits there. */
  private readonly listed = new CellTable()
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
    this.cellsStart.push(this.cells.length)
    this.numbers.push(id)
    this.numbers.pushAll(numbers)
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
      const lo = cover.lo[i]!
      const above = Math.min(resolution, BLOCK_RESOLUTION)
      const block = this.blocks.add(keyHi(organization, hi, above), keyLo(organization, lo, above))
      const cell = this.listed.add(block, bitOf(lo, resolution))
      this.cells.push(2 * cell + cover.interior[i]!)
      this.boxes.push(boxOf(numbers, resolution))
    }
  }

  /** Ends the building. @throws {RangeError} for an id that came twice. */
  finish(): FenceIndexData {
    const { count } = this
    this.numbersStart.push(this.numbers.length)
    this.cellsStart.push(this.cells.length)
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
    const { blocks, blockStarts } = this.packBlocks(byId, starts)
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
      slots: this.blocks.pack(blockStarts),
      blocks,
      ...this.packCrossing(numbers, starts),
    }
  }

  /** Regions by place: what is tested for one position lies side by side. */
  private packNumbers(): { numbers: Float64Array; starts: Int32Array } {
    const places = this.places.toArray()
    const byPlace = Uint32Array.from({ length: this.count }, (_, fence) => fence)
    byPlace.sort((a, b) => places[a]! - places[b]!)
    const numbers = new Float64Array(new SharedArrayBuffer(8 * this.numbers.length))
    const starts = new Int32Array(this.count)
    let at = 0
    for (const fence of byPlace) {
      const from = this.numbersStart.at(fence)
      const to = this.numbersStart.at(fence + 1)
      starts[fence] = at + 1
      for (let i = from; i < to; i++) numbers[at++] = this.numbers.at(i)
    }
    return { numbers, starts }
  }

  private packBlocks(
    byId: Uint32Array,
    starts: Int32Array,
  ): { blocks: Int32Array; blockStarts: Uint32Array } {
    const insideCounts = new Uint32Array(this.listed.count)
    const boundaryCounts = new Uint32Array(this.listed.count)
    let insideCount = 0
    for (let i = 0; i < this.cells.length; i++) {
      const cell = this.cells.at(i)
      if ((cell & 1) === 1) {
        insideCounts[cell >>> 1]!++
        insideCount++
      } else boundaryCounts[cell >>> 1]!++
    }
    const { ofBlock, bits, firstOf } = this.cellsByBlock()
    const words = 2 * this.blocks.count + 3 * this.listed.count + 2 * this.cells.length - insideCount
    const blocks = sharedInt32(1 + words)
    const blockStarts = new Uint32Array(this.blocks.count)
    // Where the next of each list goes.
    const nextInside = new Uint32Array(this.listed.count)
    const nextBoundary = new Uint32Array(this.listed.count)
    let at = 1
    for (let block = 0; block < this.blocks.count; block++) {
      const start = at
      blockStarts[block] = start
      const first = firstOf[block]!
      const end = firstOf[block + 1]!
      at += 2 + end - first
      for (let i = first; i < end; i++) {
        const cell = ofBlock[i]!
        const bit = bits[cell]!
        blocks[start + (bit >> 5)]! |= 1 << (bit & 31)
        blocks[start + 2 + i - first] = at - start
        blocks[at] = insideCounts[cell]!
        blocks[at + 1] = boundaryCounts[cell]!
        nextInside[cell] = at + 2
        nextBoundary[cell] = at + 2 + insideCounts[cell]!
        at = nextBoundary[cell]! + 2 * boundaryCounts[cell]!
      }
    }
    // By id, so that each list is in that order.
    for (const fence of byId) {
      const end = this.cellsStart.at(fence + 1)
      for (let i = this.cellsStart.at(fence); i < end; i++) {
        const cell = this.cells.at(i) >>> 1
        if ((this.cells.at(i) & 1) === 1) blocks[nextInside[cell]!++] = this.ids.at(fence)
        else {
          blocks[nextBoundary[cell]!++] = starts[fence]!
          blocks[nextBoundary[cell]!++] = this.boxes.at(i)
        }
      }
    }
    return { blocks, blockStarts }
  }

  /** Numbers of the cells by block, then by bit; the bit of each cell; where each block begins in the former. */
  private cellsByBlock(): { ofBlock: Uint32Array; bits: Uint8Array; firstOf: Uint32Array } {
    const bits = new Uint8Array(this.listed.count)
    const firstOf = new Uint32Array(this.blocks.count + 1)
    for (const [block, bit, cell] of this.listed.entries()) {
      bits[cell] = bit
      firstOf[block + 1]!++
    }
    for (let block = 0; block < this.blocks.count; block++) firstOf[block + 1]! += firstOf[block]!
    const ofBlock = new Uint32Array(this.listed.count)
    const next = firstOf.slice()
    for (const [block, , cell] of this.listed.entries()) ofBlock[next[block]!++] = cell
    for (let block = 0; block < this.blocks.count; block++) {
      ofBlock.subarray(firstOf[block]!, firstOf[block + 1]!).sort((a, b) => bits[a]! - bits[b]!)
    }
    return { ofBlock, bits, firstOf }
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
