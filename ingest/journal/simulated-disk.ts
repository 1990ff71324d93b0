/**
 * A disk in memory that fails when told to, and that knows what a power cut may leave of what was written and not synced:
 * of each block any of its versions since the last sync, of the names any part of their changes.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Disk, DiskEntry, DiskFile } from './disk.ts'

type Operation =
  | 'write'
  | 'datasync'
  | 'sync'
  | 'truncate'
  | 'create'
  | 'open'
  | 'rename'
  | 'remove'
  | 'syncFolder'

/** What goes wrong with a call: an error with this code, or a write of so many bytes only. */
export type Fault = string | number | undefined

interface Inode {
  bytes: Buffer
  /** As the last sync left it. */
  durable: Buffer
  /** What changed since, in its order. */
  pending: (Write | { readonly length: number })[]
}

interface Write {
  readonly at: number
  readonly bytes: Buffer
}

type NameChange =
  | { readonly type: 'set'; readonly name: string; readonly inode: Inode }
  | { readonly type: 'delete'; readonly name: string; readonly inode: Inode }

/** Files by name. */
export type Contents = ReadonlyMap<string, Buffer>

/** A power cut in the middle of everything: stops the one who writes. */
export class PowerCut extends Error {}

export class SimulatedDisk implements Disk {
  /** Asked before each call. */
  fault: (operation: Operation, name: string) => Fault = () => undefined
  /** Calls that changed something or synced; at `cutAt` of them the power goes. */
  calls = 0
  cutAt = Number.POSITIVE_INFINITY
  private readonly names = new Map<string, Inode>()
  private durableNames = new Map<string, Inode>()
  private nameChanges: NameChange[] = []

  constructor(contents: Contents = new Map()) {
    for (const [name, bytes] of contents) {
      this.names.set(name, { bytes: Buffer.from(bytes), durable: Buffer.from(bytes), pending: [] })
    }
    this.durableNames = new Map(this.names)
  }

  list(): readonly DiskEntry[] {
    return [...this.names].map(([name, { bytes }]) => ({ name, bytes: bytes.length, modifiedMs: 0 }))
  }

  create(name: string): DiskFile {
    this.enter('create', name)
    const inode: Inode = { bytes: Buffer.alloc(0), durable: Buffer.alloc(0), pending: [] }
    this.setName(name, inode)
    return this.file(name, inode)
  }

  open(name: string): DiskFile {
    const inode = this.names.get(name)
    if (inode === undefined) throw fileError('ENOENT', name)
    return this.file(name, inode)
  }

  rename(from: string, to: string): void {
    this.enter('rename', to)
    const inode = this.names.get(from)!
    this.names.delete(from)
    this.nameChanges.push({ type: 'delete', name: from, inode })
    this.setName(to, inode)
  }

  remove(name: string): void {
    this.enter('remove', name)
    const inode = this.names.get(name)
    if (inode === undefined) return
    this.names.delete(name)
    this.nameChanges.push({ type: 'delete', name, inode })
  }

  syncFolder(): void {
    this.enter('syncFolder', '')
    this.durableNames = new Map(this.names)
    this.nameChanges = []
  }

  async preallocate(name: string, bytes: number): Promise<void> {
    const file = this.create(name)
    await Promise.resolve()
    for (let at = 0; at < bytes; ) at += file.write(Buffer.alloc(bytes - at), 0, bytes - at, at)
    await Promise.resolve()
    file.sync()
  }

  /** What is there as long as the power is. */
  get contents(): Contents {
    return new Map([...this.names].map(([name, { bytes }]) => [name, bytes]))
  }

  /**
   * What a power cut may leave.
   * @param random Numbers in [0, 1).
   * @param blockBytes Bytes that a disk writes as a whole.
   */
  afterPowerCut(random: () => number, blockBytes: number): Contents {
    const names = new Map(this.durableNames)
    for (const change of this.nameChanges) {
      if (random() < 0.5) continue
      if (change.type === 'set') names.set(change.name, change.inode)
      else if (names.get(change.name) === change.inode) names.delete(change.name)
    }
    const left = new Map<Inode, Buffer>()
    const result = new Map<string, Buffer>()
    for (const [name, inode] of names) {
      const bytes = left.get(inode) ?? torn(inode, random, blockBytes)
      left.set(inode, bytes)
      result.set(name, bytes)
    }
    return result
  }

  /** Bytes of a file that were written since its last sync. */
  pendingBytes(name: string): number {
    return this.pendingWrites(name).reduce((sum, { bytes }) => sum + bytes.length, 0)
  }

  /** What is there if of {@link pendingBytes} only so many came to the disk, in the order in which they were written. */
  afterShortWrite(name: string, count: number): Contents {
    let bytes = this.names.get(name)!.durable
    let left = count
    for (const { at, bytes: part } of this.pendingWrites(name)) {
      bytes = written(bytes, part.subarray(0, left), at)
      left = Math.max(0, left - part.length)
    }
    return new Map(this.contents).set(name, bytes)
  }

  private pendingWrites(name: string): Write[] {
    return this.names.get(name)!.pending.filter((change) => 'bytes' in change)
  }

  private setName(name: string, inode: Inode): void {
    this.names.set(name, inode)
    this.nameChanges.push({ type: 'set', name, inode })
  }

  private enter(operation: Operation, name: string): number | undefined {
    if (++this.calls > this.cutAt) throw new PowerCut()
    const fault = this.fault(operation, name)
    if (typeof fault === 'string') throw fileError(fault, `${operation} ${name}`)
    return fault
  }

  private file(name: string, inode: Inode): DiskFile {
    const synced = (operation: Operation) => {
      this.enter(operation, name)
      inode.durable = Buffer.from(inode.bytes)
      inode.pending = []
    }
    return {
      write: (bytes, offset, length, position) => {
        const count = Math.min(length, this.enter('write', name) ?? length)
        const part = Buffer.from(bytes.subarray(offset, offset + count))
        inode.pending.push({ at: position, bytes: part })
        inode.bytes = written(inode.bytes, part, position)
        return count
      },
      read: (bytes, offset, length, position) =>
        inode.bytes.copy(bytes, offset, Math.min(position, inode.bytes.length), position + length),
      truncate: (length) => {
        this.enter('truncate', name)
        inode.pending.push({ length })
        inode.bytes = Buffer.from(inode.bytes.subarray(0, length))
      },
      datasync: () => synced('datasync'),
      sync: () => synced('sync'),
      close: () => {},
    }
  }
}

/** Writes files to a folder, in the place of all that was there. */
export function putFolder(folder: string, contents: Contents): void {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const [name, bytes] of contents) writeFileSync(join(folder, name), bytes)
}

function torn({ durable, pending }: Inode, random: () => number, blockBytes: number): Buffer {
  let bytes = durable
  for (const change of pending) {
    if ('length' in change) {
      if (random() < 0.5) bytes = Buffer.from(bytes.subarray(0, change.length))
      continue
    }
    // Mostly some blocks, now and then all or none.
    const share = [0, 0.1, 0.5, 0.9, 1][Math.floor(random() * 5)]!
    const { at, bytes: part } = change
    for (let from = at; from < at + part.length; ) {
      const to = Math.min(at + part.length, (Math.floor(from / blockBytes) + 1) * blockBytes)
      if (random() < share) bytes = written(bytes, part.subarray(from - at, to - at), from)
      from = to
    }
  }
  return bytes
}

function written(bytes: Buffer, part: Buffer, at: number): Buffer {
  const result = Buffer.alloc(Math.max(bytes.length, at + part.length))
  bytes.copy(result)
  part.copy(result, at)
  return result
}

function fileError(code: string, what: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${what}`), { code })
}
