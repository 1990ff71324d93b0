import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import { threadUrl } from '../../storage/project-root.ts'
import { journalConformance } from './conformance.ts'
import { openJournal } from './file-journal.ts'
import type { JournalOptions } from './journal.ts'
import {
  entriesOf,
  type JournalPlace,
  journalFolder,
  Owner,
  readAll,
  record,
  records,
  smallFileSystem,
} from './journal-fixture.ts'
import { openJournalReader } from './reader.ts'
import { segmentName } from './segments.ts'

const SEGMENT_BYTES = 4096

function optionsOf(folder: string, segmentBytes = SEGMENT_BYTES): JournalOptions {
  return { folder, keepMs: 3_600_000, keepBytes: 1e9, segmentBytes }
}

function placeOf(options: JournalOptions): JournalPlace {
  return { open: (events) => openJournal(options, events), reader: () => openJournalReader(options) }
}

journalConformance('a folder', async (segments = 'small') =>
  placeOf(optionsOf(await journalFolder(), segments === 'small' ? SEGMENT_BYTES : 64 * 1024 * 1024)),
)

async function opened(place: JournalPlace): Promise<Owner> {
  const owner = await Owner.open(place)
  onTestFinished(() => owner.journal.close().catch(() => {}))
  return owner
}

test('only the owner of the files can read them', async () => {
  const folder = await journalFolder()
  const owner = await opened(placeOf(optionsOf(folder)))
  for (const one of records(200)) owner.journal.append(one)
  await owner.synced()
  owner.journal.trim(100)
  await owner.journal.close()
  expect(statSync(folder).mode & 0o777).toBe(0o700)
  const modes = readdirSync(folder).map((name) => [name, statSync(join(folder, name)).mode & 0o777])
  expect(modes.length).toBeGreaterThan(4)
  expect(modes.filter(([, mode]) => mode !== 0o600)).toEqual([])
})

test('records of one turn of the event loop are synced as one, as are those that come meanwhile', async () => {
  const owner = await opened(placeOf(optionsOf(await journalFolder(), 1024 * 1024)))
  for (const one of records(10)) owner.journal.append(one)
  // The first group is handed over now; these come while it is synced.
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  for (const one of records(10, 10)) owner.journal.append(one)
  for (const one of records(10, 20)) owner.journal.append(one)
  await owner.synced()
  expect(owner.durable).toEqual([10, 30])
})

test('a record must fit into a segment', async () => {
  const owner = await opened(placeOf(optionsOf(await journalFolder())))
  const context = Buffer.alloc(10)
  const largest = SEGMENT_BYTES - 32 - 22 - context.length
  expect(() => owner.journal.append({ ...record(0), context, frame: Buffer.alloc(largest + 1) })).toThrow(
    RangeError,
  )
  owner.journal.append({ ...record(0), context, frame: Buffer.alloc(largest) })
  await owner.synced()
})

test('figures tell what is kept, and segments that are drained go by age', async () => {
  const options = { ...optionsOf(await journalFolder()), keepMs: 0 }
  const owner = await opened(placeOf(options))
  for (const one of records(300)) owner.journal.append(one)
  await owner.synced()
  const { bytes, segments } = owner.journal.figures
  expect(segments).toBeGreaterThan(4)
  const files = readdirSync(options.folder).filter((name) => /^\d+\.segment$/.test(name))
  expect(segments).toBe(files.length)
  expect(bytes).toBe(files.reduce((sum, name) => sum + statSync(join(options.folder, name)).size, 0))
  owner.journal.trim(300)
  await expect.poll(() => owner.journal.figures).toMatchObject({ segments: 1 })
  await owner.journal.close()
  const again = await opened(placeOf(options))
  expect(again.journal).toMatchObject({ start: 300, end: 300, figures: { segments: 1 } })
})

test('a process that is killed loses nothing that was durable, and its journal opens at once', {
  timeout: 60_000,
}, async () => {
  const folder = await journalFolder()
  const options = optionsOf(folder, 64 * 1024)
  const code = `
    import { openJournal } from ${JSON.stringify(threadUrl('ingest/journal/file-journal').href)}
    const events = { onDurable: (position) => console.log(position), onRoom() {}, onFull() {}, onFailure() {} }
    const journal = await openJournal(${JSON.stringify(options)}, events)
    console.log(journal.end)
    const append = () => {
      for (let i = 0; i < 20 && journal.figures.pendingBytes < 20_000; i++) {
        const frame = Buffer.alloc(20 + (journal.end % 50), 'frame ' + journal.end + ' ')
        journal.append({ receivedMs: 1_700_000_000_000 + journal.end, device: 1 + (journal.end % 5), context: Buffer.from('{"number":' + journal.end + '}'), frame })
      }
      setImmediate(append)
    }
    append()`
  const script = join(await journalFolder(), '..', 'appends.mjs')
  writeFileSync(script, code)
  let durable = 0
  for (let round = 1; round <= 4; round++) {
    const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] })
    onTestFinished(() => void child.kill('SIGKILL'))
    const exited = new Promise((resolve) => child.once('exit', resolve))
    let lines = 0
    for await (const line of createInterface({ input: child.stdout })) {
      expect(Number(line)).toBeGreaterThanOrEqual(durable)
      durable = Number(line)
      if (++lines === 10 * round) child.kill('SIGKILL')
    }
    await exited
    expect(lines).toBeGreaterThanOrEqual(10 * round)
  }
  const startMs = performance.now()
  const owner = await opened(placeOf(options))
  expect(performance.now() - startMs).toBeLessThan(5_000)
  expect(owner.journal.end).toBeGreaterThanOrEqual(durable)
  const damage: string[] = []
  const read = await readAll(openJournalReader(options), 0, owner.journal.end, {
    onDamage: (_, text) => damage.push(text),
  })
  expect(damage).toEqual([])
  expect(read.length).toBe(owner.journal.end)
  const expected = entriesOf(records(owner.journal.end))
  expect(read.findIndex((one, index) => !one.frame.equals(expected[index]!.frame))).toBe(-1)
})

test('when its folder is gone, the failure is told once and nothing is durable any more', async () => {
  const folder = await journalFolder()
  const owner = await opened(placeOf(optionsOf(folder)))
  for (const one of records(10)) owner.journal.append(one)
  await owner.synced()
  renameSync(folder, `${folder}-gone`)
  for (const one of records(300)) owner.journal.append(one)
  await owner.until(() => owner.failures.length > 0)
  expect(owner.failures).toEqual([expect.objectContaining({ name: 'JournalError', code: 'journal-io' })])
  expect(owner.journal.hasRoom).toBe(false)
  expect(owner.journal.durable).toBe(10)
  await expect(owner.journal.close()).rejects.toMatchObject({ code: 'journal-io' })
  expect(owner.durable.at(-1)).toBe(10)
  expect(owner.failures).toHaveLength(1)
})

test('an owner that another machine took for dead learns of it, and acknowledges nothing more', async () => {
  const folder = await journalFolder()
  const owner = await opened(placeOf(optionsOf(folder)))
  for (const one of records(10)) owner.journal.append(one)
  await owner.synced()
  const [name] = readdirSync(folder).filter((one) => one.startsWith('lock-'))
  // As its next owner does.
  rmSync(join(folder, name!))
  await owner.until(() => owner.failures.length > 0)
  expect(owner.failures).toEqual([expect.objectContaining({ code: 'journal-locked' })])
  expect(owner.journal.hasRoom).toBe(false)
  const before = readFileSync(join(folder, segmentName(0)))
  await expect(owner.journal.close()).rejects.toMatchObject({ code: 'journal-locked' })
  expect(readFileSync(join(folder, segmentName(0))).equals(before)).toBe(true)
})

test('a folder that cannot be made is refused with what is wrong', async () => {
  const folder = await journalFolder()
  writeFileSync(folder, 'a file')
  await expect(Owner.open(placeOf(optionsOf(join(folder, 'journal'))))).rejects.toMatchObject({
    code: 'journal-io',
    message: expect.stringContaining('ENOTDIR'),
  })
})

test('on a full disk nothing becomes durable, and all goes on when there is room', async ({ skip }) => {
  const folder = smallFileSystem(await journalFolder(), 2 * 1024 * 1024)
  if (folder === undefined) return skip('this user may not mount a file system')
  const options = { ...optionsOf(join(folder, 'journal'), 256 * 1024), keepMs: 3_600_000, keepBytes: 1e9 }
  const owner = await opened(placeOf(options))
  const { journal } = owner
  writeFileSync(join(folder, 'other'), Buffer.alloc(512 * 1024))
  let appended = 0
  const append = () => journal.append(record(appended++, { frameBytes: 2_000 }))
  while (owner.full.length === 0) {
    if (journal.hasRoom) append()
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(owner.full).toEqual([true])
  const durable = journal.durable
  expect(durable).toBeGreaterThan(50)
  while (journal.hasRoom) append()
  expect(() => append()).toThrow(RangeError)
  appended = journal.end
  expect(journal.durable).toBe(durable)

  // Drained segments make room, for as much as they held.
  journal.trim(durable)
  await owner.until(() => journal.durable > durable)
  rmSync(join(folder, 'other'))
  const drain = setInterval(() => journal.trim(journal.durable), 20)
  await owner.synced()
  clearInterval(drain)
  expect(owner.full.at(-1)).toBe(false)
  expect(owner.rooms).toBeGreaterThan(0)
  expect(owner.failures).toEqual([])
  expect(journal.durable).toBe(appended)
  await journal.close()
  const again = await opened(placeOf(options))
  expect(again.journal).toMatchObject({ end: appended, tornBytes: 0 })
})

test('close gives up on a full disk, and says how many records nobody was told of', async ({ skip }) => {
  const folder = smallFileSystem(await journalFolder(), 1024 * 1024)
  if (folder === undefined) return skip('this user may not mount a file system')
  const options = optionsOf(join(folder, 'journal'), 64 * 1024)
  const owner = await opened(placeOf(options))
  for (let number = 0; number < 1_000; number++) owner.journal.append(record(number, { frameBytes: 2_000 }))
  await expect(owner.journal.close()).rejects.toThrow(
    /the disk is full \(.*ENOSPC.*\): \d+ records that were not acknowledged/,
  )
  // What had room is durable, and was told.
  expect(owner.durable).toEqual([owner.journal.durable])
  expect(owner.journal.durable).toBeGreaterThan(100)
  expect(await readAll(openJournalReader(options), owner.journal.durable - 1)).toHaveLength(1)
  rmSync(join(folder, 'journal'), { recursive: true })
})
