/** Segments: how their files are named, which are kept, and how far one is whole. */
import type { Disk, DiskFile } from './disk.ts'
import {
  isRecord,
  isSegmentHeader,
  lengthOfRecord,
  RECORD_BYTES_MAX,
  SEGMENT_HEADER_BYTES,
} from './format.ts'
import type { JournalPosition } from './journal.ts'

/** Digits of the greatest position, 2^53. */
const NAME_DIGITS = 16
const NAME = /^(\d{16})\.segment$/
const READ_BYTES = 1024 * 1024

/** A segment is named by the position of its first record, so that names sort as positions do. */
export function segmentName(first: JournalPosition): string {
  return `${String(first).padStart(NAME_DIGITS, '0')}.segment`
}

/** @returns Position of its first record; undefined if the name is not a segment's. */
export function segmentFirst(name: string): JournalPosition | undefined {
  const match = NAME.exec(name)
  return match === null ? undefined : Number(match[1])
}

/** A segment that is not written to any more; its records end where the next segment begins. */
export interface Segment {
  readonly first: JournalPosition
  readonly bytes: number
  /** When its last record came in, ms UTC; about, and of the file system's clock, if it is of an earlier run. */
  readonly lastMs: number
}

/** In the order of their records. */
export function listSegments(disk: Disk): Segment[] {
  return disk
    .list()
    .flatMap(({ name, bytes, modifiedMs }) => {
      const first = segmentFirst(name)
      return first === undefined ? [] : [{ first, bytes, lastMs: modifiedMs }]
    })
    .sort((a, b) => a.first - b.first)
}

/**
 * How many of the segments, oldest first, are not to be kept any longer.
 * @param drained All of them before this index are drained.
 */
export function expired(
  segments: readonly Segment[],
  drained: number,
  limits: { readonly keepMs: number; readonly keepBytes: number },
  nowMs: number,
): number {
  let bytes = 0
  for (let i = 0; i < drained; i++) bytes += segments[i]!.bytes
  let count = 0
  while (count < drained) {
    const { lastMs, bytes: own } = segments[count]!
    if (bytes <= limits.keepBytes && nowMs - lastMs <= limits.keepMs) break
    bytes -= own
    count++
  }
  return count
}

/** What is whole of a segment. */
export interface Whole {
  readonly records: number
  /** Where the last whole record ends; 0 if not even the header is whole. */
  readonly bytes: number
  /** Bytes behind it up to the last that is not 0: the rest of a write that did not come to its end. */
  readonly tornBytes: number
}

/**
 * Finds the longest run of whole records from the start of a segment.
 * @throws JournalError `journal-version` if another version of this program wrote it.
 */
export function findWhole(file: DiskFile, first: JournalPosition): Whole {
  const bytes = Buffer.allocUnsafe(READ_BYTES + RECORD_BYTES_MAX)
  /** Of `bytes`: what was read and is not looked at yet. */
  let at = 0
  let end = 0
  /** Where in the file `bytes` begins. */
  let base = 0
  const readMore = () => {
    bytes.copyWithin(0, at, end)
    base += at
    end -= at
    at = 0
    const count = file.read(bytes, end, bytes.length - end, base + end)
    end += count
    return count > 0
  }
  while (end < SEGMENT_HEADER_BYTES && readMore());
  let records = 0
  if (isSegmentHeader(bytes.subarray(0, end), first)) {
    at = SEGMENT_HEADER_BYTES
    for (;;) {
      const length = lengthOfRecord(bytes, at, end)
      if (at + length > end || at === end) {
        if (readMore()) continue
        break
      }
      if (length === 0 || !isRecord(bytes, at, length, first + records)) break
      at += length
      records++
    }
  }
  const whole = base + at
  let torn = whole
  do {
    for (let i = end - 1; i >= at; i--) {
      if (bytes[i] !== 0) {
        torn = base + i + 1
        break
      }
    }
    at = end
  } while (readMore())
  return { records, bytes: whole, tornBytes: torn - whole }
}
