import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { type LogCursor, readCursor, writeCursor } from './cursor.ts'
import { LogSegment } from './segment.ts'

const sequence = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const half = fc.nat({ max: 0xffff_ffff })
const row = fc.record(
  {
    device: fc.integer({ min: 1, max: 2_147_483_647 }),
    fixTimeMs: fc.integer({ min: 0, max: 4_294_967_295_999 }),
    digestHigh: half,
    digestLow: half,
  },
  { noNullPrototype: true },
)

test('a cursor is read as it was written, and has the letters that the schema allows', () => {
  const cursor: fc.Arbitrary<LogCursor> = fc.oneof(
    fc.record({ sequence }, { noNullPrototype: true }),
    fc.record({ sequence, row }, { noNullPrototype: true }),
    fc.record({ sequence, event: fc.integer({ min: 1 }) }, { noNullPrototype: true }),
  )
  fc.assert(
    fc.property(cursor, (any) => {
      const text = writeCursor(any)
      expect(text).toMatch(/^[A-Za-z0-9_-]{1,128}$/)
      expect(readCursor(text)).toEqual(any)
    }),
  )
})

test('text that is no cursor of the log is none', () => {
  const texts = [
    '',
    'l',
    'r5',
    'l5r1,2,3',
    'l5e',
    'l-1',
    'l5r1,2,g,0',
    'l5 ',
    'l99999999999999999',
    'l9007199254740993',
  ]
  for (const text of texts) expect(readCursor(Buffer.from(text).toString('base64url'))).toBeUndefined()
})

test('behind any item of a segment its cursor leads to the next', () => {
  const key = fc.tuple(fc.integer({ min: 1, max: 3 }), fc.nat({ max: 3 }), fc.constantFrom(0, 1, 0x8000_0000))
  const commit = fc.record({
    keys: fc.uniqueArray(key, { maxLength: 6, selector: String }),
    events: fc.nat({ max: 2 }),
  })
  fc.assert(
    fc.property(fc.array(commit, { maxLength: 6 }), (commits) => {
      const segment = new LogSegment(8)
      let id = 0
      commits.forEach(({ keys, events }, place) => {
        const batch = new PositionBatch(8)
        const ordered = keys.sort((a, b) => a[0] - b[0] || a[1] - b[1] || (a[2] | 0) - (b[2] | 0))
        for (const [device, fixTimeMs, digestHigh] of ordered) {
          const at = batch.add(fixTimeMs, 50, 10)
          batch.device[at] = device
          batch.digestHigh[at] = digestHigh
        }
        const some = Array.from(
          { length: events },
          () => ({ id: ++id, device: 1, organizationId: 1 }) as never,
        )
        segment.append(
          10 + place * 2,
          batch,
          keys.map((_, at) => at),
          some,
          (device) => device,
        )
      })
      for (let index = 0; index < segment.length; index++) {
        const cursor = readCursor(writeCursor(segment.cursorBehind(index)))!
        expect(segment.locate(cursor)).toBe(index + 1)
      }
      expect(segment.locate({ sequence: 0 })).toBe(0)
      expect(segment.locate({ sequence: 1_000 })).toBe(segment.length)
    }),
  )
})
