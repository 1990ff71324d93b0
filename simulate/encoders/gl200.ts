/**
 * Queclink @Track, fixed reports of a GV300 over TCP, which a server answers only if the device is set up to wait for it.
 *
 *     +RESP:GTFRI,060228,IMEI,name,supply mV,report id and type,count,HDOP,km/h,course,altitude m,longitude,latitude,
 *     yyyymmddhhmmss,country,network,area,cell,reserved,odometer km,hours,analog 1,analog 2,battery %,status,,,,
 *     yyyymmddhhmmss of sending,number$
 *
 * The status is three bytes in hex: ignition and motion, inputs, outputs.
 * Source: Queclink "GV300 @Track Air Interface Protocol", TRACGV300AN002.
 */
import type { FrameEncoder, Report } from './encoder.ts'

const VERSION = '060228'
/** Report 1, at a fixed time; type 0, not of a turn. */
const FIXED_TIME = '10'
/** A network of the United States, and a cell that stands for all. */
const CELL = ['0310', '0026', '1234', '5678']
const EMPTY_MV = 3400
const FULL_MV = 4200
const TAIL = '$'

export const gl200: FrameEncoder = {
  protocol: 'gl200',
  transport: 'tcp',
  unanswered: true,
  port: 5004,
  timeStepMs: 1000,
  namedByImei: true,
  reportsMax: 10,

  frames: (uniqueId, reports) =>
    reports.map((report) => Buffer.from(fields(uniqueId, report).join(',') + TAIL, 'ascii')),

  // Commands, and answers to heartbeats.
  answer(bytes) {
    const end = bytes.indexOf(TAIL)
    return end < 0 ? undefined : { length: end + 1, kind: 'other' }
  },
}

function fields(uniqueId: string, report: Report): string[] {
  const time = new Date(report.fixTimeMs).toISOString().replace(/\D/g, '').slice(0, 14)
  return [
    '+RESP:GTFRI',
    VERSION,
    uniqueId,
    '',
    (report.powerV * 1000).toFixed(0),
    FIXED_TIME,
    '1',
    '1',
    report.speedKmh.toFixed(1),
    String(Math.round(report.courseDeg) % 360),
    report.altitudeM?.toFixed(1) ?? '',
    report.longitudeDeg.toFixed(6),
    report.latitudeDeg.toFixed(6),
    time,
    ...CELL,
    '00',
    (report.odometerM / 1000).toFixed(1),
    '',
    '',
    '',
    String(batteryPercent(report.batteryV)),
    `${report.ignition ? '2' : '1'}${report.speedKmh > 0 ? '2' : '1'}${report.ignition ? '01' : '00'}00`,
    '',
    '',
    '',
    time,
    report.serial.toString(16).toUpperCase().padStart(4, '0'),
  ]
}

function batteryPercent(batteryV: number): number {
  const percent = Math.round(((batteryV * 1000 - EMPTY_MV) / (FULL_MV - EMPTY_MV)) * 100)
  return Math.min(Math.max(percent, 0), 100)
}
