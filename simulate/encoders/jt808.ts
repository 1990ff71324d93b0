/**
 * JT/T 808 of 2019 over TCP.
 *
 *     frame          7E, header, body, exclusive or of both u8, 7E; inside 7E is written 7D 02 and 7D 01 stands for 7D
 *     header         message u16, attributes u16 (length of the body in 10 bits, bit 14 for 2019), version 1, terminal
 *                    in 20 BCD digits, serial u16
 *     0102 login     length u8 and key that the registration gave, IMEI in 15 bytes, version of the software in 20
 *     0200 place     alarms u32; status u32 (bit 0 ignition, 1 fix, 2 south, 3 west); latitude and longitude u32 in
 *                    millionths of a degree; altitude m u16; speed 0.1 km/h u16; course u16; time yymmddhhmmss in BCD,
 *                    UTC+8; items of id u8, length u8, value: 01 mileage 0.1 km u32, 30 signal u8, 31 satellites u8
 *     8001 answer    serial u16 and message u16 that it answers, result u8: 0 is success
 *
 * Source: JT/T 808-2019, sections 4 to 8.
 */
import { xor8 } from '../../device-adapters/checksums.ts'
import type { Answer, FrameEncoder, Report } from './encoder.ts'

const DELIMITER = 0x7e
const ESCAPE = 0x7d
const AUTHENTICATION = 0x0102
const PLACE = 0x0200
const GENERAL_ANSWER = 0x8001
const HEADER_BYTES = 17
const UTC8_MS = 8 * 3_600_000
/** A bar of the network as a signal of 0 to 31. */
const SIGNAL_PER_BAR = 7

export const jt808: FrameEncoder = {
  protocol: 'jt808',
  transport: 'tcp',
  port: 5015,
  timeStepMs: 1000,
  namedByImei: true,
  reportsMax: 10,

  login(uniqueId) {
    const key = Buffer.from(uniqueId, 'latin1')
    const body = Buffer.concat([Buffer.from([key.length]), key, text(uniqueId, 15), text('V1.0', 20)])
    return frame(uniqueId, AUTHENTICATION, 1, body)
  },

  frames: (uniqueId, reports) =>
    reports.map((report) => frame(uniqueId, PLACE, report.serial, place(report))),

  answer(bytes, loggedIn) {
    if (bytes[0] !== DELIMITER) return { length: 1, kind: 'other' }
    const end = bytes.indexOf(DELIMITER, 1)
    return end < 0
      ? undefined
      : { length: end + 1, ...meaningOf(unescaped(bytes.subarray(1, end)), loggedIn) }
  },
}

function meaningOf(message: Buffer, loggedIn: boolean): Omit<Answer, 'length'> {
  if (message.length < HEADER_BYTES + 5 || message.readUInt16BE(0) !== GENERAL_ANSWER)
    return { kind: 'other' }
  const serial = message.readUInt16BE(HEADER_BYTES)
  const answered = message.readUInt16BE(HEADER_BYTES + 2)
  if (message[HEADER_BYTES + 4] !== 0) return { kind: 'refused' }
  if (answered === PLACE) return { kind: 'stored', stored: { serial } }
  return { kind: answered === AUTHENTICATION && !loggedIn ? 'logged-in' : 'other' }
}

function place(report: Report): Buffer {
  const body = Buffer.alloc(28 + 6 + 3 + 3)
  const { latitudeDeg, longitudeDeg } = report
  const status =
    (report.ignition ? 1 << 0 : 0) |
    (1 << 1) |
    (latitudeDeg < 0 ? 1 << 2 : 0) |
    (longitudeDeg < 0 ? 1 << 3 : 0)
  body.writeUInt32BE(status, 4)
  body.writeUInt32BE(Math.round(Math.abs(latitudeDeg) * 1e6), 8)
  body.writeUInt32BE(Math.round(Math.abs(longitudeDeg) * 1e6), 12)
  body.writeUInt16BE(Math.max(0, Math.round(report.altitudeM ?? 0)), 16)
  body.writeUInt16BE(Math.round(report.speedKmh * 10), 18)
  body.writeUInt16BE(Math.round(report.courseDeg) % 360, 20)
  const digits = new Date(report.fixTimeMs + UTC8_MS).toISOString().replace(/\D/g, '')
  body.write(digits.slice(2, 14), 22, 'hex')
  body.set([0x01, 4], 28)
  body.writeUInt32BE(Math.floor(report.odometerM / 100), 30)
  body.set([0x30, 1, report.signalBars * SIGNAL_PER_BAR, 0x31, 1, report.satellites], 34)
  return body
}

function text(value: string, bytes: number): Buffer {
  const field = Buffer.alloc(bytes)
  field.write(value, 'latin1')
  return field
}

function frame(uniqueId: string, message: number, serial: number, body: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt16BE(message, 0)
  header.writeUInt16BE(body.length | (1 << 14), 2)
  header[4] = 1
  header.write(uniqueId.padStart(20, '0'), 5, 'hex')
  header.writeUInt16BE(serial, 15)
  const plain = Buffer.concat([header, body])
  const inner: number[] = []
  for (const byte of [...plain, xor8(plain, 0, plain.length)]) {
    if (byte === DELIMITER) inner.push(ESCAPE, 2)
    else if (byte === ESCAPE) inner.push(ESCAPE, 1)
    else inner.push(byte)
  }
  return Buffer.from([DELIMITER, ...inner, DELIMITER])
}

function unescaped(inner: Buffer): Buffer {
  const plain: number[] = []
  for (let at = 0; at < inner.length; at++) {
    plain.push(inner[at] === ESCAPE ? ESCAPE + inner[++at]! - 1 : inner[at]!)
  }
  return Buffer.from(plain)
}
