/** Monotone cubic interpolation: a smooth curve through points that never turns back between them. */
import { firstAbove } from './geometry.ts'

/**
 * Curve through ascending `x` and any `y` (Fritsch and Butland 1984, the tangents of PCHIP where `y` rises). It begins
 * and ends level, is level wherever `y` does not change or falls, and never leaves the range of two neighbours.
 */
export class MonotoneCubic {
  private readonly x: readonly number[]
  private readonly y: readonly number[]
  private readonly tangents: readonly number[]

  constructor(x: readonly number[], y: readonly number[]) {
    this.x = x
    this.y = y
    this.tangents = x.map((_, i) => {
      if (i === 0 || i === x.length - 1) return 0
      const [widthBefore, widthAfter] = [x[i]! - x[i - 1]!, x[i + 1]! - x[i]!]
      const [before, after] = [(y[i]! - y[i - 1]!) / widthBefore, (y[i + 1]! - y[i]!) / widthAfter]
      if (before <= 0 || after <= 0) return 0
      // Weighted harmonic mean of the two slopes.
      const [weightBefore, weightAfter] = [2 * widthAfter + widthBefore, widthAfter + 2 * widthBefore]
      return (weightBefore + weightAfter) / (weightBefore / before + weightAfter / after)
    })
  }

  /** Value and slope at `at`; the ends' values, level, beyond them. */
  at(at: number): { readonly value: number; readonly slope: number } {
    const { x, y, tangents } = this
    const next = firstAbove(x, at)
    if (next === 0) return { value: y[0]!, slope: 0 }
    if (next === x.length) return { value: y.at(-1)!, slope: 0 }
    const width = x[next]! - x[next - 1]!
    const t = (at - x[next - 1]!) / width
    const rise = y[next]! - y[next - 1]!
    const [start, end] = [tangents[next - 1]! * width, tangents[next]! * width]
    const square = 3 * rise - 2 * start - end
    const cube = start + end - 2 * rise
    return {
      value: y[next - 1]! + t * (start + t * (square + t * cube)),
      slope: (start + t * (2 * square + t * 3 * cube)) / width,
    }
  }
}
