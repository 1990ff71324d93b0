/**
 * Where reading starts after a restart. Two slots are written in turn, so that a write that does not come to its end
 * leaves the one before:
 *
 *     CRC u32 | 0 u32 | number of the write f64 | position f64
 */
import { crc32c } from './crc32c.ts'
import type { Disk, DiskFile } from './disk.ts'
import type { JournalPosition } from './journal.ts'

const NAME = 'checkpoint'
const MAKING = 'checkpoint.new'
const SLOT_BYTES = 24
/** Apart, so that no block of a disk holds both. */
const SLOT_DISTANCE = 4096
const FILE_BYTES = SLOT_DISTANCE + SLOT_BYTES

export class Checkpoint {
  /** Undefined if nothing readable was remembered. */
  readonly remembered: JournalPosition | undefined
  private readonly file: DiskFile
  private number = 0
  /** That of the slot that is not written next. */
  private syncedNumber = 0

  /** @throws Error of the disk. */
  constructor(disk: Disk) {
    if (!disk.list().some(({ name, bytes }) => name === NAME && bytes === FILE_BYTES)) make(disk)
    this.file = disk.open(NAME)
    const slots = [0, 1].flatMap((slot) => this.read(slot) ?? [])
    for (const { number, position } of slots) {
      if (number <= this.number) continue
      this.number = number
      this.remembered = position
    }
    this.syncedNumber = this.number
  }

  /** Remembers a position, durably after {@link sync}. @throws Error of the disk. */
  write(position: JournalPosition): void {
    const number = this.syncedNumber + 1
    const slot = Buffer.alloc(SLOT_BYTES)
    slot.writeDoubleLE(number, 8)
    slot.writeDoubleLE(position, 16)
    slot.writeUInt32LE(crc32c(slot, 4, SLOT_BYTES), 0)
    const at = (number % 2) * SLOT_DISTANCE
    for (let done = 0; done < SLOT_BYTES; ) done += this.file.write(slot, done, SLOT_BYTES - done, at + done)
    this.number = number
  }

  /** @throws Error of the disk. */
  sync(): void {
    this.file.datasync()
    this.syncedNumber = this.number
  }

  close(): void {
    this.file.close()
  }

  private read(slot: number): { readonly number: number; readonly position: JournalPosition } | undefined {
    const bytes = Buffer.alloc(SLOT_BYTES)
    const count = this.file.read(bytes, 0, SLOT_BYTES, slot * SLOT_DISTANCE)
    if (count < SLOT_BYTES || bytes.readUInt32LE(0) !== crc32c(bytes, 4, SLOT_BYTES)) return undefined
    return { number: bytes.readDoubleLE(8), position: bytes.readDoubleLE(16) }
  }
}

function make(disk: Disk): void {
  const file = disk.create(MAKING)
  try {
    const zeros = Buffer.alloc(FILE_BYTES)
    for (let at = 0; at < FILE_BYTES; ) at += file.write(zeros, at, FILE_BYTES - at, at)
    file.sync()
  } finally {
    file.close()
  }
  disk.rename(MAKING, NAME)
  disk.syncFolder()
}
