/** Names beside vehicles on a canvas over the map: they keep up with the vehicles, which symbols of the map do not. */
import type { MapPalette } from '../ui/theme.ts'

const FONT = '600 12px "Inter Variable", system-ui, sans-serif'
const HEIGHT = 16
/** More names than this are clutter and cost time. */
const LABELS_MAX = 120
const WIDTHS_MAX = 5_000

/** A name and where it stands on the screen, CSS px; centred at `x`. */
export interface Label {
  readonly text: string
  readonly x: number
  /** Upper edge of the name. */
  readonly y: number
}

export class LabelCanvas {
  readonly #canvas = document.createElement('canvas')
  readonly #context = this.#canvas.getContext('2d')!
  /** Measuring a text costs more than drawing it. */
  readonly #widths = new Map<string, number>()
  #empty = true

  constructor(parent: HTMLElement) {
    this.#canvas.className = 'vehicle-labels'
    parent.append(this.#canvas)
  }

  /** Fits the canvas to the map. */
  resize(width: number, height: number): void {
    const ratio = Math.min(2, devicePixelRatio)
    this.#canvas.width = Math.round(width * ratio)
    this.#canvas.height = Math.round(height * ratio)
    this.#canvas.style.width = `${width}px`
    this.#canvas.style.height = `${height}px`
    this.#context.setTransform(ratio, 0, 0, ratio, 0, 0)
  }

  /**
   * Draws labels under their vehicles; one that would cover an earlier one is left out.
   * @param labels The most important first.
   */
  draw(labels: readonly Label[], palette: MapPalette): void {
    if (this.#empty && labels.length === 0) return
    const context = this.#context
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height)
    this.#empty = labels.length === 0
    context.font = FONT
    context.textAlign = 'center'
    context.textBaseline = 'middle'
    context.lineJoin = 'round'
    context.lineWidth = 3.5
    context.strokeStyle = palette.textHalo
    context.fillStyle = palette.label
    const taken: { left: number; right: number; y: number }[] = []
    for (const { text, x, y } of labels) {
      if (taken.length >= LABELS_MAX) break
      const half = this.#widthOf(text) / 2 + 2
      const middle = y + HEIGHT / 2
      const covered = taken.some(
        (other) => x - half < other.right && x + half > other.left && Math.abs(middle - other.y) < HEIGHT,
      )
      if (covered) continue
      taken.push({ left: x - half, right: x + half, y: middle })
      context.strokeText(text, x, middle)
      context.fillText(text, x, middle)
    }
  }

  #widthOf(text: string): number {
    let width = this.#widths.get(text)
    if (width === undefined) {
      width = this.#context.measureText(text).width
      if (this.#widths.size > WIDTHS_MAX) this.#widths.clear()
      this.#widths.set(text, width)
    }
    return width
  }
}
