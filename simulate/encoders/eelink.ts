/**
 * Eelink, version 2, over TCP.
 *
 *     package       6767, type u8, length u16 of what follows, serial u16, content
 *     login 01      IMEI in BCD 8, language u8, time zone i8
 *     heartbeat 03  status u16
 *     place 12      time s u32, mask u8: 1 a fix, 2 a cell; latitude and longitude i32 in 1/1,800,000 degree,
 *                   altitude m i16, speed km/h u16, course u16, satellites u8; cell: country u16, network u16, area u16,
 *                   cell u32, signal u8; status u16, battery mV u16, analogue u16 twice, mileage m u32
 *     answer        the type and serial of the package, a login's with more
 *
 * Bits of the status: 0 the fix is valid, 1 the ignition is known, 2 it is on.
 * Source: Shenzhen Eelink, GPS tracker communication protocol V2.0.
 */
import type { FrameEncoder, Report } from './encoder.ts'

const LOGIN = 0x01
const STATUS = 0x03
const PLACE = 0x12

/** Country code of the United States, one of its networks, and a cell that stands for all. */
const CELL = Buffer.from('0136001a1234000056782e', 'hex')

export const eelink: FrameEncoder = {
  protocol: 'eelink',
  transport: 'tcp',
  port: 5064,
  timeStepMs: 1000,
  namedByImei: true,
  reportsMax: 10,

  login(uniqueId) {
    const english = Buffer.from([1, 0])
    return packaged(LOGIN, 1, Buffer.concat([Buffer.from(uniqueId.padStart(16, '0'), 'hex'), english]))
  },

  heartbeat: () => packaged(STATUS, 1, Buffer.from([0, 0x06])),

  frames: (_uniqueId, reports) => reports.map((report) => packaged(PLACE, report.serial, place(report))),

  answer(bytes) {
    if (bytes.length < 7) return undefined
    const length = 5 + bytes.readUInt16BE(3)
    if (bytes.length < length) return undefined
    if (bytes[2] === LOGIN) return { length, kind: 'logged-in' }
    if (bytes[2] === PLACE) return { length, kind: 'stored', stored: { serial: bytes.readUInt16BE(5) } }
    return { length, kind: 'other' }
  },
}

function place(report: Report): Buffer {
  const content = Buffer.alloc(20 + CELL.length + 12)
  content.writeUInt32BE(Math.floor(report.fixTimeMs / 1000), 0)
  content[4] = 0x03
  content.writeInt32BE(Math.round(report.latitudeDeg * 1_800_000), 5)
  content.writeInt32BE(Math.round(report.longitudeDeg * 1_800_000), 9)
  content.writeInt16BE(Math.round(report.altitudeM ?? 0), 13)
  content.writeUInt16BE(Math.round(report.speedKmh), 15)
  content.writeUInt16BE(Math.round(report.courseDeg) % 360, 17)
  content[19] = report.satellites
  CELL.copy(content, 20)
  const at = 20 + CELL.length
  content.writeUInt16BE(report.ignition ? 0x07 : 0x03, at)
  content.writeUInt16BE(Math.round(report.batteryV * 1000), at + 2)
  content.writeUInt32BE(Math.round(report.odometerM), at + 8)
  return content
}

function packaged(type: number, serial: number, content: Buffer): Buffer {
  const bytes = Buffer.alloc(7 + content.length)
  bytes.writeUInt16BE(0x6767, 0)
  bytes[2] = type
  bytes.writeUInt16BE(2 + content.length, 3)
  bytes.writeUInt16BE(serial, 5)
  content.copy(bytes, 7)
  return bytes
}
