/**
 * Ruptela FM records over TCP, one a packet.
 *
 *     packet   length u16 (of what follows but the CRC), IMEI u64, 01, records left u8, 01, record, CRC-16/KERMIT u16
 *     record   time u32, s; time extension u8; priority u8; longitude, latitude i32, 1e-7 degree; altitude u16, 0.1 m;
 *              course u16, 0.01 degree; satellites u8; speed u16, km/h; HDOP u8, 0.1; event id u8;
 *              elements of 1, 2, 4 and 8 bytes: number u8, then id u8 and value each
 *     answer   0002, 64, 01 taken or 00 not, CRC u16
 *
 * Elements: 251 ignition, 27 signal; 29 power and 30 battery, mV; 65 odometer, m. An event id of 7 is "at an interval".
 * Source: Ruptela "FM Pro, FM Eco & FM Tco Protocols" 1.67.
 */
import { crc16Kermit } from '../../device-adapters/checksums.ts'
import type { FrameEncoder, Report } from './encoder.ts'

const RECORDS = 1
const RECORDS_TAKEN = 100
const AT_AN_INTERVAL = 7
const HEAD_BYTES = 13
const RECORD_BYTES = 24
const U16_MAX = 0xffff

export const ruptela: FrameEncoder = {
  protocol: 'ruptela',
  transport: 'tcp',
  port: 5046,
  timeStepMs: 1000,
  namedByImei: true,
  // Answers name no record, so one at a time waits for its own.
  reportsMax: 1,

  frames: (uniqueId, reports) => reports.map((report) => packet(uniqueId, report)),

  answer(bytes) {
    if (bytes.length < 2) return undefined
    const length = bytes.readUInt16BE(0) + 4
    if (bytes.length < length) return undefined
    if (bytes[2] !== RECORDS_TAKEN) return { length, kind: 'other' }
    return bytes[3] === 1 ? { length, kind: 'stored', stored: { count: 1 } } : { length, kind: 'refused' }
  },
}

function packet(uniqueId: string, report: Report): Buffer {
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeBigUInt64BE(BigInt(uniqueId), 2)
  head.set([RECORDS, 0, 1], 10)
  const record = Buffer.alloc(RECORD_BYTES)
  record.writeUInt32BE(Math.floor(report.fixTimeMs / 1000), 0)
  record.writeInt32BE(Math.round(report.longitudeDeg * 1e7), 6)
  record.writeInt32BE(Math.round(report.latitudeDeg * 1e7), 10)
  record.writeUInt16BE(Math.max(0, Math.round((report.altitudeM ?? 0) * 10)), 14)
  record.writeUInt16BE(Math.round(report.courseDeg * 100) % 36_000, 16)
  record[18] = report.satellites
  record.writeUInt16BE(Math.round(report.speedKmh), 19)
  record[21] = 9
  record[22] = AT_AN_INTERVAL
  // Number of elements of one byte.
  record[23] = 2
  const bytes = Buffer.concat([
    head,
    record,
    Buffer.from([251, report.ignition ? 1 : 0, 27, report.signalBars]),
    Buffer.from([2, 29, ...u16(report.powerV * 1000), 30, ...u16(report.batteryV * 1000)]),
    Buffer.from([1, 65, ...u16(report.odometerM / 65_536, Math.floor), ...u16(report.odometerM % 65_536)]),
    Buffer.from([0, 0, 0]),
  ])
  bytes.writeUInt16BE(bytes.length - 4, 0)
  bytes.writeUInt16BE(crc16Kermit(bytes, 2, bytes.length - 2), bytes.length - 2)
  return bytes
}

function u16(value: number, round: (value: number) => number = Math.round): [number, number] {
  const whole = Math.min(round(value), U16_MAX)
  return [whole >> 8, whole & 0xff]
}
