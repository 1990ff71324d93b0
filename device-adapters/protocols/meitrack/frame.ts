/** Frames of Meitrack, as ../protocols/meitrack.ts describes them: where they begin and end, and what their head says. */
import { DecodeError, type Transport } from '../../adapter.ts'
import { sum8 } from '../../checksums.ts'

/** From the first comma to the end; the longest are packets of photos and of many records. */
export const LENGTH_MAX = 8192

const MARKER = '$$'
/** A whole head, and the beginning of one. */
const HEAD = /^\$\$[\x41-\x7a]\d{2,4},\d{8,15},[A-Z][0-9A-Z]{2}/
const HEAD_BEGUN = /^\$(?:\$(?:[\x41-\x7a](?:\d{1,4}(?:,(?:\d{1,15}(?:,(?:[A-Z][0-9A-Z]?)?)?)?)?)?)?)?$/
/** `$$`, identifier, 4 digits, comma, 15 digits, comma, type. */
const HEAD_BYTES_MAX = 27

/** What a frame says of itself, and where its body is. */
export interface Frame {
  /** A character of A to z; a reply has that of the frame. */
  readonly identifier: string
  readonly uniqueId: string
  /** Three characters, such as `AAA`. */
  readonly type: string
  /** First byte of the type. */
  readonly typeAt: number
  /** End of the body: the asterisk before the checksum, or the end of a frame that lost it. */
  readonly end: number
  readonly hasValidChecksum: boolean
}

/** See {@link Adapter.starts}. */
export function startsFrame(bytes: Buffer): boolean | undefined {
  // Before any text is made: a stream of dollars begins a frame at each of its bytes.
  if (!mayBeIdentifier(bytes[2])) return false
  const text = bytes.toString('latin1', 0, HEAD_BYTES_MAX)
  if (HEAD.test(text)) return true
  return HEAD_BEGUN.test(text) ? undefined : false
}

/** Also where there is no byte yet. */
function mayBeIdentifier(byte: number | undefined): boolean {
  return byte === undefined || (byte >= 0x41 && byte <= 0x7a)
}

/** See {@link Adapter.frame}. */
export function frameBytes(bytes: Buffer, transport: Transport): number {
  const starts = startsFrame(bytes)
  if (starts === undefined) return 0
  const comma = bytes.indexOf(',')
  const length = starts ? Number(bytes.toString('latin1', 3, comma)) : LENGTH_MAX + 1
  if (length > LENGTH_MAX) return -strayBytes(bytes)
  const end = comma + length
  if (bytes.length >= end) return end
  // A datagram holds whole frames, and what its length says beyond its end is not to come.
  return transport === 'udp' ? bytes.length : 0
}

/** Bytes up to the next that may start a frame, the first left out. */
function strayBytes(bytes: Buffer): number {
  let next = bytes.indexOf(MARKER, 1, 'latin1')
  while (next > 0 && !mayBeIdentifier(bytes[next + 2])) next = bytes.indexOf(MARKER, next + 1, 'latin1')
  if (next > 0) return next
  return bytes.length > 1 && bytes[bytes.length - 1] === 0x24 ? bytes.length - 1 : bytes.length
}

/** @throws DecodeError if it has no head of Meitrack. */
export function readFrame(frame: Buffer): Frame {
  const head = HEAD.exec(frame.toString('latin1', 0, HEAD_BYTES_MAX))?.[0]
  if (head === undefined) throw new DecodeError('malformed', 'no head $$, length, IMEI, type')
  const typeAt = head.length - 3
  const frameEnd = frame.subarray(-2).toString('latin1') === '\r\n' ? frame.length - 2 : frame.length
  const checksum = /^\*([0-9A-Fa-f]{2})$/.exec(frame.toString('latin1', frameEnd - 3, frameEnd))?.[1]
  const end = checksum === undefined ? frameEnd : frameEnd - 3
  return {
    identifier: head[2]!,
    uniqueId: head.slice(head.indexOf(',') + 1, typeAt - 1),
    type: head.slice(typeAt),
    typeAt,
    end,
    hasValidChecksum: checksum !== undefined && sum8(frame, 0, end + 1) === Number.parseInt(checksum, 16),
  }
}

/** A frame from the server: `content` begins with the type. */
export function encode(identifier: string, uniqueId: string, content: string): string {
  // From the comma on: IMEI, comma, content, asterisk, checksum, CR LF.
  const length = String(1 + uniqueId.length + 1 + content.length + 5).padStart(2, '0')
  const text = `@@${identifier}${length},${uniqueId},${content}*`
  const bytes = Buffer.from(text, 'latin1')
  return `${text}${sum8(bytes, 0, bytes.length).toString(16).toUpperCase().padStart(2, '0')}\r\n`
}
