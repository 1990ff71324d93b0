/** Power cuts, simulated: what a disk may leave of what was not synced, at any call, and what is found after it. */
import { mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { seededRandom } from '../../test/seeded-random.ts'
import { recordBytes, SEGMENT_HEADER_BYTES } from './format.ts'
import type { JournalEntry, JournalPosition, JournalRecord } from './journal.ts'
import { entriesOf, groupOf, readAll, record } from './journal-fixture.ts'
import { openJournalReader } from './reader.ts'
import { SegmentWriter } from './segment-writer.ts'
import { segmentName } from './segments.ts'
import { PowerCut, putFolder, SimulatedDisk } from './simulated-disk.ts'

const CASES = 1_000
const SEGMENT_BYTES = 4096
const LIVES_MAX = 4
const GROUPS_MAX = 12
/** A folder in memory, where there is one: nothing of it has to outlive anything. */
const folder = join(
  mkdtempSync(join(isFolder('/dev/shm') ? '/dev/shm' : tmpdir(), 'fleetflow-journal-')),
  'journal',
)
afterAll(() => rmSync(join(folder, '..'), { recursive: true, force: true }))

function isFolder(path: string): boolean {
  try {
    return statfsSync(path).bavail > 0
  } catch {
    return false
  }
}

/** As `toEqual`, which looks at each byte of a buffer, does; it is only asked when there is something to show. */
function expectSame(read: readonly JournalEntry[], expected: readonly JournalEntry[]): void {
  const same = (a: JournalEntry, b: JournalEntry) =>
    a.position === b.position &&
    a.device === b.device &&
    a.receivedMs === b.receivedMs &&
    a.context.equals(b.context) &&
    a.frame.equals(b.frame)
  if (read.length !== expected.length || !read.every((one, index) => same(one, expected[index]!))) {
    expect(read).toEqual(expected)
  }
}

/** What the one who appends knows, whatever happens to the disk. */
class Memory {
  /** By position; those that are not durable may still be lost. */
  records: JournalRecord[] = []
  durable: JournalPosition = 0
  trimTold: JournalPosition = 0
  trimDone: JournalPosition = 0
  private made = 0

  /** No two records are the same, even if they have the same position. */
  make(count: number, random: () => number): JournalRecord[] {
    return Array.from({ length: count }, () =>
      record(this.made++, { frameBytes: Math.floor(random() ** 3 * 1_200) }),
    )
  }

  /** What must hold of a journal that was opened again; `disk` is as the opening left it. */
  async check(writer: SegmentWriter, disk: SimulatedDisk): Promise<void> {
    expect(writer.end).toBeGreaterThanOrEqual(this.durable)
    expect(writer.end).toBeLessThanOrEqual(this.records.length)
    expect(writer.start).toBeGreaterThanOrEqual(this.trimDone)
    expect(writer.start).toBeLessThanOrEqual(this.trimTold)
    putFolder(folder, disk.contents)
    const damage: string[] = []
    const onDamage = (_: number, message: string) => damage.push(message)
    const reader = openJournalReader({ folder })
    const expected = entriesOf(this.records.slice(writer.start, writer.end), writer.start)
    expectSame(await readAll(reader, writer.start, writer.end, { onDamage }), expected)
    expectSame(await readAll(reader, writer.start, undefined, { onDamage }), expected)
    expect(damage).toEqual([])
    this.records.length = writer.end
    this.durable = writer.end
    this.trimTold = writer.start
    this.trimDone = writer.start
  }
}

/** @returns Whether it came to its end before the power went. */
async function live(disk: SimulatedDisk, memory: Memory, random: () => number): Promise<boolean> {
  try {
    const keepBytes = random() < 0.5 ? 0 : 1e9
    const writer = new SegmentWriter(disk, {
      segmentBytes: 8192,
      keepBytes,
      keepMs: Number.POSITIVE_INFINITY,
    })
    await memory.check(writer, disk)
    const groups = Math.floor(random() * GROUPS_MAX)
    for (let i = 0; i < groups; i++) {
      const made = memory.make(1 + Math.floor(random() * 12), random)
      memory.records.push(...made)
      writer.write(groupOf(made))
      memory.durable = writer.end
      if (random() < 0.4) await writer.preparing
      if (random() < 0.3) {
        memory.trimTold = memory.trimDone + Math.floor(random() * (memory.durable - memory.trimDone + 1))
        writer.trim(memory.trimTold)
        memory.trimDone = memory.trimTold
      }
    }
    await writer.preparing
    if (random() < 0.2) await writer.close()
    return true
  } catch (error) {
    if (error instanceof PowerCut || (error as Error).cause instanceof PowerCut) return false
    throw error
  }
}

test('any subset of the blocks and names that were not synced may be lost: nothing durable is, nothing stale comes back', {
  timeout: 300_000,
}, async () => {
  let cuts = 0
  let unsyncedKept = 0
  for (let seed = 1; seed <= CASES; seed++) {
    const random = seededRandom(seed)
    const memory = new Memory()
    const blockBytes = random() < 0.5 ? 512 : 4096
    let disk = new SimulatedDisk()
    try {
      const lives = 2 + Math.floor(random() * (LIVES_MAX - 1))
      for (let life = 0; life < lives; life++) {
        disk.cutAt = Math.floor(random() * (random() < 0.3 ? 20 : 150))
        if (!(await live(disk, memory, random))) cuts++
        disk = new SimulatedDisk(disk.afterPowerCut(random, blockBytes))
      }
      const { durable } = memory
      const writer = new SegmentWriter(disk, { segmentBytes: 8192, keepBytes: 1e9, keepMs: 1e15 })
      if (writer.end > durable) unsyncedKept++
      await memory.check(writer, disk)
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error })
    }
  }
  // The cases are of use only if they happen.
  expect(cuts).toBeGreaterThan(CASES / 2)
  expect(unsyncedKept).toBeGreaterThan(CASES / 50)
})

/** A disk whose power went before the last group was synced, and what was durable before. */
function cutBeforeSync(earlier: readonly JournalRecord[], last: readonly JournalRecord[]): SimulatedDisk {
  const disk = new SimulatedDisk()
  const writer = new SegmentWriter(disk, { segmentBytes: SEGMENT_BYTES, keepBytes: 1e9, keepMs: 1e15 })
  writer.write(groupOf(earlier))
  disk.fault = (operation) => (operation === 'datasync' ? 'EIO' : undefined)
  expect(() => writer.write(groupOf(last))).toThrow('EIO')
  return disk
}

/** How many of the records 0, 1, … the first segment holds. */
function recordsOfSegment(): number {
  let bytes = SEGMENT_HEADER_BYTES
  for (let count = 0; ; count++) {
    bytes += recordBytes(record(count))
    if (bytes > SEGMENT_BYTES) return count
  }
}

test.each([
  { place: 'within a segment', earlier: 5, segment: 0 },
  { place: 'at the start of a segment', earlier: recordsOfSegment(), segment: recordsOfSegment() },
])('the last write $place may end at any byte: what is whole of it is kept', async ({ earlier, segment }) => {
  const before = Array.from({ length: earlier }, (_, index) => record(index))
  const last = Array.from({ length: 6 }, (_, index) => record(earlier + index))
  const other = Array.from({ length: 6 }, (_, index) => record(1_000 + index))
  const disk = cutBeforeSync(before, last)
  const name = segmentName(segment)
  const pendingBytes = disk.pendingBytes(name)
  const headerBytes = earlier === segment ? SEGMENT_HEADER_BYTES : 0
  expect(pendingBytes).toBe(headerBytes + last.reduce((sum, one) => sum + recordBytes(one), 0))
  for (let count = 0; count <= pendingBytes; count++) {
    let whole = 0
    let wholeBytes = headerBytes
    while (whole < last.length && wholeBytes + recordBytes(last[whole]!) <= count)
      wholeBytes += recordBytes(last[whole++]!)
    const end = earlier + whole
    const after = new SimulatedDisk(disk.afterShortWrite(name, count))
    const first = new SegmentWriter(after, { segmentBytes: SEGMENT_BYTES, keepBytes: 1e9, keepMs: 1e15 })
    expect(first.end).toBe(end)
    first.write(groupOf(other))
    await first.close()

    putFolder(folder, after.contents)
    const second = new SegmentWriter(after, { segmentBytes: SEGMENT_BYTES, keepBytes: 1e9, keepMs: 1e15 })
    expect(second).toMatchObject({ start: 0, end: end + other.length, tornBytes: 0 })
    const damage: string[] = []
    const read = await readAll(openJournalReader({ folder }), 0, undefined, {
      onDamage: (_, text) => damage.push(text),
    })
    expectSame(read, entriesOf([...before, ...last.slice(0, whole), ...other]))
    expect(damage).toEqual([])
  }
})
