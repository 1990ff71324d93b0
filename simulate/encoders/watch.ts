/**
 * Watches of the Setracker family over TCP: `[3G*ID*LENGTH*CONTENT]`, the length in four digits of hex.
 *
 *     LK                                the server says LK
 *     UD,ddmmyy,hhmmss,A,latitude,N,longitude,E,km/h,course,altitude,satellites,signal %,battery %,steps,tumbles,
 *         status,cells,timing advance,country,network,area,cell,signal,access points      no answer
 *
 * Source: Setracker "GPS Watch Communication Protocol".
 */
import type { FrameEncoder, Report } from './encoder.ts'
import { eastOrWest, northOrSouth, twoDigits } from './nmea.ts'

/** A cell of a network of the United States, and no access point. */
const NETWORK = '1,255,310,26,4660,22136,128,0'
const NO_ALARM = '00000000'
const SIGNAL_PERCENT_A_BAR = 25
const EMPTY_V = 3.4
const FULL_V = 4.2

export const watch: FrameEncoder = {
  protocol: 'watch',
  transport: 'tcp',
  unanswered: true,
  port: 5093,
  timeStepMs: 1000,
  namedByImei: false,
  reportsMax: 10,

  login: (uniqueId) => frame(uniqueId, 'LK'),

  frames: (uniqueId, reports) => reports.map((report) => frame(uniqueId, position(report))),

  answer(bytes, loggedIn) {
    const end = bytes.indexOf(']')
    if (end < 0) return undefined
    const isLink = bytes.toString('latin1', 0, end).endsWith('*LK')
    return { length: end + 1, kind: isLink && !loggedIn ? 'logged-in' : 'other' }
  },
}

function frame(uniqueId: string, content: string): Buffer {
  const length = content.length.toString(16).toUpperCase().padStart(4, '0')
  return Buffer.from(`[3G*${uniqueId}*${length}*${content}]`, 'ascii')
}

function position(report: Report): string {
  const { year, month, day, time } = twoDigits(report.fixTimeMs)
  const charge = (report.batteryV - EMPTY_V) / (FULL_V - EMPTY_V)
  return [
    'UD',
    day + month + year,
    time,
    'A',
    Math.abs(report.latitudeDeg).toFixed(6),
    northOrSouth(report.latitudeDeg),
    Math.abs(report.longitudeDeg).toFixed(7),
    eastOrWest(report.longitudeDeg),
    report.speedKmh.toFixed(2),
    report.courseDeg.toFixed(1),
    (report.altitudeM ?? 0).toFixed(1),
    report.satellites,
    report.signalBars * SIGNAL_PERCENT_A_BAR,
    Math.round(100 * Math.min(Math.max(charge, 0), 1)),
    0,
    0,
    NO_ALARM,
    NETWORK,
  ].join(',')
}
