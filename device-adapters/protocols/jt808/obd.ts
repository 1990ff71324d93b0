/** Readings of an engine: items, and text. */
import {
  type Field,
  type Fields,
  field,
  minus,
  per,
  percentOfByte,
  type Report,
  raw,
  sequence,
  skip,
  times,
} from './report.ts'

/** Item 0x91. */
export const obd = sequence(
  field('battery', 'u16', per(10)),
  field('rpm', 'u16'),
  field('obdSpeed', 'u8'),
  field('throttle', 'u8', percentOfByte),
  field('engineLoad', 'u8', percentOfByte),
  field('coolantTemp', 'u8', minus(40)),
  skip(2),
  field('fuelConsumption', 'u16', per(100)),
  skip(8),
  field('fuelUsed', 'u16', per(100)),
)

/** Items inside 0x80: id u8, length u8, value. */
const EXTENSION: Fields = new Map<number, Field>([
  [0x01, field('odometer', 'u32', times(100))],
  [0x02, field('fuel', 'u16', per(10))],
  [0x03, field('obdSpeed', 'u16', per(10))],
  [0x56, sequence(skip(1), field('batteryLevel', 'u8'))],
  [0x61, field('power', 'u16', per(100))],
  [0x69, field('battery', 'u16', per(100))],
  [0x80, field('obdSpeed', 'u8')],
  [0x81, field('rpm', 'u16')],
  [0x82, field('power', 'u16', per(10))],
  [0x83, field('engineLoad', 'u8')],
  [0x84, field('coolantTemp', 'u8', minus(40))],
  [0x85, field('fuelConsumption', 'u16')],
  [0x86, field('intakeTemp', 'u8', minus(40))],
  [0x87, field('intakeFlow', 'u16')],
  [0x88, field('intakePressure', 'u8')],
  [0x89, field('throttle', 'u8')],
  [0x8b, (report) => report.set('vin', report.latin1(17))],
  [0x8c, field('obdOdometer', 'u32', times(100))],
  [0x8d, field('tripOdometer', 'u16', times(1000))],
  [0x8e, field('fuel', 'u8')],
  // Codes between commas.
  [0xa0, (report) => report.set('dtcs', report.latin1(report.left).replaceAll(',', ' '))],
  [0xcc, (report) => report.set('iccid', report.latin1(20))],
])

/** Reads items to the end. One that says it is longer than all that is left is as long as its kind is. */
export const extension: Field = (report) => {
  while (report.left >= 2) {
    const item = EXTENSION.get(report.u8())
    const bytes = report.u8()
    if (bytes <= report.left) report.part(bytes, item)
    else if (item === undefined) return
    else item(report)
  }
}

/** Items inside 0xF3: id u16, length u8, value. */
const CURRENT: Fields = new Map<number, Field>([
  [0x0002, field('obdSpeed', 'u16', per(10))],
  [0x0003, field('rpm', 'u16')],
  [0x0004, field('power', 'u16', per(1000))],
  [0x0005, field('obdOdometer', 'u32', times(100))],
  [0x0007, field('fuelConsumption', 'u16', per(10))],
  [0x0008, (report) => report.set('engineLoad', report.left === 1 ? report.u8() : report.u16() / 10)],
  [0x0009, field('coolantTemp', 'u16', minus(40))],
  [0x000b, field('intakePressure', 'u16')],
  [0x000c, field('intakeTemp', 'u16', minus(40))],
  [0x000d, field('intakeFlow', 'u16')],
  [0x000e, (report) => report.set('throttle', percentOfByte(report.left === 1 ? report.u8() : report.u16()))],
  [0x0050, (report) => report.set('vin', report.latin1(17))],
  [0x0051, (report) => report.set('cvn', report.hex(report.left))],
  [0x0052, raw('calid')],
  [0x0100, field('tripOdometer', 'u16', per(10))],
  [0x0102, field('tripFuel', 'u16', per(10))],
  [0x0112, field('hardAccelerationCount', 'u16')],
  [0x0113, field('hardDecelerationCount', 'u16')],
  [0x0114, field('hardCorneringCount', 'u16')],
])

export const currentReadings: Field = (report) => report.items(CURRENT, 'u16')

/** What follows `$OBD-RT`, in its order; two of a name are the momentary and the mean value. */
const VALUES = [
  'power',
  'rpm',
  'obdSpeed',
  'throttle',
  'engineLoad',
  'coolantTemp',
  'fuelConsumption',
  'fuelConsumption',
  'tripOdometer',
  'obdOdometer',
  'tripFuelUsed',
  'fuelUsed',
] as const

/** `$OBD-RT,…`: a number for each of {@link VALUES}, or nothing. */
export function obdValues(report: Report, line: string): void {
  const values = line.split(',', VALUES.length + 1).slice(1)
  values.forEach((value, i) => {
    if (/^\s*-?\d+(\.\d*)?\s*$/.test(value)) report.set(VALUES[i]!, Number(value))
  })
}
