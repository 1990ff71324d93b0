/**
 * Which cells a geofence is looked for in: few, of several resolutions, so that every place of it is in one of them.
 * Cells that lie inside for certain need no further test; in the others the exact geometry decides.
 */
import { FINEST } from './cells.ts'
import { BASE_CELL_COUNT, type CellPlace, cellPlace, placeBaseCell, placeChild } from './cover-cells.ts'
import { CoverShape, type Open } from './cover-shape.ts'

/** Cells of a simple shape: as many as its geometry needs memory, about. */
const CELLS_SIMPLE = 6
/** Edges for which a simple shape gets another cell, */
const EDGES_A_CELL = 4
/** and beyond which each edge gives one: tests of its edges are what cells inside save, in hot memory 0.15 of the time. */
const EDGES_SIMPLE = 16
const CELLS_MAX = 1000

/** Cells of a geofence; the first `length` of the arrays count. */
export interface Cover {
  length: number
  /** Halves of the index. */
  readonly hi: Uint32Array
  readonly lo: Uint32Array
  /** 1 = every place of the cell lies inside. */
  readonly interior: Uint8Array
}

export function emptyCover(): Cover {
  return {
    length: 0,
    hi: new Uint32Array(CELLS_MAX),
    lo: new Uint32Array(CELLS_MAX),
    interior: new Uint8Array(CELLS_MAX),
  }
}

const baseCells = Array.from({ length: BASE_CELL_COUNT }, (_, baseCell) => {
  const cell = cellPlace()
  placeBaseCell(baseCell, cell)
  return cell
})

/**
 * Covers the geometry at `start` of `numbers` (layout in geometry.ts); replaces what `into` has.
 * @param most Cells at most, as long as those of resolution 0 are no more.
 */
export function coverShape(numbers: Float64Array, start: number, into: Cover, most = CELLS_MAX): void {
  const shape = new CoverShape(numbers, start)
  const cellsMax = Math.min(
    most,
    CELLS_SIMPLE + Math.floor(Math.max(shape.edgeCount / EDGES_A_CELL, shape.edgeCount - EDGES_SIMPLE)),
  )
  const inside: CellPlace[] = []
  let open: Open[] = []
  for (const cell of baseCells) shape.sort(cell, null, open, inside)
  let child = cellPlace()
  for (let resolution = 1; resolution <= FINEST; resolution++) {
    const finer: Open[] = []
    const insideBefore = inside.length
    for (const parent of open) {
      for (let digit = 0; digit <= 6; digit++) {
        if (!placeChild(parent.cell, digit, child)) continue
        if (shape.sort(child, parent, finer, inside)) child = cellPlace()
      }
      if (finer.length + inside.length > cellsMax) break
    }
    if (finer.length + inside.length > cellsMax) {
      inside.length = insideBefore
      break
    }
    open = finer
  }
  into.length = 0
  for (const cell of inside) append(into, cell, 1)
  for (const { cell } of open) append(into, cell, 0)
}

function append(cover: Cover, cell: CellPlace, interior: 0 | 1): void {
  cover.hi[cover.length] = cell.hi
  cover.lo[cover.length] = cell.lo
  cover.interior[cover.length] = interior
  cover.length++
}
