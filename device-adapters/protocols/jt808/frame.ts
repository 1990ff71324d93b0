/** Frames of JT/T 808: finding and unescaping them, their header, and building them. */
import { DecodeError } from '../../adapter.ts'
import { ByteReader } from '../../byte-reader.ts'
import { luhnDigit, xor8 } from '../../checksums.ts'

export const DELIMITER = 0x7e
/** Delimiter of devices that write their frames with 0xE6 and 0x3E as escapes. */
export const ALTERNATIVE_DELIMITER = 0xe7
const TEXT_START = 0x28
const TEXT_END = ')'
const TEXT_MAX_BYTES = 512

/** Escape and the byte after it, to the byte that is meant. */
type Escapes = ReadonlyMap<number, ReadonlyMap<number, number>>

const ESCAPES: Escapes = new Map([
  [
    0x7d,
    new Map([
      [0x01, 0x7d],
      [0x02, 0x7e],
    ]),
  ],
])

const ALTERNATIVE_ESCAPES: Escapes = new Map([
  [
    0xe6,
    new Map([
      [0x01, 0xe6],
      [0x02, 0xe7],
    ]),
  ],
  [
    0x3e,
    new Map([
      [0x01, 0x3e],
      [0x02, 0x3d],
    ]),
  ],
])

/** Checksum and delimiter. */
const TAIL_BYTES = 2
/** Bits of the attributes. */
const LENGTH = 0x03ff
const ENCRYPTED = 0x1c00
const PACKAGED = 0x2000
const VERSIONED = 0x4000

/** Positions of locks with a solar panel, whose header has a serial number of one byte and other attributes. */
export const LOCK_LOCATION = 0x5501
export const LOCK_LOCATION_BLIND = 0x5502

/** What stands around the body of a message, and how its device writes headers. */
export interface Header {
  readonly delimiter: number
  /** Message id. */
  readonly type: number
  readonly attributes: number
  /** Version of the protocol in the device, of the standard of 2019; undefined before. */
  readonly version: number | undefined
  /** Number of the terminal as it is on the wire. */
  readonly id: Buffer
  readonly serial: number
  /** Whether the body is one part of a larger one. */
  readonly isPart: boolean
  /** Bytes of the frame that are the body. */
  readonly bodyAt: number
  readonly bodyEnd: number
}

/** What a message to a device takes over from those of the device. */
export type Peer = Pick<Header, 'delimiter' | 'version' | 'id'>

/** See `Adapter.frame`: between two delimiters, or text between brackets. */
export function frameBytes(bytes: Buffer): number {
  const start = startOf(bytes)
  if (start > 0) return -start
  const first = bytes[0]!
  if (first === TEXT_START) return textBytes(bytes)
  const end = bytes.indexOf(first, 1)
  if (end < 0) return 0
  // Two delimiters side by side: the first ends a frame of which the beginning is lost.
  return end === 1 ? -1 : end + 1
}

/** A bracket that is a byte of something else must not hold back the frames after it. */
function textBytes(bytes: Buffer): number {
  const end = bytes.subarray(0, TEXT_MAX_BYTES).indexOf(TEXT_END)
  if (end >= 0) return end + 1
  return bytes.length < TEXT_MAX_BYTES ? 0 : -1
}

function startOf(bytes: Buffer): number {
  const start = bytes.findIndex(
    (byte) => byte === DELIMITER || byte === ALTERNATIVE_DELIMITER || byte === TEXT_START,
  )
  return start < 0 ? bytes.length : start
}

/** See `Adapter.unescape`. An escape before any other byte stands for nothing. */
export function plainOf(wire: Buffer): Buffer {
  if (isText(wire)) return wire
  const escapes = escapesOf(wire[0])
  const plain = Buffer.allocUnsafe(wire.length)
  let length = 0
  for (let at = 0; at < wire.length; at++) {
    const meant = escapes.get(wire[at]!)
    if (meant === undefined) plain[length++] = wire[at]!
    else {
      const byte = meant.get(wire[++at]!)
      if (byte !== undefined) plain[length++] = byte
    }
  }
  return length === wire.length ? wire : plain.subarray(0, length)
}

/** Whether the frame is text between brackets. */
export function isText(frame: Buffer): boolean {
  return frame[0] === TEXT_START
}

/** @throws DecodeError or RangeError if the frame has no whole header. */
export function headerOf(frame: Buffer): Header {
  const reader = new ByteReader(frame, 0, Math.max(0, frame.length - TAIL_BYTES))
  const delimiter = reader.u8()
  if (delimiter !== DELIMITER && delimiter !== ALTERNATIVE_DELIMITER) {
    throw new DecodeError('malformed', 'the frame begins with no delimiter')
  }
  const type = reader.u16()
  const attributes = reader.u16()
  const isLock = type === LOCK_LOCATION || type === LOCK_LOCATION_BLIND
  const version = !isLock && (attributes & VERSIONED) !== 0 ? reader.u8() : undefined
  const id = reader.bytes(version !== undefined ? 10 : delimiter === ALTERNATIVE_DELIMITER ? 7 : 6)
  const serial = isLock ? reader.u8() : reader.u16()
  const bodyBytes = attributes & LENGTH
  // Longer bodies than the standard has run over into the bits of the encryption.
  if (!isLock && (attributes & ENCRYPTED) !== 0 && bodyBytes === reader.left) {
    throw new DecodeError('unsupported', 'the body is encrypted')
  }
  // One package of several, told from a bit that a maker set for nothing by the length.
  const isPart = !isLock && (attributes & PACKAGED) !== 0 && bodyBytes !== reader.left
  if (isPart) reader.skip(4)
  return {
    delimiter,
    type,
    attributes,
    version,
    id,
    serial,
    isPart,
    bodyAt: reader.at,
    bodyEnd: frame.length - TAIL_BYTES,
  }
}

export function hasValidChecksum(frame: Buffer): boolean {
  const at = frame.length - TAIL_BYTES
  return xor8(frame, 1, at) === frame[at]
}

/** Number of a terminal: digits in BCD, or the first 14 digits of an IMEI as a binary number. */
export function terminalId(id: Buffer): string {
  const digits = id.toString('hex')
  if (/^\d+$/.test(digits)) return digits
  const imei = String(id.readUIntBE(0, 6))
  return imei + luhnDigit(imei)
}

/** Names that a terminal may be registered under: without its leading zeros, as people write it, and with them. */
export function uniqueIdsOf({ id }: Header): [string, ...string[]] {
  const padded = terminalId(id)
  const stripped = padded.replace(/^0+(?=.)/, '')
  return stripped === padded ? [padded] : [stripped, padded]
}

/** How a device that has sent nothing yet is spoken to: an IMEI as the first 14 digits, else BCD. */
export function peerOf(uniqueId: string): Peer {
  const id = Buffer.alloc(6)
  if (/^\d{15}$/.test(uniqueId)) id.writeUIntBE(Number(uniqueId.slice(0, 14)), 0, 6)
  else id.write(uniqueId.padStart(12, '0'), 'hex')
  return { delimiter: DELIMITER, version: undefined, id }
}

/** Builds a frame as it is on the wire. */
export function encode(peer: Peer, type: number, serial: Buffer, body: Buffer): Buffer {
  const { delimiter, version, id } = peer
  const head = Buffer.alloc(version === undefined ? 5 : 6)
  head[0] = delimiter
  head.writeUInt16BE(type, 1)
  head.writeUInt16BE(body.length | (version === undefined ? 0 : VERSIONED), 3)
  if (version !== undefined) head[5] = version
  const plain = Buffer.concat([head, id, serial, body])
  return wireOf(Buffer.concat([plain, Buffer.from([xor8(plain, 1, plain.length), delimiter])]))
}

/** Serial number of a message as it is on the wire. */
export function serialBytes(serial: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(serial & 0xffff)
  return bytes
}

function wireOf(plain: Buffer): Buffer {
  const written = new Map<number, readonly [number, number]>()
  for (const [first, meant] of escapesOf(plain[0])) {
    for (const [second, byte] of meant) written.set(byte, [first, second])
  }
  const last = plain.length - 1
  const wire: number[] = []
  plain.forEach((byte, at) => {
    const pair = at === 0 || at === last ? undefined : written.get(byte)
    if (pair === undefined) wire.push(byte)
    else wire.push(...pair)
  })
  return Buffer.from(wire)
}

function escapesOf(delimiter: number | undefined): Escapes {
  return delimiter === ALTERNATIVE_DELIMITER ? ALTERNATIVE_ESCAPES : ESCAPES
}
