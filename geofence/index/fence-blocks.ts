/** The cells of all geofences while an index is built, and how they are packed into blocks (fence-index-data.ts). */
import { CellTable } from './cell-table.ts'
import {
  ancestorKeyHi,
  ancestorKeyLo,
  BLOCK_HEADER,
  BLOCK_RESOLUTION,
  bitOf,
  keyHi,
  keyLo,
  resolutionOf,
  sharedInt32,
} from './fence-index-data.ts'
import { NumberList } from './number-list.ts'

/** Lists of the cells, on the way. */
interface Lists {
  /** By cell. */
  readonly insideCounts: Uint32Array
  readonly boundaryCounts: Uint32Array
  /** Where the next geofence of each goes. */
  readonly nextInside: Uint32Array
  readonly nextBoundary: Uint32Array
}

export class FenceBlocks {
  /** Cells of geofences: number of the cell in `listed` times 2, plus 1 where it is inside; and the box. */
  private readonly cells = new NumberList(Uint32Array)
  private readonly boxes = new NumberList(Int32Array)
  private readonly blocks = new CellTable()
  /** Cells with a list: numbers of their blocks and their bits there. */
  private readonly listed = new CellTable()

  /** How many cells of geofences were added. */
  get cellCount(): number {
    return this.cells.length
  }

  /** Adds a cell of the geofence that comes next; cells of one come one after another. */
  add(organization: number, hi: number, lo: number, interior: boolean, box: number): void {
    const resolution = resolutionOf(hi)
    const above = Math.min(resolution, BLOCK_RESOLUTION)
    const block = this.blocks.add(keyHi(organization, hi, above), keyLo(organization, lo, above))
    this.cells.push(2 * this.listed.add(block, bitOf(lo, resolution)) + (interior ? 1 : 0))
    this.boxes.push(box)
  }

  /**
   * @param byId Geofences, in the order in which they came, sorted by id.
   * @param cellsStart Where the cells of a geofence begin; of the last one + 1, where they end.
   * @param regionStarts By geofence: where its region begins.
   */
  pack(
    byId: Uint32Array,
    cellsStart: (fence: number) => number,
    ids: ArrayLike<number>,
    regionStarts: Int32Array,
  ): { slots: Uint32Array; blocks: Int32Array } {
    const lists = this.countLists()
    const { slots, blocks } = this.layOut(lists)
    // By id, so that each list is in that order.
    for (const fence of byId) {
      const end = cellsStart(fence + 1)
      for (let i = cellsStart(fence); i < end; i++) {
        const cell = this.cells.at(i) >>> 1
        if ((this.cells.at(i) & 1) === 1) blocks[lists.nextInside[cell]!++] = ids[fence]!
        else {
          blocks[lists.nextBoundary[cell]!++] = regionStarts[fence]!
          blocks[lists.nextBoundary[cell]!++] = this.boxes.at(i)
        }
      }
    }
    return { slots, blocks }
  }

  private countLists(): Lists {
    const newCounts = () => new Uint32Array(this.listed.count)
    const insideCounts = newCounts()
    const boundaryCounts = newCounts()
    for (let i = 0; i < this.cells.length; i++) {
      const cell = this.cells.at(i)
      if ((cell & 1) === 1) insideCounts[cell >>> 1]!++
      else boundaryCounts[cell >>> 1]!++
    }
    return { insideCounts, boundaryCounts, nextInside: newCounts(), nextBoundary: newCounts() }
  }

  /** Blocks with everything but what is in the lists. */
  private layOut(lists: Lists): { slots: Uint32Array; blocks: Int32Array } {
    const { ofBlock, bits, firstOf } = this.cellsByBlock()
    const count = this.blocks.count
    const keysHi = new Uint32Array(count)
    const keysLo = new Uint32Array(count)
    for (const [hi, lo, block] of this.blocks.entries()) {
      keysHi[block] = hi
      keysLo[block] = lo
    }
    const byPlace = Uint32Array.from({ length: count }, (_, block) => block)
    const places = Float64Array.from(keysHi, (hi, block) => (hi & 0xffffff) * 0x100000000 + keysLo[block]!)
    byPlace.sort((a, b) => places[a]! - places[b]!)
    const ancestors = this.ancestorsOf(byPlace, keysHi, keysLo)
    const insideCount = lists.insideCounts.reduce((sum, inside) => sum + inside, 0)
    const blocks = sharedInt32(
      1 +
        BLOCK_HEADER * count +
        ancestors.length +
        3 * this.listed.count +
        2 * this.cells.length -
        insideCount,
    )
    const blockStarts = new Uint32Array(count)
    let at = 1
    let nextAncestor = 0
    const layOutBlock = (block: number) => {
      const start = at
      blockStarts[block] = start
      at += BLOCK_HEADER
      for (; ancestors.ofBlock[nextAncestor] === block; nextAncestor++) {
        const ancestor = ancestors.blocks[nextAncestor]!
        blocks[start + 2]! |= 1 << resolutionOf(keysHi[ancestor]!)
        // The list of a cell above the blocks, its only one, comes after the header and where it begins.
        blocks[at++] = blockStarts[ancestor]! + BLOCK_HEADER + 1
      }
      let listStart = at
      at += firstOf[block + 1]! - firstOf[block]!
      for (let i = firstOf[block]!; i < firstOf[block + 1]!; i++) {
        const cell = ofBlock[i]!
        const bit = bits[cell]!
        blocks[start + (bit >> 5)]! |= 1 << (bit & 31)
        blocks[listStart++] = at - start
        blocks[at] = lists.insideCounts[cell]!
        blocks[at + 1] = lists.boundaryCounts[cell]!
        lists.nextInside[cell] = at + 2
        lists.nextBoundary[cell] = at + 2 + lists.insideCounts[cell]!
        at = lists.nextBoundary[cell]! + 2 * lists.boundaryCounts[cell]!
      }
    }
    // By resolution, so that those above are there when others tell where their lists begin; then by place.
    for (const block of byPlace) layOutBlock(block)
    return { slots: this.blocks.pack(blockStarts), blocks }
  }

  /** Of each block of BLOCK_RESOLUTION the blocks above it that are there, the coarsest first. */
  private ancestorsOf(
    byPlace: Uint32Array,
    keysHi: Uint32Array,
    keysLo: Uint32Array,
  ): { ofBlock: number[]; blocks: number[]; length: number } {
    const ofBlock: number[] = []
    const blocks: number[] = []
    for (const block of byPlace) {
      const hi = keysHi[block]!
      const lo = keysLo[block]!
      if (resolutionOf(hi) < BLOCK_RESOLUTION) continue
      for (let resolution = 0; resolution < BLOCK_RESOLUTION; resolution++) {
        const above = this.blocks.find(ancestorKeyHi(hi, resolution), ancestorKeyLo(lo, resolution))
        if (above < 0) continue
        ofBlock.push(block)
        blocks.push(above)
      }
    }
    return { ofBlock, blocks, length: blocks.length }
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
}
