/**
 * Eelink: trackers of Shenzhen Eelink (TK, GOT, TPT, K20, V16, …), protocol versions 1.x and 2.x. Big-endian, UTC.
 *
 *     package:   67 67 | type u8 | length u16 of what follows | serial u16 | content
 *     datagram:  "EL" | length u16 of what follows | checksum u16 of what follows | IMEI as BCD, 8 bytes | package…
 *
 *     01 login       IMEI as BCD 8 | language u8 | time zone i8 …
 *     03 heartbeat   status 2                               07 of 4 bytes: the same
 *     02 position    fix1 | status 2 | battery, mV 2 | signal 2 | analogue 1, 2: 2 each     (never answered)
 *     04 alarm       fix1 | alarm 1
 *     05 state       fix1 | event 1 | time 4 | status 2
 *     06 SMS         fix1 | number 21 | text
 *     07 OBD         time 4 | PID 1 and value 4 each
 *     12 position    fix2 | status 2 | readings, see NORMAL
 *     14 warning     fix2 | alarm 1 | status 2
 *     15 report      fix2 | report 1 | status 2
 *     16 … 19        fix2 | command, OBD data, OBD body, OBD trouble codes
 *     80 downlink    kind 1 | number of the command 4 | text; the device answers with the same
 *     81 data, 1E and 1F camera: not read
 *
 *     fix1:  time 4 | latitude 4 | longitude 4 | speed, km/h 1 | course 2
 *            | country 2 | network 2 | area 2 | cell 3 | bit 0: the fix is valid 1
 *     fix2:  time 4 | mask 1 | what the mask says:
 *            bit 0     latitude 4 | longitude 4 | altitude 2 | speed, km/h 2 | course 2 | satellites 1
 *            bit 1     country 2 | network 2 | area 2 | cell 4 | signal 1
 *            bits 2, 3 area 2 | cell 4 | signal 1, of the same network
 *            bits 4–6  Wi-Fi: address 6 | signal 1, each
 *            bit 7     radio technology 1 | cells, 3 bits, and access points, 4 bits 1
 *                      | country 2 | network 2 | area 2 | tracking area 2 | cell 4 | timing advance 2 | physical cell 2
 *                      | channel 2 | signal 1, then 5 bytes for each further cell | address 6, signal 1 each
 *
 * Latitude and longitude count 1/500 of a second. Every package but 02 and 81 is answered with its type and serial; a
 * login with the server's time 4 | version 2 | 0 beside it. In datagrams the server's packages have the head, too.
 *
 * Source: Shenzhen Eelink, GPS tracker communication protocol V1.8 and V2.0.
 */
import { CommandError, DecodeError, defineAdapter, type Reply, type Session } from '../adapter.ts'
import { ByteReader } from '../byte-reader.ts'
import { rotatedSum16 } from '../checksums.ts'
import { decodePackage, imeiOf, type Package, TYPE } from './eelink/packages.ts'

const HEAD_BYTES = 7
const DATAGRAM_HEAD_BYTES = 14
/** Where the checksum of a datagram starts to count. */
const CHECKED_AT = 6
/** Protocol version that a login is answered with. */
const SERVER_VERSION = 1

export const eelink = defineAdapter({
  id: 'eelink',
  version: 1,
  makers: ['Eelink'],
  source: 'Shenzhen Eelink, GPS tracker communication protocol V2.0',
  listen: { tcp: 5064, udp: 5064 },
  maxFrameBytes: 5 + 0xffff,

  starts(bytes, transport) {
    return transport === 'udp' ? fits(bytes, DATAGRAM_START) : fits(bytes, PACKAGE_START)
  },

  frame(bytes, transport) {
    if (transport === 'udp') return bytes.length
    const at = bytes.indexOf('gg', 0, 'latin1')
    // The last byte may be the first of a package.
    if (at < 0) return bytes.at(-1) === 0x67 ? Math.min(0, 1 - bytes.length) : -bytes.length
    if (at > 0) return -at
    if (bytes.length < 5) return 0
    const length = 5 + bytes.readUInt16BE(3)
    return bytes.length < length ? 0 : length
  },

  decode(frame, session, out) {
    if (isDatagram(frame)) {
      if (4 + frame.readUInt16BE(2) > frame.length) throw new DecodeError('malformed', 'the datagram is cut')
      if (frame.readUInt16BE(4) !== rotatedSum16(frame, CHECKED_AT, frame.length)) {
        throw new DecodeError('checksum', 'the checksum of the datagram does not fit')
      }
      session.identify(imeiOf(new ByteReader(frame, CHECKED_AT)))
    } else if (session.transport === 'udp') {
      // Nothing in it says whose it is, and no answer could say it either.
      throw new DecodeError('malformed', 'a datagram without its head')
    }
    for (const part of packagesOf(frame)) decodePackage(part, session, out)
  },

  ack(frame, session) {
    const replies: Reply[] = []
    for (const { type, serial } of packagesOf(frame)) {
      if (type === TYPE.position || type === TYPE.data) continue
      const content = type === TYPE.login ? loginAnswer(session.receivedMs) : Buffer.alloc(0)
      replies.push(encode(session, type, serial, content))
    }
    return replies
  },

  commands: {
    custom: ({ data }, session) => command(data, session),
    engineResume: (_, session) => command('RELAY,0#', session),
    engineStop: (_, session) => command('RELAY,1#', session),
    positionSingle: (_, session) => command('WHERE#', session),
    rebootDevice: (_, session) => command('RESET#', session),
  },
})

type Pattern = readonly (number | ((byte: number) => boolean))[]

const TYPES = new Set<number>(Object.values(TYPE))
const isType = (byte: number) => TYPES.has(byte) || (byte >= TYPE.normal && byte <= TYPE.obdCodes)
const isAny = () => true
const isBcd = (byte: number) => byte >> 4 <= 9 && (byte & 0x0f) <= 9
/** High byte of a length: packages are shorter than 8 KB, so that this tells them from much else. */
const isLength = (byte: number) => byte < 0x20
const PACKAGE_START: Pattern = [0x67, 0x67, isType, isLength]
const DATAGRAM_START: Pattern = [
  ...[0x45, 0x4c, isAny, isAny, isAny, isAny, (byte: number) => byte <= 9],
  ...Array<(byte: number) => boolean>(7).fill(isBcd),
  ...PACKAGE_START,
]

function fits(bytes: Buffer, pattern: Pattern): boolean | undefined {
  const known = Math.min(bytes.length, pattern.length)
  for (let i = 0; i < known; i++) {
    const wanted = pattern[i]!
    if (typeof wanted === 'function' ? !wanted(bytes[i]!) : wanted !== bytes[i]) return false
  }
  return known === pattern.length ? true : undefined
}

function isDatagram(frame: Buffer): boolean {
  return frame[0] === 0x45 && frame[1] === 0x4c
}

/** @throws DecodeError if the frame is not a row of packages. */
function packagesOf(frame: Buffer): Package[] {
  const packages: Package[] = []
  let at = isDatagram(frame) ? DATAGRAM_HEAD_BYTES : 0
  do {
    if (frame.readUInt16BE(at) !== 0x6767) throw new DecodeError('malformed', 'no package 67 67')
    const start = at + HEAD_BYTES
    const end = at + 5 + frame.readUInt16BE(at + 3)
    if (end < start || end > frame.length) throw new DecodeError('malformed', 'the package is cut')
    const content = new ByteReader(frame, start, end)
    packages.push({
      type: frame.readUInt8(at + 2),
      serial: frame.readUInt16BE(at + 5),
      content,
      start,
      end,
    })
    at = end
  } while (at < frame.length)
  return packages
}

function loginAnswer(nowMs: number): Buffer {
  const content = Buffer.alloc(7)
  content.writeUInt32BE(Math.trunc(nowMs / 1000), 0)
  content.writeUInt16BE(SERVER_VERSION, 4)
  return content
}

/** Kind 1 is a command; the device repeats its number. */
function command(text: string, session: Session): Buffer {
  const content = Buffer.concat([Buffer.from([1, 0, 0, 0, 0]), Buffer.from(text, 'utf8')])
  content.writeUInt32BE(session.commandSerial, 1)
  return encode(session, TYPE.downlink, 0, content)
}

/** A package for the device, in a datagram with its head. */
function encode(session: Session, type: number, serial: number, content: Buffer): Buffer {
  const head = Buffer.from([0x67, 0x67, type, 0, 0, 0, 0])
  head.writeUInt16BE(2 + content.length, 3)
  head.writeUInt16BE(serial, 5)
  if (session.transport !== 'udp') return Buffer.concat([head, content])
  if (!/^\d{15}$/.test(session.uniqueId)) {
    throw new CommandError('a datagram names its device by an IMEI of 15 digits')
  }
  const start = Buffer.from('454c00000000', 'hex')
  const datagram = Buffer.concat([start, Buffer.from(`0${session.uniqueId}`, 'hex'), head, content])
  datagram.writeUInt16BE(datagram.length - 4, 2)
  datagram.writeUInt16BE(rotatedSum16(datagram, CHECKED_AT, datagram.length), 4)
  return datagram
}
