/**
 * Concox GT06 over TCP.
 *
 *     frame      7878, length u8 (of what follows but the stop), type u8, content, serial u16, CRC-ITU u16, 0D0A
 *     login 01   terminal id: IMEI in BCD, 8 bytes
 *     status 13  status bits, voltage level 0..6, signal 0..4, alarm and language u16
 *     place 22   UTC as year − 2000, month, day, hour, minute, second; 0xC0 + satellites; latitude and longitude u32
 *                in 1/1,800,000 degree; speed km/h u8; course in 10 bits, with bit 10 north, 11 west, 12 valid;
 *                cell: country u16, network u8, area u16, cell u24; ignition u8, upload mode u8, re-upload u8
 *     answer     7878 05, type and serial of the frame, CRC, 0D0A
 *
 * Source: Concox "GT06 GPS Tracker Communication Protocol" 1.8, and the message 0x22 of "GT06E" 1.0.
 */
import { crc16X25 } from '../../device-adapters/checksums.ts'
import type { FrameEncoder, Report } from './encoder.ts'

const LOGIN = 0x01
const STATUS = 0x13
const PLACE = 0x22

/** Country code of the United States, one of its networks, and a cell that stands for all. */
const CELL = Buffer.from([310 >> 8, 310 & 0xff, 26, 0x12, 0x34, 0x00, 0x56, 0x78])

export const gt06: FrameEncoder = {
  protocol: 'gt06',
  transport: 'tcp',
  port: 5023,
  timeStepMs: 1000,
  namedByImei: true,
  reportsMax: 10,

  login: (uniqueId) => frame(LOGIN, Buffer.from(uniqueId.padStart(16, '0'), 'hex'), 1),

  // Ignition on, charging; full voltage; strong signal; no alarm; English.
  heartbeat: () => frame(STATUS, Buffer.from([0x46, 6, 4, 0, 2]), 1),

  frames: (_uniqueId, reports) => reports.map((report) => frame(PLACE, place(report), report.serial)),

  answer(bytes, loggedIn) {
    const long = bytes[0] === 0x79
    if (bytes.length < (long ? 4 : 3)) return undefined
    const length = long ? bytes.readUInt16BE(2) + 6 : bytes[2]! + 5
    if (bytes.length < length) return undefined
    const type = bytes[long ? 4 : 3]
    if (!long && type === LOGIN && !loggedIn) return { length, kind: 'logged-in' }
    if (!long && type === PLACE) {
      return { length, kind: 'stored', stored: { serial: bytes.readUInt16BE(length - 6) } }
    }
    return { length, kind: 'other' }
  },
}

function place(report: Report): Buffer {
  const time = new Date(report.fixTimeMs)
  const content = Buffer.alloc(18 + CELL.length + 3)
  content.set([
    time.getUTCFullYear() - 2000,
    time.getUTCMonth() + 1,
    time.getUTCDate(),
    time.getUTCHours(),
    time.getUTCMinutes(),
    time.getUTCSeconds(),
    0xc0 | Math.min(report.satellites, 15),
  ])
  content.writeUInt32BE(Math.round(Math.abs(report.latitudeDeg) * 1_800_000), 7)
  content.writeUInt32BE(Math.round(Math.abs(report.longitudeDeg) * 1_800_000), 11)
  content[15] = Math.min(Math.round(report.speedKmh), 255)
  const north = report.latitudeDeg >= 0 ? 1 << 10 : 0
  const west = report.longitudeDeg < 0 ? 1 << 11 : 0
  content.writeUInt16BE((1 << 12) | west | north | (Math.round(report.courseDeg) % 360), 16)
  CELL.copy(content, 18)
  content[18 + CELL.length] = report.ignition ? 1 : 0
  return content
}

function frame(type: number, content: Buffer, serial: number): Buffer {
  const bytes = Buffer.alloc(content.length + 10)
  bytes.writeUInt16BE(0x7878, 0)
  bytes[2] = content.length + 5
  bytes[3] = type
  content.copy(bytes, 4)
  const end = 4 + content.length
  bytes.writeUInt16BE(serial, end)
  bytes.writeUInt16BE(crc16X25(bytes, 2, end + 2), end + 2)
  bytes.writeUInt16BE(0x0d0a, end + 4)
  return bytes
}
