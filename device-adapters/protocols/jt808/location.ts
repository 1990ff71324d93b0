/** Body of a location report: alarms, status, place, motion, time; then additional items. */
import { readItems } from './items.ts'
import { bit, type Report } from './report.ts'

/** Alarms, status, latitude, longitude, altitude, speed, course, time. */
export const LOCATION_BYTES = 28
/** What follows a location in the devices that have no additional items. */
const FIXED_ITEMS_BYTES = 18

type Alarms = readonly (readonly [bits: number, name: string])[]

/** Bits of the alarm flag, JT/T 808 table "alarm flag bits"; bits that share a name are one alarm. */
const ALARMS: Alarms = [
  [1 << 0, 'sos'],
  [1 << 1, 'overspeed'],
  [1 << 2, 'fatigueDriving'],
  // Antenna not connected, and shorted.
  [(1 << 5) | (1 << 6), 'gpsAntennaCut'],
  // GNSS module, display, speech synthesis, camera.
  [(1 << 4) | (1 << 9) | (1 << 10) | (1 << 11), 'fault'],
  [(1 << 7) | (1 << 18), 'lowBattery'],
  [1 << 8, 'powerOff'],
  [1 << 15, 'vibration'],
  [(1 << 16) | (1 << 17), 'tampering'],
  [1 << 19, 'parking'],
  [1 << 20, 'geofence'],
  [1 << 26, 'general'],
  [1 << 28, 'movement'],
]

/** With collision and rollover, which VL300 sets at rest. */
const ALL_ALARMS: Alarms = [...ALARMS, [(1 << 29) | (1 << 30), 'accident']]

/** Padlocks and container trackers give the bits other meanings. */
const PADLOCK_ALARMS: Alarms = [
  [(1 << 0) | (1 << 4), 'removing'],
  [1 << 1, 'tampering'],
]
const AOVX_ALARMS: Alarms = [[1 << 16, 'movement']]

const ALARMS_OF_MODEL: ReadonlyMap<string, Alarms> = new Map([
  ['G-360P', PADLOCK_ALARMS],
  ['G-508P', PADLOCK_ALARMS],
  ['AL300', AOVX_ALARMS],
  ['GL100', AOVX_ALARMS],
  ['VL300', ALARMS],
])

/** Reads a whole location report. */
export function readLocation(report: Report): void {
  const alarms = report.u32()
  const place = readPlace(report)
  const altitudeM = report.i16()
  const speedKmh = report.u16() / 10
  const courseDeg = report.u16()
  report.fix(report.deviceTime(), place.latitudeDeg, place.longitudeDeg, place.valid)
  report.motion(altitudeM, speedKmh, courseDeg)
  report.alarmBits(alarms, ALARMS_OF_MODEL.get(report.model) ?? ALL_ALARMS)
  if (report.left === FIXED_ITEMS_BYTES && !isList(report)) readFixedItems(report)
  else readItems(report)
}

/** Status u32, latitude and longitude u32 in millionths of a degree. */
export function readPlace(report: Report): { latitudeDeg: number; longitudeDeg: number; valid: boolean } {
  const status = report.u32()
  report.set('ignition', bit(status, 0))
  if (report.model === 'G1C Pro') report.set('motion', bit(status, 4))
  report.set('blocked', bit(status, 10))
  if (report.model === 'MV810G' || report.model === 'MV710G') report.set('door', bit(status, 16))
  // Reserved in the standard; makers say with it that the device charges.
  report.set('charge', bit(status, 26))
  const latitude = report.u32() / 1_000_000
  const longitude = report.u32() / 1_000_000
  return {
    latitudeDeg: bit(status, 2) ? -latitude : latitude,
    longitudeDeg: bit(status, 3) ? -longitude : longitude,
    valid: bit(status, 1),
  }
}

/** Whether what is left is additional items by their lengths: there are as many bytes of them in other devices. */
function isList({ frame, at, left }: Report): boolean {
  let item = at
  while (item < at + left) {
    if (frame[item] === 0) return false
    item += 2 + frame[item + 1]!
  }
  return item === at + left
}

/** Remaining battery and mileage u32, mileage u32 km, voltage u16, area u32, signal u8, reserved. */
function readFixedItems(report: Report): void {
  report.skip(4)
  report.set('odometer', report.u32() * 1000)
  report.set('battery', report.u16() / 10)
  report.skip(4)
  report.set('rssi', report.u8())
}
