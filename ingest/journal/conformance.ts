/** What holds for every journal, whatever it is made of; tests put each implementation through it. */
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { JournalRecord } from './journal.ts'
import { entriesOf, type JournalPlace, Owner, readAll, record, records } from './journal-fixture.ts'

/**
 * @param makePlace Makes an empty place; it is cleaned up by the test that made it. Its segments, or whatever it has
 *   instead, are so small that a hundred records need several, or of a size for use.
 */
export function journalConformance(
  name: string,
  makePlace: (segments?: 'small' | 'large') => Promise<JournalPlace>,
): void {
  describe(`${name} is a journal`, () => {
    async function opened(place: JournalPlace): Promise<Owner> {
      const owner = await Owner.open(place)
      // A second close changes nothing.
      onTestFinished(() => owner.journal.close().catch(() => {}))
      return owner
    }

    test('an empty journal begins at 0', async () => {
      const place = await makePlace()
      const { journal } = await opened(place)
      expect(journal).toMatchObject({ start: 0, end: 0, durable: 0, hasRoom: true, tornBytes: 0 })
      expect(await readAll(place.reader())).toEqual([])
      expect(await place.reader().seek(Date.now())).toBe(0)
    })

    test('what was appended becomes durable in its order and reads back the same', async () => {
      const place = await makePlace()
      const owner = await opened(place)
      const given = records(300)
      const positions = given.map((one) => owner.journal.append(one))
      expect(positions).toEqual(given.map((_, index) => index))
      expect(owner.durable).toEqual([])
      expect(owner.journal.figures.pendingBytes).toBeGreaterThan(0)
      await owner.synced()
      expect(owner.durable).toEqual(owner.durable.toSorted((a, b) => a - b))
      expect(owner.durable.at(-1)).toBe(300)
      expect(owner.journal.figures.pendingBytes).toBe(0)
      expect(await readAll(place.reader(), 0, 300)).toEqual(entriesOf(given))
      expect(await readAll(place.reader())).toEqual(entriesOf(given))
    })

    test('the buffers of a record may be used again after append', async () => {
      const place = await makePlace()
      const owner = await opened(place)
      const one = record(1)
      const before = { ...one, context: Buffer.from(one.context), frame: Buffer.from(one.frame) }
      owner.journal.append(one)
      one.context.fill(0)
      one.frame.fill(0)
      await owner.synced()
      expect(await readAll(place.reader())).toEqual(entriesOf([before]))
    })

    test('empty contexts and frames, and the values at the ends of their ranges, come back', async () => {
      const place = await makePlace()
      const owner = await opened(place)
      const nothing = Buffer.alloc(0)
      const given: JournalRecord[] = [
        { receivedMs: 0, device: 0, context: nothing, frame: nothing },
        { receivedMs: 8.64e15, device: 0xffff_ffff, context: nothing, frame: Buffer.alloc(300) },
        { receivedMs: 1.5, device: 1, context: Buffer.alloc(300), frame: nothing },
      ]
      for (const one of given) owner.journal.append(one)
      await owner.synced()
      expect(await readAll(place.reader())).toEqual(entriesOf(given))
    })

    test('a range is read from any record to any other', async () => {
      const place = await makePlace()
      const owner = await opened(place)
      const given = entriesOf(records(120))
      for (const one of given) owner.journal.append(one)
      await owner.synced()
      const reader = place.reader()
      for (const [from, to] of [
        [0, 1],
        [7, 8],
        [50, 50],
        [50, 40],
        [3, 119],
        [119, 120],
        [60, 61],
      ] as const) {
        expect(await readAll(reader, from, to)).toEqual(given.slice(from, to))
      }
      expect(await readAll(reader, 120)).toEqual([])
    })

    test('only the records of the devices asked for are read, and those of several devices', async () => {
      const place = await makePlace()
      const owner = await opened(place)
      const given = entriesOf(Array.from({ length: 200 }, (_, index) => record(index, { device: index % 4 })))
      for (const one of given) owner.journal.append(one)
      await owner.synced()
      const read = await readAll(place.reader(), 0, 200, { wants: (device) => device === 3 })
      expect(read).toEqual(given.filter(({ device }) => device === 0 || device === 3))
    })

    test('positions go on after a restart, and reading starts where trim said', async () => {
      const place = await makePlace()
      const first = await opened(place)
      for (const one of records(100)) first.journal.append(one)
      await first.synced()
      first.journal.trim(40)
      first.journal.trim(30)
      await first.journal.close()

      const second = await opened(place)
      expect(second.journal).toMatchObject({ start: 40, end: 100, durable: 100 })
      for (const one of records(100, 100)) second.journal.append(one)
      await second.synced()
      second.journal.trim(1_000)
      await second.journal.close()
      expect(await readAll(place.reader(), 40)).toEqual(entriesOf(records(160, 40), 40))

      const third = await opened(place)
      expect(third.journal).toMatchObject({ start: 200, end: 200 })
      expect(third.journal.append(record(200))).toBe(200)
    })

    test('close makes durable what was appended', async () => {
      const place = await makePlace()
      const owner = await opened(place)
      for (const one of records(50)) owner.journal.append(one)
      await owner.journal.close()
      expect(owner.durable.at(-1)).toBe(50)
      expect(owner.journal.hasRoom).toBe(false)
      expect(() => owner.journal.append(record(50))).toThrow(RangeError)
      expect(await readAll(place.reader())).toEqual(entriesOf(records(50)))
      expect(owner.failures).toEqual([])
    })

    test('a second owner is refused until the first one is done', async () => {
      const place = await makePlace()
      const owner = await opened(place)
      await expect(opened(place)).rejects.toMatchObject({ name: 'JournalError', code: 'journal-locked' })
      await owner.journal.close()
      await expect(opened(place)).resolves.toBeDefined()
    })

    test('without room, append throws, and the end of the wait is told', async () => {
      const place = await makePlace('large')
      const owner = await opened(place)
      const { journal } = owner
      let count = 0
      while (journal.hasRoom) {
        journal.append(record(count, { frameBytes: 2_000 }))
        count++
      }
      expect(() => journal.append(record(count))).toThrow(RangeError)
      await owner.until(() => owner.rooms > 0)
      expect(journal.hasRoom).toBe(true)
      journal.append(record(count))
      await owner.synced()
      expect(owner.durable.at(-1)).toBe(count + 1)
      expect(await readAll(place.reader(), count)).toEqual(entriesOf([record(count)], count))
    })

    test('a record that is larger than any group is refused, and the journal goes on', async () => {
      const place = await makePlace()
      const owner = await opened(place)
      const large = { ...record(0), frame: Buffer.alloc(16 * 1024 * 1024) }
      expect(() => owner.journal.append(large)).toThrow(RangeError)
      expect(() => owner.journal.append({ ...record(0), context: Buffer.alloc(65_536) })).toThrow(RangeError)
      expect(owner.journal.append(record(0))).toBe(0)
      await owner.synced()
    })

    test('seek finds a record before all that were received since', async () => {
      const place = await makePlace()
      const owner = await opened(place)
      const hourMs = 3_600_000
      const given = Array.from({ length: 200 }, (_, index) => ({
        ...record(index),
        // The clock is set back by half a minute now and then.
        receivedMs: index * hourMs - (index % 7 === 0 ? 30_000 : 0),
      }))
      for (const one of given) owner.journal.append(one)
      await owner.synced()
      const reader = place.reader()
      for (let hour = 0; hour < 200; hour += 13) {
        const from = await reader.seek(hour * hourMs)
        const first = given.findIndex(({ receivedMs }) => receivedMs >= hour * hourMs)
        expect(from).toBeLessThanOrEqual(first)
      }
      expect(await reader.seek(199 * hourMs)).toBeGreaterThan(0)
    })

    test('any sequence of appends, trims and restarts leaves what was appended', async () => {
      const step = fc.oneof(
        { weight: 6, arbitrary: fc.record({ type: fc.constant('append' as const), count: fc.nat(60) }) },
        {
          weight: 2,
          arbitrary: fc.record({
            type: fc.constant('trim' as const),
            share: fc.double({ min: 0, max: 1, noNaN: true }),
          }),
        },
        { weight: 1, arbitrary: fc.record({ type: fc.constant('sync' as const) }) },
        { weight: 1, arbitrary: fc.record({ type: fc.constant('restart' as const) }) },
      )
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
          const place = await makePlace()
          let owner = await Owner.open(place)
          let appended = 0
          let trimmed = 0
          for (const one of steps) {
            if (one.type === 'append') {
              for (let i = 0; i < one.count; i++)
                expect(owner.journal.append(record(appended))).toBe(appended++)
            } else if (one.type === 'trim') {
              const position = Math.floor(one.share * owner.journal.durable)
              owner.journal.trim(position)
              trimmed = Math.max(trimmed, position)
            } else if (one.type === 'sync') {
              await owner.synced()
            } else {
              await owner.journal.close()
              owner = await Owner.open(place)
              expect(owner.journal).toMatchObject({ start: trimmed, end: appended, tornBytes: 0 })
            }
          }
          await owner.journal.close()
          expect(owner.failures).toEqual([])
          const damage: string[] = []
          const read = await readAll(place.reader(), trimmed, appended, {
            onDamage: (_, text) => damage.push(text),
          })
          expect(damage).toEqual([])
          expect(read).toEqual(entriesOf(records(appended - trimmed, trimmed), trimmed))
        }),
        { numRuns: 25 },
      )
    })
  })
}
