/** Frames of ATrack, as ../protocols/atrack.ts describes them: where they begin and end, and whether they are whole. */
import type { Transport } from '../../adapter.ts'
import { crc16Ibm } from '../../checksums.ts'

/** What the length of a packet counts; the longest are packets of many positions. */
export const LENGTH_MAX = 8192
/** Sequence number, unit id, and the head of a part of a picture. */
const LENGTH_MIN = 18

export const KEEP_ALIVE_BYTES = 12
/** Of a line that begins with a dollar sign. */
const LINE_BYTES_MAX = 512

/** Prefix (`@P`, or what the device is set to), CRC, length: first bytes of a text packet, and the beginning of them. */
const TEXT_HEAD = /^[\s\S]{2},[0-9A-Fa-f]{4},(\d{1,5}),/
const TEXT_HEAD_BEGUN = /^[\s\S]{0,2}$|^[\s\S]{2},(?:[0-9A-Fa-f]{0,4}|[0-9A-Fa-f]{4},\d{0,5})$/
const TEXT_HEAD_BYTES_MAX = 14
/** Prefix, CRC u16, length u16, sequence u16, and two bytes of the unit id, which is below 10^15. */
const BINARY_HEAD_BYTES = 10

const COMMA = 0x2c

const LINE_HEADS = ['$INFO=', '$OK', '$ERROR=']

export function isKeepAlive(frame: Buffer): boolean {
  return frame[0] === 0xfe && frame[1] === 0x02
}

export function isLine(frame: Buffer): boolean {
  return frame[0] === 0x24
}

export function isText(frame: Buffer): boolean {
  return TEXT_HEAD.test(headOf(frame, 0))
}

/** Whether it is a part of a picture. */
export function isPicture(frame: Buffer): boolean {
  return frame[0] === 0x40 && frame[1] === 0x52
}

/** See {@link Adapter.starts}. */
export function startsFrame(bytes: Buffer, transport: Transport): boolean | undefined {
  if (isLine(bytes)) {
    const text = bytes.toString('latin1', 0, 7)
    if (LINE_HEADS.some((head) => text.startsWith(head))) return true
    return LINE_HEADS.some((head) => head.startsWith(text)) ? undefined : false
  }
  if (bytes[0] === 0xfe) {
    if (bytes.length < 4) return bytes.length < 2 || bytes[1] === 0x02 ? undefined : false
    return isKeepAlive(bytes) && isUnitId(bytes, 2)
  }
  if (bytes[0] === 0x40 && (bytes.length < 2 || bytes[1] === 0x50 || bytes[1] === 0x52)) {
    const packet = packetLength(bytes, 0)
    return packet === undefined ? undefined : packet !== false
  }
  // Devices can be set to other prefixes. A datagram is whole, so that its checksum tells; a stream is not.
  if (transport !== 'udp') return false
  const length = packetLength(bytes, 0)
  if (length === false) return false
  if (length === undefined || length > bytes.length) return undefined
  return hasValidChecksum(bytes.subarray(0, length))
}

/** See {@link Adapter.frame}. */
export function frameBytes(bytes: Buffer, transport: Transport): number {
  const length = frameLength(bytes, 0)
  if (length === undefined) return 0
  if (length === false) {
    let stray = 1
    while (stray < bytes.length && frameLength(bytes, stray) === false) stray++
    return -stray
  }
  if (length <= bytes.length) return length
  // A datagram holds whole packets, and what its length says beyond its end is not to come.
  return transport === 'udp' ? bytes.length : 0
}

/** Bytes of the frame at `at`, false if none begins there; undefined where too few bytes are there to tell. */
function frameLength(bytes: Buffer, at: number): number | false | undefined {
  const left = bytes.length - at
  if (left < 2) return undefined
  if (bytes[at] === 0xfe && bytes[at + 1] === 0x02) return KEEP_ALIVE_BYTES
  if (bytes[at] === 0x24) {
    const end = bytes.subarray(at, at + LINE_BYTES_MAX).indexOf('\r\n', 0, 'latin1')
    if (end > 0) return end + 2
    return left < LINE_BYTES_MAX ? undefined : false
  }
  return packetLength(bytes, at)
}

/** The same of a packet of positions or of a picture. */
function packetLength(bytes: Buffer, at: number): number | false | undefined {
  // The comma behind the prefix is looked for first: among stray bytes a head is looked for at each.
  const head = bytes.length - at < 3 || bytes[at + 2] === COMMA ? headOf(bytes, at) : undefined
  const [text, length] = (head !== undefined && TEXT_HEAD.exec(head)) || []
  if (text !== undefined) {
    if (Number(length) > LENGTH_MAX) return false
    // From the comma after it on. Some devices leave the last line feed out of their length.
    const end = text.length - 1 + Number(length)
    return bytes[at + end - 1] === 0x0d ? end + 1 : end
  }
  if (head !== undefined && TEXT_HEAD_BEGUN.test(head)) return undefined
  if (bytes.length < at + BINARY_HEAD_BYTES) return undefined
  const counted = bytes.readUInt16BE(at + 4)
  return isUnitId(bytes, at + 8) && counted >= LENGTH_MIN && counted <= LENGTH_MAX && counted + 6
}

function isUnitId(bytes: Buffer, at: number): boolean {
  return bytes[at] === 0 && bytes[at + 1]! <= 3
}

function headOf(bytes: Buffer, at: number): string {
  return bytes.toString('latin1', at, at + TEXT_HEAD_BYTES_MAX)
}

/** End of what a binary packet counts; packets in datagrams may be padded. */
export function binaryEnd(frame: Buffer): number {
  return Math.min(frame.readUInt16BE(4) + 6, frame.length)
}

/** CRC-16/IBM of what follows the CRC. */
export function hasValidChecksum(frame: Buffer): boolean {
  if (isText(frame))
    return crc16Ibm(frame, 7, frame.length) === Number.parseInt(headOf(frame, 0).slice(3, 7), 16)
  return crc16Ibm(frame, 4, binaryEnd(frame)) === frame.readUInt16BE(2)
}

/** What tells a device that a packet is stored; also the keep-alive, which is sent back as it is. */
export function acknowledgement(unitId: Buffer, sequence: number): Buffer {
  const bytes = Buffer.alloc(KEEP_ALIVE_BYTES)
  bytes.writeUInt16BE(0xfe02, 0)
  unitId.copy(bytes, 2)
  bytes.writeUInt16BE(sequence & 0xffff, 10)
  return bytes
}
