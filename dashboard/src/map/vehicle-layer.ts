/**
 * Draws all vehicles with one instanced call. The place on the screen is worked out here in doubles, since 32-bit
 * coordinates of the world would shake at street level; picking and labels use the same places.
 */
import type { CustomLayerInterface, Map as MapLibre } from 'maplibre-gl'
import { mercatorX, mercatorY } from '../fleet/mercator.ts'
import type { MotionTable } from '../fleet/motion.ts'
import { SPRITE, SPRITE_COUNT } from './sprites.ts'
import { bindCorners, blendFlat, linkProgram } from './webgl.ts'

const TILE_PX = 512
/** Values of an instance: x, y, turn, sprite, size, opacity. */
const STRIDE = 6
const FAINT = 0.22
/** From so many vehicles in view on, each is drawn smaller, so that they do not become one. */
const CROWD = 3_000
const CROWDED_SIZE_MIN = 0.6

const VERTEX = `#version 300 es
in vec2 corner;
in vec4 place;
in vec2 look;
uniform vec2 viewport;
out vec2 texel;
out float opacity;
void main() {
  float s = sin(place.z), c = cos(place.z);
  vec2 offset = vec2(corner.x * c - corner.y * s, corner.x * s + corner.y * c) * look.x * 0.5;
  vec2 clip = (place.xy + offset) / viewport * 2.0 - 1.0;
  gl_Position = vec4(clip.x, -clip.y, 0.0, 1.0);
  texel = vec2((place.w + corner.x * 0.5 + 0.5) / ${SPRITE_COUNT}.0, corner.y * 0.5 + 0.5);
  opacity = look.y;
}`
const FRAGMENT = `#version 300 es
precision mediump float;
in vec2 texel;
in float opacity;
uniform sampler2D atlas;
out vec4 colour;
void main() { colour = texture(atlas, texel) * opacity; }`

interface Resources {
  readonly program: WebGLProgram
  readonly array: WebGLVertexArrayObject
  readonly instances: WebGLBuffer
  readonly texture: WebGLTexture
  readonly viewport: WebGLUniformLocation | null
}

export class VehicleLayer implements CustomLayerInterface {
  readonly id = 'vehicles'
  readonly type = 'custom'
  readonly renderingMode = '2d'
  /** Row of the chosen vehicle; -1 = none. */
  selectedRow = -1
  /** Where each row is on the screen, CSS px from the top left; NaN = not in view. */
  screenX = new Float32Array(0)
  screenY = new Float32Array(0)
  /** Rows in view after the last draw. */
  inView = 0
  /** Size of a vehicle in the last draw, CSS px. */
  sizePx = 0
  /** Fastest vehicle in view after the last draw, CSS px a millisecond. */
  fastestPx = 0
  /** Called after each draw. */
  onDrawn: () => void = () => {}
  readonly #motion: MotionTable
  #map: MapLibre | null = null
  #resources: Resources | null = null
  #atlas: HTMLCanvasElement | null = null
  #values = new Float32Array(0)
  #used = 0

  constructor(motion: MotionTable) {
    this.#motion = motion
  }

  /** Takes new sprites at the next draw. */
  setAtlas(atlas: HTMLCanvasElement): void {
    this.#atlas = atlas
    this.#map?.triggerRepaint()
  }

  onAdd(map: MapLibre, gl: WebGL2RenderingContext): void {
    this.#map = map
    this.#resources = createResources(gl)
  }

  onRemove(_map: MapLibre, gl: WebGL2RenderingContext): void {
    const resources = this.#resources
    if (resources === null) return
    gl.deleteProgram(resources.program)
    gl.deleteVertexArray(resources.array)
    gl.deleteBuffer(resources.instances)
    gl.deleteTexture(resources.texture)
    this.#resources = null
  }

  render(gl: WebGL2RenderingContext): void {
    const { clientWidth: width, clientHeight: height } = this.#map!.getContainer()
    this.#motion.sample(performance.now())
    this.#place(width, height)
    this.#draw(gl, width, height)
    this.onDrawn()
  }

  /** Row of the vehicle nearest to a point of the screen, at most `reachPx` away; -1 = none. */
  pick(x: number, y: number, reachPx: number): number {
    let nearest = -1
    let best = reachPx * reachPx
    for (let row = 0; row < this.screenX.length; row++) {
      const distance = (this.screenX[row]! - x) ** 2 + (this.screenY[row]! - y) ** 2
      if (distance <= best) {
        best = distance
        nearest = row
      }
    }
    return nearest
  }

  /** Works out the screen places; the map is flat and north is up, so that this is one scale and one shift. */
  #place(width: number, height: number): void {
    const motion = this.#motion
    const map = this.#map!
    const { count } = motion
    if (this.screenX.length !== count) {
      this.screenX = new Float32Array(count)
      this.screenY = new Float32Array(count)
      this.#values = new Float32Array((count + 1) * STRIDE)
    }
    const worldPx = TILE_PX * 2 ** map.getZoom()
    const centre = map.getCenter()
    const anchor = map.project(centre)
    const shiftX = anchor.x - mercatorX(centre.lng) * worldPx
    const shiftY = anchor.y - mercatorY(centre.lat) * worldPx
    const sizePx = vehicleSizePx(map.getZoom()) * crowdedSize(this.inView)
    this.sizePx = sizePx
    let fastest = 0
    this.inView = 0
    for (let row = 0; row < count; row++) {
      const x = motion.x[row]! * worldPx + shiftX
      const y = motion.y[row]! * worldPx + shiftY
      const seen =
        motion.placed[row] === 1 && x > -sizePx && y > -sizePx && x < width + sizePx && y < height + sizePx
      this.screenX[row] = seen ? x : Number.NaN
      this.screenY[row] = seen ? y : Number.NaN
      if (!seen) continue
      this.inView++
      if (motion.rate[row]! > fastest) fastest = motion.rate[row]!
    }
    this.fastestPx = fastest * worldPx
    this.#fill(sizePx)
  }

  /** Writes the instances in the order in which they are drawn: silent, standing, moving, the chosen one. */
  #fill(sizePx: number): void {
    const motion = this.#motion
    this.#used = 0
    for (let state = SPRITE.silent; state <= SPRITE.moving; state++) {
      for (let row = 0; row < motion.count; row++) {
        if (motion.state[row] !== state || row === this.selectedRow) continue
        this.#push(row, state, sizePx, motion.faint[row] === 1 ? FAINT : 1)
      }
    }
    if (this.selectedRow >= 0 && this.selectedRow < motion.count) {
      this.#push(this.selectedRow, SPRITE.halo, sizePx * 1.7, 1)
      this.#push(this.selectedRow, motion.state[this.selectedRow]!, sizePx * 1.15, 1)
    }
  }

  #push(row: number, sprite: number, sizePx: number, opacity: number): void {
    const x = this.screenX[row]!
    if (Number.isNaN(x)) return
    const courseDeg = this.#motion.courseDeg[row]!
    // Without a course, an arrow would lie.
    const shape = sprite === SPRITE.moving && Number.isNaN(courseDeg) ? SPRITE.standing : sprite
    const values = this.#values
    const at = this.#used++ * STRIDE
    values[at] = x
    values[at + 1] = this.screenY[row]!
    values[at + 2] = shape === SPRITE.moving ? (courseDeg * Math.PI) / 180 : 0
    values[at + 3] = shape
    values[at + 4] = sizePx
    values[at + 5] = opacity
  }

  #draw(gl: WebGL2RenderingContext, width: number, height: number): void {
    const resources = this.#resources
    if (resources === null) return
    if (this.#atlas !== null) {
      uploadAtlas(gl, resources.texture, this.#atlas)
      this.#atlas = null
    }
    gl.useProgram(resources.program)
    gl.bindVertexArray(resources.array)
    gl.bindBuffer(gl.ARRAY_BUFFER, resources.instances)
    gl.bufferData(gl.ARRAY_BUFFER, this.#values.subarray(0, this.#used * STRIDE), gl.STREAM_DRAW)
    gl.activeTexture(gl.TEXTURE0)
    gl.bindTexture(gl.TEXTURE_2D, resources.texture)
    gl.uniform2f(resources.viewport, width, height)
    blendFlat(gl)
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.#used)
    gl.bindVertexArray(null)
  }
}

/** Small when the whole region is seen, large enough to hit at street level. */
function vehicleSizePx(zoom: number): number {
  const part = Math.max(0, Math.min(1, (zoom - 8) / 7))
  return 14 + part * 18
}

/** By how much vehicles are smaller where `count` are in view: their area shrinks as the crowd grows. */
function crowdedSize(count: number): number {
  return Math.max(CROWDED_SIZE_MIN, Math.min(1, (CROWD / count) ** 0.25))
}

function createResources(gl: WebGL2RenderingContext): Resources {
  const program = linkProgram(gl, 'vehicle', VERTEX, FRAGMENT)
  const array = gl.createVertexArray()
  gl.bindVertexArray(array)
  bindCorners(gl, program, [-1, -1, 1, -1, -1, 1, 1, 1])
  const instances = gl.createBuffer()
  gl.bindBuffer(gl.ARRAY_BUFFER, instances)
  for (const [name, size, offset] of [
    ['place', 4, 0],
    ['look', 2, 4],
  ] as const) {
    const location = gl.getAttribLocation(program, name)
    gl.enableVertexAttribArray(location)
    gl.vertexAttribPointer(location, size, gl.FLOAT, false, STRIDE * 4, offset * 4)
    gl.vertexAttribDivisor(location, 1)
  }
  gl.bindVertexArray(null)
  const viewport = gl.getUniformLocation(program, 'viewport')
  return { program, array, instances, texture: gl.createTexture(), viewport }
}

function uploadAtlas(gl: WebGL2RenderingContext, texture: WebGLTexture, atlas: HTMLCanvasElement): void {
  gl.activeTexture(gl.TEXTURE0)
  gl.bindTexture(gl.TEXTURE_2D, texture)
  gl.pixelStorei(gl.UNPACK_FLIP_Y_WEBGL, false)
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, true)
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, atlas)
  gl.generateMipmap(gl.TEXTURE_2D)
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR)
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE)
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE)
}
