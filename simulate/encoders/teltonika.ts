/**
 * Teltonika Codec 8 Extended over TCP, as FMx trackers send it.
 *
 *     login    length u16, IMEI in ASCII                      answer: 01 accepted, 00 refused
 *     packet   00000000, length u32, [8E, count u8, record …, count u8], CRC-16/IBM of the brackets as u32
 *     record   time ms u64, priority u8, longitude i32 and latitude i32 in 1e-7 degrees, altitude m i16, angle u16,
 *              satellites u8, speed km/h u16, event u16, number of elements u16, then for widths of 1, 2, 4 and 8
 *              bytes: number u16, [id u16, value] …, and for variable width: number u16
 *                                                             answer: number of stored records u32
 *
 * Source: Teltonika "Codec" and "FMB AVL ID" pages of wiki.teltonika-gps.com.
 */
import { crc16Ibm } from '../../device-adapters/checksums.ts'
import type { FrameEncoder, Report } from './encoder.ts'

/** AVL ids. */
const IGNITION = 239
const MOVEMENT = 240
const GSM_SIGNAL = 21
const EXTERNAL_VOLTAGE_MV = 66
const BATTERY_VOLTAGE_MV = 67
const TOTAL_ODOMETER_M = 16

const GPS_BYTES = 24
const ELEMENT_BYTES = 2 + 2 + (2 + 3 * 3) + (2 + 2 * 4) + (2 + 6) + 2 + 2
const RECORD_BYTES = GPS_BYTES + ELEMENT_BYTES

export const teltonika: FrameEncoder = {
  protocol: 'teltonika',
  transport: 'tcp',
  port: 5027,
  timeStepMs: 1,
  namedByImei: true,
  // Devices keep a packet within 1280 bytes.
  reportsMax: 20,

  login(uniqueId) {
    const login = Buffer.alloc(2 + uniqueId.length)
    login.writeUInt16BE(uniqueId.length)
    login.write(uniqueId, 2, 'ascii')
    return login
  },

  frames(_uniqueId, reports) {
    const dataBytes = 3 + reports.length * RECORD_BYTES
    const packet = Buffer.alloc(8 + dataBytes + 4)
    packet.writeUInt32BE(dataBytes, 4)
    packet[8] = 0x8e
    packet[9] = reports.length
    reports.forEach((report, i) => {
      writeRecord(packet, 10 + i * RECORD_BYTES, report)
    })
    packet[8 + dataBytes - 1] = reports.length
    packet.writeUInt32BE(crc16Ibm(packet, 8, 8 + dataBytes), 8 + dataBytes)
    return [packet]
  },

  answer(bytes, loggedIn) {
    if (!loggedIn) return { length: 1, kind: bytes[0] === 1 ? 'logged-in' : 'refused' }
    if (bytes.length < 4) return undefined
    const count = bytes.readUInt32BE(0)
    if (count !== 0) return { length: 4, kind: 'stored', stored: { count } }
    // A command has the preamble of a packet, four zeros; an answer of no records looks alike, and then goes unread.
    if (bytes.length < 8) return undefined
    const length = 8 + bytes.readUInt32BE(4) + 4
    return bytes.length < length ? undefined : { length, kind: 'other' }
  },
}

function writeRecord(packet: Buffer, start: number, report: Report): void {
  let at = packet.writeBigUInt64BE(BigInt(Math.round(report.fixTimeMs)), start)
  at = packet.writeUInt8(0, at)
  at = packet.writeInt32BE(Math.round(report.longitudeDeg * 1e7), at)
  at = packet.writeInt32BE(Math.round(report.latitudeDeg * 1e7), at)
  at = packet.writeInt16BE(Math.round(report.altitudeM ?? 0), at)
  at = packet.writeUInt16BE(Math.round(report.courseDeg) % 360, at)
  at = packet.writeUInt8(report.satellites, at)
  at = packet.writeUInt16BE(Math.round(report.speedKmh), at)

  at = packet.writeUInt16BE(0, at)
  at = packet.writeUInt16BE(6, at)
  at = packet.writeUInt16BE(3, at)
  for (const [id, value] of [
    [IGNITION, report.ignition ? 1 : 0],
    [MOVEMENT, report.speedKmh >= 1 ? 1 : 0],
    [GSM_SIGNAL, report.signalBars],
  ] as const) {
    at = packet.writeUInt8(value, packet.writeUInt16BE(id, at))
  }
  at = packet.writeUInt16BE(2, at)
  for (const [id, volts] of [
    [EXTERNAL_VOLTAGE_MV, report.powerV],
    [BATTERY_VOLTAGE_MV, report.batteryV],
  ] as const) {
    at = packet.writeUInt16BE(Math.round(volts * 1000), packet.writeUInt16BE(id, at))
  }
  at = packet.writeUInt16BE(1, at)
  packet.writeUInt32BE(Math.round(report.odometerM), packet.writeUInt16BE(TOTAL_ODOMETER_M, at))
}
