/**
 * ATrack: trackers of the AT, AX, AK, AL, AS, AU and AY series.
 *
 * Positions in text, and binary, with big-endian numbers:
 *
 *     @P,<CRC>,<length>,<sequence>,<unit id>,<position>\r\n<position>\r\n…
 *     40 50 | crc u16 | length u16 | sequence u16 | unit id u64 | position | position | …
 *
 * The prefix can be set to another. The length counts what follows it; the checksum (CRC-16/IBM) covers what follows the
 * CRC. A position is, with times in seconds since 1970 (yyyymmddhhmmss in some texts; year u16, month, day, hour, minute,
 * second u8 in some binaries), places in 10^-6 degrees and a comma after each field of a text:
 *
 *     time of fix u32, of clock u32, of sending u32, longitude i32, latitude i32, course u16, report u8, 0.1 km u32,
 *     HDOP × 10 u16, inputs u8, km/h u16, outputs u8, adc in mV u16, driver NUL, temperatures i16 i16 in 0.1 °C,
 *     message NUL, custom fields
 *
 * The server acknowledges each packet, and the device asks with the same bytes whether the connection lives:
 *
 *     FE 02 | unit id u64 | sequence u16
 *
 * 40 52 instead of 40 50 begins a part of a picture: time u32, part u8, parts u8, length u16, JPEG. A line that
 * begins with a dollar sign answers a command: `$OK`, `$ERROR=101`, `$INFO=<unit id>,<model>,…`.
 *
 * Source: ATrack, "Protocol Document" 1.1.4 (AT series, 2011-04-22) and 1.5.2 (Standard Product, 2019-03-01). Checksums of
 * recorded frames are often wrong, so a packet that can be read is kept with a wrong one, but marked.
 */
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { QUALITY } from '../../schemas/quality.ts'
import { CommandError, DecodeError, defineAdapter, type Session } from '../adapter.ts'
import { printableAscii } from '../command-text.ts'
import {
  acknowledgement,
  frameBytes,
  hasValidChecksum,
  isKeepAlive,
  isLine,
  isPicture,
  isText,
  KEEP_ALIVE_BYTES,
  LENGTH_MAX,
  startsFrame,
} from './atrack/frame.ts'
import { decodeBinary, decodeText, TEXT_HEAD_FIELDS } from './atrack/positions.ts'

/** `@P,CRC,length,`, or the head of a binary packet. */
const HEAD_BYTES_MAX = 14
const BINARY_HEAD_BYTES = 16
const COMMAND_MAX_CHARACTERS = 512

export const atrack = defineAdapter({
  id: 'atrack',
  version: 1,
  makers: ['ATrack'],
  source: 'ATrack Protocol Document 1.1.4 (2011-04-22) and 1.5.2 (2019-03-01)',
  listen: { tcp: 5044, udp: 5044 },
  options: {
    form: 'the custom fields at the end of its positions, such as `%CI%MV%BV`, where packets do not say so themselves',
    alarmMap: 'which of its reports are alarms, such as `2=sos,5=tow`: operators number them',
    longDate: '`true`: times are dates, not seconds',
    decimalFuel: '`true`: its fuel sensor counts in decimal digits',
    acknowledgeUnit: '`true`: text packets are acknowledged with the unit id',
  },
  maxFrameBytes: HEAD_BYTES_MAX + LENGTH_MAX,

  starts: startsFrame,

  frame: frameBytes,

  decode(frame, session, out) {
    if (isLine(frame)) return decodeLine(frame.toString('latin1').trim(), session, out)
    if (isKeepAlive(frame)) return identifyBinary(frame, 2, session)
    const firstRow = out.length
    if (isText(frame)) {
      session.identify(textHead(frame).unitId)
      decodeText(frame, session, out)
    } else {
      if (frame.length < BINARY_HEAD_BYTES) throw new DecodeError('malformed', 'a packet without a unit id')
      identifyBinary(frame, 8, session)
      if (isPicture(frame)) decodePicture(frame, out)
      else decodeBinary(frame, session, out)
    }
    if (!hasValidChecksum(frame)) {
      // A row can be marked; the name of a device that says no more than that cannot.
      if (out.length === firstRow) throw new DecodeError('checksum', 'the CRC does not fit')
      for (let row = firstRow; row < out.length; row++) out.quality[row]! |= QUALITY.checksum
    }
  },

  ack(frame, session) {
    if (isLine(frame)) return undefined
    if (isKeepAlive(frame)) return frame.subarray(0, KEEP_ALIVE_BYTES)
    if (!isText(frame)) return acknowledgement(frame.subarray(8, 16), frame.readUInt16BE(6))
    const { length, sequence, unitId } = textHead(frame)
    return acknowledgement(u64(acknowledgesUnit(session) ? unitId : length), sequence)
  },

  commands: {
    custom({ data }) {
      if (data.length > COMMAND_MAX_CHARACTERS) {
        throw new CommandError(`a command has at most ${COMMAND_MAX_CHARACTERS} characters`)
      }
      return `${printableAscii(data)}\r\n`
    },
  },
})

/**
 * Option `acknowledgeUnit`: text packets too are acknowledged with the unit id. Other servers, which devices in the field
 * talk to, put the length of the packet there.
 */
function acknowledgesUnit(session: Session): boolean {
  return session.device?.options.acknowledgeUnit === true
}

/** @throws DecodeError if the packet breaks off in its head. */
function textHead(frame: Buffer): { length: string; sequence: number; unitId: string } {
  const [, , length, sequence, unitId] = frame.toString('latin1', 0, 64).split(',', TEXT_HEAD_FIELDS)
  const isHead = /^\d{1,10}$/.test(length ?? '') && /^\d{1,10}$/.test(sequence ?? '')
  if (!isHead || !/^\d{1,20}$/.test(unitId ?? '')) {
    throw new DecodeError('malformed', 'a text packet without length, sequence and unit id')
  }
  return { length: length!, sequence: Number(sequence), unitId: unitId! }
}

function u64(digits: string): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt.asUintN(64, BigInt(digits)))
  return bytes
}

function identifyBinary(frame: Buffer, at: number, session: Session): void {
  session.identify(frame.readBigUInt64BE(at).toString())
}

/** The last part of a picture is a row: the picture came, of which only that and its time are kept. */
function decodePicture(frame: Buffer, out: PositionBatch): void {
  const timeMs = frame.readUInt32BE(BINARY_HEAD_BYTES) * 1000
  const part = frame.readUInt8(BINARY_HEAD_BYTES + 4)
  const parts = frame.readUInt8(BINARY_HEAD_BYTES + 5)
  if (part + 1 === parts) out.addWithoutFix(timeMs)
}

/** Unit id, model, firmware, IMEI, IMSI, ICCID, power and battery in 0.1 V, satellites, GSM, signal, connection, antenna. */
const INFORMATION = /^\$INFO=(\d{1,20}),([^,]+),([^,]+),\d+,\d+,\d+,(\d+),(\d+),(\d+),\d+,(\d+),/

/** @throws DecodeError if it holds U+0000, which PostgreSQL does not store. */
function decodeLine(line: string, session: Session, out: PositionBatch): void {
  if (line.includes('\0')) throw new DecodeError('malformed', 'U+0000 in a line')
  const [, unitId, model, firmware, power, battery, satellites, signal] = INFORMATION.exec(line) ?? []
  if (unitId === undefined) out.set(out.addWithoutFix(), 'result', line)
  else {
    session.identify(unitId)
    const row = out.addWithoutFix()
    out.set(row, 'model', model)
    out.set(row, 'versionFw', firmware)
    out.set(row, 'power', Number(power) / 10)
    out.set(row, 'battery', Number(battery) / 10)
    out.set(row, 'sat', Number(satellites))
    out.set(row, 'rssi', Number(signal))
  }
  session.answer({ ok: !line.startsWith('$ERROR'), text: line === '$OK' ? '' : line })
}
