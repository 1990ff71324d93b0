/**
 * Suntech, status reports of the universal protocol over TCP, which no server answers.
 *
 *     STT;id;report map;model;version;1 live;yyyymmdd;hh:mm:ss;cell;country;network;area;signal;latitude;longitude;
 *     km/h;course;satellites;fix;inputs;outputs;mode;why;number;map of what follows;battery, V;power, V CR
 *
 * The report map has a bit for each field from the model on; without bit 22 a reserved field is left out. The last of
 * the eight inputs is the ignition.
 * Source: Suntech "Universal Reporting Guide" 1.62.
 */
import type { FrameEncoder, Report } from './encoder.ts'

const REPORT_MAP = 'BFFFFF'
/** Battery and power. */
const ASSIGNED_MAP = '00000003'
const MODEL = '56'
const VERSION = '1.0.15'
/** A network of the United States, and a cell that stands for all. */
const CELL = ['00005678', '310', '26', '1234']
const CR = '\r'

export const suntech: FrameEncoder = {
  protocol: 'suntech',
  transport: 'tcp',
  unanswered: true,
  port: 5011,
  timeStepMs: 1000,
  namedByImei: false,
  reportsMax: 10,

  frames: (uniqueId, reports) =>
    reports.map((report) => Buffer.from(fields(uniqueId, report).join(';') + CR, 'ascii')),

  // Commands.
  answer(bytes) {
    const end = bytes.indexOf(CR)
    return end < 0 ? undefined : { length: end + 1, kind: 'other' }
  },
}

function fields(uniqueId: string, report: Report): string[] {
  const [date, time] = new Date(report.fixTimeMs).toISOString().split(/T|\./) as [string, string]
  return [
    'STT',
    uniqueId,
    REPORT_MAP,
    MODEL,
    VERSION,
    '1',
    date.replaceAll('-', ''),
    time,
    ...CELL,
    String(report.signalBars),
    signed(report.latitudeDeg),
    signed(report.longitudeDeg),
    report.speedKmh.toFixed(2),
    report.courseDeg.toFixed(2),
    String(report.satellites),
    '1',
    report.ignition ? '00000001' : '00000000',
    '00000000',
    // On the way, and at the set interval.
    '2',
    '1',
    String(report.serial).padStart(4, '0'),
    ASSIGNED_MAP,
    report.batteryV.toFixed(1),
    report.powerV.toFixed(2),
  ]
}

function signed(degrees: number): string {
  return (degrees < 0 ? '-' : '+') + Math.abs(degrees).toFixed(6)
}
