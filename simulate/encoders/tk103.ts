/**
 * TK103 over TCP: text frames in parentheses, without separators.
 *
 *     (ID BP00 IMEI HSO)    handshake; the server says (ID AP01HSO)
 *     (ID BR00 yymmdd A ddmm.mmmm N dddmm.mmmm E km/h hhmmss course supply ignition flags L mileage)     no answer
 *
 * The speed has 5 characters, the course 6; supply 0 is on, ignition 1 is on; flags and fuel have 6 digits of hex,
 * the mileage 8, metres. The id is 12 digits, or an IMEI.
 * Source: "GPRS Communication Protocol" of the KX402 (TK103B), version 1.5.
 */
import type { FrameEncoder, Report } from './encoder.ts'
import { eastOrWest, nmeaMinutes, northOrSouth, twoDigits } from './nmea.ts'

const NO_FLAGS_NO_FUEL = '000000'
const SPEED_MAX_KMH = 999.9

export const tk103: FrameEncoder = {
  protocol: 'tk103',
  transport: 'tcp',
  unanswered: true,
  port: 5002,
  timeStepMs: 1000,
  namedByImei: true,
  reportsMax: 10,

  login: (uniqueId) => Buffer.from(`(${uniqueId}BP00${uniqueId}HSO)`, 'ascii'),

  frames: (uniqueId, reports) =>
    reports.map((report) => Buffer.from(`(${uniqueId}BR00${position(report)})`, 'ascii')),

  answer(bytes, loggedIn) {
    const end = bytes.indexOf(')')
    if (end < 0) return undefined
    const isHandshake = bytes.toString('latin1', 0, end).endsWith('AP01HSO')
    return { length: end + 1, kind: isHandshake && !loggedIn ? 'logged-in' : 'other' }
  },
}

function position(report: Report): string {
  const { year, month, day, time } = twoDigits(report.fixTimeMs)
  const place =
    nmeaMinutes(report.latitudeDeg, 2) +
    northOrSouth(report.latitudeDeg) +
    nmeaMinutes(report.longitudeDeg, 3) +
    eastOrWest(report.longitudeDeg)
  const speed = Math.min(report.speedKmh, SPEED_MAX_KMH).toFixed(1).padStart(5, '0')
  const course = report.courseDeg.toFixed(2).padStart(6, '0')
  const status = `0${report.ignition ? 1 : 0}${NO_FLAGS_NO_FUEL}`
  const mileage = Math.round(report.odometerM).toString(16).toUpperCase().padStart(8, '0')
  return `${year}${month}${day}A${place}${speed}${time}${course}${status}L${mileage}`
}
