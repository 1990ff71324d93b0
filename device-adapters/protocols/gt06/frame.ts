/** Frames of both kinds: finding them in a stream, their fields, and building them. */
import { crc16X25 } from '../../checksums.ts'
import { startsWith } from '../../signature.ts'

/** Serial number, checksum and stop bytes. */
export const TAIL_BYTES = 6

const START = startsWith('xx', 'yy')
const STOP = 0x0d0a
const SHORT_START = 0x78
const LONG_START = 0x79
const LOGIN = 0x01
/** `78 78 01 08 0D 0A`: start, length, type, stop. */
const FRAME_MIN_BYTES = 6
/** Longest frame that is read. The length field of long ones could say more. */
export const FRAME_MAX_BYTES = 8192

/** Whether `bytes` can be a frame: it starts as one and has room for the fields that every frame has. */
export function isFrame(bytes: Buffer): boolean {
  return bytes.length >= FRAME_MIN_BYTES && startAt(bytes) === 0
}

/** See `Adapter.starts`: 78 78, or 79 79 and a length that a frame may have. */
export function startsFrame(bytes: Buffer): boolean | undefined {
  const starts = START(bytes)
  if (starts !== true || !isLong(bytes)) return starts
  return bytes.length < 4 ? undefined : declaredBytes(bytes) <= FRAME_MAX_BYTES
}

/** Whether the frame starts with 79 79, and so has a length of two bytes. */
export function isLong(frame: Buffer): boolean {
  return frame[0] === LONG_START
}

/** First byte of the content, after the type. */
export function contentAt(frame: Buffer): number {
  return isLong(frame) ? 5 : 4
}

/** @throws RangeError if the frame is shorter. */
export function typeOf(frame: Buffer): number {
  return frame.readUInt8(contentAt(frame) - 1)
}

/** Length of the frame that its length field tells. */
export function declaredBytes(frame: Buffer): number {
  return isLong(frame) ? 6 + frame.readUInt16BE(2) : 5 + frame.readUInt8(2)
}

/** Whether the length field is right, so that serial number and checksum are where the protocol has them. */
export function isMeasured(frame: Buffer): boolean {
  const extra = frame.length - declaredBytes(frame)
  return extra === 0 || extra === 2
}

/** The two bytes where the serial number is; of clones without one, whatever is there. */
export function serialOf(frame: Buffer): number {
  return frame.readUInt16BE(frame.length - TAIL_BYTES)
}

export function hasValidChecksum(frame: Buffer): boolean {
  const crcAt = frame.length - 4
  return crcAt >= 2 && crc16X25(frame, 2, crcAt) === frame.readUInt16BE(crcAt)
}

/** See `Adapter.frame`. The length field comes first; where it is wrong, as in some clones, the stop bytes decide. */
export function frameBytes(bytes: Buffer): number {
  const start = startAt(bytes)
  if (start > 0) return -start
  if (bytes.length < FRAME_MIN_BYTES) return 0
  const declared = declaredBytes(bytes)
  if (stopsAt(bytes, declared)) return declared
  // The length leaves out the checksum.
  if (stopsAt(bytes, declared + 2)) return declared + 2
  if (bytes.length >= declared + 2 || declared > FRAME_MAX_BYTES) return stopFrom(bytes, 4)
  if (stopsAt(bytes, declared + 1)) return declared + 1
  // A login without serial number is all that its device sends until it is answered.
  const waits = bytes[3] === LOGIN && !isLong(bytes) && stopsAt(bytes, bytes.length)
  return waits ? bytes.length : 0
}

/** Builds a frame. */
export function encode(type: number, content: Buffer, serial: number, long = false): Buffer {
  const lengthBytes = long ? 2 : 1
  const start = long ? LONG_START : SHORT_START
  const frame = Buffer.alloc(2 + lengthBytes + 1 + content.length + TAIL_BYTES)
  frame.fill(start, 0, 2)
  frame.writeUIntBE(5 + content.length, 2, lengthBytes)
  let at = frame.writeUInt8(type, 2 + lengthBytes)
  at += content.copy(frame, at)
  at = frame.writeUInt16BE(serial, at)
  at = frame.writeUInt16BE(crc16X25(frame, 2, at), at)
  frame.writeUInt16BE(STOP, at)
  return frame
}

/** Where a frame may start: 0, or how many bytes before it belong to none. */
function startAt(bytes: Buffer): number {
  const last = bytes.length - 1
  for (let at = 0; at < last; at++) {
    if ((bytes[at] === SHORT_START || bytes[at] === LONG_START) && bytes[at] === bytes[at + 1]) return at
  }
  return bytes[last] === SHORT_START || bytes[last] === LONG_START ? last : bytes.length
}

function stopsAt(bytes: Buffer, end: number): boolean {
  return end >= FRAME_MIN_BYTES && end <= bytes.length && bytes.readUInt16BE(end - 2) === STOP
}

function stopFrom(bytes: Buffer, from: number): number {
  const at = bytes.indexOf('\r\n', from, 'latin1')
  return at < 0 ? 0 : at + 2
}
