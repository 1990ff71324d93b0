/**
 * Bytes of a segment, little-endian. Header, 32 bytes:
 *
 *     magic "FLEETJNL" | version u32 | CRC u32 | position of the first record f64 | made at, ms UTC f64
 *
 * then records, without gaps:
 *
 *     length u32 | CRC u32 | receivedMs f64 | device u32 | context length u16 | context | frame
 *
 * The length counts what follows the CRC; 0 ends the segment, as does the end of the file. The CRC of a record goes over
 * its length and all that follows the CRC, and is seeded with the low 32 bits of the record's position: what a disk left
 * at a wrong place is never taken for a record.
 */
import { crc32c } from './crc32c.ts'
import { JournalError, type JournalPosition, type JournalRecord } from './journal.ts'

export const SEGMENT_HEADER_BYTES = 32
export const RECORD_HEADER_BYTES = 22
/** Largest record, its header included. */
export const RECORD_BYTES_MAX = 4 * 1024 * 1024
export const CONTEXT_BYTES_MAX = 0xffff

const FORMAT_VERSION = 1
const MAGIC = Buffer.from('FLEETJNL', 'latin1')
/** Length and CRC: they are not counted in the length. */
const PREFIX_BYTES = 8

export function segmentHeader(first: JournalPosition, madeMs: number): Buffer {
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES)
  MAGIC.copy(header)
  header.writeUInt32LE(FORMAT_VERSION, 8)
  header.writeDoubleLE(first, 16)
  header.writeDoubleLE(madeMs, 24)
  header.writeUInt32LE(headerCrc(header), 12)
  return header
}

/**
 * Whether a segment begins with the header that it must have.
 * @param header Its first bytes; may be too few.
 * @param first What its name says.
 * @throws JournalError `journal-version` if another version of this program wrote it.
 */
export function isSegmentHeader(header: Buffer, first: JournalPosition): boolean {
  if (header.length < SEGMENT_HEADER_BYTES || MAGIC.compare(header, 0, 8) !== 0) return false
  if (header.readUInt32LE(12) !== headerCrc(header)) return false
  const version = header.readUInt32LE(8)
  if (version !== FORMAT_VERSION) {
    throw new JournalError(
      'journal-version',
      `the journal is of format ${version} and this program knows format ${FORMAT_VERSION} only: start the version that wrote it and let it store all, or give another DATA_DIR`,
    )
  }
  return header.readDoubleLE(16) === first
}

export function recordBytes({ context, frame }: JournalRecord): number {
  return RECORD_HEADER_BYTES + context.length + frame.length
}

/**
 * Writes a record without its CRC, for which {@link sealRecord} is.
 * @param view Of the same bytes as `bytes`: its setters cost a fifth of the buffer's.
 * @returns Where it ends.
 */
export function writeRecord(bytes: Buffer, view: DataView, at: number, record: JournalRecord): number {
  const { context, frame } = record
  const contextAt = at + RECORD_HEADER_BYTES
  const frameAt = contextAt + context.length
  const end = frameAt + frame.length
  view.setUint32(at, end - at - PREFIX_BYTES, true)
  view.setFloat64(at + 8, record.receivedMs, true)
  view.setUint32(at + 16, record.device, true)
  view.setUint16(at + 20, context.length, true)
  bytes.set(context, contextAt)
  bytes.set(frame, frameAt)
  return end
}

/** Bytes of the record at `at`, as its length says. */
export function writtenBytes(bytes: Buffer, at: number): number {
  return PREFIX_BYTES + bytes.readUInt32LE(at)
}

/** Gives the record at `at` its CRC. */
export function sealRecord(bytes: Buffer, at: number, position: JournalPosition): void {
  bytes.writeUInt32LE(recordCrc(bytes, at, at + writtenBytes(bytes, at), position), at + 4)
}

/**
 * Bytes of the record at `at`, by its length alone.
 * @returns 0 = no record begins there; what is greater than `end - at` is not all there, or no record either.
 */
export function lengthOfRecord(bytes: Buffer, at: number, end: number): number {
  if (at + 4 > end) return end === at ? 0 : RECORD_HEADER_BYTES
  const length = PREFIX_BYTES + bytes.readUInt32LE(at)
  return length < RECORD_HEADER_BYTES || length > RECORD_BYTES_MAX ? 0 : length
}

/** Whether `bytes[at, at + length)` is the record of that position, undamaged. */
export function isRecord(bytes: Buffer, at: number, length: number, position: JournalPosition): boolean {
  return (
    bytes.readUInt32LE(at + 4) === recordCrc(bytes, at, at + length, position) &&
    RECORD_HEADER_BYTES + bytes.readUInt16LE(at + 20) <= length
  )
}

export function receivedMsAt(bytes: Buffer, at: number): number {
  return bytes.readDoubleLE(at + 8)
}

export function deviceAt(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 16)
}

/** Parts of the record at `at`, which are views of `bytes`. */
export function parseRecord(bytes: Buffer, at: number, length: number): JournalRecord {
  const contextAt = at + RECORD_HEADER_BYTES
  const frameAt = contextAt + bytes.readUInt16LE(at + 20)
  return {
    receivedMs: receivedMsAt(bytes, at),
    device: deviceAt(bytes, at),
    context: bytes.subarray(contextAt, frameAt),
    frame: bytes.subarray(frameAt, at + length),
  }
}

/** Of all but the CRC itself, which stands between, as it does in every version. */
function headerCrc(header: Buffer): number {
  return crc32c(header, 16, SEGMENT_HEADER_BYTES, crc32c(header, 0, 12))
}

function recordCrc(bytes: Buffer, at: number, end: number, position: JournalPosition): number {
  // All but the CRC itself, which stands between.
  return crc32c(bytes, at + PREFIX_BYTES, end, crc32c(bytes, at, at + 4, position >>> 0))
}
