import { expect, test } from 'vitest'
import { SEGMENT_HEADER_BYTES } from './format.ts'
import { groupOf, record, records } from './journal-fixture.ts'
import { DiskFull, SegmentWriter, type WriterOptions } from './segment-writer.ts'
import { findWhole, segmentFirst, segmentName } from './segments.ts'
import { type Fault, SimulatedDisk } from './simulated-disk.ts'

const OPTIONS: WriterOptions = { segmentBytes: 4096, keepMs: Number.POSITIVE_INFINITY, keepBytes: 1e9 }
/** So many of the test's records fill more than one segment and less than two. */
const MORE_THAN_A_SEGMENT = 60

function segmentsOf(disk: SimulatedDisk): number[] {
  return [...disk.contents.keys()].flatMap((name) => segmentFirst(name) ?? []).sort((a, b) => a - b)
}

/** A disk with so many records, whose writer is closed. */
async function diskWith(count: number): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk()
  const writer = new SegmentWriter(disk, OPTIONS)
  for (const one of records(count)) writer.write(groupOf([one]))
  await writer.close()
  return disk
}

/** Whole records of a disk from its first segment on, as an opener finds them. */
function endOf(disk: SimulatedDisk): number {
  return new SegmentWriter(new SimulatedDisk(disk.contents), OPTIONS).end
}

test('writes of a few bytes are repeated until all is written', async () => {
  const disk = new SimulatedDisk()
  disk.fault = (operation) => (operation === 'write' ? 13 : undefined)
  const writer = new SegmentWriter(disk, OPTIONS)
  writer.write(groupOf(records(MORE_THAN_A_SEGMENT)))
  writer.trim(9)
  await writer.close()
  disk.fault = () => undefined
  expect(new SegmentWriter(disk, OPTIONS)).toMatchObject({ start: 9, end: MORE_THAN_A_SEGMENT, tornBytes: 0 })
})

test('a write that writes nothing is an error, not an endless wait', () => {
  const disk = new SimulatedDisk()
  const writer = new SegmentWriter(disk, OPTIONS)
  disk.fault = (operation) => (operation === 'write' ? 0 : undefined)
  expect(() => writer.write(groupOf(records(1)))).toThrow(expect.objectContaining({ code: 'journal-io' }))
})

test.each(['ENOSPC', 'EDQUOT', 'EFBIG'])(
  'after %s at any call of a write, the same call goes on when there is room',
  async (code) => {
    // All calls that a write of so many records makes, one of which finds the disk full.
    const counting = await diskWith(3)
    const callsBefore = counting.calls
    const writerThere = new SegmentWriter(counting, OPTIONS)
    writerThere.write(groupOf(records(MORE_THAN_A_SEGMENT, 3)))
    const calls = counting.calls - callsBefore
    expect(calls).toBeGreaterThan(8)

    let full = 0
    for (let failing = 0; failing < calls; failing++) {
      const disk = await diskWith(3)
      const writer = new SegmentWriter(disk, OPTIONS)
      const from = disk.calls + failing
      disk.fault = (operation) =>
        disk.calls > from && ['write', 'create', 'rename'].includes(operation) ? code : undefined
      const group = groupOf(records(MORE_THAN_A_SEGMENT, 3))
      try {
        writer.write(group)
      } catch (error) {
        expect(error).toBeInstanceOf(DiskFull)
        full++
        // Still no room, as often as it is tried.
        expect(() => writer.write(group)).toThrow(DiskFull)
        disk.fault = () => undefined
        writer.write(group)
      }
      expect(writer.end).toBe(MORE_THAN_A_SEGMENT + 3)
      await writer.close()
      expect(endOf(disk)).toBe(MORE_THAN_A_SEGMENT + 3)
    }
    expect(full).toBeGreaterThan(3)
  },
)

test('a full disk takes drained segments first, oldest first, and no other', async () => {
  const disk = await diskWith(200)
  const before = segmentsOf(disk)
  const writer = new SegmentWriter(disk, OPTIONS)
  const drained = before.slice(0, 3)
  writer.trim(before[3]! + 1)
  // Room for one more segment is there when two were removed.
  let removed = 0
  disk.fault = (operation) => {
    if (operation === 'remove') removed++
    return operation === 'create' && removed < 2 ? 'ENOSPC' : undefined
  }
  writer.write(groupOf(records(1, 200)))
  expect(segmentsOf(disk).slice(0, 2)).toEqual([drained[2], before[3]])
  disk.fault = (operation) => (operation === 'create' ? 'ENOSPC' : undefined)
  expect(() => writer.write(groupOf(records(MORE_THAN_A_SEGMENT, 201)))).toThrow(DiskFull)
  expect(segmentsOf(disk)[0]).toBe(before[3])
})

test('a trim makes room on a full disk', async () => {
  const disk = await diskWith(MORE_THAN_A_SEGMENT)
  const writer = new SegmentWriter(disk, OPTIONS)
  const [first] = segmentsOf(disk)
  disk.fault = (operation) => (operation === 'create' && segmentsOf(disk)[0] === first ? 'ENOSPC' : undefined)
  const group = groupOf(records(1, MORE_THAN_A_SEGMENT))
  expect(() => writer.write(group)).toThrow(DiskFull)
  writer.trim(MORE_THAN_A_SEGMENT)
  writer.write(group)
  expect(writer.end).toBe(MORE_THAN_A_SEGMENT + 1)
})

test.each<[string, string, Fault]>([
  ['an error of a write', 'write', 'EIO'],
  ['an error of a sync', 'datasync', 'EIO'],
  ['a full disk that is found by a sync', 'datasync', 'ENOSPC'],
  ['an error of the folder', 'syncFolder', 'EIO'],
])('after %s nothing is ever durable again', async (_, failing, fault) => {
  const disk = await diskWith(3)
  const writer = new SegmentWriter(disk, OPTIONS)
  const group = groupOf(records(5, 3))
  disk.fault = (operation) => (operation === failing ? fault : undefined)
  const failure = expect.objectContaining({
    name: 'JournalError',
    code: 'journal-io',
    message: expect.stringContaining(String(fault)),
  })
  expect(() => writer.write(group)).toThrow(failure)
  expect(writer.end).toBe(3)
  disk.fault = () => undefined
  expect(() => writer.write(group)).toThrow(failure)
  expect(() => writer.write(groupOf(records(1, 3)))).toThrow(failure)
  expect(() => writer.trim(2)).toThrow(failure)
  expect(writer.end).toBe(3)
  const { calls } = disk
  await writer.close()
  expect(disk.calls).toBe(calls)
})

test('a checkpoint that cannot be synced ends the journal; one for which there is no room stays as it is', async () => {
  const disk = await diskWith(10)
  const writer = new SegmentWriter(disk, OPTIONS)
  disk.fault = (operation, name) => (operation === 'write' && name === 'checkpoint' ? 'ENOSPC' : undefined)
  writer.trim(5)
  disk.fault = () => undefined
  expect(new SegmentWriter(new SimulatedDisk(disk.contents), OPTIONS).start).toBe(0)
  writer.trim(6)
  expect(new SegmentWriter(new SimulatedDisk(disk.contents), OPTIONS).start).toBe(6)
  disk.fault = (operation) => (operation === 'datasync' ? 'EIO' : undefined)
  expect(() => writer.trim(7)).toThrow(expect.objectContaining({ code: 'journal-io' }))
})

test('the next segment is allocated when the one before is half full, and used', async () => {
  const disk = new SimulatedDisk()
  const writer = new SegmentWriter(disk, OPTIONS)
  let created = 0
  disk.fault = (operation, name) => {
    if (operation === 'create' && name === 'segment.growing') created++
    return undefined
  }
  for (let number = 0; number < 300; number++) {
    writer.write(groupOf([record(number)]))
    await writer.preparing
  }
  expect(segmentsOf(disk).length).toBeGreaterThan(5)
  // Only for the first one there was no time.
  expect(created).toBe(1)
  await writer.close()
  expect([...disk.contents.keys()].filter((name) => name.startsWith('segment.'))).toEqual([])
  expect(endOf(disk)).toBe(300)
})

test('a segment that cannot be allocated ahead grows with what is written', async () => {
  const disk = new SimulatedDisk()
  const writer = new SegmentWriter(disk, OPTIONS)
  let tries = 0
  disk.fault = (operation, name) => {
    if (operation !== 'create' || name !== 'segment.prepared') return undefined
    tries++
    return 'ENOSPC'
  }
  for (let number = 0; number < 200; number++) {
    writer.write(groupOf([record(number)]))
    await writer.preparing
  }
  // Once a segment, not once a group.
  expect(tries).toBeLessThanOrEqual(segmentsOf(disk).length)
  expect(endOf(disk)).toBe(200)
})

test('drained segments are kept until there are too many bytes of them', async () => {
  const disk = await diskWith(300)
  const firsts = segmentsOf(disk)
  const keepBytes = 2 * OPTIONS.segmentBytes
  const writer = new SegmentWriter(disk, { ...OPTIONS, keepBytes })
  writer.trim(firsts[4]! - 1)
  // The fourth segment is not drained yet.
  expect(segmentsOf(disk)).toEqual(firsts.slice(1))
  writer.trim(firsts[4]!)
  expect(segmentsOf(disk)).toEqual(firsts.slice(2))
  writer.trim(300)
  expect(segmentsOf(disk)).toEqual(firsts.slice(-2))
})

test('drained segments are kept for so long after their last record', async () => {
  const disk = new SimulatedDisk()
  const writer = new SegmentWriter(disk, { ...OPTIONS, keepMs: 60_000 })
  const nowMs = Date.now()
  // The first half is older than what is kept.
  const given = records(200).map((one, index) => ({
    ...one,
    receivedMs: nowMs - (index < 100 ? 61_000 : 50_000),
  }))
  for (const one of given) writer.write(groupOf([one]))
  const firsts = segmentsOf(disk)
  writer.expire()
  expect(segmentsOf(disk)).toEqual(firsts)
  writer.trim(200)
  const kept = segmentsOf(disk)
  expect(kept).toEqual(firsts.slice(-kept.length))
  // The segment that holds the hundredth record has newer ones too.
  expect(kept[0]).toBe(firsts.findLast((first) => first <= 100))
})

test('positions go on behind the checkpoint if the records before it are gone', async () => {
  const disk = await diskWith(100)
  const writer = new SegmentWriter(disk, OPTIONS)
  writer.trim(100)
  for (const first of segmentsOf(disk)) disk.remove(segmentName(first))
  const next = new SegmentWriter(disk, OPTIONS)
  expect(next).toMatchObject({ start: 100, end: 100 })
  next.write(groupOf(records(5, 100)))
  expect(endOf(disk)).toBe(105)
})

test('without a checkpoint, reading starts at the oldest record that is kept', async () => {
  const disk = await diskWith(200)
  const [first, second] = segmentsOf(disk)
  disk.remove('checkpoint')
  disk.remove(segmentName(first!))
  expect(new SegmentWriter(disk, OPTIONS)).toMatchObject({ start: second, end: 200 })
})

test('the rest of a write is cut off, and its bytes are counted', async () => {
  const disk = await diskWith(10)
  const name = segmentName(0)
  const whole = disk.contents.get(name)!
  const rest = Buffer.concat([Buffer.alloc(7), Buffer.from('rest'), Buffer.alloc(100)])
  const torn = new SimulatedDisk(new Map([[name, Buffer.concat([whole, rest])]]))
  expect(new SegmentWriter(torn, OPTIONS)).toMatchObject({ end: 10, tornBytes: 11 })
  expect(torn.contents.get(name)).toEqual(whole)
  expect(new SegmentWriter(torn, OPTIONS)).toMatchObject({ end: 10, tornBytes: 0 })
})

test('a record of any size is found whole, across all that is read at a time', () => {
  const disk = new SimulatedDisk()
  const writer = new SegmentWriter(disk, { ...OPTIONS, segmentBytes: 32 * 1024 * 1024 })
  const sizes = [1_048_576 - SEGMENT_HEADER_BYTES, 1, 3_000_000, 4_000_000, 0, 1_048_577]
  for (const frameBytes of sizes) writer.write(groupOf([record(1, { frameBytes })]))
  const firsts = segmentsOf(disk)
  const found = firsts.map((first) => findWhole(disk.open(segmentName(first)), first).records)
  expect(found.reduce((sum, count) => sum + count, 0)).toBe(sizes.length)
})

test('opening that fails for the disk says so', () => {
  const disk = new SimulatedDisk()
  disk.fault = (operation) => (operation === 'create' ? 'EACCES' : undefined)
  expect(() => new SegmentWriter(disk, OPTIONS)).toThrow(
    expect.objectContaining({ code: 'journal-io', message: expect.stringContaining('EACCES') }),
  )
})
