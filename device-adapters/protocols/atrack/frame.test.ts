/** What finding frames of ATrack may cost. */
import { expect, test, vi } from 'vitest'
import { frameBytes } from './frame.ts'

test('drops bytes that begin no frame without a text of each', () => {
  const texts = vi.spyOn(Buffer.prototype, 'toString')
  expect(frameBytes(Buffer.alloc(10_000, '~'), 'tcp')).toBeLessThan(-9_000)
  expect(texts.mock.calls.length).toBeLessThan(10)
  texts.mockRestore()
})
