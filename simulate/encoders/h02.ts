/**
 * H02 text messages over UDP, a datagram each.
 *
 *     *HQ,id,V1,hhmmss,A,ddmm.mmmm,N,dddmm.mmmm,E,knots,course,ddmmyy,status#
 *     *HQ,id,V4,V1,yyyymmddhhmmss#                            answer
 *
 * In the status, 32 bits in hex of which a 0 says yes, bit 10 is "ignition off".
 * Source: "H02 protocol" as published for the Sinotrack and TK905 families.
 */
import type { FrameEncoder } from './encoder.ts'
import { eastOrWest, knots, nmeaMinutes, northOrSouth, twoDigits } from './nmea.ts'

export const h02: FrameEncoder = {
  protocol: 'h02',
  transport: 'udp',
  port: 5013,
  timeStepMs: 1000,
  namedByImei: false,
  // Answers name no report, so one at a time waits for its own.
  reportsMax: 1,

  frames: (uniqueId, reports) =>
    reports.map((report) => {
      const { year, month, day, time } = twoDigits(report.fixTimeMs)
      const fields = [
        '*HQ',
        uniqueId,
        'V1',
        time,
        'A',
        nmeaMinutes(report.latitudeDeg, 2),
        northOrSouth(report.latitudeDeg),
        nmeaMinutes(report.longitudeDeg, 3),
        eastOrWest(report.longitudeDeg),
        knots(report.speedKmh).padStart(6, '0'),
        String(Math.round(report.courseDeg) % 360).padStart(3, '0'),
        day + month + year,
        report.ignition ? 'FFFFFFFF' : 'FFFFFBFF',
      ]
      return Buffer.from(`${fields.join(',')}#`, 'ascii')
    }),

  answer(bytes) {
    const end = bytes.indexOf('#')
    if (end < 0) return undefined
    const fields = bytes.toString('latin1', 0, end).split(',')
    if (fields[2] === 'V4') return { length: end + 1, kind: 'stored', stored: { count: 1 } }
    return { length: end + 1, kind: 'other' }
  },
}
