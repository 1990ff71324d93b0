/**
 * Teltonika trackers (FMB, FMC, FMM, FMT, TAT, older FM and GH): codecs 8, 8 Extended and 16 for positions, 7 of the
 * GH3000, and 12 to 15 for messages between device and server.
 *
 *     TCP login:   length 2 | IMEI
 *     TCP packet:  preamble 4 (0) | data length 4 | data | CRC-16/IBM of the data 4
 *     TCP ping:    0xFF
 *     UDP packet:  length 2 (of what follows) | packet id 2 | not usable 1 | AVL packet id 1
 *                  | IMEI length 2 | IMEI | data
 *     data:        codec 1 | number of records 1 | record… | number of records 1
 *     record:      time, ms 8 | priority 1 | longitude 4 | latitude 4 | altitude 2 | course 2 | satellites 1
 *                  | speed, km/h 2 | event id E | generation type 1 (codec 16) | number of elements N
 *                  | elements of 1, 2, 4 and 8 bytes: number N, then id E and value each
 *                  | of 16 bytes, where the device is set up so: the same
 *                  | of any length (codec 8 Extended): number 2, then id 2, length 2 and value each
 *                  E, N: 1, 1 in codec 8; 2, 2 in codec 8 Extended; 2, 1 in codec 16
 *     message:     type 1 | length 4 | time, s 4 (codecs 13, 15) | IMEI 8 (codecs 14, 15) | text or bytes
 *
 * Replies: 01 or 00 to a login; the number of records, 4 bytes, to a TCP packet of records; to a UDP one
 * `0005 | packet id | 01 | AVL packet id | number of records`.
 */
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { DecodeError, defineAdapter, type Session, type Transport } from '../adapter.ts'
import { crc16Ibm } from '../checksums.ts'
import { ANY, DIGIT, startsWith } from '../signature.ts'
import { decodeGh3000Record } from './teltonika/gh3000.ts'
import {
  commandPacket,
  decodeMessage,
  isCameraMessage,
  MESSAGE_CODECS,
  type PhotoState,
  photoRequest,
} from './teltonika/messages.ts'
import { decodeRecord, type RecordLayout, RecordState } from './teltonika/record.ts'

const PING = 0xff
/** An IMEI has 15 digits; what is much longer is no login. */
const IMEI_MAX_BYTES = 32
/** A packet of records has 1280 bytes at most; messages may be longer, as may datagrams. */
const FRAME_MAX_BYTES = 65_536
const TCP_HEAD_BYTES = 8
const CRC_BYTES = 4
/** Codec and both numbers of records. */
const DATA_MIN_BYTES = 3

const GH3000 = 0x07
const LAYOUTS: Readonly<Record<number, RecordLayout>> = {
  8: { idBytes: 1, countBytes: 1, generationBytes: 0, variable: false },
  142: { idBytes: 2, countBytes: 2, generationBytes: 0, variable: true },
  16: { idBytes: 2, countBytes: 1, generationBytes: 1, variable: false },
}

/** A login, a packet, a ping. */
const startsStream = startsWith(`\0\x0f${DIGIT.repeat(15)}`, '\0\0\0\0\0\0', '\xff')
/** A packet, which has an IMEI; one of a relay. */
const startsDatagram = startsWith(`${ANY.repeat(4)}\x01${ANY}\0\x0f${DIGIT.repeat(15)}`, '\0\0\0\0\0\0')

class State extends RecordState implements PhotoState {
  photoBytes = 0
}

export const teltonika = defineAdapter<State>({
  id: 'teltonika',
  version: 2,
  makers: ['Teltonika'],
  source: 'https://wiki.teltonika-gps.com/view/Teltonika_Data_Sending_Protocols, November 2023',
  listen: { tcp: 5027, udp: 5027 },
  options: {
    extended: '`true`: elements of 16 bytes follow those of 8',
  },
  maxFrameBytes: FRAME_MAX_BYTES,

  starts: (bytes, transport) => (transport === 'udp' ? startsDatagram(bytes) : startsStream(bytes)),

  open: () => new State(),

  frame(bytes, transport) {
    if (transport === 'udp') return bytes.length
    if (bytes[0] === PING) return 1
    if (bytes.length < 2) return 0
    const imeiBytes = bytes.readUInt16BE(0)
    if (imeiBytes > IMEI_MAX_BYTES) throw new DecodeError('malformed', `IMEI of ${imeiBytes} bytes`)
    if (imeiBytes > 0) return bytes.length < 2 + imeiBytes ? 0 : 2 + imeiBytes
    if (bytes.length < TCP_HEAD_BYTES) return 0
    const dataBytes = bytes.readUInt32BE(4)
    if (
      bytes.readUInt16BE(2) !== 0 ||
      dataBytes < DATA_MIN_BYTES ||
      dataBytes > FRAME_MAX_BYTES - TCP_HEAD_BYTES - CRC_BYTES
    ) {
      throw new DecodeError('malformed', 'neither an IMEI nor a packet')
    }
    const frameBytes = TCP_HEAD_BYTES + dataBytes + CRC_BYTES
    return bytes.length < frameBytes ? 0 : frameBytes
  },

  decode(frame, session, out) {
    if (isPing(frame)) return
    if (isLogin(frame, session.transport)) {
      session.identify(readImei(frame, 0))
      return
    }
    let end = frame.length
    let relayed = false
    if (isUdpPacket(frame, session.transport)) {
      end = 2 + frame.readUInt16BE(0)
      if (end > frame.length) throw new DecodeError('malformed', 'the datagram is cut')
      session.identify(readImei(frame, 6))
    } else if (session.transport === 'udp') relayed = true
    else end = checkTcpPacket(frame)
    const at = decodeData(frame, dataStart(frame, session.transport), end, session, out)
    if (at !== end && !relayed) throw new DecodeError('malformed', `${end - at} bytes behind the records`)
  },

  ack(frame, session) {
    if (isPing(frame)) return undefined
    if (isLogin(frame, session.transport)) return Buffer.from([1])
    const at = dataStart(frame, session.transport)
    if (MESSAGE_CODECS.has(frame[at]!)) return photoRequest(frame, at, session.state)
    const records = frame[at + 1]!
    if (!isUdpPacket(frame, session.transport)) return Buffer.from([0, 0, 0, records])
    return Buffer.from([0, 5, frame[2]!, frame[3]!, 1, frame[5]!, records])
  },

  refuse(frame, session) {
    return isLogin(frame, session.transport) ? Buffer.from([0]) : undefined
  },

  commands: {
    engineStop: () => commandPacket('setdigout 1'),
    engineResume: () => commandPacket('setdigout 0'),
    custom: ({ data }) => commandPacket(data),
  },
})

function isPing(frame: Buffer): boolean {
  return frame.length === 1 && frame[0] === PING
}

function isLogin(frame: Buffer, transport: Transport): boolean {
  return transport !== 'udp' && !isPing(frame) && frame.readUInt16BE(0) > 0
}

/** A datagram may also hold a TCP packet, which starts with zeros: a relay's, whose length and CRC are not kept. */
function isUdpPacket(frame: Buffer, transport: Transport): boolean {
  return transport === 'udp' && frame.readUInt32BE(0) !== 0
}

/** Index of the codec. */
function dataStart(frame: Buffer, transport: Transport): number {
  return isUdpPacket(frame, transport) ? 8 + frame.readUInt16BE(6) : TCP_HEAD_BYTES
}

function readImei(frame: Buffer, at: number): string {
  const imei = frame.toString('latin1', at + 2, at + 2 + frame.readUInt16BE(at))
  if (!/^[\x21-\x7e]+$/.test(imei)) throw new DecodeError('malformed', 'the IMEI is not printable')
  return imei
}

/** @returns Where the data ends. */
function checkTcpPacket(frame: Buffer): number {
  const end = TCP_HEAD_BYTES + frame.readUInt32BE(4)
  // Before the CRC is computed: it would walk up to 4 GB.
  if (end + CRC_BYTES > frame.length)
    throw new DecodeError('malformed', 'the frame is shorter than its length field')
  // Recorded cameras send a CRC that does not fit, and are answered; nothing of their messages is stored.
  if (isCameraMessage(frame, TCP_HEAD_BYTES)) return end
  const crc = crc16Ibm(frame, TCP_HEAD_BYTES, end)
  if (frame.readUInt32BE(end) !== crc) throw new DecodeError('checksum', 'the CRC of the data does not fit')
  return end
}

/** @returns Where the data ends. */
function decodeData(
  frame: Buffer,
  start: number,
  end: number,
  session: Session<State>,
  out: PositionBatch,
): number {
  const codec = frame.readUInt8(start)
  const records = frame.readUInt8(start + 1)
  const layout = LAYOUTS[codec]
  const known = layout !== undefined || codec === GH3000 || MESSAGE_CODECS.has(codec)
  if (!known) throw new DecodeError('unsupported', `codec ${codec}`)
  const { state } = session
  state.useDevice(session.device)
  let at = start + 2
  for (let record = 0; record < records; record++) {
    if (layout !== undefined) at = decodeRecord(frame, at, end, layout, state, out)
    else if (codec === GH3000) at = decodeGh3000Record(frame, at, end, state, out)
    else at = decodeMessage(frame, at, end, codec, session, out)
  }
  if (frame.readUInt8(at) !== records) {
    throw new DecodeError('malformed', `${records} records at the start, ${frame[at]} at the end`)
  }
  return at + 1
}
