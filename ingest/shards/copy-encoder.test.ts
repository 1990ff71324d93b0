import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { CopyEncoder } from './copy-encoder.ts'

/** The JSON text of the last column. */
function attributesOf(values: readonly (number | boolean)[]): string {
  const batch = new PositionBatch(8)
  const row = batch.add(0, 0, 0)
  values.forEach((value, i) => {
    batch.set(row, `k${i}`, value)
  })
  const message = new CopyEncoder().encode(batch, [row]).toString('latin1')
  return message.slice(message.indexOf('{"k0'), message.lastIndexOf('}') + 1)
}

test('numbers are written as JSON has them, to the last digit', () => {
  const edges = [
    0, 0.1, 0.5, 0.001, 0.0005, 1.005, 9.999, 9.9995, 10, 12.34, 100.25, 999_999.999, 1e6, 4_294_967_295,
  ]
  const more = [
    999_999_999,
    999_999_999.999,
    1e9,
    2 ** 31,
    2 ** 53,
    1e21,
    1e-7,
    5e-324,
    1.7976931348623157e308,
  ]
  const thousandths = fc.integer({ min: -2e12, max: 2e12 }).map((value) => value / 1000)
  const number = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    thousandths,
    fc.integer(),
    fc.constantFrom(...edges, ...more, ...edges.map((value) => -value)),
  )
  fc.assert(
    fc.property(fc.array(fc.oneof(number, fc.boolean()), { minLength: 1, maxLength: 50 }), (values) => {
      expect(attributesOf(values)).toBe(
        JSON.stringify(Object.fromEntries(values.map((value, i) => [`k${i}`, value]))),
      )
    }),
    { numRuns: 2_000 },
  )
})

test('a buffer that has to grow keeps what is in it', () => {
  const batch = new PositionBatch(8)
  for (let i = 0; i < 200; i++) batch.set(batch.add(i, 0, 0), 'text', 'ü'.repeat(i))
  const order = Uint32Array.from({ length: batch.length }, (_, row) => row)
  const grown = Buffer.from(new CopyEncoder(64).encode(batch, order))
  expect(grown).toEqual(Buffer.from(new CopyEncoder(1 << 20).encode(batch, order)))
})
