/**
 * Additional items of a location report: id u8, length u8, value. The standard has 0x01 to 0x31 and those of video and
 * driver assistance (JT/T 1078, T/JSATL 12); what makers define themselves shares the numbers above.
 */
import { jimi } from './jimi.ts'
import { locks, padlock, seals, unlocking } from './lock.ts'
import { AOVX_MODELS, aovxStatus, readings, sensors, tags } from './modules.ts'
import { currentReadings, extension, obd, obdValues } from './obd.ts'
import {
  bit,
  type Field,
  type Fields,
  field,
  minus,
  per,
  type Report,
  raw,
  sequence,
  skip,
  text,
  times,
} from './report.ts'

/** Item whose own items fill the rest of the report, whatever its length says. */
const EXTENSION = 0x80

const ITEMS: Fields = new Map<number, Field>([
  [0x01, field('odometer', 'u32', times(100))],
  [0x02, fuel],
  [0x06, field('batteryLevel', 'u8')],
  [0x0b, unlocking],
  [0x14, field('videoAlarm', 'u32')],
  [0x25, field('input', 'u32')],
  [0x2b, sequence(field('adc1', 'u16', per(100)), field('adc2', 'u16', per(100)))],
  [0x30, field('rssi', 'u8')],
  [0x31, field('sat', 'u8')],
  [0x33, (report) => (report.left === 1 ? report.set('mode', report.u8()) : padlock(report))],
  [0x51, temperatures],
  [0x56, field('batteryLevel', 'u8', times(10))],
  [0x57, drivingAlarms],
  [0x60, lockEvent],
  [0x63, seals],
  [0x64, assistance('adasAlarm')],
  [0x65, assistance('dmsAlarm')],
  [0x67, (report) => report.set('password', report.latin1(8))],
  [0x68, field('batteryLevel', 'u16', per(100))],
  [0x69, field('battery', 'u16', per(100))],
  [0x70, fierceDriving],
  [0x77, tires],
  [EXTENSION, sequence(skip(1), extension)],
  [0x82, field('power', 'u16', per(10))],
  [0x91, obd],
  [0x94, (report) => report.set('vin', report.latin1(report.left))],
  [0xa7, sequence(field('adc1', 'u16', per(100)), field('adc2', 'u16', per(100)))],
  [0xac, field('odometer', 'u32')],
  [0xbc, text('driver')],
  [0xbd, (report) => report.set('driverUniqueId', report.latin1(report.left))],
  [0xd0, vibration],
  [0xd3, field('power', 'u16', per(10))],
  [0xd4, batteryOrDriver],
  [0xd5, (report) => (report.left === 2 ? report.set('battery', report.u16() / 100) : locks(report))],
  [0xda, sealString],
  [
    0xe1,
    (report) => (report.left === 2 || report.left >= 12 ? cellsOrPower(report) : batteryOrDriver(report)),
  ],
  // DT800 has something else here.
  [0xe2, (report) => report.model !== 'DT800' && report.set('fuel', report.u32() / 10)],
  [0xe3, sequence(skip(1), field('batteryLevel', 'u8'), field('battery', 'u16', per(100)))],
  [0xe4, charging],
  [0xe5, (report) => report.left === 1 && report.set('motion', report.u8() === 1)],
  [0xe6, obdOrSensors],
  [0xe7, shaken],
  [
    0xe8,
    (report) => (jimi.models.has(report.model) ? jimi.read(report) : report.set('lockStatus', report.u24())),
  ],
  [0xe9, batteryOrDriver],
  [0xea, sensors],
  [0xeb, readings],
  [0xec, accessPoints],
  [0xed, text('card')],
  [0xee, supply],
  [0xf0, cells],
  [0xf1, field('power', 'u32', per(1000))],
  [0xf2, (report) => report.set('versionFw', report.latin1(report.left))],
  [0xf3, (report) => (AOVX_MODELS.has(report.model) ? tags(report) : currentReadings(report))],
  [0xf4, accessPoints],
  [0xf5, (report) => report.left === 2 && report.set('illuminance', report.u16())],
  [0xf6, statusOrNumber],
  [0xf7, battery],
  [0xf8, stepsOrTemperature],
  [0xf9, reception],
  [0xfb, raw('container')],
  [0xfc, field('geofence', 'u8')],
  [0xfe, various],
])

/** Reads the items that fill the rest of the report. */
export function readItems(report: Report): void {
  while (report.left >= 2) {
    const item = report.u8()
    const bytes = report.u8()
    if (bytes > report.left) return
    report.part(item === EXTENSION ? report.left : bytes, ITEMS.get(item))
  }
}

/** 0.1 l; with the highest bit, what some sensors send instead. */
function fuel(report: Report): void {
  const value = report.u16()
  report.set('fuel', bit(value, 15) ? value & 0x7fff : value / 10)
}

/** One or eight probes, 0.1 °C with a sign bit. */
function temperatures(report: Report): void {
  if (report.left !== 2 && report.left !== 16) return
  for (let probe = 1; report.left >= 2; probe++) {
    const value = report.u16()
    if (value === 0xffff) continue
    report.set(`temp${probe}`, (bit(value, 15) ? -(value & 0x7fff) : value) / 10)
  }
}

/** Alarms u16, switches u16, more alarms u32. */
function drivingAlarms(report: Report): void {
  report.alarmBits(report.u16(), [
    [1 << 8, 'hardAcceleration'],
    [1 << 9, 'hardBraking'],
    [1 << 10, 'hardCornering'],
  ])
  report.skip(2)
  const more = report.u32()
  if (report.model === 'MV810G' || report.model === 'MV710G') report.alarmBits(more, [[1 << 16, 'door']])
}

/** Events 0x61 to 0x66 are of a lock, whose id and card follow. */
function lockEvent(report: Report): void {
  const event = report.u16()
  report.set('event', event)
  if (event < 0x61 || event > 0x66) return
  report.skip(6)
  report.set('driverUniqueId', report.latin1(8))
}

/** Alarm of driver assistance: number u32, status u8, kind u8; at its end 16 bytes by which its files are asked for. */
function assistance(key: string): Field {
  return (report) => {
    const bytes = report.left
    report.skip(5)
    report.set(key, report.u8())
    if (bytes < 47) return
    report.skip(report.left - 16)
    report.set('alarmLabel', report.hex(16))
  }
}

const FIERCE_DRIVING: ReadonlyMap<number, string> = new Map([
  [0x01, 'hardAcceleration'],
  [0x02, 'hardBraking'],
  [0x03, 'hardCornering'],
  [0x16, 'accident'],
])

/** Number u32, status u8, kind u8. */
function fierceDriving(report: Report): void {
  report.skip(5)
  const name = FIERCE_DRIVING.get(report.u8())
  if (name !== undefined) report.alarm(name)
}

/** Wheels of 8 bytes: number, id of the sensor, pressure in 1/40 bar, temperature + 50 °C, status. */
function tires(report: Report): void {
  while (report.left > 0) {
    const tire = `tire${report.u8()}`
    report.set(`${tire}SensorId`, report.hex(3))
    report.set(`${tire}Pressure`, (report.u16() & 0x3ff) / 40)
    report.set(`${tire}Temp`, report.u8() - 50)
    report.set(`${tire}Status`, report.u8())
  }
}

function vibration(report: Report): void {
  report.alarmBits(report.u32(), [[1 << 3, 'vibration']])
}

/** Battery in %, 255 while it charges; or the card of the driver. */
function batteryOrDriver(report: Report): void {
  if (report.left !== 1) report.set('driverUniqueId', String(report.u32()))
  else {
    const level = report.u8()
    if (level === 0xff) report.set('charge', true)
    else report.set('batteryLevel', level)
  }
}

/** Supply in 0.1 V; or country and network, then cells: area u24, cell u32, signal u8. */
function cellsOrPower(report: Report): void {
  if (report.left === 2) report.set('power', report.u16() / 10)
  else if ((report.left - 4) % 8 !== 0) report.set('driverUniqueId', String(report.u32()))
  else {
    const mcc = report.u16()
    const mnc = report.u16()
    while (report.left > 0) {
      const lac = report.u24()
      const cid = report.u32()
      const rssi = report.u8()
      if (lac > 0 && lac <= 0xffff && cid <= 0xfffffff) report.cell(mcc, mnc, lac, cid, rssi)
    }
  }
}

/** How often the string of the seal was cut u16, which some leave out; bits 0 string, 2 motion, 3 cover. */
function sealString(report: Report): void {
  if (report.left >= 3) report.skip(2)
  const status = report.u8()
  report.set('string', bit(status, 0))
  report.set('motion', bit(status, 2))
  report.set('cover', bit(status, 3))
}

/** 0 while it charges u8, battery in %. */
function charging(report: Report): void {
  if (report.u8() === 0) report.set('charge', true)
  report.set('batteryLevel', report.u8())
}

/** Readings of the engine as text; or sensors of 11 bytes. */
function obdOrSensors(report: Report): void {
  const bytes = report.left
  if (report.frame.toString('latin1', report.at, report.at + 7) === '$OBD-RT') {
    obdValues(report, report.latin1(bytes))
  } else if (bytes % 11 === 0) {
    while (report.left > 0) {
      const sensor = report.u8()
      report.skip(6)
      report.set(`temp${sensor}`, wholeAndParts(report))
      report.set(`humidity${sensor}`, wholeAndParts(report))
    }
  }
}

/** A signed whole number i8, and what is beyond it in 1/255. */
function wholeAndParts(report: Report): number {
  const whole = report.i8()
  const parts = report.u8() / 255
  return whole < 0 ? whole - parts : whole + parts
}

function shaken(report: Report): void {
  if (report.left !== 8) return
  report.alarmBits(report.u16(), [
    [1 << 0, 'vibration'],
    [(1 << 1) | (1 << 2) | (1 << 3), 'sos'],
  ])
}

/** Access points: MAC, signal dBm. */
function accessPoints(report: Report): void {
  while (report.left > 0) report.accessPoint(report.mac(), report.i8())
}

/** Signal u8, supply mV, battery mV, satellites u8. */
function supply(report: Report): void {
  if (report.left !== 6) return
  report.set('rssi', report.u8())
  report.set('power', report.u16() / 1000)
  report.set('battery', report.u16() / 1000)
  report.set('sat', report.u8())
}

/** Cells: country u16, network u16, cell u32, area u32, signal u8. */
function cells(report: Report): void {
  while (report.left > 0) {
    const mcc = report.u16()
    const mnc = report.u16()
    const cid = report.u32()
    report.cell(mcc, mnc, report.u32(), cid, report.u8())
  }
}

function statusOrNumber(report: Report): void {
  const isAovx = AOVX_MODELS.has(report.model)
  if (!isAovx && report.left === 2) report.set('airPressure', report.u16())
  else if (!isAovx && report.left === 8) report.set('imei', report.hex(8).slice(1))
  else aovxStatus(report)
}

/** Humidity in 0.1 %; or battery mV u32, status u8, level u8. */
function battery(report: Report): void {
  if (report.left === 2) report.set('humidity', report.u16() / 10)
  else {
    report.set('battery', report.u32() / 1000)
    if (report.left === 0) return
    const status = report.u8()
    if (status === 2 || status === 3) report.set('charge', true)
    if (report.left > 0) report.set('batteryLevel', report.u8())
  }
}

function stepsOrTemperature(report: Report): void {
  const { model } = report
  if (AOVX_MODELS.has(model)) {
    // Working mode and IMEI.
    report.skip(9)
    report.set('iccid', report.hex(10))
  } else if (model === 'C5' || model === 'C5L') report.set('steps', report.u16())
  else report.set('temp2', minus(50)(report.u16() / 10))
}

/** A mask u16 of what follows. */
function reception(report: Report): void {
  const mask = report.u16()
  // Age of the fix, time of ignition.
  if (bit(mask, 0)) report.skip(4)
  if (bit(mask, 1)) report.skip(4)
  if (bit(mask, 2)) report.set('hdop', report.u16() / 10)
  // Time of the fix, intervals.
  if (bit(mask, 3)) report.skip(6)
  if (bit(mask, 5)) report.skip(8)
  if (bit(mask, 6)) report.set('temp3', report.i16() / 10)
}

/** Items inside 0xFE that begins with 0x7C. */
const DRIVING: Fields = new Map<number, Field>([
  [
    0x01,
    (report) =>
      report.alarmBits(report.u32(), [
        [1 << 0, 'hardAcceleration'],
        [1 << 1, 'hardBraking'],
        [1 << 2, 'hardCornering'],
        [1 << 3, 'accident'],
        [1 << 4, 'tampering'],
      ]),
  ],
])

/** What 0xFE is, its length tells. */
function various(report: Report): void {
  if (report.left === 1) report.set('batteryLevel', report.u8())
  else if (report.left === 2) report.set('power', report.u16() / 10)
  else if (report.left === 4) report.set('odometer', report.u32())
  else if (report.u8() === 0x7c) report.items(DRIVING, 'u8')
  else report.set('batteryLevel', report.u8())
}
