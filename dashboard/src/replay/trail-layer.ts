/**
 * Draws the trails of all vehicles with one instanced call. A way from fix to fix is written once, with its times; the
 * graphics cut it at the clock and let it fade, so that a frame costs no work here, however many vehicles there are.
 */
import type { CustomLayerInterface, Map as MapLibre } from 'maplibre-gl'
import { mercatorX, mercatorY } from '../fleet/mercator.ts'
import { bindCorners, blendFlat, linkProgram } from '../map/webgl.ts'
import type { ReplayClock } from './replay-clock.ts'
import type { TrailWriter } from './replay-motion.ts'

const TILE_PX = 512
/** Values of a way: x, y, time of its beginning, and of its end. */
const STRIDE = 6
/** Most ways at a time; the oldest give way. 10,000 vehicles with a fix every 10 s have four minutes. */
const WAYS_MAX = 1 << 18
const WIDTH_PX = 2.5

const VERTEX = `#version 300 es
in vec2 corner;
in vec3 start;
in vec3 stop;
uniform vec2 viewport;
uniform vec2 shift;
uniform float scale;
uniform float clock;
uniform float duration;
out float fade;
void main() {
  float tail = clock - duration;
  float span = max(stop.z - start.z, 0.001);
  float first = clamp((tail - start.z) / span, 0.0, 1.0);
  float last = clamp((clock - start.z) / span, 0.0, 1.0);
  vec2 from = mix(start.xy, stop.xy, first) * scale + shift;
  vec2 to = mix(start.xy, stop.xy, last) * scale + shift;
  vec2 way = to - from;
  float reach = length(way);
  float part = mix(first, last, corner.x);
  fade = clamp((mix(start.z, stop.z, part) - tail) / duration, 0.0, 1.0);
  vec2 side = reach > 0.0 ? vec2(-way.y, way.x) / reach : vec2(0.0);
  vec2 place = mix(from, to, corner.x) + side * corner.y * ${(WIDTH_PX / 2).toFixed(2)};
  vec2 clip = place / viewport * 2.0 - 1.0;
  // Ways that are over, or have not begun, have no area.
  gl_Position = last > first ? vec4(clip.x, -clip.y, 0.0, 1.0) : vec4(2.0, 2.0, 0.0, 1.0);
}`
const FRAGMENT = `#version 300 es
precision mediump float;
in float fade;
uniform vec3 ink;
out vec4 colour;
void main() {
  float opacity = 0.75 * fade;
  colour = vec4(ink * opacity, opacity);
}`

interface Resources {
  readonly program: WebGLProgram
  readonly array: WebGLVertexArrayObject
  readonly ways: WebGLBuffer
  readonly uniform: (name: string) => WebGLUniformLocation | null
}

export class TrailLayer implements CustomLayerInterface, TrailWriter {
  readonly id = 'trails'
  readonly type = 'custom'
  readonly renderingMode = '2d'
  /** Length of the trails, ms. */
  trailMs = 0
  readonly #clock: ReplayClock
  readonly #values = new Float32Array(WAYS_MAX * STRIDE)
  /** End of each way, ms UTC: what is over is not drawn. */
  readonly #endsMs = new Float64Array(WAYS_MAX)
  /** Ways written and ways that are over since the last {@link clear}. */
  #written = 0
  #over = 0
  #uploaded = 0
  /** Place and time that 32-bit numbers are exact around. */
  #origin: readonly [x: number, y: number, timeMs: number] | null = null
  #ink: readonly [number, number, number] = [0, 0, 0]
  #map: MapLibre | null = null
  #resources: Resources | null = null

  constructor(clock: ReplayClock) {
    this.#clock = clock
  }

  /** @param colour `#rrggbb`. */
  setColour(colour: string): void {
    const channel = (at: number) => Number.parseInt(colour.slice(at, at + 2), 16) / 255
    this.#ink = [channel(1), channel(3), channel(5)]
    this.#map?.triggerRepaint()
  }

  add(fromMs: number, fromX: number, fromY: number, toMs: number, toX: number, toY: number): void {
    this.#origin ??= [fromX, fromY, fromMs]
    const [x, y, timeMs] = this.#origin
    const slot = this.#written % WAYS_MAX
    const at = slot * STRIDE
    const values = this.#values
    values[at] = fromX - x
    values[at + 1] = fromY - y
    values[at + 2] = (fromMs - timeMs) / 1000
    values[at + 3] = toX - x
    values[at + 4] = toY - y
    values[at + 5] = (toMs - timeMs) / 1000
    this.#endsMs[slot] = toMs
    this.#written++
    this.#over = Math.max(this.#over, this.#written - WAYS_MAX)
    this.#uploaded = Math.max(this.#uploaded, this.#written - WAYS_MAX)
  }

  clear(): void {
    this.#written = this.#over = this.#uploaded = 0
    this.#origin = null
  }

  onAdd(map: MapLibre, gl: WebGL2RenderingContext): void {
    this.#map = map
    this.#resources = createResources(gl)
    this.#uploaded = Math.max(0, this.#written - WAYS_MAX)
  }

  onRemove(_map: MapLibre, gl: WebGL2RenderingContext): void {
    const resources = this.#resources
    this.#resources = null
    if (resources === null) return
    gl.deleteProgram(resources.program)
    gl.deleteVertexArray(resources.array)
    gl.deleteBuffer(resources.ways)
  }

  render(gl: WebGL2RenderingContext): void {
    const resources = this.#resources
    const origin = this.#origin
    const timeMs = this.#clock.advance(performance.now())
    this.#dropOver(timeMs - this.trailMs)
    if (resources === null || origin === null || this.trailMs === 0 || this.#over === this.#written) return
    const map = this.#map!
    const { clientWidth: width, clientHeight: height } = map.getContainer()
    const scale = TILE_PX * 2 ** map.getZoom()
    const centre = map.getCenter()
    const anchor = map.project(centre)
    const { uniform } = resources
    gl.useProgram(resources.program)
    gl.uniform2f(uniform('viewport'), width, height)
    gl.uniform2f(
      uniform('shift'),
      anchor.x + (origin[0] - mercatorX(centre.lng)) * scale,
      anchor.y + (origin[1] - mercatorY(centre.lat)) * scale,
    )
    gl.uniform1f(uniform('scale'), scale)
    gl.uniform1f(uniform('clock'), (timeMs - origin[2]) / 1000)
    gl.uniform1f(uniform('duration'), this.trailMs / 1000)
    gl.uniform3f(uniform('ink'), ...this.#ink)
    gl.bindVertexArray(resources.array)
    gl.bindBuffer(gl.ARRAY_BUFFER, resources.ways)
    this.#upload(gl)
    blendFlat(gl)
    for (const [first, end] of ringParts(this.#over, this.#written)) {
      pointAtWays(gl, resources.program, first)
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, end - first)
    }
    gl.bindVertexArray(null)
  }

  /** Ways are written about in the order of their times, so those that are over are at the front. */
  #dropOver(beforeMs: number): void {
    while (this.#over < this.#written && this.#endsMs[this.#over % WAYS_MAX]! < beforeMs) this.#over++
  }

  /** Hands over what was written since the last frame. */
  #upload(gl: WebGL2RenderingContext): void {
    for (const [first, end] of ringParts(this.#uploaded, this.#written)) {
      const part = this.#values.subarray(first * STRIDE, end * STRIDE)
      gl.bufferSubData(gl.ARRAY_BUFFER, first * STRIDE * 4, part)
    }
    this.#uploaded = this.#written
  }
}

/** The slots of the ways from one count to another, at most all: one part, or two around the end of the ring. */
function ringParts(from: number, to: number): (readonly [first: number, end: number])[] {
  if (to <= from) return []
  if (to - from >= WAYS_MAX) return [[0, WAYS_MAX]]
  const [first, end] = [from % WAYS_MAX, to % WAYS_MAX]
  if (first < end) return [[first, end]]
  return end === 0
    ? [[first, WAYS_MAX]]
    : [
        [first, WAYS_MAX],
        [0, end],
      ]
}

/** Tells the graphics where the first way lies in the buffer. */
function pointAtWays(gl: WebGL2RenderingContext, program: WebGLProgram, first: number): void {
  for (const [name, offset] of [
    ['start', 0],
    ['stop', 3],
  ] as const) {
    const location = gl.getAttribLocation(program, name)
    gl.enableVertexAttribArray(location)
    gl.vertexAttribPointer(location, 3, gl.FLOAT, false, STRIDE * 4, (first * STRIDE + offset) * 4)
    gl.vertexAttribDivisor(location, 1)
  }
}

function createResources(gl: WebGL2RenderingContext): Resources {
  const program = linkProgram(gl, 'trail', VERTEX, FRAGMENT)
  const array = gl.createVertexArray()
  gl.bindVertexArray(array)
  bindCorners(gl, program, [0, -1, 1, -1, 0, 1, 1, 1])
  const ways = gl.createBuffer()
  gl.bindBuffer(gl.ARRAY_BUFFER, ways)
  gl.bufferData(gl.ARRAY_BUFFER, WAYS_MAX * STRIDE * 4, gl.DYNAMIC_DRAW)
  pointAtWays(gl, program, 0)
  gl.bindVertexArray(null)
  const names = ['viewport', 'shift', 'scale', 'clock', 'duration', 'ink']
  const locations = new Map(names.map((name) => [name, gl.getUniformLocation(program, name)]))
  return { program, array, ways, uniform: (name) => locations.get(name) ?? null }
}
