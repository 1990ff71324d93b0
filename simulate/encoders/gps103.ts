/**
 * Coban's GPS103 over TCP: text frames that end with a semicolon.
 *
 *     ##,imei:IMEI,A;                      login; the server says LOAD
 *     imei:IMEI,tracker,yymmddhhmmss,phone,F,hhmmss.000,A,ddmm.mmmm,N,dddmm.mmmm,E,knots,course,altitude,ignition,
 *         door,fuel,fuel,temperature;      the first time is local, the second UTC; no answer
 *
 * Commands begin with `**,imei:` and have no end but that of the segment.
 * Source: Shenzhen Coban Electronics "GPRS Protocol", 2014-12-12.
 */
import type { FrameEncoder, Report } from './encoder.ts'
import { eastOrWest, knots, nmeaMinutes, northOrSouth, twoDigits } from './nmea.ts'

const LOAD = 'LOAD'

export const gps103: FrameEncoder = {
  protocol: 'gps103',
  transport: 'tcp',
  unanswered: true,
  port: 5001,
  timeStepMs: 1000,
  namedByImei: true,
  reportsMax: 10,

  login: (uniqueId) => Buffer.from(`##,imei:${uniqueId},A;`, 'ascii'),

  frames: (uniqueId, reports) =>
    reports.map((report) => Buffer.from(`${fields(uniqueId, report)};`, 'ascii')),

  answer(bytes, loggedIn) {
    const text = bytes.toString('latin1', 0, LOAD.length)
    if (text === LOAD) return { length: LOAD.length, kind: loggedIn ? 'other' : 'logged-in' }
    return LOAD.startsWith(text) ? undefined : { length: bytes.length, kind: 'other' }
  },
}

function fields(uniqueId: string, report: Report): string {
  const { year, month, day, time } = twoDigits(report.fixTimeMs)
  return [
    `imei:${uniqueId}`,
    'tracker',
    year + month + day + time,
    '',
    'F',
    `${time}.000`,
    'A',
    nmeaMinutes(report.latitudeDeg, 2),
    northOrSouth(report.latitudeDeg),
    nmeaMinutes(report.longitudeDeg, 3),
    eastOrWest(report.longitudeDeg),
    knots(report.speedKmh),
    report.courseDeg.toFixed(2),
    report.altitudeM?.toFixed(1) ?? '',
    report.ignition ? '1' : '0',
    // The door is closed, and no sensor is there.
    '0',
    '',
    '',
    '',
  ].join(',')
}
