/**
 * Writes groups of records into segments: one write and one sync a group. What is written goes into bytes that were
 * allocated and synced as zeros before, so that a sync has no metadata to write. Where no such segment is ready, one that
 * grows with what is written stands in for it, so that no record waits for zeros. A segment is begun only when all before
 * it is durable: after a power cut, only the last one can be torn.
 */
import { Checkpoint } from './checkpoint.ts'
import type { Disk, DiskFile } from './disk.ts'
import { receivedMsAt, sealRecord, segmentHeader, writtenBytes } from './format.ts'
import { JournalError, type JournalPosition } from './journal.ts'
import { expired, findWhole, listSegments, type Segment, segmentName } from './segments.ts'

/** Names of segments that have none of their own yet. */
const GROWING = 'segment.growing'
const PREPARED = 'segment.prepared'
/** Part of an allocated segment that is written when the next one is begun to be allocated. */
const PREPARE_AT = 0.5
const FULL_CODES = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

export interface WriterOptions {
  readonly keepMs: number
  readonly keepBytes: number
  readonly segmentBytes: number
}

/** Records without their CRC that are to be written, one behind the other. */
export interface Group {
  readonly bytes: Buffer
  /** What of them is durable: after {@link DiskFull}, writing goes on there. */
  at: number
}

/** There is no room on the disk, and nothing that may be removed: nothing was lost, the call may be repeated. */
export class DiskFull extends Error {
  override readonly name = 'DiskFull'
}

export class SegmentWriter {
  /** What {@link Journal.start}, and {@link Journal.tornBytes} tell. */
  readonly start: JournalPosition
  readonly tornBytes: number
  /** Position that the next record gets; all before it are durable. */
  end: JournalPosition
  /** Settled when no segment is being allocated. */
  preparing: Promise<void> = Promise.resolve()
  private readonly disk: Disk
  private readonly options: WriterOptions
  private readonly checkpoint: Checkpoint
  /** Those that are written no more, oldest first; of no two the same records. */
  private readonly closed: Segment[]
  private closedBytes: number
  private file: DiskFile | undefined
  private first: JournalPosition = 0
  private offset = 0
  /** Whether the file is only as long as what was written. */
  private growing = false
  private lastMs = 0
  private prepared: 'none' | 'under way' | 'ready' | 'failed' = 'none'
  /** As in the checkpoint. */
  private trimmed: JournalPosition
  private failure: JournalError | undefined
  private readonly ending = new AbortController()

  /**
   * Finds what is whole, and cuts off what is not.
   * @throws JournalError `journal-version`, `journal-io`.
   */
  constructor(disk: Disk, options: WriterOptions) {
    this.disk = disk
    this.options = options
    try {
      for (const { name } of disk.list()) if (name === GROWING || name === PREPARED) disk.remove(name)
      this.checkpoint = new Checkpoint(disk)
      this.closed = listSegments(disk)
      const { end, tornBytes } = this.cutLast()
      this.closedBytes = this.closed.reduce((sum, { bytes }) => sum + bytes, 0)
      const { remembered } = this.checkpoint
      this.tornBytes = tornBytes
      // Should what the checkpoint was written after be gone, new records still must not be taken for stored ones.
      this.end = Math.max(end, remembered ?? 0)
      this.start = Math.max(remembered ?? 0, this.closed[0]?.first ?? this.end)
      this.trimmed = this.start
    } catch (error) {
      throw error instanceof JournalError ? error : failed(error)
    }
  }

  /** Bytes of all segments, and how many there are. */
  get figures(): { readonly bytes: number; readonly segments: number } {
    const open = this.file === undefined ? 0 : 1
    return { bytes: this.closedBytes + open * this.fileBytes, segments: this.closed.length + open }
  }

  /**
   * Writes the rest of a group; it is durable after the call.
   * @throws DiskFull
   * @throws JournalError `journal-io`: what was written may not be on the disk, and no call will succeed any more.
   */
  write(group: Group): void {
    const { bytes } = group
    while (group.at < bytes.length) {
      const full = writtenBytes(bytes, group.at) > this.room
      if (this.file === undefined || full || (this.growing && this.prepared === 'ready')) this.turn()
      const { room } = this
      let end = group.at
      let position = this.end
      while (end < bytes.length && end + writtenBytes(bytes, end) - group.at <= room) {
        sealRecord(bytes, end, position++)
        this.lastMs = receivedMsAt(bytes, end)
        end += writtenBytes(bytes, end)
      }
      this.guarded(() => writeAll(this.file!, bytes, group.at, end, this.offset))
      this.certain(() => this.file!.datasync())
      this.offset += end - group.at
      group.at = end
      this.end = position
    }
    if (this.growing || this.offset > this.options.segmentBytes * PREPARE_AT) this.prepare()
  }

  /**
   * Remembers where reading has to start, and removes what need not be kept.
   * @throws JournalError `journal-io`
   */
  trim(position: JournalPosition): void {
    if (position > this.trimmed) {
      try {
        this.guarded(() => this.checkpoint.write(position))
      } catch (error) {
        // File systems that copy on write need room even for this; what is remembered stays older until the next trim.
        if (error instanceof DiskFull) return
        throw error
      }
      this.certain(() => this.checkpoint.sync())
      this.trimmed = position
    }
    this.expire()
  }

  /** Removes what need not be kept any longer. @throws JournalError `journal-io` */
  expire(): void {
    const count = expired(this.closed, this.drained, this.options, Date.now())
    for (let i = 0; i < count; i++) this.removeOldest()
  }

  /** Gives back what was allocated and is not used. */
  async close(): Promise<void> {
    this.ending.abort()
    await this.preparing
    if (this.failure === undefined) {
      this.certain(() => {
        if (this.prepared === 'ready') this.disk.remove(PREPARED)
        this.file?.truncate(this.offset)
        this.file?.sync()
      })
    }
    this.file?.close()
    this.checkpoint.close()
  }

  private get room(): number {
    return this.options.segmentBytes - this.offset
  }

  private get fileBytes(): number {
    return this.growing ? this.offset : this.options.segmentBytes
  }

  /** How many of the closed segments hold nothing that is needed for recovery. */
  private get drained(): number {
    const firsts = this.closed.map(({ first }) => first)
    firsts.push(this.file === undefined ? this.end : this.first)
    let count = 0
    while (count < this.closed.length && firsts[count + 1]! <= this.trimmed) count++
    return count
  }

  private cutLast(): { readonly end: JournalPosition; readonly tornBytes: number } {
    const last = this.closed.pop()
    if (last === undefined) return { end: 0, tornBytes: 0 }
    const file = this.disk.open(segmentName(last.first))
    try {
      const whole = findWhole(file, last.first)
      // What lies behind could come to life again when records of the same positions are written before it.
      if (whole.bytes < last.bytes) file.truncate(whole.bytes)
      // Records of a process that was killed may be whole and yet not durable.
      file.sync()
      // One without records stays: its name tells the end. The next segment takes its place.
      if (whole.records > 0) this.closed.push({ ...last, bytes: whole.bytes })
      return { end: last.first + whole.records, tornBytes: whole.tornBytes }
    } finally {
      file.close()
    }
  }

  /** Ends the segment and begins the next one, which gets its name when it is there as a whole. */
  private turn(): void {
    if (this.file !== undefined) {
      // One without records has the name of the next one, which takes its place.
      if (this.first < this.end) {
        this.closed.push({ first: this.first, bytes: this.fileBytes, lastMs: this.lastMs })
        this.closedBytes += this.fileBytes
      }
      this.file.close()
      this.file = undefined
      this.expire()
    }
    const name = this.prepared === 'ready' ? PREPARED : GROWING
    const header = segmentHeader(this.end, Date.now())
    this.guarded(() => {
      const file = name === PREPARED ? this.disk.open(PREPARED) : this.disk.create(GROWING)
      try {
        writeAll(file, header, 0, header.length, 0)
        this.disk.rename(name, segmentName(this.end))
      } catch (error) {
        file.close()
        throw error
      }
      this.file = file
    })
    this.certain(() => this.disk.syncFolder())
    this.first = this.end
    this.offset = header.length
    this.growing = name === GROWING
    if (this.prepared !== 'under way') this.prepared = 'none'
  }

  private prepare(): void {
    if (this.prepared !== 'none') return
    this.prepared = 'under way'
    this.preparing = this.disk.preallocate(PREPARED, this.options.segmentBytes, this.ending.signal).then(
      () => {
        this.prepared = 'ready'
      },
      () => {
        // Records then go into one that grows, and tell what is wrong if that fails too.
        this.prepared = 'failed'
        try {
          this.disk.remove(PREPARED)
        } catch {
          // The next one of its name takes its place.
        }
      },
    )
  }

  private removeOldest(): void {
    const { first, bytes } = this.closed.shift()!
    this.closedBytes -= bytes
    this.certain(() => this.disk.remove(segmentName(first)))
  }

  /** Makes room on a full disk as long as there is something to remove. */
  private guarded(work: () => void): void {
    for (;;) {
      if (this.failure !== undefined) throw this.failure
      try {
        work()
        return
      } catch (error) {
        if (error instanceof JournalError) throw error
        if (!FULL_CODES.has((error as NodeJS.ErrnoException).code ?? '')) this.fail(error)
        if (this.drained === 0) throw new DiskFull((error as Error).message)
        this.removeOldest()
      }
    }
  }

  /** Runs what must not fail: after a failed sync, nobody knows what is on the disk, and no retry can tell. */
  private certain(work: () => void): void {
    if (this.failure !== undefined) throw this.failure
    try {
      work()
    } catch (error) {
      this.fail(error)
    }
  }

  private fail(error: unknown): never {
    this.failure = failed(error)
    throw this.failure
  }
}

function failed(error: unknown): JournalError {
  const { message } = error as Error
  return new JournalError(
    'journal-io',
    `the journal cannot be written: ${message}; nothing is acknowledged any more. Look at the disk, then start again`,
    { cause: error },
  )
}

/** @throws Error of the disk. */
function writeAll(file: DiskFile, bytes: Buffer, from: number, to: number, position: number): void {
  for (let at = from; at < to; ) {
    const count = file.write(bytes, at, to - at, position + at - from)
    if (count === 0) throw new Error('a write to the disk wrote nothing')
    at += count
  }
}
