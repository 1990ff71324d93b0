/**
 * Galileosky over TCP.
 *
 *     packet     01, length u16 (of the tags; bit 15: more wait), tags, CRC-16/MODBUS u16
 *     first      tags 01 hardware u8, 02 firmware u8, 03 IMEI in 15 digits, 04 number of the device u16
 *     record     tags 04; 10 number of the record u16; 20 time s u32; 30 satellites u8 (upper half 0: a fix), latitude
 *                and longitude i32 in millionths of a degree; 33 speed 0.1 km/h u16, course 0.1° u16; 34 altitude m
 *                i16; 41 supply mV u16; 42 battery mV u16; d4 odometer m u32
 *     answer     02, CRC of the packet
 *
 * Numbers are little-endian. A device waits for the answer to a packet before it sends the next: answers come in the
 * order of the packets, so the CRC in them need not be looked up.
 *
 * Source: Galileosky protocol, data exchange with server, 2023.
 */
import { crc16Modbus } from '../../device-adapters/checksums.ts'
import type { FrameEncoder, Report } from './encoder.ts'

const PACKET = 0x01
const ANSWER = 0x02
const ANSWER_BYTES = 3

export const galileo: FrameEncoder = {
  protocol: 'galileo',
  transport: 'tcp',
  port: 5034,
  timeStepMs: 1000,
  namedByImei: true,
  reportsMax: 1,

  login: (uniqueId) =>
    packet(
      Buffer.from([0x01, 130, 0x02, 19, 0x03]),
      Buffer.from(uniqueId, 'latin1'),
      Buffer.from([0x04, 0, 0]),
    ),

  frames: (_uniqueId, reports) => reports.map((report) => packet(record(report))),

  answer(bytes, loggedIn) {
    // A command, which is laid out as a packet.
    if (bytes[0] === PACKET) {
      if (bytes.length < 3) return undefined
      const length = 3 + bytes.readUInt16LE(1) + 2
      return bytes.length < length ? undefined : { length, kind: 'other' }
    }
    if (bytes[0] !== ANSWER) return { length: 1, kind: 'other' }
    if (bytes.length < ANSWER_BYTES) return undefined
    if (!loggedIn) return { length: ANSWER_BYTES, kind: 'logged-in' }
    return { length: ANSWER_BYTES, kind: 'stored', stored: { count: 1 } }
  },
}

function record(report: Report): Buffer {
  const tags = Buffer.alloc(43)
  let at = tags.writeUInt8(0x04, 0) + 2
  at = tags.writeUInt16LE(report.serial, tags.writeUInt8(0x10, at))
  at = tags.writeUInt32LE(Math.floor(report.fixTimeMs / 1000), tags.writeUInt8(0x20, at))
  at = tags.writeUInt8(Math.min(report.satellites, 15), tags.writeUInt8(0x30, at))
  at = tags.writeInt32LE(Math.round(report.latitudeDeg * 1e6), at)
  at = tags.writeInt32LE(Math.round(report.longitudeDeg * 1e6), at)
  at = tags.writeUInt16LE(Math.round(report.speedKmh * 10), tags.writeUInt8(0x33, at))
  at = tags.writeUInt16LE(Math.round(report.courseDeg * 10) % 3600, at)
  at = tags.writeInt16LE(Math.round(report.altitudeM ?? 0), tags.writeUInt8(0x34, at))
  at = tags.writeUInt16LE(Math.round(report.powerV * 1000), tags.writeUInt8(0x41, at))
  at = tags.writeUInt16LE(Math.round(report.batteryV * 1000), tags.writeUInt8(0x42, at))
  at = tags.writeUInt32LE(Math.round(report.odometerM), tags.writeUInt8(0xd4, at))
  return tags.subarray(0, at)
}

function packet(...tags: readonly Buffer[]): Buffer {
  const content = Buffer.concat(tags)
  const bytes = Buffer.alloc(3 + content.length + 2)
  bytes[0] = PACKET
  bytes.writeUInt16LE(content.length, 1)
  content.copy(bytes, 3)
  const end = 3 + content.length
  bytes.writeUInt16LE(crc16Modbus(bytes, 0, end), end)
  return bytes
}
