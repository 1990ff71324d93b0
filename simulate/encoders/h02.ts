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

const KMH_A_KNOT = 1.852

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
      const [date, time] = new Date(report.fixTimeMs).toISOString().split(/T|\./) as [string, string]
      const fields = [
        '*HQ',
        uniqueId,
        'V1',
        time.replaceAll(':', ''),
        'A',
        minutes(report.latitudeDeg, 2),
        report.latitudeDeg < 0 ? 'S' : 'N',
        minutes(report.longitudeDeg, 3),
        report.longitudeDeg < 0 ? 'W' : 'E',
        (report.speedKmh / KMH_A_KNOT).toFixed(2).padStart(6, '0'),
        String(Math.round(report.courseDeg) % 360).padStart(3, '0'),
        date.slice(8) + date.slice(5, 7) + date.slice(2, 4),
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

/** Degrees and minutes in one number, with four decimals of the minutes. */
function minutes(degrees: number, digits: number): string {
  // Rounded as a whole, so that 59.99996 minutes do not become 60.
  const tenThousandths = Math.round(Math.abs(degrees) * 600_000)
  const whole = Math.floor(tenThousandths / 600_000)
  const rest = ((tenThousandths % 600_000) / 10_000).toFixed(4)
  return String(whole).padStart(digits, '0') + rest.padStart(7, '0')
}
