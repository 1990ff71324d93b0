import { expect, test } from 'vitest'
import { discard } from './discard.ts'

const MEBIBYTE = 1024 * 1024

test('gives memory back at once', () => {
  for (let i = 0; i < 20; i++) {
    const buffers = [new ArrayBuffer(64 * MEBIBYTE), new ArrayBuffer(8)]
    const view = new Uint8Array(buffers[0]!)
    const before = process.memoryUsage().arrayBuffers
    discard(buffers)
    // Not to the byte: what was garbage before may go meanwhile, too.
    expect(before - process.memoryUsage().arrayBuffers).toBeGreaterThan(60 * MEBIBYTE)
    expect(buffers.map(({ byteLength }) => byteLength)).toEqual([0, 0])
    expect(view).toHaveLength(0)
  }
})
