/**
 * The H3 cell of a place, as two 32-bit halves of its index. The order of the operations on numbers is that of the H3
 * library, so that the cells are the same to the last bit; without its text indexes this takes a fifth of the time.
 */
import {
  BASE_CELLS,
  FACE_PLACES,
  FACES,
  LATTICE_TURN,
  PENTAGONS,
  SQRT_7,
  STEPS_A_UNIT,
} from './cell-faces.ts'
import {
  carryA,
  carryB,
  DIGIT_BITS,
  digitOfStep,
  NO_DIGIT,
  pairOfRest,
  turned,
  turnedPairs,
} from './cells-directions.ts'
import { unitVector, unitVectorNearly } from './cells-unit-vector.ts'

/** Finest resolution at which places are looked up; its cells are some 130 m wide. */
export const FINEST = 10

/** Mode "cell" in the high half of an index. */
const MODE_CELL = 1 << 27
const RESOLUTION_SHIFT = 20
const BASE_CELL_SHIFT = 13
const DIGITS_MAX = 15
const DIGITS_BITS = DIGITS_MAX * DIGIT_BITS
/** Where the last two directions of a finest cell are. */
const FINEST_PAIR_SHIFT = DIGITS_BITS - DIGIT_BITS * FINEST
const TWO_PI = 6.283185307179586
/** By resolution: bits of the digits that an index of it does not use, all set; steps of it in the plane of a face. */
const restHi = Int32Array.from({ length: DIGITS_MAX + 1 }, (_, r) =>
  r < 5 ? (1 << (13 - DIGIT_BITS * r)) - 1 : 0,
)
const restLo = Int32Array.from({ length: DIGITS_MAX + 1 }, (_, r) =>
  r < 5 ? -1 : 2 ** (45 - DIGIT_BITS * r) - 1,
)
const steps = Float64Array.from({ length: DIGITS_MAX + 1 }, (_, r) => STEPS_A_UNIT * SQRT_7 ** r)
/** Of a number of BASE_CELLS. */
const BASE_CELL_MASK = 127
const TURN_SHIFT = 7
/** The place of a face that has a pentagon whose missing direction is made up for by a turn clockwise. */
const CLOCKWISE_PLACE = placeKey(0, 2)

/**
 * Per face: centre x, y, z; azimuth of the first axis; direction north; the normal that makes east of it; from FIRST_AXES
 * on both axes of the plane, first for even resolutions, then for odd ones.
 */
const FACE_NUMBERS = 22
const FIRST_AXES = 10
const SIN_60 = Math.sqrt(3) / 2
const SEVENTH = 1 / 7
/** Far more than rounding comes to in steps of any resolution. */
const ROUNDING_STEPS = 1e-6
const faceNumbers = new Float64Array(FACES.length * FACE_NUMBERS)
const baseCells = new Int16Array(FACES.length * 25).fill(-1)
/** Square of the chord within which a face's centre is the nearest for certain. */
const NEAREST_CHORD_SQUARE = 0.13

for (const [face, [x, y, z, azimuth]] of FACES.entries()) {
  const down = -(z + (x * 0 + y * 0))
  let northX = x * down + 0
  let northY = y * down + 0
  let northZ = z * down + 1
  const length = Math.sqrt(northZ * northZ + (northX * northX + northY * northY))
  const inverse = 1 / length
  northX *= inverse
  northY *= inverse
  northZ = inverse * northZ
  faceNumbers.set(
    [
      x,
      y,
      z,
      azimuth,
      northX,
      northY,
      northZ,
      y * northX - x * northY,
      z * northY - y * northZ,
      x * northZ - z * northX,
      ...axesAt(azimuth, [northX, northY, northZ], [-y * inverse, x * inverse, 0]),
      ...axesAt(azimuth - LATTICE_TURN, [northX, northY, northZ], [-y * inverse, x * inverse, 0]),
    ],
    face * FACE_NUMBERS,
  )
  for (const [i, [a, b]] of FACE_PLACES.entries()) {
    baseCells[face * 25 + placeKey(a, b)] = BASE_CELLS[face]![i]!
  }
}

const isPentagon = new Uint8Array(128)
for (const baseCell of PENTAGONS) isPentagon[baseCell] = 1

/** Halves of the index of a cell. */
export interface Cell {
  hi: number
  lo: number
}

/** Directions of the last place, two of each: those of the resolutions 1 and 2 are number 1. */
const pairs = new Uint8Array((DIGITS_MAX + 3) >> 1)
/** Face of the last place: places that follow one another are near to each other. */
let lastFace = 0
const unit = new Float64Array(3)

/** Ancestor of the last finest cell two resolutions above it, if that is not round a pentagon; else face −1. */
let nearFace = -1
let nearA = 0
let nearB = 0
/** Index without its last pair, and what that is turned by. */
let nearHi = 0
let nearLo = 0
let nearTurnedBy = 0

/**
 * Finds the cell of a place.
 *
 * @param latitudeDeg -90 to 90
 * @param longitudeDeg any finite number
 * @param resolution 0 to 15
 * @param into gets the halves, unsigned.
 */
export function findCell(latitudeDeg: number, longitudeDeg: number, resolution: number, into: Cell): void {
  unitVectorNearly(latitudeDeg, longitudeDeg, unit)
  let face = lastFace
  if (chordSquare(face) > NEAREST_CHORD_SQUARE) {
    unitVector(latitudeDeg, longitudeDeg, unit)
    face = nearestFace()
    lastFace = face
  }

  const px = unit[0]!
  const py = unit[1]!
  const pz = unit[2]!
  const odd = resolution & 1
  const at = face * FACE_NUMBERS
  const axes = at + FIRST_AXES + odd * 6
  const toSteps =
    steps[resolution]! / (px * faceNumbers[at]! + py * faceNumbers[at + 1]! + pz * faceNumbers[at + 2]!)
  const x = toSteps * (px * faceNumbers[axes]! + py * faceNumbers[axes + 1]! + pz * faceNumbers[axes + 2]!)
  const y =
    toSteps * (px * faceNumbers[axes + 3]! + py * faceNumbers[axes + 4]! + pz * faceNumbers[axes + 5]!)
  if (!findHexagon(x, y)) {
    unitVector(latitudeDeg, longitudeDeg, unit)
    findHexagonAsH3(face, resolution)
  }
  if (resolution !== FINEST || !writeNextTo(face, into)) writeIndex(face, resolution, into)
}

/** Of the place in `unit`. */
function nearestFace(): number {
  let face = 0
  let least = 5
  for (let f = 0; f < 20; f++) {
    const square = chordSquare(f)
    if (square < least) {
      face = f
      least = square
    }
  }
  return face
}

/** The hexagon of the last place: steps along both axes of its resolution. */
let hexagonA = 0
let hexagonB = 0

/**
 * Projected as H3 does it, by way of angles: it decides where rounding may. All other places have the same hexagon either
 * way, and five trigonometric functions less: 1.7 times as many a second.
 */
function findHexagonAsH3(face: number, resolution: number): void {
  const px = unit[0]!
  const py = unit[1]!
  const pz = unit[2]!
  const angle = Math.acos(1 - chordSquare(face) * 0.5)
  if (angle < 1e-16) {
    hexagonA = 0
    hexagonB = 0
    return
  }
  const at = face * FACE_NUMBERS
  const fx = faceNumbers[at]!
  const fy = faceNumbers[at + 1]!
  const fz = faceNumbers[at + 2]!
  const away = -(px * fx + py * fy + pz * fz)
  let dx = px + fx * away
  let dy = py + fy * away
  let dz = pz + fz * away
  const length = Math.sqrt(dz * dz + (dx * dx + dy * dy))
  const inverse = length > 0 ? 1 / length : 0
  dx *= inverse
  dy *= inverse
  dz = inverse * dz
  const azimuth = Math.atan2(
    dz * faceNumbers[at + 7]! + (dx * faceNumbers[at + 8]! + dy * faceNumbers[at + 9]!),
    faceNumbers[at + 6]! * dz + (faceNumbers[at + 4]! * dx + faceNumbers[at + 5]! * dy),
  )
  let turn = positiveAngle(faceNumbers[at + 3]! - positiveAngle(azimuth))
  if ((resolution & 1) === 1) turn = positiveAngle(turn - LATTICE_TURN)
  let radius = Math.tan(angle) * STEPS_A_UNIT
  for (let r = 0; r < resolution; r++) radius *= SQRT_7
  findHexagon(Math.cos(turn) * radius, Math.sin(turn) * radius)
}

/** Of the way from the centre of the face to the place in `unit`. */
function chordSquare(face: number): number {
  const at = face * FACE_NUMBERS
  const x = faceNumbers[at]! - unit[0]!
  const y = faceNumbers[at + 1]! - unit[1]!
  const z = faceNumbers[at + 2]! - unit[2]!
  return x * x + y * y + z * z
}

function positiveAngle(angle: number): number {
  const shifted = angle < 0 ? angle + TWO_PI : angle
  return angle >= TWO_PI ? shifted - TWO_PI : shifted
}

/**
 * @param x y In the plane of a face, in steps of the resolution, the first axis that of the resolution.
 * @returns whether the place is far enough from what tells hexagons apart that rounding does not matter.
 */
function findHexagon(x: number, y: number): boolean {
  const along2 = Math.abs(y) * 1.1547005383792515
  const along1 = Math.abs(x) + along2 * 0.5
  let a = Math.trunc(along1)
  let b = Math.trunc(along2)
  const rest1 = along1 - a
  const rest2 = along2 - b
  // Which of the hexagons round this corner of the lattice has the place.
  if (rest1 < 0.5) {
    if (rest1 < 0.3333333333333333) {
      if (!(rest2 < (rest1 + 1) * 0.5)) b++
    } else {
      const limit = 1 - rest1
      if (!(rest2 < limit)) b++
      if (limit <= rest2 && rest2 < rest1 * 2) a++
    }
  } else if (rest1 < 0.6666666666666666) {
    if (rest2 < 1 - rest1) {
      if (!(rest1 * 2 - 1 < rest2)) a++
    } else {
      a++
      b++
    }
  } else {
    a++
    if (!(rest2 < rest1 * 0.5)) b++
  }
  if (x < 0) a = b - a
  if (y < 0) {
    a -= (2 * b + 1) >> 1
    b = -b
  }
  hexagonA = a
  hexagonB = b
  // Steps from the centre of the hexagon, across each pair of its edges, which are half a step away.
  const dx = x - (a - b * 0.5)
  const dy = (y - b * SIN_60) * SIN_60
  const limit = 0.5 - ROUNDING_STEPS
  return Math.abs(dx) < limit && Math.abs(dx * 0.5 + dy) < limit && Math.abs(dx * 0.5 - dy) < limit
}

/**
 * Writes the index of a finest cell that has its ancestor in common with the last one: 1.2 times as many look-ups for
 * vehicles, whose next place is near.
 * @returns false if it has not.
 */
function writeNextTo(face: number, into: Cell): boolean {
  const parentA = Math.floor((hexagonA + 0.5) * SEVENTH)
  const parentB = Math.floor((hexagonB + 0.5) * SEVENTH)
  const rest = 7 * (hexagonA - 7 * parentA) + hexagonB - 7 * parentB
  if (parentA + carryA[rest]! !== nearA || parentB + carryB[rest]! !== nearB || face !== nearFace)
    return false
  into.hi = nearHi
  into.lo = (nearLo | (turnedPairs[nearTurnedBy + pairOfRest[rest]!]! << FINEST_PAIR_SHIFT)) >>> 0
  return true
}

function writeIndex(face: number, resolution: number, into: Cell): void {
  let a = hexagonA
  let b = hexagonB
  if ((resolution & 1) === 1) {
    const parentA = Math.floor((3 * a - b) * SEVENTH + 0.5)
    const parentB = Math.floor((a + 2 * b) * SEVENTH + 0.5)
    const digit = digitOfStep[4 + 3 * (a - 2 * parentA - parentB) + b - 3 * parentB + parentA]!
    pairs[(resolution + 1) >> 1] = (digit << DIGIT_BITS) | NO_DIGIT
    a = parentA
    b = parentB
  }
  for (let pair = resolution >> 1; pair > 0; pair--) {
    const parentA = Math.floor((a + 0.5) * SEVENTH)
    const parentB = Math.floor((b + 0.5) * SEVENTH)
    const rest = 7 * (a - 7 * parentA) + b - 7 * parentB
    pairs[pair] = pairOfRest[rest]!
    a = parentA + carryA[rest]!
    b = parentB + carryB[rest]!
    if (resolution === FINEST && pair === FINEST >> 1) {
      nearA = a
      nearB = b
    }
  }

  const place = placeKey(a, b)
  const turnedBaseCell = baseCells[face * 25 + place]!
  const baseCell = turnedBaseCell & BASE_CELL_MASK
  let turns = turnedBaseCell >> TURN_SHIFT
  if (isPentagon[baseCell] === 1) turns = pentagonTurns(resolution, turns, place)
  // Digits below the resolution are 7.
  let hi = MODE_CELL | (resolution << RESOLUTION_SHIFT) | (baseCell << BASE_CELL_SHIFT) | restHi[resolution]!
  let lo = restLo[resolution]!
  const turnedBy = turns << 6
  for (let pair = (resolution + 1) >> 1; pair > 0; pair--) {
    const both = turnedPairs[turnedBy + pairs[pair]!]!
    const shift = DIGITS_BITS - 2 * DIGIT_BITS * pair
    if (shift >= 32) hi |= both << (shift - 32)
    else if (shift < 0) lo |= both >> -shift
    else {
      lo |= both << shift
      if (shift > 26) hi |= both >> (32 - shift)
    }
  }
  into.hi = hi >>> 0
  into.lo = lo >>> 0
  if (resolution === FINEST) {
    nearFace = isPentagon[baseCell] === 1 ? -1 : face
    nearHi = into.hi
    nearLo = lo & ~(63 << FINEST_PAIR_SHIFT)
    nearTurnedBy = turnedBy
  }
}

/** Turns of all digits below a pentagon, which has no direction 1. */
function pentagonTurns(resolution: number, turns: number, place: number): number {
  let leading = 0
  for (let pair = 1; leading === 0 && pair <= (resolution + 1) >> 1; pair++) {
    const both = pairs[pair]!
    leading = both >> DIGIT_BITS === 0 ? both & 7 : both >> DIGIT_BITS
  }
  if (leading === 0 || leading === NO_DIGIT) return 0
  let all = 0
  if (leading === 1) {
    all = place === CLOCKWISE_PLACE ? 5 : 1
    leading = turned[all * 8 + 1]!
  }
  for (let turn = 0; turn < turns; turn++) {
    let by = 1
    leading = turned[8 + leading]!
    if (leading === 1) {
      leading = turned[8 + leading]!
      by = 2
    }
    all += by
  }
  return all % 6
}

/** Both axes of a plane; the first has this azimuth, the second lies 90° anticlockwise of it. */
function axesAt(azimuth: number, north: readonly number[], east: readonly number[]): number[] {
  const cos = Math.cos(azimuth)
  const sin = Math.sin(azimuth)
  const first = north.map((value, i) => cos * value + sin * east[i]!)
  return [...first, ...north.map((value, i) => sin * value - cos * east[i]!)]
}

function placeKey(a: number, b: number): number {
  return (a + 2) * 5 + b + 2
}
