/**
 * Wialon IPS 2.0 over TCP: one report as extended data, several as a black box.
 *
 *     #L#2.0;id;NA;CRC                                                         #AL#1 accepted, else refused
 *     #D#ddmmyy;hhmmss;ddmm.mmmmm;N;dddmm.mmmmm;E;km/h;course;altitude;satellites;hdop;inputs;outputs;adc;ibutton;
 *       NAME:TYPE:VALUE,…;CRC                                                  #AD#1
 *     #B#the same without CRC|…|CRC                                            #AB#n, how many were stored
 *     #P#                                                                      #AP#
 *
 * CRC is CRC-16/IBM in hex of what stands before it, from behind the type on. Lines end with CR LF.
 * Source: Gurtam "Wialon IPS" 2.0.
 */
import { crc16Ibm } from '../../device-adapters/checksums.ts'
import type { FrameEncoder, Report } from './encoder.ts'

export const wialon: FrameEncoder = {
  protocol: 'wialon',
  transport: 'tcp',
  port: 5039,
  timeStepMs: 1000,
  namedByImei: false,
  reportsMax: 10,

  login: (uniqueId) => line('L', `2.0;${uniqueId};NA;`),

  heartbeat: () => Buffer.from('#P#\r\n', 'ascii'),

  frames(_uniqueId, reports) {
    const [first, ...others] = reports.map(data)
    if (first === undefined) return []
    if (others.length === 0) return [line('D', `${first};`)]
    return [line('B', `${[first, ...others].join('|')}|`)]
  },

  answer(bytes, loggedIn) {
    const end = bytes.indexOf('\r\n')
    if (end < 0) return undefined
    const length = end + 2
    const [, type, value] = /^#A(L|D|B)#(-?\d+)$/.exec(bytes.toString('latin1', 0, end)) ?? []
    if (type === 'L') return { length, kind: value === '1' && !loggedIn ? 'logged-in' : 'refused' }
    // Data that the server could not take are answered with another number than 1.
    if (type === 'B' || (type === 'D' && value === '1')) {
      return { length, kind: 'stored', stored: { count: Number(value) } }
    }
    return { length, kind: 'other' }
  },
}

function line(type: string, body: string): Buffer {
  const bytes = Buffer.from(body, 'ascii')
  const crc = crc16Ibm(bytes, 0, bytes.length).toString(16).toUpperCase().padStart(4, '0')
  return Buffer.from(`#${type}#${body}${crc}\r\n`, 'ascii')
}

function data(report: Report): string {
  const [date, time] = new Date(report.fixTimeMs).toISOString().split(/T|\./) as [string, string]
  return [
    date.slice(8) + date.slice(5, 7) + date.slice(2, 4),
    time.replaceAll(':', ''),
    minutes(report.latitudeDeg, 2),
    report.latitudeDeg < 0 ? 'S' : 'N',
    minutes(report.longitudeDeg, 3),
    report.longitudeDeg < 0 ? 'W' : 'E',
    report.speedKmh.toFixed(2),
    report.courseDeg.toFixed(1),
    report.altitudeM === undefined ? 'NA' : report.altitudeM.toFixed(1),
    String(report.satellites),
    'NA',
    'NA',
    'NA',
    '',
    'NA',
    [
      `ignition:3:${report.ignition}`,
      `odometer:1:${Math.round(report.odometerM)}`,
      `power:2:${report.powerV.toFixed(2)}`,
      `battery:2:${report.batteryV.toFixed(2)}`,
    ].join(','),
  ].join(';')
}

/** Degrees and minutes in one number, with five decimals of the minutes. */
function minutes(degrees: number, digits: number): string {
  // Rounded as a whole, so that 59.999996 minutes do not become 60.
  const steps = Math.round(Math.abs(degrees) * 6_000_000)
  const whole = Math.floor(steps / 6_000_000)
  const rest = ((steps % 6_000_000) / 100_000).toFixed(5)
  return String(whole).padStart(digits, '0') + rest.padStart(8, '0')
}
