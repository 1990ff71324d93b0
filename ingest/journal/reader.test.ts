import { readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { crc32c } from './crc32c.ts'
import { FolderDisk } from './disk.ts'
import { recordBytes, SEGMENT_HEADER_BYTES } from './format.ts'
import type { JournalPosition } from './journal.ts'
import { entriesOf, groupOf, journalFolder, readAll, record, records } from './journal-fixture.ts'
import { openJournalReader } from './reader.ts'
import { SegmentWriter } from './segment-writer.ts'
import { segmentFirst, segmentName } from './segments.ts'

const OPTIONS = { segmentBytes: 4096, keepMs: Number.POSITIVE_INFINITY, keepBytes: 1e9 }

interface Written {
  readonly folder: string
  readonly writer: SegmentWriter
  readonly firsts: JournalPosition[]
}

async function written(count: number, segmentBytes = OPTIONS.segmentBytes): Promise<Written> {
  const folder = await journalFolder()
  const writer = new SegmentWriter(new FolderDisk(folder), { ...OPTIONS, segmentBytes })
  writer.write(groupOf(records(count)))
  await writer.preparing
  return { folder, writer, firsts: firstsOf(folder) }
}

function firstsOf(folder: string): JournalPosition[] {
  return readdirSync(folder)
    .flatMap((name) => segmentFirst(name) ?? [])
    .sort((a, b) => a - b)
}

/** Changes a byte in the frame of a record. */
function damage(folder: string, segment: JournalPosition, position: JournalPosition): void {
  const path = join(folder, segmentName(segment))
  const bytes = readFileSync(path)
  let at = SEGMENT_HEADER_BYTES
  for (let before = segment; before < position; before++) at += recordBytes(record(before))
  bytes[at + recordBytes(record(position)) - 1]! ^= 1
  writeFileSync(path, bytes)
}

test('a damaged record ends its segment, and what is lost is told', async () => {
  const { folder, firsts } = await written(200)
  const [, second, third] = firsts
  damage(folder, second!, second! + 3)
  const lost: [number, string][] = []
  const onDamage = (count: number, message: string) => lost.push([count, message])
  const read = await readAll(openJournalReader({ folder }), 0, 200, { onDamage })
  const expected = entriesOf(records(200)).filter(
    ({ position }) => position < second! + 3 || position >= third!,
  )
  expect(read).toEqual(expected)
  expect(lost).toEqual([
    [third! - second! - 3, expect.stringContaining(`${segmentName(second!)} is damaged at record`)],
  ])
})

test('a range that ends before the damage, or begins behind its segment, does not meet it', async () => {
  const { folder, firsts } = await written(200)
  const [, second, third] = firsts
  damage(folder, second!, second! + 3)
  const onDamage = () => expect.unreachable()
  const reader = openJournalReader({ folder })
  expect(await readAll(reader, 0, second! + 3, { onDamage })).toHaveLength(second! + 3)
  expect(await readAll(reader, third, 200, { onDamage })).toHaveLength(200 - third!)
})

test('of the last segment, damage is told as far as the caller knows that there is more', async () => {
  const { folder, firsts } = await written(200)
  const last = firsts.at(-1)!
  damage(folder, last, last + 2)
  const lost: number[] = []
  const onDamage = (count: number) => lost.push(count)
  const reader = openJournalReader({ folder })
  expect(await readAll(reader, 0, undefined, { onDamage })).toHaveLength(last + 2)
  expect(lost).toEqual([])
  expect(await readAll(reader, 0, 200, { onDamage })).toHaveLength(last + 2)
  expect(lost).toEqual([200 - last - 2])
})

test('a segment without its header is lost as a whole', async () => {
  const { folder, firsts } = await written(200)
  const [, second, third] = firsts
  const path = join(folder, segmentName(second!))
  writeFileSync(path, readFileSync(path).fill(0, 0, SEGMENT_HEADER_BYTES))
  const lost: number[] = []
  const read = await readAll(openJournalReader({ folder }), 0, 200, { onDamage: (count) => lost.push(count) })
  expect(read).toHaveLength(200 - (third! - second!))
  expect(lost).toEqual([third! - second!])
})

test('segments that are removed while they are read are passed over', async () => {
  const { folder, firsts } = await written(300)
  const reader = openJournalReader({ folder })
  const positions: number[] = []
  for await (const entries of reader.read(0, 300, { onDamage: () => expect.unreachable() })) {
    if (positions.length === 0)
      for (const first of firsts.slice(1, -1)) rmSync(join(folder, segmentName(first)))
    positions.push(...entries.map(({ position }) => position))
  }
  const last = firsts.at(-1)!
  expect(positions).toEqual([
    ...Array.from({ length: firsts[1]! }, (_, position) => position),
    ...Array.from({ length: 300 - last }, (_, index) => last + index),
  ])
})

test('reading begins at the oldest record that is kept', async () => {
  const { folder, firsts } = await written(200)
  for (const first of firsts.slice(0, 2)) rmSync(join(folder, segmentName(first)))
  const read = await readAll(openJournalReader({ folder }), 0, 200, { onDamage: () => expect.unreachable() })
  expect(read.map(({ position }) => position)).toEqual(
    Array.from({ length: 200 - firsts[2]! }, (_, index) => firsts[2]! + index),
  )
  for (const first of firsts) rmSync(join(folder, segmentName(first)), { force: true })
  expect(await readAll(openJournalReader({ folder }), 0, 200)).toEqual([])
})

test('what is written while it is read is read too, also in new segments', async () => {
  const { folder, writer } = await written(10)
  const reader = openJournalReader({ folder })
  const positions: number[] = []
  for await (const entries of reader.read(0, undefined, { onDamage: () => expect.unreachable() })) {
    positions.push(...entries.map(({ position }) => position))
    if (writer.end === 10) writer.write(groupOf(records(300, 10)))
  }
  expect(positions).toEqual(Array.from({ length: 310 }, (_, position) => position))
  expect(firstsOf(folder).length).toBeGreaterThan(4)
})

test('chunks are of bounded size, and a record larger than one comes whole', async () => {
  const folder = await journalFolder()
  const writer = new SegmentWriter(new FolderDisk(folder), { ...OPTIONS, segmentBytes: 16 * 1024 * 1024 })
  const sizes = [1_000_000, 1_000_000, 0, 3_500_000, 100, 1_048_576, 5]
  const given = sizes.map((frameBytes, number) => record(number, { frameBytes }))
  writer.write(groupOf(given))
  const reader = openJournalReader({ folder })
  const chunks: number[] = []
  for await (const entries of reader.read(0, sizes.length)) {
    chunks.push(entries.reduce((sum, { frame }) => sum + frame.length, 0))
  }
  expect(Math.max(...chunks)).toBeLessThan(3_600_000)
  const read = await readAll(reader, 0, sizes.length)
  expect(read.every(({ frame }, index) => frame.equals(given[index]!.frame))).toBe(true)
  expect(read.map(({ position }) => position)).toEqual(sizes.map((_, index) => index))
})

test('a journal of another version is refused', async () => {
  const { folder } = await written(3)
  const other = await written(3)
  expect(await readAll(openJournalReader(other), 0)).toHaveLength(3)
  const path = join(folder, segmentName(0))
  const bytes = readFileSync(path)
  bytes.writeUInt32LE(9, 8)
  bytes.writeUInt32LE(crc32c(bytes, 16, 32, crc32c(bytes, 0, 12)), 12)
  writeFileSync(path, bytes)
  await expect(readAll(openJournalReader({ folder }), 0)).rejects.toMatchObject({ code: 'journal-version' })
})

function filesOpen(folder: string): number {
  return readdirSync('/proc/self/fd').filter((descriptor) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`).startsWith(folder)
    } catch {
      return false
    }
  }).length
}

test('a reader that is left in the middle closes its file', async ({ skip }) => {
  if (process.platform !== 'linux') return skip('only Linux tells which files are open')
  const { folder } = await written(200)
  const before = filesOpen(folder)
  const reader = openJournalReader({ folder })
  for await (const _ of reader.read(0, 200)) {
    expect(filesOpen(folder)).toBe(before + 1)
    break
  }
  expect(filesOpen(folder)).toBe(before)
})
