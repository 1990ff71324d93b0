/**
 * Meitrack: trackers of the MVT, T, TC, MT and P series.
 *
 *     $$<identifier><length>,<IMEI>,<type>[,<data>]*<checksum>\r\n      from the device
 *     @@<identifier><length>,<IMEI>,<type>[,<data>]*<checksum>\r\n      from the server
 *
 * The identifier is a character 0x41 to 0x7A; a reply has that of its frame. The length counts from the first comma to
 * the end. The checksum is the sum of all bytes up to the asterisk, in hex. Types of the device:
 *
 *     AAA  event, latitude, longitude, yymmddhhmmss, A|V, satellites, signal, km/h, course, HDOP, altitude, m, s,
 *          mcc|mnc|lac|cid, inputs and outputs, adc1|adc2|adc3|battery|supply[, event data, reserved, version, fuel,
 *          temperatures, count, data…]                                                     a report, not answered
 *     AFF  [reports that wait,] as AAA         a report that is sent until the server deletes it: AFF,1
 *     CCC  version u16, bytes of a record u16, records that wait u32, records            answered: CCC,<records>
 *     CCE  records that wait u32, records u16, records                                  not answered
 *     D00  name, packets, number of the packet, JPEG     part of a picture: after 8 the server asks for the next 8
 *     D03  OK                                            a picture is taken: the server asks for it with D00
 *     AAC  1                                             answered: AAC,1
 *     any other                                          what a command of that type did: OK, or what it asked for
 *
 * Numbers of CCC and CCE are little-endian. A record of CCC: event u8, latitude i32, longitude i32, seconds since 2000
 * u32, valid u8, satellites u8, signal u8, km/h u16, course u16, HDOP × 10 u16, altitude i16, m u32, s u32, mcc u16,
 * mnc u16, lac u16, cid u16, inputs and outputs u16, adc1 u16, battery u16 and supply u16 in 0.01 V, geofence u32.
 * A record of CCE: length u16 of what follows, parameters u16, then four lists of parameters, of 1, 2, 4 and any number
 * of bytes: count u8, then id u8 (or FE and u8), the length u8 in the fourth, value. The ids are in ../meitrack/records.ts.
 *
 * Source: Meitrack GPRS Protocol V1.6 (MVT, T1, T3, MT90, TC68; 2013-06-27) and T622 GPRS Protocol V1.2 (2017-07-10).
 * CCE is that of the P88L GPRS Protocol V1.3 (2020-10-30) and later. Checksums of recorded frames are often wrong, so
 * a frame that can be read is kept with a wrong one, but marked.
 */
import { QUALITY } from '../../schemas/quality.ts'
import { CommandError, DecodeError, defineAdapter, type Session } from '../adapter.ts'
import { printableAscii } from '../command-text.ts'
import { encode, type Frame, frameBytes, LENGTH_MAX, readFrame, startsFrame } from './meitrack/frame.ts'
import { endsPicture, pictureRequest } from './meitrack/picture.ts'
import { countOfFixedRecords, decodeFixedRecords, decodeTaggedRecords } from './meitrack/records.ts'
import { decodeReport, isReport } from './meitrack/report.ts'

/** `$$`, identifier, up to four digits. */
const HEAD_BYTES = 7

export const meitrack = defineAdapter({
  id: 'meitrack',
  version: 1,
  makers: ['Meitrack'],
  source: 'Meitrack GPRS Protocol V1.6; Meitrack T622 GPRS Protocol V1.2; Meitrack P88L GPRS Protocol V1.3',
  listen: { tcp: 5020, udp: 5020 },
  options: {
    alternative: '`true`: B21 arms it, where C01 sets its third output',
  },
  maxFrameBytes: HEAD_BYTES + LENGTH_MAX,

  starts: startsFrame,

  frame: frameBytes,

  decode(bytes, session, out) {
    const frame = readFrame(bytes)
    session.identify(frame.uniqueId)
    const firstRow = out.length
    if (frame.type === 'CCC') decodeFixedRecords(bytes, frame, out)
    else if (frame.type === 'CCE') decodeTaggedRecords(bytes, frame, out)
    else if (frame.type === 'D00') {
      // The picture came, of which only that is kept.
      if (endsPicture(bytes, frame)) out.addWithoutFix()
    } else if (frame.type !== 'AAC') {
      const body = textOf(bytes, frame)
      const fields = body.split(',')
      if (frame.type === 'AAA' || isReport(fields)) decodeReport(frame, fields, session, out)
      else answer(body, session)
      // What the lock of a container did is kept as a row: it is also said without a command.
      if (frame.type === 'D82') out.set(out.addWithoutFix(), 'result', body)
    }
    if (!frame.hasValidChecksum) {
      for (let row = firstRow; row < out.length; row++) out.quality[row]! |= QUALITY.checksum
    }
  },

  ack(bytes) {
    const frame = readFrame(bytes)
    const reply = (content: string) => encode(frame.identifier, frame.uniqueId, content)
    switch (frame.type) {
      case 'AAC':
        return reply('AAC,1')
      case 'AFF':
        // Only a report, and no answer to a command of this type, waits to be deleted.
        return isReport(textOf(bytes, frame).split(',')) ? reply('AFF,1') : undefined
      case 'CCC':
        return reply(`CCC,${countOfFixedRecords(bytes, frame)}`)
      case 'D00':
      case 'D03':
        return pictureRequest(bytes, frame)
      default:
        return undefined
    }
  },

  commands: {
    positionSingle: (_, session) => command(session, 'A10'),
    engineStop: (_, session) => command(session, 'C01,0,12222'),
    engineResume: (_, session) => command(session, 'C01,0,02222'),
    alarmArm: (_, session) => command(session, isAlternative(session) ? 'B21,1' : 'C01,0,22122'),
    alarmDisarm: (_, session) => command(session, isAlternative(session) ? 'B21,0' : 'C01,0,22022'),
    requestPhoto: ({ index = 1 }, session) => command(session, `D03,${index || 1},camera_picture.jpg`),
    sendSms({ phone, message }, session) {
      if (phone.length > PHONE_MAX_CHARACTERS) {
        throw new CommandError(`a phone number has at most ${PHONE_MAX_CHARACTERS} characters`)
      }
      if (message.length > SMS_MAX_CHARACTERS) {
        throw new CommandError(`a message has at most ${SMS_MAX_CHARACTERS} characters`)
      }
      if (message.includes('*')) throw new CommandError('a message must not hold an asterisk')
      return command(session, `C02,0,${phone},${message}`)
    },
    custom: ({ data }, session) => command(session, data),
  },
})

/** Limits of C02. */
const PHONE_MAX_CHARACTERS = 16
const SMS_MAX_CHARACTERS = 140
/** Of a command with its data. */
const COMMAND_MAX_CHARACTERS = 1024

/** Option `alternative`: B21 arms the device itself, where C01 sets its third output. */
function isAlternative(session: Session): boolean {
  return session.device?.options.alternative === true
}

/** @throws CommandError if the content is longer than a command may be, or could end its frame. */
function command(session: Session, content: string): string {
  if (content.length > COMMAND_MAX_CHARACTERS) {
    throw new CommandError(`a command has at most ${COMMAND_MAX_CHARACTERS} characters`)
  }
  return encode('A', session.uniqueId, printableAscii(content))
}

/** @throws DecodeError if it holds U+0000, which PostgreSQL does not store. */
function textOf(bytes: Buffer, { typeAt, end }: Frame): string {
  const text = bytes.toString('latin1', typeAt, end)
  if (text.includes('\0')) throw new DecodeError('malformed', 'U+0000 in a text frame')
  return text
}

/** `C01,OK`, or the type of the command and what it asked for. */
function answer(body: string, session: Session): void {
  const text = body.slice(body.indexOf(',') + 1)
  session.answer({ ok: !/^(?:err|fail|no\b)/i.test(text), text: text === 'OK' ? '' : body })
}
