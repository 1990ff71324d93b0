/**
 * Ruptela FM and Eco trackers.
 *
 *     packet           length 2 (of what follows but the CRC) | IMEI 8, a number | type 1 | content | CRC-16/KERMIT 2
 *     1   records      records left 1 | number N 1 | record…
 *     68  extended     the same, with ids of two bytes and records that are parts of one
 *         record       time, s 4 | time extension 1 | [parts and number of the part 1] | priority 1
 *                      | longitude 4 | latitude 4 | altitude, 0.1 m 2 | course, 0.01° 2 | satellites 1 | speed, km/h 2
 *                      | HDOP, 0.1 1 | event id 1 or 2
 *                      | elements of 1, 2, 4 and 8 bytes: number 1, then id 1 or 2 and value each
 *                      without a fix longitude and latitude are −2^31
 *     9   faults       number N 1 | device 1, time, s 4, longitude 4, latitude 4, stored 1, code 5…
 *     37  files        what 1 | source 1 | name 8 | parts 2 | part 2 | bytes           a part of a photo, what = 2
 *     15  identification   16 heartbeat
 *     2, 3, 4, 5, 6, 7, 17   what a command did: text, of 17 one byte
 *
 *     answer           length 2 | type + 100 | content | CRC 2; 100, 109, 115, 116 with 1 for taken and 0 for not;
 *                      100 answers 68 as well, 137 asks for the next part of a photo
 *
 * Source: Ruptela, "FM Pro, FM Eco & FM Tco Protocols", 1.67 of 29 June 2017.
 */
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { DecodeError, defineAdapter, type Reply, type Session } from '../adapter.ts'
import { ByteReader } from '../byte-reader.ts'
import { crc16Kermit } from '../checksums.ts'
import { commands } from './ruptela/commands.ts'
import { readElements } from './ruptela/elements.ts'
import { packet, TYPE } from './ruptela/packet.ts'

/** Length and CRC. */
const FRAMING_BYTES = 4
const FRAME_MAX_BYTES = 4096
const TYPE_AT = 10
const CONTENT_AT = 11
/** IMEI and type. */
const LENGTH_MIN = 9
const IMEI_DIGITS = 15
const IMEI_END = 10 ** IMEI_DIGITS

const TYPES: ReadonlySet<number> = new Set(Object.values(TYPE))
/** Records of both kinds have an answer of their own. */
const RECORDS_TAKEN = 0
/** Answers to commands, in text. */
const RESULTS: ReadonlySet<number> = new Set([
  TYPE.configuration,
  TYPE.version,
  TYPE.firmware,
  TYPE.smsAnswer,
])

/** Texts have no code: "Immobilizer OK", "immobilizer is not configured", "Invalid speed". */
const FAILED = /\b(not|invalid|error|failed|unknown|wrong)\b/i

const PARTS_OF_DEGREE = 1e7
const NO_PLACE = -0x8000_0000
const MS_A_SECOND = 1000

/** A file that is a photo, and the bytes of a packet with a part of one before the part. */
const PHOTO = 2
const PHOTO_HEAD_BYTES = 14
const STORED = 2

export const ruptela = defineAdapter({
  id: 'ruptela',
  version: 1,
  makers: ['Ruptela'],
  source: 'Ruptela, FM Pro, FM Eco & FM Tco Protocols, 1.67',
  listen: { tcp: 5046 },
  maxFrameBytes: FRAME_MAX_BYTES,

  starts(bytes) {
    const length = bytes.length < 2 ? bytes[0]! << 8 : bytes.readUInt16BE(0)
    if (length > FRAME_MAX_BYTES || (bytes.length >= 2 && length < LENGTH_MIN)) return false
    // No IMEI is above 0x00038d7ea4c67fff.
    if ((bytes[2] ?? 0) !== 0 || (bytes[3] ?? 0) > 3) return false
    if (bytes.length <= TYPE_AT) return undefined
    return TYPES.has(bytes[TYPE_AT]!) && bytes.readBigUInt64BE(2) < IMEI_END
  },

  frame(bytes) {
    if (bytes.length < 2) return 0
    const length = bytes.readUInt16BE(0)
    if (length < LENGTH_MIN || length > FRAME_MAX_BYTES - FRAMING_BYTES) {
      throw new DecodeError('malformed', `a packet of ${length} bytes`)
    }
    return bytes.length < length + FRAMING_BYTES ? 0 : length + FRAMING_BYTES
  },

  decode(frame, session, out) {
    const end = frame.length - 2
    if (end <= TYPE_AT) throw new DecodeError('malformed', 'a packet without a type')
    if (crc16Kermit(frame, 2, end) !== frame.readUInt16BE(end)) {
      throw new DecodeError('checksum', 'the CRC does not fit')
    }
    const imei = frame.readBigUInt64BE(2)
    if (imei >= IMEI_END) throw new DecodeError('malformed', 'no IMEI')
    session.identify(String(imei).padStart(IMEI_DIGITS, '0'))
    const type = frame[TYPE_AT]!
    const reader = new ByteReader(frame, CONTENT_AT, end)
    if (type === TYPE.records) decodeRecords(reader, 1, out)
    else if (type === TYPE.extendedRecords) decodeRecords(reader, 2, out)
    else if (type === TYPE.faults) decodeFaults(reader, out)
    else if (RESULTS.has(type)) addResult(type, reader.latin1(reader.left).trim(), session, out)
    else if (type === TYPE.output) addResult(type, String(reader.u8()), session, out)
    else if (type === TYPE.connection || type === TYPE.odometer) session.answer({ ok: true, text: '' })
    else if (type === TYPE.files && frame[CONTENT_AT] === PHOTO) {
      // `ack` copies the head of a photo.
      reader.skip(PHOTO_HEAD_BYTES)
      // The last part: the photo came, of which only that is kept.
      if (nextPart(frame) === undefined) out.addWithoutFix()
    }
  },

  ack: (frame) => answer(frame, 1),

  refuse(frame) {
    return frame[TYPE_AT] === TYPE.files ? undefined : answer(frame, 0)
  },

  commands,
})

/** @param taken 1, or 0: the device keeps what it sent. */
function answer(frame: Buffer, taken: 0 | 1): Reply | undefined {
  const type = frame[TYPE_AT]!
  if (type === TYPE.records || type === TYPE.extendedRecords) return packet(RECORDS_TAKEN, [taken])
  if (type === TYPE.faults || type === TYPE.identification || type === TYPE.heartbeat) {
    return packet(type, [taken])
  }
  return type === TYPE.files ? nextPart(frame) : undefined
}

/** Asks for the next part of a photo. */
function nextPart(frame: Buffer): Reply | undefined {
  if (frame[CONTENT_AT] !== PHOTO) return undefined
  const request = Buffer.from(frame.subarray(CONTENT_AT, CONTENT_AT + 12))
  const parts = frame.readUInt16BE(CONTENT_AT + 10)
  const next = frame.readUInt16BE(CONTENT_AT + 12) + 1
  if (next >= parts) return undefined
  request.writeUInt16BE(next, 10)
  return packet(TYPE.files, request)
}

/** @param idBytes 2 in extended records. */
function decodeRecords(reader: ByteReader, idBytes: 1 | 2, out: PositionBatch): void {
  reader.skip(1) // records left
  let row = -1
  for (let left = reader.u8(); left > 0; left--) {
    const start = reader.at
    const timeMs = reader.u32() * MS_A_SECOND
    reader.skip(1) // time extension
    const parts = idBytes === 2 ? reader.u8() : 0
    const part = parts & 0x0f
    const isNextPart = row >= 0 && part > 0 && part <= parts >> 4
    reader.skip(1) // priority
    const longitude = reader.i32()
    const latitude = reader.i32()
    const hasPlace = longitude !== NO_PLACE && latitude !== NO_PLACE
    if (!isNextPart) {
      row = hasPlace
        ? out.add(timeMs, latitude / PARTS_OF_DEGREE, longitude / PARTS_OF_DEGREE)
        : out.addWithoutFix(timeMs)
    }
    if (hasPlace) {
      out.altitudeM[row] = reader.u16() / 10
      out.courseDeg[row] = reader.u16() / 100
      out.set(row, 'sat', reader.u8())
      out.speedKmh[row] = reader.u16()
      out.set(row, 'hdop', reader.u8() / 10)
    } else reader.skip(8)
    out.set(row, 'event', idBytes === 2 ? reader.u16() : reader.u8())
    readElements(reader, idBytes, out, row)
    out.setRecord(row, isNextPart ? out.recordStart[row]! : start, reader.at)
  }
}

/** Diagnostic trouble codes. */
function decodeFaults(reader: ByteReader, out: PositionBatch): void {
  for (let left = reader.u8(); left > 0; left--) {
    const start = reader.at
    reader.skip(1)
    const timeMs = reader.u32() * MS_A_SECOND
    const longitude = reader.i32()
    const row = out.add(timeMs, reader.i32() / PARTS_OF_DEGREE, longitude / PARTS_OF_DEGREE)
    if (reader.u8() === STORED) out.set(row, 'archive', true)
    out.set(row, 'dtcs', reader.latin1(5))
    out.setRecord(row, start, reader.at)
  }
}

function addResult(type: number, text: string, session: Session, out: PositionBatch): void {
  const row = out.addWithoutFix()
  out.set(row, 'type', type)
  if (text !== '') out.set(row, 'result', text)
  session.answer({ ok: !FAILED.test(text), text })
}
