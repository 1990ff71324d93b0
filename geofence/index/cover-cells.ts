/**
 * Where cells lie: centres and sizes, found from the top down by adding steps in the plane of a face, with no
 * trigonometry a cell. Rounding differs from the H3 library's, which does not matter where cells are taken with a margin.
 *
 * Cells of H3 do not nest exactly. The region of a cell here is the union of its finest descendants, whose index has its
 * bits: that is where a look-up by parents finds it. It lies within a disc round the centre: the first descendants of a
 * hexagon have their centres one step away at most, theirs 1 / √7 of that, and so on; so no place of it is further away
 * than 1.0525 times a corner is.
 */
import { cellToLatLng } from 'h3-js'
import {
  BASE_CELLS,
  FACE_PLACES,
  FACES,
  LATTICE_TURN,
  PENTAGONS,
  SQRT_7,
  STEPS_A_UNIT,
} from './cell-faces.ts'
import { type Cell, FINEST } from './cells.ts'
import { DIGIT_STEPS } from './cells-directions.ts'

export const BASE_CELL_COUNT = 122
/** Radius of the region round the centre of a cell, in steps of its resolution; a corner is 1 / √3 away. */
const RADIUS_STEPS = 1.0525 / Math.sqrt(3)
/** For rounding, here and in the cell of a place. */
const RADIUS_MARGIN = 1.000001
const RADIUS_MARGIN_RADIANS = 1e-9
const TURN_SHIFT = 7

/** By base cell: face in whose frame its directions are, and its place in that plane; −1 = pentagon. */
const faceOf = new Int8Array(BASE_CELL_COUNT).fill(-1)
const placeX = new Float64Array(BASE_CELL_COUNT)
const placeY = new Float64Array(BASE_CELL_COUNT)
/** By 7 * resolution + direction: the step from a cell to its child there, which is of that resolution. */
const stepX = new Float64Array((FINEST + 1) * 7)
const stepY = new Float64Array((FINEST + 1) * 7)
/** By resolution: radius of the region in the plane, in which the sphere has radius 1. */
const planeRadius = new Float64Array(FINEST + 1)
/** Per face: centre and both axes of the plane; then of each edge its normal in the plane, and the step round it. */
const AXES = 9
const EDGE = 5
const FRAME = AXES + 3 * EDGE
const frames = new Float64Array(FACES.length * FRAME)
/** Distance of a face's edges from its centre, in its plane. */
const EDGE_DISTANCE = 1 / STEPS_A_UNIT
const EDGE_ANGLES = [Math.PI / 3, Math.PI, (5 * Math.PI) / 3]

type Vector = readonly [number, number, number]

for (let resolution = 0; resolution <= FINEST; resolution++) {
  const step = 1 / (STEPS_A_UNIT * SQRT_7 ** resolution)
  planeRadius[resolution] = RADIUS_STEPS * step
  const turn = (resolution & 1) === 1 ? LATTICE_TURN : 0
  for (const [digit, [a, b]] of DIGIT_STEPS.entries()) {
    const [x, y] = latticePlace(a, b)
    stepX[resolution * 7 + digit] = step * (x * Math.cos(turn) - y * Math.sin(turn))
    stepY[resolution * 7 + digit] = step * (x * Math.sin(turn) + y * Math.cos(turn))
  }
}

for (const [face, [x, y, z, azimuth]] of FACES.entries()) {
  const center: Vector = [x, y, z]
  const level = Math.hypot(x, y)
  const north: Vector = [(-x * z) / level, (-y * z) / level, level]
  const east: Vector = [-y / level, x / level, 0]
  const first = sum(north, Math.cos(azimuth), east, Math.sin(azimuth))
  const second = sum(north, Math.sin(azimuth), east, -Math.cos(azimuth))
  frames.set([...center, ...first, ...second], face * FRAME)
  for (const [edge, angle] of EDGE_ANGLES.entries()) {
    const normal = sum(first, Math.cos(angle), second, Math.sin(angle))
    const middle = sum(center, 1, normal, EDGE_DISTANCE)
    // The centre of the neighbour is this centre seen in the mirror of the plane through the edge and the earth's centre.
    const square = 1 + EDGE_DISTANCE * EDGE_DISTANCE
    const neighbour = sum(middle, 2 / square, center, -1)
    const onward = sum(neighbour, 1 / EDGE_DISTANCE, middle, -1 / EDGE_DISTANCE)
    const bend = sum(onward, 1, normal, -1)
    frames.set([Math.cos(angle), Math.sin(angle), ...bend], face * FRAME + AXES + edge * EDGE)
  }
  for (const [i, [a, b]] of FACE_PLACES.entries()) {
    const baseCell = BASE_CELLS[face]![i]!
    if (baseCell >> TURN_SHIFT !== 0 || PENTAGONS.includes(baseCell)) continue
    const [planeX, planeY] = latticePlace(a, b)
    const nearer =
      Math.hypot(planeX, planeY) < Math.hypot(placeX[baseCell]!, placeY[baseCell]!) * STEPS_A_UNIT
    if (faceOf[baseCell] !== -1 && !nearer) continue
    faceOf[baseCell] = face
    placeX[baseCell] = planeX / STEPS_A_UNIT
    placeY[baseCell] = planeY / STEPS_A_UNIT
  }
}

/** A cell on the way down: bits of its index, and where its centre is in the plane of a face. */
export interface CellPlace extends Cell {
  resolution: number
  /** Plane that x and y are of; −1 = at or round a pentagon, without x and y. */
  face: number
  x: number
  y: number
  /** Unit vector of the centre. */
  centerX: number
  centerY: number
  centerZ: number
  /** No place of the region is further from the centre, radians. */
  radius: number
}

export function cellPlace(): CellPlace {
  return {
    hi: 0,
    lo: 0,
    resolution: 0,
    face: 0,
    x: 0,
    y: 0,
    centerX: 0,
    centerY: 0,
    centerZ: 0,
    radius: 0,
  }
}

/** @param baseCell 0 to 121 */
export function placeBaseCell(baseCell: number, into: CellPlace): void {
  into.hi = (1 << 27) | (baseCell << 13) | 0x1fff
  into.lo = 0xffffffff
  into.resolution = 0
  into.face = faceOf[baseCell]!
  into.x = placeX[baseCell]!
  into.y = placeY[baseCell]!
  placeCenter(into)
}

/**
 * Child of a cell that is above the finest resolution.
 * @param digit 0 to 6
 * @returns false where there is none: a pentagon has no direction 1.
 */
export function placeChild(cell: CellPlace, digit: number, into: CellPlace): boolean {
  if (cell.face < 0 && digit === 1 && isPentagon(cell)) return false
  const resolution = cell.resolution + 1
  into.hi = cell.hi + (1 << 20)
  into.lo = cell.lo
  if (resolution < 5) into.hi ^= (7 ^ digit) << (13 - 3 * resolution)
  else if (resolution > 5) into.lo = (into.lo ^ ((7 ^ digit) << (45 - 3 * resolution))) >>> 0
  else {
    into.hi ^= (7 ^ digit) >> 2
    into.lo = (into.lo ^ ((7 ^ digit) << 30)) >>> 0
  }
  into.resolution = resolution
  into.face = cell.face
  into.x = cell.x + stepX[resolution * 7 + digit]!
  into.y = cell.y + stepY[resolution * 7 + digit]!
  placeCenter(into)
  return true
}

/** Whether all directions on the way to it are 0. */
function isPentagon(cell: CellPlace): boolean {
  for (let r = 1; r <= cell.resolution; r++) {
    const digit =
      r < 5 ? cell.hi >> (13 - 3 * r) : r > 5 ? cell.lo >> (45 - 3 * r) : cell.hi * 4 + (cell.lo >>> 30)
    if ((digit & 7) !== 0) return false
  }
  return true
}

function placeCenter(cell: CellPlace): void {
  const radius = planeRadius[cell.resolution]!
  if (cell.face < 0) {
    const [latitudeDeg, longitudeDeg] = cellToLatLng([cell.lo, cell.hi])
    const latitude = (latitudeDeg * Math.PI) / 180
    const longitude = (longitudeDeg * Math.PI) / 180
    cell.centerX = Math.cos(latitude) * Math.cos(longitude)
    cell.centerY = Math.cos(latitude) * Math.sin(longitude)
    cell.centerZ = Math.sin(latitude)
    cell.radius = radius * RADIUS_MARGIN + RADIUS_MARGIN_RADIANS
    return
  }
  const { x, y } = cell
  const frame = cell.face * FRAME
  let px = frames[frame]! + x * frames[frame + 3]! + y * frames[frame + 6]!
  let py = frames[frame + 1]! + x * frames[frame + 4]! + y * frames[frame + 7]!
  let pz = frames[frame + 2]! + x * frames[frame + 5]! + y * frames[frame + 8]!
  for (let edge = frame + AXES; edge < frame + FRAME; edge += EDGE) {
    const beyond = x * frames[edge]! + y * frames[edge + 1]! - EDGE_DISTANCE
    if (beyond > 0) {
      // The plane is bent over the edge onto the neighbouring face.
      px += beyond * frames[edge + 2]!
      py += beyond * frames[edge + 3]!
      pz += beyond * frames[edge + 4]!
      break
    }
  }
  const square = px * px + py * py + pz * pz
  const length = Math.sqrt(square)
  cell.centerX = px / length
  cell.centerY = py / length
  cell.centerZ = pz / length
  // A step in the plane, so far from the centre of the face, is this much shorter on the sphere at least.
  const nearest = Math.max(0, Math.sqrt(Math.max(0, square - 1)) - radius)
  cell.radius = (radius / Math.sqrt(1 + nearest * nearest)) * RADIUS_MARGIN + RADIUS_MARGIN_RADIANS
}

/** Place (a, b) of the lattice in the plane, in steps. */
function latticePlace(a: number, b: number): [number, number] {
  return [a - b / 2, (b * Math.sqrt(3)) / 2]
}

function sum(u: Vector, timesU: number, v: Vector, timesV: number): Vector {
  return [u[0] * timesU + v[0] * timesV, u[1] * timesU + v[1] * timesV, u[2] * timesU + v[2] * timesV]
}
