/** What the layers that draw by themselves have in common. */

/**
 * Compiles and links a program.
 * @param layer Name of the layer, for the error.
 * @throws Error with what the graphics say, if it does not link.
 */
export function linkProgram(
  gl: WebGL2RenderingContext,
  layer: string,
  vertexSource: string,
  fragmentSource: string,
): WebGLProgram {
  const program = gl.createProgram()
  for (const [kind, source] of [
    [gl.VERTEX_SHADER, vertexSource],
    [gl.FRAGMENT_SHADER, fragmentSource],
  ] as const) {
    const shader = gl.createShader(kind)!
    gl.shaderSource(shader, source)
    gl.compileShader(shader)
    gl.attachShader(program, shader)
  }
  gl.linkProgram(program)
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    throw new Error(`${layer} layer: ${gl.getProgramInfoLog(program)}`)
  }
  return program
}

/** Draws flat on what is there, colours multiplied by their opacity; the map leaves other states behind. */
export function blendFlat(gl: WebGL2RenderingContext): void {
  gl.disable(gl.DEPTH_TEST)
  gl.disable(gl.STENCIL_TEST)
  gl.disable(gl.CULL_FACE)
  gl.enable(gl.BLEND)
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA)
}

/** Gives the program corners of a square, in the order of a strip: two values each, as `corner` of the bound vertex array. */
export function bindCorners(
  gl: WebGL2RenderingContext,
  program: WebGLProgram,
  corners: readonly number[],
): void {
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer())
  gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(corners), gl.STATIC_DRAW)
  const corner = gl.getAttribLocation(program, 'corner')
  gl.enableVertexAttribArray(corner)
  gl.vertexAttribPointer(corner, 2, gl.FLOAT, false, 0, 0)
}
