/** Messages without a place: status, answers to commands, settings, cards. */
import { bit, type Field, type Fields, field, type Report, times, trimmed } from './report.ts'

/** Message 0x0002: empty, or battery %, signal, and mostly status, u8 each. */
export function heartbeat(report: Report): void {
  if (report.left < 2) return
  report.withoutFix()
  report.set('batteryLevel', report.u8())
  report.set('rssi', report.u8())
  if (report.left > 0) report.set('status', report.u8())
}

/** Message 0x0210 of seven bytes: battery %, time. */
export function batteryTime(report: Report): void {
  const level = report.u8()
  report.withoutFix(report.deviceTime())
  report.set('batteryLevel', level)
}

/** Message 0x0107: type u16, maker 5, model 20, id 7 (since 2019: 30 and 30), ICCID in BCD; then versions. */
export function properties(report: Report): void {
  report.skip(2 + 5 + (report.version === undefined ? 20 + 7 : 30 + 30))
  report.withoutFix()
  report.set('iccid', report.hex(10))
}

/** Message 0x0001: serial number and id of the answered message u16, result u8: 0 is success. */
export function generalAnswer(report: Report): void {
  const serial = report.u16()
  report.skip(2)
  const result = report.u8()
  report.session.answer({ serial, ok: result === 0, text: RESULTS[result] ?? `result ${result}` })
}

const RESULTS = ['', 'failure', 'message has an error', 'not supported']

/** Message 0x6006: encoding u8, text. */
export function textReport(report: Report): void {
  report.skip(1)
  result(report, report.gbk(report.left))
}

/** Message 0x0701: length u32 of the text, text. */
export function commandAnswer(report: Report): void {
  result(report, report.latin1(report.u32()))
}

/** Message 0x1300: serial number of the answered message, text in UTF-16. */
export function textAnswer(report: Report): void {
  const serial = report.u16()
  const bytes = Buffer.from(report.bytes(report.left & ~1))
  result(report, trimmed(bytes.swap16().toString('utf16le')), serial)
}

/** Text between brackets, of locks. */
export function bracketedText(report: Report): void {
  report.withoutFix()
  report.set('result', report.latin1(report.left))
}

function result(report: Report, text: string, serial?: number): void {
  report.withoutFix()
  report.set('result', text)
  report.session.answer({ ...(serial !== undefined && { serial }), ok: true, text })
}

/** Message 0x2070: samples of time in BCD and three axes u16 whose highest bit is their sign. */
export function acceleration(report: Report): void {
  report.withoutFix()
  const samples: string[] = []
  while (report.left > 0) {
    report.skip(6)
    samples.push(`[${signed(report)},${signed(report)},${signed(report)}]`)
  }
  report.set('gSensor', `[${samples.join(',')}]`)
}

function signed(report: Report): number {
  const value = report.u16()
  return bit(value, 15) ? -(value & 0x7fff) || 0 : value
}

/** Message 0x0702: card in 1 or out 2 u8, time; of a card that is in, result u8, name, code, agency, valid until. */
export function driverCard(report: Report): void {
  const status = report.u8()
  report.withoutFix(report.deviceTime())
  report.set('cardStatus', status)
  if (report.left === 0) return
  report.set('cardResult', report.u8())
  report.set('driver', report.gbk(report.u8()))
  report.set('cardCode', trimmed(report.latin1(20)))
  report.set('cardAgency', report.gbk(report.u8()))
  report.set('cardValidity', report.hex(4))
}

/** Settings of message 0x0104 by id u32; length u8, value. */
const SETTINGS: Fields = new Map<number, Field>([
  [0x0001, field('heartbeatInterval', 'u32')],
  [0x0010, gbk('apn')],
  [0x0013, gbk('server')],
  [0x0018, field('port', 'u32')],
  [0x0027, field('sleepReportInterval', 'u32')],
  [0x0028, field('emergencyReportInterval', 'u32')],
  [0x0029, field('defaultReportInterval', 'u32')],
  [0x0055, field('overspeedThreshold', 'u32')],
  [0x0056, field('speedLimitDuration', 'u32')],
  [0x0080, field('odometer', 'u32', times(100))],
  [0x0083, (report) => report.set('plateNumber', trimmed(report.gbk(report.left)))],
])

function gbk(key: string): Field {
  return (report) => report.set(key, report.gbk(report.left))
}

/** Message 0x0104: serial number of the answered message, count u8, settings. */
export function settings(report: Report): void {
  report.skip(3)
  report.withoutFix()
  while (report.left >= 5) {
    const setting = SETTINGS.get(report.u32())
    const bytes = report.u8()
    if (bytes > report.left) return
    report.part(bytes, setting)
  }
}
