/** The folder of a journal as its writer sees it: few calls, so that tests can put a disk there that fails. */

import * as fs from 'node:fs'
import { constants } from 'node:fs'
import { open, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Only the owner reads where people were. */
const FOLDER_MODE = 0o700
const FILE_MODE = 0o600
/** Bytes that are written and synced at a time in the background, so that a sync of records never waits for more. */
const PIECE_BYTES = 1024 * 1024
/** What must be free of a disk to allocate on it, as a multiple: zeros are not to take what others need, a database. */
const FREE_SHARE_MIN = 2

export interface DiskFile {
  /** @returns How many bytes were written, which may be fewer. */
  write(bytes: Uint8Array, offset: number, length: number, position: number): number
  /** @returns How many bytes were read; 0 = the end of the file. */
  read(bytes: Uint8Array, offset: number, length: number, position: number): number
  truncate(length: number): void
  /** Makes the bytes durable; the file's length only if it must be to read them. */
  datasync(): void
  /** Makes all of the file durable. */
  sync(): void
  close(): void
}

export interface DiskEntry {
  readonly name: string
  readonly bytes: number
  readonly modifiedMs: number
}

/** Errors are those of node:fs, with their `code`. */
export interface Disk {
  list(): readonly DiskEntry[]
  /** Makes an empty file in the place of what had the name. */
  create(name: string): DiskFile
  open(name: string): DiskFile
  rename(from: string, to: string): void
  remove(name: string): void
  /** Makes names durable: of files that were made, renamed or removed. */
  syncFolder(): void
  /**
   * Makes a file of so many zeros, durable, without holding up this thread; not where little room is left.
   * @param signal Ends it early, with an error.
   */
  preallocate(name: string, bytes: number, signal: AbortSignal): Promise<void>
}

/** A folder of this machine, which is made if it is not there. */
export class FolderDisk implements Disk {
  private readonly folder: string

  constructor(folder: string) {
    this.folder = folder
    const firstMade = fs.mkdirSync(folder, { recursive: true, mode: FOLDER_MODE })
    if (firstMade === undefined) return
    for (let made = folder; made.length >= firstMade.length; made = dirname(made)) syncFolder(dirname(made))
  }

  list(): readonly DiskEntry[] {
    const entries: DiskEntry[] = []
    for (const name of fs.readdirSync(this.folder)) {
      const stat = fs.statSync(join(this.folder, name), { throwIfNoEntry: false })
      if (stat?.isFile()) entries.push({ name, bytes: stat.size, modifiedMs: stat.mtimeMs })
    }
    return entries
  }

  create(name: string): DiskFile {
    return new FolderFile(fs.openSync(join(this.folder, name), 'w+', FILE_MODE))
  }

  open(name: string): DiskFile {
    return new FolderFile(fs.openSync(join(this.folder, name), 'r+'))
  }

  rename(from: string, to: string): void {
    fs.renameSync(join(this.folder, from), join(this.folder, to))
  }

  remove(name: string): void {
    fs.rmSync(join(this.folder, name), { force: true })
  }

  syncFolder(): void {
    syncFolder(this.folder)
  }

  async preallocate(name: string, bytes: number, signal: AbortSignal): Promise<void> {
    const { bavail, bsize } = await statfs(this.folder)
    if (bavail * bsize < bytes * FREE_SHARE_MIN) throw new Error('too little room is left on the disk')
    const file = await open(join(this.folder, name), 'w', FILE_MODE)
    try {
      const zeros = Buffer.alloc(Math.min(PIECE_BYTES, bytes))
      for (let at = 0; at < bytes; ) {
        signal.throwIfAborted()
        const { bytesWritten } = await file.write(zeros, 0, Math.min(zeros.length, bytes - at), at)
        await file.datasync()
        at += bytesWritten
      }
      await file.sync()
    } finally {
      await file.close()
    }
  }
}

class FolderFile implements DiskFile {
  private readonly descriptor: number

  constructor(descriptor: number) {
    this.descriptor = descriptor
  }

  write(bytes: Uint8Array, offset: number, length: number, position: number): number {
    return fs.writeSync(this.descriptor, bytes, offset, length, position)
  }

  read(bytes: Uint8Array, offset: number, length: number, position: number): number {
    return fs.readSync(this.descriptor, bytes, offset, length, position)
  }

  truncate(length: number): void {
    fs.ftruncateSync(this.descriptor, length)
  }

  datasync(): void {
    fs.fdatasyncSync(this.descriptor)
  }

  sync(): void {
    fs.fsyncSync(this.descriptor)
  }

  close(): void {
    fs.closeSync(this.descriptor)
  }
}

function syncFolder(folder: string): void {
  // Windows has no way to sync a folder, and none to open one.
  if (process.platform === 'win32') return
  const descriptor = fs.openSync(folder, constants.O_RDONLY)
  try {
    fs.fsyncSync(descriptor)
  } finally {
    fs.closeSync(descriptor)
  }
}
