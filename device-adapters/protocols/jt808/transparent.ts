/** Message 0x0900: what is behind the terminal, passed through; a kind u8, then what its maker defines. */
import { readPlace } from './location.ts'
import { obdValues } from './obd.ts'
import {
  alarm,
  bit,
  type Field,
  type Fields,
  field,
  minus,
  per,
  type Report,
  times,
  trimmed,
} from './report.ts'

const KINDS: Fields = new Map<number, Field>([
  [0x40, driverText],
  [0x41, obdText],
  [0x53, (report) => readSampled(report, beacons)],
  [0x54, (report) => readSampled(report, samples)],
  [0xf0, vehicle],
  [0xf3, collision],
  [0xff, bare],
])

/** Reads the body of a message 0x0900; a kind that is not known is no row. */
export function transparent(report: Report): void {
  KINDS.get(report.u8())?.(report)
}

/** `GTSL|…|…|…|DRIVER|…`, or any text. */
function driverText(report: Report): void {
  const text = trimmed(report.latin1(report.left))
  const isDriver = text.startsWith('GTSL')
  const value = isDriver ? (text.split('|', 5)[4] ?? '') : text
  if (value === '') return
  report.withoutFix()
  report.set(isDriver ? 'driverUniqueId' : 'data', value)
}

function obdText(report: Report): void {
  report.withoutFix()
  obdValues(report, report.latin1(report.left))
}

/** Status, place, altitude, speed, course, time; then readings. */
function readSampled(report: Report, rest: Field): void {
  const { latitudeDeg, longitudeDeg, valid } = readPlace(report)
  const altitudeM = report.i16()
  const speedKmh = report.u16() / 10
  const courseDeg = report.u16()
  report.fix(report.deviceTime(), latitudeDeg, longitudeDeg, valid)
  report.motion(altitudeM, speedKmh, courseDeg)
  report.part(report.left, rest)
}

/** Bluetooth beacons after their count u8: number u8, MAC, signal i8, length u8, data. */
function beacons(report: Report): void {
  report.skip(1)
  while (report.left > 0) {
    const tag = `tag${report.u8() + 1}`
    report.set(`${tag}Mac`, report.hex(6))
    report.set(`${tag}Rssi`, report.i8())
    report.set(`${tag}Data`, report.hex(report.u8()))
  }
}

/** Samples: a mask u16, time in BCD, and what the mask says; the last one stands. */
function samples(report: Report): void {
  while (report.left > 0) {
    const mask = report.u16()
    report.skip(6)
    if (bit(mask, 0)) report.set('lightSensor', report.u16())
    if (bit(mask, 1)) {
      report.set('deviceTemp', report.i16() / 10)
      report.set('humidity', report.i16() / 10)
    }
    if (bit(mask, 2)) report.set('temp3', report.i16() / 10)
    // Acceleration.
    if (bit(mask, 3)) report.skip(6)
    if (bit(mask, 4)) report.set('airPressure', report.u16())
  }
}

/** Time, latitude and longitude i32, altitude, speed, course; then acceleration around it. */
function bare(report: Report): void {
  const timeMs = report.deviceTime()
  report.fix(timeMs, report.i32() / 1_000_000, report.i32() / 1_000_000, true)
  report.motion(report.i16(), report.u16() / 10, report.u16())
}

/** Items of id u16, length u16: 0x0002 acceleration, 0x0006 time. */
function collision(report: Report): void {
  let timeMs = Number.NaN
  const items: Fields = new Map<number, Field>([
    [0x0002, field('collision', 'u16', per(25_600))],
    [
      0x0006,
      () => {
        timeMs = report.deviceTime()
      },
    ],
  ])
  report.items(items, 'u16', 'u16')
  report.withoutFix(timeMs)
}

/** Readings of kind 1: id u16, length u8, value. Of those that are not here, the number is part of the key. */
const READINGS: Fields = new Map<number, Field>([
  [0x0102, field('odometer', 'u32', times(100))],
  [0x0103, field('fuel', 'u32', per(100))],
  [0x0105, field('fuelUsed', 'u32', per(100))],
  [0x0111, field('fuelTemp', 'u8', minus(40))],
  [0x012e, field('oilLevel', 'u16', per(10))],
  [0x014a, field('fuelConsumption', 'u16', per(100))],
  [0x0528, field('odometer', 'u32', times(100))],
  [0x052a, field('fuel', 'u16', per(100))],
  [0x052b, field('fuel', 'u8')],
  [0x052c, field('fuelUsed', 'u32', per(100))],
  [0x052d, field('coolantTemp', 'u8', minus(40))],
  [0x052e, field('airTemp', 'u8', minus(40))],
  [0x0530, field('power', 'u16', per(1000))],
  [0x0535, field('obdSpeed', 'u16', per(10))],
  [0x0536, field('rpm', 'u16')],
  [0x0537, field('fuelConsumption', 'u16', per(100))],
  [0x0538, field('fuelConsumption', 'u16', per(100))],
  [0x0539, field('fuelConsumption', 'u16', per(100))],
  [0x053d, field('intakePressure', 'u16', per(10))],
  [0x0544, field('liquidLevel', 'u8')],
  [0x0546, field('odometer', 'u32', times(100))],
  [0x0547, field('throttle', 'u8')],
  [0x0548, field('throttle', 'u8')],
  [0xfeec, (report) => report.set('vin', report.latin1(report.left))],
])

/** Alarms of kind 3: id u8, length u8, value. */
const ALARMS: ReadonlyMap<number, string> = new Map([
  [0x01, 'powerRestored'],
  [0x02, 'powerCut'],
  [0x0e, 'idle'],
  [0x1a, 'hardAcceleration'],
  [0x1b, 'hardBraking'],
  [0x1c, 'hardCornering'],
  [0x1d, 'laneChange'],
  [0x1e, 'laneChange'],
  [0x1f, 'laneChange'],
  [0x23, 'fatigueDriving'],
  [0x25, 'overspeed'],
  [0x26, 'accident'],
  [0x27, 'accident'],
  [0x28, 'accident'],
  [0x31, 'door'],
  [0x32, 'door'],
])

/** Events of kind 0x15. */
const EVENTS: Fields = new Map([
  [51, alarm('hardAcceleration')],
  [52, alarm('hardBraking')],
  [53, alarm('hardCornering')],
  [54, alarm('laneChange')],
  [56, alarm('accident')],
])

/** Kinds of what a vehicle reports. */
const VEHICLE: Fields = new Map<number, Field>([
  [0x01, readings],
  [0x02, faults],
  [0x03, alarms],
  [0x04, trip],
  [0x0b, vin],
  [0x15, event],
])

/**
 * Time, sent later u8, kind of vehicle u8, kind u8. Some kinds end with the place of an older time than their own: it
 * came in a location report, and is no fix of this message.
 */
function vehicle(report: Report): void {
  const timeMs = report.deviceTime()
  const archive = report.u8() > 0
  report.skip(1)
  const kind = VEHICLE.get(report.u8())
  if (kind === undefined) return
  report.withoutFix(timeMs)
  if (archive) report.set('archive', true)
  report.part(report.left, kind)
}

function readings(report: Report): void {
  for (let left = report.u8(); left > 0 && report.left >= 3; left--) {
    const id = report.u16()
    const bytes = report.u8()
    report.part(bytes, READINGS.get(id) ?? ((part) => numbered(part, id)))
  }
  readPlace(report)
}

function numbered(report: Report, id: number): void {
  if (report.left === 1) report.set(`io${id}`, report.u8())
  else if (report.left === 2) report.set(`io${id}`, report.u16())
  else if (report.left === 4) report.set(`io${id}`, report.u32())
}

/** Systems after their count u16: id u32, then codes after their count u16: code u32, status u32, text after its length u16. */
function faults(report: Report): void {
  const codes: string[] = []
  for (let systems = report.u16(); systems > 0; systems--) {
    report.skip(4)
    for (let left = report.u16(); left > 0; left--) {
      report.skip(8)
      codes.push(trimmed(report.latin1(report.u16())))
    }
  }
  report.set('dtcs', codes.join(' '))
  readPlace(report)
}

function alarms(report: Report): void {
  for (let left = report.u8(); left > 0; left--) {
    const name = ALARMS.get(report.u8())
    if (name !== undefined) report.alarm(name)
    report.skip(report.u8())
  }
  readPlace(report)
}

/** Property u8, number u32, start; if it is over (2): end, both places, idling, distance, fuel. */
function trip(report: Report): void {
  const property = report.u8()
  report.set('tripNumber', report.u32())
  report.skip(6)
  if (property !== 0x02) return
  report.skip(6 + 8 + 8 + 1)
  report.set('idlingCount', report.u16())
  report.set('idlingTime', report.u16())
  report.set('tripOdometer', report.u16() * 100)
  report.set('tripFuel', report.u16() / 100)
}

function vin(report: Report): void {
  if (report.u8() > 0) report.set('vin', report.latin1(17))
}

function event(report: Report): void {
  const number = report.i32()
  const known = EVENTS.get(number)
  if (known === undefined) report.set('event', number)
  else known(report)
}
