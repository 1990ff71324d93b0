import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { FolderDisk } from './disk.ts'
import { journalFolder, smallFileSystem } from './journal-fixture.ts'

const never = new AbortController().signal

test('allocates files of zeros of any length', async () => {
  const folder = await journalFolder()
  const disk = new FolderDisk(folder)
  for (const bytes of [1, 4096, 3 * 1024 * 1024 + 5]) {
    await disk.preallocate('zeros', bytes, never)
    expect(readFileSync(join(folder, 'zeros')).equals(Buffer.alloc(bytes))).toBe(true)
  }
})

test('allocating ends early when it is told to', async () => {
  const disk = new FolderDisk(await journalFolder())
  const ending = new AbortController()
  const allocated = disk.preallocate('zeros', 1024 * 1024 * 1024, ending.signal)
  ending.abort()
  await expect(allocated).rejects.toThrow('abort')
  expect(disk.list()[0]!.bytes).toBeLessThan(100 * 1024 * 1024)
})

test('does not take the last room of a disk for zeros', async ({ skip }) => {
  const folder = smallFileSystem(await journalFolder(), 1024 * 1024)
  if (folder === undefined) return skip('this user may not mount a file system')
  const disk = new FolderDisk(folder)
  await expect(disk.preallocate('zeros', 600_000, never)).rejects.toThrow('too little room')
  expect(readdirSync(folder)).toEqual([])
  await disk.preallocate('zeros', 400_000, never)
})
