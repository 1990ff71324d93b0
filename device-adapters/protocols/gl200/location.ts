/**
 * The location in a report: HDOP, speed, course, altitude, longitude, latitude, time, access points, and the tower.
 *
 *     hdop,km/h,degrees,m,longitude,latitude,yyyyMMddHHmmss[,count{,mac,dBm,,,}],mcc,mnc,lac,cid,last
 *
 * `last` is the odometer in km, a mask of what is appended, or reserved. HDOP is 0 where the receiver has no fix: the
 * place is the last one known then, and its time says of when. Recorded values take it for valid all the same.
 */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { type AccessPoint, type CellTower, setNetwork } from '../../network.ts'
import { type FieldReader, hasBit, macOf, maskOf, numberOf, timeOf, towerOf } from './fields.ts'
import { either, field, optional, type Rule, repeated, sequence, type Taken } from './pattern.ts'

const MAC = /^[0-9a-f]{12}$/i
/** Access points of one location that are read. */
const ACCESS_POINTS_MAX = 32

/** The fields of a location, as {@link addTaken} reads what was taken. */
export const LOCATION: Rule = sequence(
  field(/^(\d{1,2}\.?\d?)?$/, 'hdop'),
  field(/^(\d{1,3}\.\d)?$/, 'speed'),
  field(/^(\d{1,3}\.?\d?)?$/, 'course'),
  field(/^(-?\d{1,5}\.\d)?$/, 'altitude'),
  field(/^(-?\d{1,3}\.\d{6})?$/, 'longitude'),
  field(/^(-?\d{1,2}\.\d{6})?$/, 'latitude'),
  field(/^(\d{14})?$/, 'time'),
  optional(
    field(/^\d+$/),
    repeated(
      'wifi',
      1,
      ACCESS_POINTS_MAX,
      field(MAC, 'mac'),
      field(/^-\d+$/, 'rssi'),
      field(/^$/),
      field(/^$/),
      field(/^$/),
    ),
  ),
  field(/^\d*$/),
  field(/^\d*$/),
  field(/^[0-9a-f]*$/i),
  field(/^[0-9a-f]*$/i),
  either(field(/^\d*$/), field(/^\d+\.\d$/, 'odometerKm')),
)

/**
 * Appends the location that a pattern took. Its tower is left out: recorded values of reports that are read by
 * patterns hold none.
 */
export function addTaken(taken: Taken, out: PositionBatch): number {
  const row = addFix(
    ['hdop', 'speed', 'course', 'altitude', 'longitude', 'latitude', 'time'].map((name) => taken.get(name)),
    out,
  )
  const wifi = taken
    .all('wifi')
    .map((point) => ({ mac: macOf(point.get('mac')), rssi: numberOf(point.get('rssi')) }))
  setNetwork(out, row, [], wifi)
  out.set(row, 'odometer', numberOf(taken.get('odometerKm')) * 1000)
  return row
}

/** Appends the location that follows in a report of `model`. */
export function readLocation(fields: FieldReader, model: string, out: PositionBatch): number {
  const row = addFix(
    Array.from({ length: 7 }, () => fields.text()),
    out,
  )
  const wifi: AccessPoint[] = []
  if (fields.peek(1).length === 12) {
    for (let left = fields.number(); left > 0; left--) {
      const mac = fields.text()
      const rssi = fields.number()
      fields.skip(3)
      if (MAC.test(mac)) wifi.push({ mac: macOf(mac), ...(!Number.isNaN(rssi) && { rssi }) })
    }
  }
  const tower = towerOf(Array.from({ length: 4 }, () => fields.text()))
  const towers: CellTower[] = tower === undefined ? [] : [tower]
  setNetwork(out, row, towers, wifi)

  // Signal and bit errors.
  if (model.startsWith('GL5')) fields.skip(2)
  if (model === 'GT500MA' || model === 'GT501') fields.skip(1)
  else if (model !== 'GL320M') {
    const last = fields.text()
    if (last.includes('.')) out.set(row, 'odometer', numberOf(last) * 1000)
    else {
      const appended = maskOf(last)
      if (hasBit(appended, 0)) out.set(row, 'sat', fields.number())
      // What triggered the report, and jamming of the receiver.
      if (hasBit(appended, 1)) fields.skip(1)
      if (hasBit(appended, 4)) fields.skip(1)
    }
  }
  return row
}

/**
 * Appends a fix of the fields HDOP to time; without a place or a time, a row without one.
 * @throws RangeError if something else stands there.
 */
export function addFix(values: readonly string[], out: PositionBatch): number {
  const [hdop = '', speed = '', course = '', altitude = '', longitude = '', latitude = '', time = ''] = values
  const placed = longitude !== '' && latitude !== '' && time !== ''
  if (placed && Number.isNaN(timeOf(time) + numberOf(latitude) + numberOf(longitude))) {
    throw new RangeError(`no place and time: ${longitude}, ${latitude}, ${time}`)
  }
  const row = placed ? out.add(timeOf(time), numberOf(latitude), numberOf(longitude)) : out.addWithoutFix()
  out.set(row, 'hdop', numberOf(hdop))
  if (placed) {
    out.speedKmh[row] = numberOf(speed)
    out.courseDeg[row] = numberOf(course)
    out.altitudeM[row] = numberOf(altitude)
  }
  return row
}
