/** Reads a journal's files, beside their writer or without one: what is durable does not change any more. */
import { type FileHandle, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  deviceAt,
  isRecord,
  isSegmentHeader,
  lengthOfRecord,
  parseRecord,
  SEGMENT_HEADER_BYTES,
} from './format.ts'
import type { JournalEntry, JournalOptions, JournalPosition, JournalReader } from './journal.ts'
import { segmentFirst, segmentName } from './segments.ts'

/**
 * Bytes that are read at a time; a larger record makes it more. The entries of a chunk live until its reader has stored
 * them: of large chunks the garbage collector takes them for what stays, and memory grows by tens of megabytes.
 */
const CHUNK_BYTES = 64 * 1024
/** The same where only the first record of a segment is looked at. */
const SEEK_CHUNK_BYTES = 4096
/** What a clock may have been set back by between two records, ms. */
const CLOCK_STEP_MS = 60_000

type Wants = (device: number) => boolean
const ALL: Wants = () => true

/** Where in the bytes of a segment a record begins. */
interface Place {
  readonly segment: JournalPosition
  readonly position: JournalPosition
  readonly offset: number
}

/** Opens the journal of a folder for reading. Errors of the file system come while reading. */
export function openJournalReader(options: Pick<JournalOptions, 'folder'>): JournalReader {
  return new FileJournalReader(options.folder)
}

class FileJournalReader implements JournalReader {
  private readonly folder: string
  /** Where reading was last: the next range often begins there. */
  private place: Place | undefined

  constructor(folder: string) {
    this.folder = folder
  }

  async *read(
    from: JournalPosition,
    to = Number.POSITIVE_INFINITY,
    options: { wants?: Wants; onDamage?: (lost: number, message: string) => void } = {},
  ): AsyncGenerator<readonly JournalEntry[], void, undefined> {
    const { wants = ALL, onDamage } = options
    let firsts = await this.firsts()
    let position = from
    while (position < to) {
      const index = firsts.findLastIndex((first) => first <= position)
      if (index < 0) {
        // Not kept any more.
        position = firsts[0] ?? to
        continue
      }
      const segment = firsts[index]!
      const next = firsts[index + 1]
      const end = Math.min(to, next ?? to)
      const file = await this.open(segment)
      if (file === undefined) {
        // Removed meanwhile, because nobody needs it for recovery.
        firsts = (await this.firsts()).filter((first) => first > segment)
        continue
      }
      try {
        position = yield* this.readSegment(file, {
          segment,
          from: position,
          to: end,
          wants,
          chunkBytes: CHUNK_BYTES,
        })
      } finally {
        await file.close()
      }
      if (position >= end) continue
      if (next === undefined) {
        const fresh = await this.firsts()
        if (fresh.at(-1)! > segment) {
          // The writer has gone on: what is missing may be there now.
          firsts = fresh
          continue
        }
        if (to === Number.POSITIVE_INFINITY) return
      }
      onDamage?.(
        end - position,
        `${join(this.folder, segmentName(segment))} is damaged at record ${position}: ${end - position} records are lost`,
      )
      position = end
    }
  }

  async seek(receivedMs: number): Promise<JournalPosition> {
    const firsts = await this.firsts()
    for (const segment of firsts.slice(1).reverse()) {
      const firstMs = await this.firstReceivedMs(segment)
      if (firstMs !== undefined && firstMs + CLOCK_STEP_MS < receivedMs) return segment
    }
    return firsts[0] ?? 0
  }

  /** First positions of all segments, in their order. */
  private async firsts(): Promise<JournalPosition[]> {
    const names = await readdir(this.folder)
    return names.flatMap((name) => segmentFirst(name) ?? []).sort((a, b) => a - b)
  }

  /** @returns Undefined if it is not there any more. */
  private async open(segment: JournalPosition): Promise<FileHandle | undefined> {
    try {
      return await open(join(this.folder, segmentName(segment)))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  private async firstReceivedMs(segment: JournalPosition): Promise<number | undefined> {
    const file = await this.open(segment)
    if (file === undefined) return undefined
    try {
      const range = { segment, from: segment, to: segment + 1, wants: ALL, chunkBytes: SEEK_CHUNK_BYTES }
      for await (const [entry] of this.readSegment(file, range)) return entry?.receivedMs
      return undefined
    } finally {
      await file.close()
    }
  }

  /** @returns The first position that was not read: `to`, or where no whole record is. */
  private async *readSegment(
    file: FileHandle,
    range: {
      readonly segment: JournalPosition
      readonly from: JournalPosition
      readonly to: JournalPosition
      readonly wants: Wants
      readonly chunkBytes: number
    },
  ): AsyncGenerator<readonly JournalEntry[], JournalPosition, undefined> {
    const { segment, from, to, wants } = range
    let bytes = Buffer.allocUnsafe(range.chunkBytes)
    const header = await file.read(bytes, 0, SEGMENT_HEADER_BYTES, 0)
    if (!isSegmentHeader(bytes.subarray(0, header.bytesRead), segment)) return from
    let { position, offset } = this.placeBefore(segment, from)
    for (;;) {
      const { bytesRead: end } = await file.read(bytes, 0, bytes.length, offset)
      const entries: JournalEntry[] = []
      let at = 0
      let length = 0
      while (position < to) {
        length = lengthOfRecord(bytes, at, end)
        if (length === 0 || at + length > end) break
        if (position >= from) {
          if (!isRecord(bytes, at, length, position)) {
            length = 0
            break
          }
          const device = deviceAt(bytes, at)
          if (device === 0 || wants(device)) entries.push({ position, ...parseRecord(bytes, at, length) })
        }
        at += length
        position++
      }
      offset += at
      this.place = { segment, position, offset }
      if (entries.length > 0) yield entries
      const whole = at < end && length === 0
      if (position >= to || whole || end === 0 || (at === 0 && end < bytes.length)) break
      if (at === 0) bytes = Buffer.allocUnsafe(Math.max(length, range.chunkBytes))
    }
    return Math.max(from, position)
  }

  private placeBefore(segment: JournalPosition, from: JournalPosition): Place {
    const { place } = this
    if (place?.segment === segment && place.position <= from) return place
    return { segment, position: segment, offset: SEGMENT_HEADER_BYTES }
  }
}
