/**
 * Meitrack's compressed reports (CCC) over TCP.
 *
 *     frame      $$, identifier 41..7A, length of what follows from the comma on, comma, IMEI, ",CCC,", data, "*",
 *                sum of all bytes before in hex, CR LF
 *     data       version 0201, bytes of a record u16, records in memory u32, records; numbers are little-endian
 *     record     event u8, latitude and longitude i32 in 1e-6 degrees, seconds since 2000 u32, valid u8, satellites u8,
 *                signal u8, km/h u16, course u16, HDOP × 10 u16, altitude m i16, mileage m u32, run time s u32, country,
 *                network, area and cell u16 each, inputs u8, outputs u8, analog input u16, battery and supply in
 *                0.01 V u16, fence u32
 *     answer     @@, identifier of the frame, length, IMEI, ",CCC,", number of records to delete, "*", sum, CR LF
 *
 * Source: Meitrack "T622 GPRS Protocol" V1.2, sections 1.1 and 3.45.
 */
import { sum8 } from '../../device-adapters/checksums.ts'
import type { FrameEncoder, Report } from './encoder.ts'

const RECORD_BYTES = 52
const EPOCH_MS = Date.UTC(2000, 0, 1)
/** Event of a report by interval. */
const INTERVAL = 35
/** Input 3, which is wired to the ignition. */
const IGNITION = 0x04

export const meitrack: FrameEncoder = {
  protocol: 'meitrack',
  transport: 'tcp',
  port: 5020,
  timeStepMs: 1000,
  namedByImei: true,
  // Devices keep a packet within 1 kB.
  reportsMax: 18,

  frames(uniqueId, reports) {
    const data = Buffer.alloc(8 + reports.length * RECORD_BYTES)
    data.writeUInt16BE(0x0201, 0)
    data.writeUInt16LE(RECORD_BYTES, 2)
    data.writeUInt32LE(reports.length, 4)
    reports.forEach((report, i) => {
      writeRecord(data, 8 + i * RECORD_BYTES, report)
    })
    const identifier = String.fromCharCode(0x41 + (reports[0]!.serial % 58))
    const body = Buffer.concat([Buffer.from(`,${uniqueId},CCC,`), data, Buffer.from('*')])
    const frame = Buffer.concat([Buffer.from(`$$${identifier}${body.length + 4}`), body])
    const sum = sum8(frame, 0, frame.length).toString(16).toUpperCase().padStart(2, '0')
    return [Buffer.concat([frame, Buffer.from(`${sum}\r\n`)])]
  },

  answer(bytes) {
    const end = bytes.indexOf('\r\n')
    if (end < 0) return undefined
    const [, , type, count = ''] = bytes.toString('latin1', 0, end).split(',')
    const length = end + 2
    if (type !== 'CCC') return { length, kind: 'other' }
    return { length, kind: 'stored', stored: { count: Number.parseInt(count, 10) } }
  },
}

function writeRecord(data: Buffer, start: number, report: Report): void {
  let at = data.writeUInt8(INTERVAL, start)
  at = data.writeInt32LE(Math.round(report.latitudeDeg * 1e6), at)
  at = data.writeInt32LE(Math.round(report.longitudeDeg * 1e6), at)
  at = data.writeUInt32LE(Math.floor((report.fixTimeMs - EPOCH_MS) / 1000), at)
  at = data.writeUInt8(1, at)
  at = data.writeUInt8(report.satellites, at)
  at = data.writeUInt8(report.signalBars * 7, at)
  at = data.writeUInt16LE(Math.round(report.speedKmh), at)
  at = data.writeUInt16LE(Math.round(report.courseDeg) % 360, at)
  at = data.writeUInt16LE(9, at)
  at = data.writeInt16LE(Math.round(report.altitudeM ?? 0), at)
  at = data.writeUInt32LE(Math.round(report.odometerM), at)
  at = data.writeUInt32LE(0, at)
  // The United States, one of its networks, and a cell that stands for all.
  for (const part of [310, 26, 0x1234, 0x5678]) at = data.writeUInt16LE(part, at)
  at = data.writeUInt8(report.ignition ? IGNITION : 0, at)
  at = data.writeUInt8(0, at)
  at = data.writeUInt16LE(0, at)
  at = data.writeUInt16LE(Math.round(report.batteryV * 100), at)
  data.writeUInt16LE(Math.round(report.powerV * 100), at)
}
