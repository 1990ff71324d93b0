/** Messages of locks: positions with a place in BCD, and what their items say of the lock. */
import { kmhFromKnots } from '../../units.ts'
import { bit, type Fields, field, type Report } from './report.ts'

type Alarms = readonly (readonly [bits: number, name: string])[]

/** Product 3 is a lock, the others are trackers. */
const LOCK_PRODUCT = 3
const LOCK_ALARMS: Alarms = [
  [1 << 0, 'overspeed'],
  [1 << 1, 'lowPower'],
  [1 << 2, 'vibration'],
  [1 << 3, 'lowBattery'],
  [1 << 5, 'geofenceEnter'],
  [1 << 6, 'geofenceExit'],
]
const TRACKER_PRODUCTS = [1, 2]
const TRACKER_ALARMS: Alarms = [[1 << 0, 'lowPower']]

/** Values of the battery that say that it charges. */
const CHARGING = [0xaa, 0xab]

/** Items of 0x5501 and 0x5502. */
const ITEMS: Fields = new Map([
  [0x02, (report) => report.altitude(report.i16())],
  [0x0b, unlocking],
  [0x0c, (report) => report.set('tilt', `[${report.i16()},${report.i16()},${report.i16()}]`)],
  [0x10, field('wakeSource', 'u8')],
  [0xfc, field('geofence', 'u8')],
])

/**
 * Message 0x5501, and 0x5502 from where there is no signal: place, network signal, satellites, mileage u32 km, battery
 * %, cell id u32, area code u16, product u8, status u16, alarms u16; then items.
 */
export function lockLocation(blind: boolean): (report: Report) => void {
  return (report) => {
    readPlace(report, blind)
    report.set('rssi', report.u8())
    report.set('sat', report.u8())
    report.set('odometer', report.u32() * 1000)
    const battery = report.u8()
    if (battery <= 100) report.set('batteryLevel', battery)
    else if (CHARGING.includes(battery)) report.set('charge', true)
    const cid = report.u32()
    const lac = report.u16()
    // The message does not say of which network the cell is.
    if (cid > 0 && lac > 0) report.cell(0, 0, lac, cid)
    const product = report.u8()
    const status = report.u16()
    const alarms = report.u16()
    if (TRACKER_PRODUCTS.includes(product)) report.alarmBits(alarms, TRACKER_ALARMS)
    else if (product === LOCK_PRODUCT) {
      report.set('blocked', bit(status, 5))
      report.alarmBits(alarms, LOCK_ALARMS)
    }
    report.set('status', status)
    report.items(ITEMS, 'u8')
  }
}

/**
 * All in BCD: date ddmmyy and time hhmmss, UTC; latitude ddmm.mmmm, longitude dddmm.mmmm, and in its last half byte bits
 * 0 valid, 1 north, 2 east; speed in knots. Then the course in 2°.
 */
function readPlace(report: Report, blind: boolean): void {
  const [day, month, year, hours, minutes, seconds] = report.hex(6).match(/../g)!.map(Number)
  const latitude = degrees(report.hex(4))
  const longitude = report.hex(5)
  const flags = Number.parseInt(longitude[9]!, 16)
  const timeMs = Date.UTC(2000 + year!, month! - 1, day, hours, minutes, seconds)
  const longitudeDeg = degrees(longitude.slice(0, 9))
  report.fix(
    timeMs,
    bit(flags, 1) ? latitude : -latitude,
    bit(flags, 2) ? longitudeDeg : -longitudeDeg,
    !blind,
  )
  report.motion(Number.NaN, kmhFromKnots(Number(report.hex(1))), report.u8() * 2)
}

/** Digits of degrees, then six of minutes with four decimals. */
function degrees(digits: string): number {
  return Number(digits.slice(0, -6)) + Number(digits.slice(-6)) / 600_000
}

/** How a lock was told to open or close: command u8, card u32 or password of 6 characters, result u8. */
export function unlocking(report: Report): void {
  const bytes = report.left
  report.set('lockCommand', report.u8())
  if (bytes >= 7) report.set('lockPassword', report.latin1(6))
  else if (bytes >= 5) report.set('lockCard', report.u32())
  if (bytes % 2 === 0) report.set('unlockResult', report.u8())
}

/** Locks of 11 bytes: id, battery mV, seal "1", physical state, signal. */
export function seals(report: Report): void {
  for (let lock = 1; report.left >= 11; lock++) {
    report.set(`lock${lock}Id`, report.hex(6))
    report.set(`lock${lock}Battery`, report.u16() / 1000)
    report.set(`lock${lock}Seal`, report.u8() === 0x31)
    report.skip(2)
  }
}

/** Locks after their count: id, card, battery %, status whose bit 5 is open. */
export function locks(report: Report): void {
  const count = report.u8()
  for (let lock = 1; lock <= count && report.left > 0; lock++) {
    report.set(`lock${lock}Id`, report.hex(5))
    report.set(`lock${lock}Card`, report.hex(5))
    report.set(`lock${lock}Battery`, report.u8())
    report.set(`lock${lock}Locked`, !bit(report.u16(), 5))
  }
}

/** Status of a padlock as text: `*M00,…,` and seven digits, of which the third to fifth are 0.01 V. */
export function padlock(report: Report): void {
  const status = report.latin1(report.left)
  if (!status.startsWith('*M00')) return
  const battery = Number(status.slice(10, 13))
  report.set('battery', battery / 100)
}
