/** Images that the map draws with, made on a canvas: nothing is fetched. */
import type { MapPalette } from '../ui/theme.ts'

/** Side of one sprite of the atlas, px. Larger than drawn, so that dense screens stay sharp. */
const CELL = 128
/** Sprites of the atlas from left to right; the first three are the codes of a vehicle's state. */
export const SPRITE = { silent: 0, standing: 1, moving: 2, halo: 3 } as const
export const SPRITE_COUNT = 4

/** All sprites side by side. State has a shape as well as a colour: hollow, round, arrow to the north. */
export function vehicleAtlas(palette: MapPalette): HTMLCanvasElement {
  const canvas = document.createElement('canvas')
  canvas.width = CELL * SPRITE_COUNT
  canvas.height = CELL
  const context = canvas.getContext('2d')!
  const inCell = (sprite: number, draw: () => void) => {
    context.save()
    context.translate((sprite + 0.5) * CELL, CELL / 2)
    draw()
    context.restore()
  }
  inCell(SPRITE.silent, () => disc(context, 21, palette.outline, palette.silent, 9))
  inCell(SPRITE.standing, () => disc(context, 24, palette.standing, palette.outline, 8))
  inCell(SPRITE.moving, () => {
    arrowPath(context, 1)
    context.lineJoin = 'round'
    context.lineWidth = 14
    context.strokeStyle = palette.outline
    context.stroke()
    context.fillStyle = palette.moving
    context.fill()
  })
  inCell(SPRITE.halo, () => {
    context.globalAlpha = 0.22
    disc(context, 50, palette.halo, palette.halo, 0)
    context.globalAlpha = 1
    context.beginPath()
    context.arc(0, 0, 52, 0, Math.PI * 2)
    context.lineWidth = 7
    context.strokeStyle = palette.halo
    context.stroke()
  })
  return canvas
}

/** An arrowhead that points along a track. */
export function trackArrow(palette: MapPalette): ImageData {
  const canvas = document.createElement('canvas')
  canvas.width = 28
  canvas.height = 28
  const context = canvas.getContext('2d')!
  context.lineJoin = 'round'
  context.beginPath()
  context.moveTo(22, 14)
  context.lineTo(8, 23)
  context.lineTo(11, 14)
  context.lineTo(8, 5)
  context.closePath()
  context.lineWidth = 4
  context.strokeStyle = palette.trackCasing
  context.stroke()
  context.fillStyle = palette.track
  context.fill()
  return context.getImageData(0, 0, canvas.width, canvas.height)
}

function disc(context: CanvasRenderingContext2D, radius: number, fill: string, ring: string, width: number) {
  context.beginPath()
  context.arc(0, 0, radius, 0, Math.PI * 2)
  context.fillStyle = fill
  context.fill()
  if (width === 0) return
  context.lineWidth = width
  context.strokeStyle = ring
  context.stroke()
}

function arrowPath(context: CanvasRenderingContext2D, scale: number): void {
  context.beginPath()
  context.moveTo(0, -46 * scale)
  context.lineTo(34 * scale, 38 * scale)
  context.lineTo(0, 22 * scale)
  context.lineTo(-34 * scale, 38 * scale)
  context.closePath()
}
