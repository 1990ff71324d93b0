/** Item 0xE8 of Jimi's dash cameras: id u16, and what it means. */
import { alarm, type Field, type Fields, field, flag, per, type Report, sequence, skip } from './report.ts'

const MODELS: ReadonlySet<string> = new Set(['JC371', 'JC181', 'JC182', 'JC450', 'JC451'])

/** Bars of the battery in 0x2003. */
const BARS = 6

/** Items of 0x2005: id u16, length u8, value. */
const STATUS: Fields = new Map<number, Field>([
  [0x0001, field('battery', 'u16', per(100))],
  [0x0002, field('dataUsage', 'u32')],
  [0x0003, field('batteryLevel', 'u8')],
  [0x0004, flag('charge', (value) => value === 0)],
  [0x0005, (report) => report.set('iccid', report.hex(10).slice(0, 19))],
  [0x0007, field('hdop', 'u16', per(10))],
  [0x2001, field('power', 'u16', per(10))],
])

const EVENTS: Fields = new Map<number, Field>([
  [0x0001, alarm('fault')],
  [0x0400, alarm('hardAcceleration')],
  [0x0401, alarm('hardBraking')],
  [0x0402, alarm('hardCornering')],
  [0x0403, alarm('overspeed')],
  [0x0405, alarm('accident')],
  [0x0406, alarm('vibration')],
  [0x0407, alarm('tow')],
  [0x0408, alarm('geofenceEnter')],
  [0x0409, alarm('geofenceExit')],
  [0x040c, alarm('door')],
  [0x0412, alarm('hardAcceleration')],
  [0x0413, alarm('hardBraking')],
  [0x0414, alarm('hardCornering')],
  [0x0415, alarm('laneChange')],
  [0x0416, alarm('accident')],
  [0x0417, alarm('accident')],
  [0x0c01, alarm('sos')],
  [0x0c02, alarm('lowPower')],
  [0x0c03, (report) => report.set('ignition', true)],
  [0x0c04, (report) => report.set('ignition', false)],
  [0x0c05, alarm('general')],
  [0x0c0e, alarm('powerCut')],
  [0x0c0f, alarm('lowBattery')],
  [0x0c10, alarm('powerOff')],
  [0x0c12, alarm('tampering')],
  // Of these three, a length u8 precedes the value.
  [
    0x2002,
    sequence(
      skip(1),
      field('uploadMode', 'u8'),
      flag('buffered', (value) => value === 1),
    ),
  ],
  [0x2003, sequence(skip(1), power)],
  [0x2005, sequence(skip(1), (report) => report.items(STATUS, 'u16'))],
])

function power(report: Report): void {
  report.set('charge', report.u8() === 1)
  const bars = report.u8()
  if (bars >= 1 && bars <= BARS) report.set('batteryLevel', Math.floor((bars * 100) / BARS))
  report.set('battery', report.u16() / 100)
  report.set('rssi', report.u8())
  report.set('power', report.u16() / 100)
}

export const jimi = {
  models: MODELS,
  read(report: Report): void {
    EVENTS.get(report.u16())?.(report)
  },
} as const
