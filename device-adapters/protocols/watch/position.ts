/** Positions of watches; their layout is in ../protocols/watch.ts. */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { DecodeError } from '../../adapter.ts'
import { type AccessPoint, type CellTower, setNetwork } from '../../network.ts'
import { utcFromNmea } from '../../units.ts'

const NUMBER = /^-?\d+\.?\d*$/
const WHOLE = /^\d{1,15}$/
const MAC = /^(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$/

/** Fields before those of the network. */
const FIX_FIELDS = 16

/** Status bits of alarms, the first that is set counts: states at first, from bit 16 on what happens now. */
const ALARMS = [
  [0, 'lowBattery'],
  [1, 'geofenceExit'],
  [2, 'geofenceEnter'],
  [14, 'powerCut'],
  [16, 'sos'],
  [17, 'lowBattery'],
  [18, 'geofenceExit'],
  [19, 'geofenceEnter'],
  [20, 'removing'],
  [21, 'fallDown'],
  [22, 'fallDown'],
] as const
const MOTION_BIT = 4

/**
 * Appends the row of a position.
 * @param content What follows the type and its comma.
 * @param isAlarm Whether the message is one of an alarm, even if no bit of the status names it.
 * @throws DecodeError if the fields break the layout.
 */
export function decodePosition(content: string, isAlarm: boolean, out: PositionBatch): void {
  const fields = content.split(',')
  const [date = '', time = '', validity, latitude, north, longitude, east] = fields
  const [speed, course, altitude, satellites, rssi, battery, steps, , status = ''] = fields.slice(7)
  const isFix =
    fields.length > FIX_FIELDS &&
    /^\d{12}$/.test(date + time) &&
    (validity === 'A' || validity === 'V') &&
    /^[0-9A-Fa-f]{1,8}$/.test(status)
  if (!isFix) throw new DecodeError('malformed', `no position of a watch: ${content.slice(0, 60)}`)
  const row = out.add(utcFromNmea(date, time), degreesOf(latitude, north), degreesOf(longitude, east))
  out.setValid(row, validity === 'A')
  out.speedKmh[row] = numberOf(speed)
  out.courseDeg[row] = numberOf(course)
  out.altitudeM[row] = numberOf(altitude)
  out.set(row, 'sat', wholeOf(satellites))
  out.set(row, 'rssi', wholeOf(rssi))
  out.set(row, 'batteryLevel', wholeOf(battery))
  out.set(row, 'steps', wholeOf(steps))
  const bits = Number.parseInt(status, 16)
  const alarm = ALARMS.find(([bit]) => ((bits >>> bit) & 1) === 1)?.[1] ?? (isAlarm ? 'general' : undefined)
  if (alarm !== undefined) out.set(row, 'alarm', alarm)
  if (((bits >>> MOTION_BIT) & 1) === 1) out.set(row, 'motion', true)
  const { towers, rest } = towersOf(fields.slice(FIX_FIELDS))
  setNetwork(out, row, towers, accessPointsOf(rest))
}

/** Some send the sign as well as the hemisphere, and some the sign with a hemisphere that is always N or E. */
function degreesOf(text = '', hemisphere: string | undefined): number {
  const degrees = numberOf(text.trimStart())
  if (hemisphere === 'S' || hemisphere === 'W') return -Math.abs(degrees)
  if (hemisphere !== 'N' && hemisphere !== 'E' && hemisphere !== '') {
    throw new DecodeError('malformed', `no hemisphere: ${String(hemisphere).slice(0, 20)}`)
  }
  return degrees
}

/** Towers: count, and if there is one, timing advance, country, network, then area, cell and signal of each. */
function towersOf(fields: readonly string[]): { towers: CellTower[]; rest: readonly string[] } {
  const count = wholeOf(fields[0])
  if (!(count > 0)) return { towers: [], rest: fields.slice(1) }
  const mcc = Number(fields[2])
  const mnc = Number(fields[3])
  const towers: CellTower[] = []
  let at = 4
  for (let i = 0; i < count && at + 2 <= fields.length; i++, at += 3) {
    const lac = decimalOrHex(fields[at]!)
    const cid = decimalOrHex(fields[at + 1]!)
    // The place is as good without its towers, and what follows one that is not read cannot be found.
    if (Number.isNaN(lac + cid + mcc + mnc)) return { towers, rest: [] }
    const signal = fields[at + 2] ?? ''
    const tower = { mcc, mnc, lac, cid }
    // The sign is mostly left out.
    towers.push(NUMBER.test(signal) ? { ...tower, rssi: -Math.abs(Number(signal)) || 0 } : tower)
  }
  return { towers, rest: fields.slice(at) }
}

/** Access points: count, then name, MAC and signal of each. A name with a comma hides those that follow it. */
function accessPointsOf(fields: readonly string[]): AccessPoint[] {
  const count = wholeOf(fields[0])
  const points: AccessPoint[] = []
  for (let i = 0, at = 1; i < count && at + 2 < fields.length; i++, at += 3) {
    const mac = fields[at + 1]!
    const signal = fields[at + 2]!
    if (mac === '' || mac === '0' || signal === '') continue
    if (!MAC.test(mac) || !NUMBER.test(signal)) break
    points.push({ mac, rssi: Number(signal) })
  }
  return points
}

function decimalOrHex(text: string): number {
  if (!/^[0-9A-Fa-f]{1,10}$/.test(text)) return Number.NaN
  return Number.parseInt(text, /[A-Fa-f]/.test(text) ? 16 : 10)
}

function numberOf(text = ''): number {
  if (!NUMBER.test(text)) throw new DecodeError('malformed', `no number: ${text.slice(0, 20)}`)
  return Number(text)
}

/** NaN for anything but digits. */
function wholeOf(text = ''): number {
  return WHOLE.test(text) ? Number(text) : Number.NaN
}
