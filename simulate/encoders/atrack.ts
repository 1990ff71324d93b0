/**
 * ATrack binary positions over TCP, a packet each, with custom fields that each position names.
 *
 *     packet     4050, CRC-16/IBM u16 of what follows it, length u16 of what follows that, sequence u16, unit id u64
 *     position   seconds since 1970 of fix, clock and sending u32 each, longitude and latitude i32 in 1e-6 degrees,
 *                course u16, report u8, 0.1 km u32, HDOP × 10 u16, inputs u8, km/h u16, outputs u8, analog input mV u16,
 *                driver NUL, two temperatures i16 in 0.1 °C, message NUL, form NUL, its fields:
 *                IN0 ignition u8, MV supply and BV battery u16 in 0.1 V, SA satellites u8, AT altitude m i32
 *     answer     FE02, unit id u64, sequence u16; the device sends the same as its keep-alive
 *
 * Source: ATrack "Protocol Document" 1.5.2, position format, custom fields, and acknowledgement.
 */
import { crc16Ibm } from '../../device-adapters/checksums.ts'
import type { FrameEncoder, Report } from './encoder.ts'

const FORM = '%CI%IN0%MV%BV%SA%AT'
const HEAD_BYTES = 16
const POSITION_BYTES = 41 + FORM.length + 1 + 10
const ANSWER_BYTES = 12
/** Report by interval. */
const INTERVAL = 2
/** No temperature sensor. */
const NO_TEMPERATURE = 2000

export const atrack: FrameEncoder = {
  protocol: 'atrack',
  transport: 'tcp',
  port: 5044,
  timeStepMs: 1000,
  namedByImei: true,
  reportsMax: 10,

  frames: (uniqueId, reports) => reports.map((report) => packet(uniqueId, report)),

  answer(bytes) {
    const isBinary = bytes.length < 2 ? bytes[0] === 0xfe : bytes.readUInt16BE(0) === 0xfe02
    if (isBinary) {
      if (bytes.length < ANSWER_BYTES) return undefined
      return { length: ANSWER_BYTES, kind: 'stored', stored: { serial: bytes.readUInt16BE(10) } }
    }
    const end = bytes.indexOf('\r\n')
    return end < 0 ? undefined : { length: end + 2, kind: 'other' }
  },
}

function packet(uniqueId: string, report: Report): Buffer {
  const bytes = Buffer.alloc(HEAD_BYTES + POSITION_BYTES)
  bytes.writeUInt16BE(0x4050, 0)
  bytes.writeUInt16BE(bytes.length - 6, 4)
  bytes.writeUInt16BE(report.serial, 6)
  bytes.writeBigUInt64BE(BigInt(uniqueId), 8)
  writePosition(bytes, HEAD_BYTES, report)
  bytes.writeUInt16BE(crc16Ibm(bytes, 4, bytes.length), 2)
  return bytes
}

function writePosition(bytes: Buffer, start: number, report: Report): void {
  const seconds = Math.floor(report.fixTimeMs / 1000)
  let at = start
  for (let clock = 0; clock < 3; clock++) at = bytes.writeUInt32BE(seconds, at)
  at = bytes.writeInt32BE(Math.round(report.longitudeDeg * 1e6), at)
  at = bytes.writeInt32BE(Math.round(report.latitudeDeg * 1e6), at)
  at = bytes.writeUInt16BE(Math.round(report.courseDeg) % 360, at)
  at = bytes.writeUInt8(INTERVAL, at)
  at = bytes.writeUInt32BE(Math.round(report.odometerM / 100), at)
  at = bytes.writeUInt16BE(9, at)
  at = bytes.writeUInt8(report.ignition ? 1 : 0, at)
  at = bytes.writeUInt16BE(Math.round(report.speedKmh), at)
  // Outputs, analog input, no driver.
  at += 1 + 2 + 1
  at = bytes.writeInt16BE(NO_TEMPERATURE, at)
  at = bytes.writeInt16BE(NO_TEMPERATURE, at)
  // No message.
  at += 1
  at += bytes.write(`${FORM}\0`, at, 'ascii')
  at = bytes.writeUInt8(report.ignition ? 1 : 0, at)
  at = bytes.writeUInt16BE(Math.round(report.powerV * 10), at)
  at = bytes.writeUInt16BE(Math.round(report.batteryV * 10), at)
  at = bytes.writeUInt8(report.satellites, at)
  bytes.writeInt32BE(Math.round(report.altitudeM ?? 0), at)
}
