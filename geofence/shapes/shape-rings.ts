/** Rings as they are given, made continuous: closed, in one sheet of longitudes, without repeated positions. */
import { orient2d } from 'robust-predicates'
import { ShapeError } from './shape-error.ts'

const LONGITUDE_MAX = 360

/** A closed ring whose longitudes are unwrapped: no edge jumps. The last position repeats the first. */
export interface Ring {
  /** Such as `ring 0 of polygon 2`. */
  readonly label: string
  /** longitude, latitude, longitude, … in degrees. */
  readonly numbers: Float64Array
  /** Index of each position as it was given; −1 where the ring was closed along a pole. */
  readonly given: Int32Array
}

/** @throws {ShapeError} naming the first position that is none. */
export function checkPositions(positions: readonly (readonly number[])[], label: string): void {
  let swapped = positions.length > 0
  let beyond = -1
  for (const [index, [longitude, latitude]] of positions.entries()) {
    if (!Number.isFinite(longitude) || !Number.isFinite(latitude)) {
      throw new ShapeError(
        'shape-not-a-number',
        `vertex ${index} of ${label} is not a pair of finite numbers: give longitude and latitude in degrees`,
      )
    }
    if (Math.abs(longitude!) > LONGITUDE_MAX) {
      throw new ShapeError(
        'shape-out-of-range',
        `vertex ${index} of ${label} has longitude ${longitude}: give degrees from -${LONGITUDE_MAX} to ${LONGITUDE_MAX}`,
      )
    }
    if (Math.abs(longitude!) > 90) swapped = false
    if (Math.abs(latitude!) > 90 && beyond < 0) beyond = index
  }
  if (beyond < 0) return
  if (swapped) {
    throw new ShapeError(
      'shape-coordinates-swapped',
      `vertex ${beyond} of ${label} has latitude ${positions[beyond]![1]}: latitude and longitude are likely swapped, give longitude first`,
    )
  }
  throw new ShapeError(
    'shape-out-of-range',
    `vertex ${beyond} of ${label} has latitude ${positions[beyond]![1]}: give degrees from -90 to 90`,
  )
}

/**
 * The ring as a closed line in the plane of longitude and latitude. An edge that jumps more than 180° of longitude is
 * taken the short way round. A ring that goes once round the globe encloses a pole: the one on the side of its mean
 * latitude; it is closed along that pole. `wholeWay` takes edges of exactly 360° as going all the way round.
 * @throws {ShapeError} where it is no ring.
 */
export function readRing(
  positions: readonly (readonly number[])[],
  label: string,
  wholeWay: boolean,
): Ring & { readonly polar: boolean } {
  const count = positions.length
  if (count === 0) throw new ShapeError('shape-empty', `${label} is empty: give at least 4 positions`)
  const [firstX, firstY] = positions[0] as [number, number]
  const [lastX, lastY] = positions[count - 1] as [number, number]
  if (firstY !== lastY || (firstX - lastX) % 360 !== 0) {
    throw new ShapeError(
      'shape-ring-open',
      `${label} is not closed: its last position must be the same as the first one`,
    )
  }
  if (count < 4) {
    throw new ShapeError(
      'shape-ring-short',
      `${label} has ${count} positions: it needs at least 4, the last the same as the first`,
    )
  }
  const xs = [firstX]
  const ys = [firstY]
  const given = [0]
  let turn = 0
  for (let index = 1; index < count; index++) {
    const [longitude, latitude] = positions[index] as [number, number]
    const before = xs[xs.length - 1]!
    if (!(wholeWay && Math.abs(longitude + turn - before) === 360)) {
      while (longitude + turn - before > 180) turn -= 360
      while (longitude + turn - before < -180) turn += 360
    }
    const x = longitude + turn
    if (x === before && latitude === ys[ys.length - 1]) continue
    xs.push(x)
    ys.push(latitude)
    given.push(index)
  }
  const round = xs[xs.length - 1]! - firstX
  if (Math.abs(round) > 540) {
    throw new ShapeError(
      'shape-self-crossing',
      `${label} goes round the globe more than once: it crosses itself`,
    )
  }
  // Two names of one meridian may differ by rounding.
  if (Math.abs(round) > 180) return { ...closeAtPole(xs, ys, given, Math.sign(round)), label, polar: true }
  xs[xs.length - 1] = firstX
  if (xs.length < 4 || collinear(xs, ys)) {
    throw new ShapeError('shape-zero-area', `${label} has no area: all its positions lie on one line`)
  }
  const [west, east] = bounds(xs)
  if (east - west > 360) {
    throw new ShapeError(
      'shape-too-wide',
      `${label} spans more than 360° of longitude: it would overlap itself`,
    )
  }
  return { ...turned(xs, ys, given), label, polar: false }
}

/** Whether some edge is exactly a full turn, which is either no way at all or once round the globe. */
export function hasFullTurn(positions: readonly (readonly number[])[]): boolean {
  return positions.some(
    ([longitude], index) => index > 0 && Math.abs(longitude! - positions[index - 1]![0]!) === 360,
  )
}

/** A ring that begins at its position nearest to the pole is not met by the meridian from there to the pole. */
function closeAtPole(xs: number[], ys: number[], given: number[], direction: number): Omit<Ring, 'label'> {
  let integral = 0
  for (let i = 1; i < xs.length; i++) integral += ((ys[i]! + ys[i - 1]!) / 2) * (xs[i]! - xs[i - 1]!)
  const mean = integral * direction
  const pole = mean > 0 || (mean === 0 && direction > 0) ? 90 : -90
  let top = 0
  const length = xs.length - 1
  for (let i = 1; i < length; i++) if (Math.abs(pole - ys[i]!) < Math.abs(pole - ys[top]!)) top = i
  const round = { xs: [] as number[], ys: [] as number[], given: [] as number[] }
  const add = (x: number, y: number, index: number) => {
    const last = round.xs.length - 1
    if (last >= 0 && round.xs[last] === x && round.ys[last] === y) return
    round.xs.push(x)
    round.ys.push(y)
    round.given.push(index)
  }
  for (let i = 0; i <= length; i++) {
    const at = (top + i) % length
    add(xs[at]! + (top + i >= length ? 360 * direction : 0), ys[at]!, given[at]!)
  }
  const [x, y] = [xs[top]!, ys[top]!]
  add(x + 360 * direction, pole, -1)
  add(x, pole, -1)
  add(x, y, given[top]!)
  return turned(round.xs, round.ys, round.given)
}

/** The same ring a whole number of turns away, so that its westernmost place is from −180 to below 180. */
function turned(xs: number[], ys: number[], given: number[]): Omit<Ring, 'label'> {
  const [west] = bounds(xs)
  const turn = west >= 180 ? -360 : west < -180 ? (west < -540 ? 720 : 360) : 0
  const numbers = new Float64Array(2 * xs.length)
  for (let i = 0; i < xs.length; i++) {
    numbers[2 * i] = xs[i]! + turn
    numbers[2 * i + 1] = ys[i]!
  }
  return { numbers, given: Int32Array.from(given) }
}

function bounds(values: readonly number[]): [min: number, max: number] {
  let min = Number.POSITIVE_INFINITY
  let max = Number.NEGATIVE_INFINITY
  for (const value of values) {
    if (value < min) min = value
    if (value > max) max = value
  }
  return [min, max]
}

function collinear(xs: readonly number[], ys: readonly number[]): boolean {
  for (let i = 2; i < xs.length; i++) {
    if (orient2d(xs[0]!, ys[0]!, xs[1]!, ys[1]!, xs[i]!, ys[i]!) !== 0) return false
  }
  return true
}
