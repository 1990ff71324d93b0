/** Text reports of Meitrack, AAA and AFF; their fields are in ../protocols/meitrack.ts. */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { DecodeError, type Session } from '../../adapter.ts'
import { setNetwork } from '../../network.ts'
import { ALARMS, ASKED, DRIVER, signalOf } from './events.ts'
import type { Frame } from './frame.ts'

/** Volts for a step of the analog inputs 4 and 5, the battery of the device and the supply of the vehicle, by model. */
const HUNDREDTHS: Volts = { battery: 0.01, power: 0.01 }
const TEN_BITS: Volts = { battery: (3 * 2) / 1024, power: (3 * 16) / 1024 }
const TWELVE_BITS: Volts = { battery: (3.3 * 2) / 4096, power: (3.3 * 16) / 4096 }
const VOLTS: ReadonlyMap<string, Volts> = new Map([
  ['MVT340', TEN_BITS],
  ['MVT380', TEN_BITS],
  ['MT90', { battery: TWELVE_BITS.battery, power: 1 }],
  ...['T1', 'T3', 'MVT100', 'MVT600', 'MVT800', 'TC68', 'TC68S'].map(
    (model) => [model, TWELVE_BITS] as const,
  ),
])

interface Volts {
  readonly battery: number
  readonly power: number
}

/** Fields after the event, in their order; `out` takes the first three itself. */
const SATELLITES = 5
const RSSI = 6
const SPEED = 7
const COURSE = 8
const HDOP = 9
const ALTITUDE = 10
const ODOMETER = 11
const RUNTIME = 12
const CELL = 13
const PORTS = 14
const ANALOG = 15
const TAIL = 16

/** Version of the protocol from which on a temperature is a signed number of hundredths. */
const SIGNED_TEMPERATURES = 3

/** Whether the body of a frame is a report, of whatever type. */
export function isReport(fields: readonly string[]): boolean {
  return eventAt(fields) !== undefined
}

/** Place of the event: the type AFF may have the number of reports that wait before it. */
function eventAt(fields: readonly string[]): number | undefined {
  return [1, 2].find((at) => /^\d{1,4}$/.test(fields[at]!) && /^-?\d{1,3}\.\d+$/.test(fields[at + 1] ?? ''))
}

/**
 * Appends the row of a report.
 * @param fields Body of the frame, the type first.
 * @throws DecodeError if it has no event, place or time.
 */
export function decodeReport(
  frame: Frame,
  fields: readonly string[],
  session: Session,
  out: PositionBatch,
): void {
  const start = eventAt(fields)
  if (start === undefined) throw new DecodeError('malformed', 'a report without event and place')
  const values = fields.slice(start)
  const [event, latitude, longitude, date, validity] = values as [string, string, string, string, string]
  const timeMs = utcOf(date)
  if (Number.isNaN(timeMs) || Number.isNaN(decimal(longitude)) || !/^[AV]$/.test(validity)) {
    throw new DecodeError('malformed', 'a report without place, time and validity')
  }
  const row = out.add(timeMs, decimal(latitude), decimal(longitude))
  // What identifies the report: the frame's identifier, the number that wait and the checksum change when it is sent again.
  const head = fields.slice(0, start).join(',').length + 1
  out.setRecord(row, frame.typeAt + head, frame.end)
  out.setValid(row, validity === 'A')
  out.speedKmh[row] = decimal(values[SPEED])
  out.courseDeg[row] = decimal(values[COURSE])
  out.altitudeM[row] = decimal(values[ALTITUDE])
  out.set(row, 'event', Number(event))
  out.set(row, 'alarm', ALARMS.get(Number(event)))
  out.set(row, 'sat', decimal(values[SATELLITES]))
  out.set(row, 'hdop', decimal(values[HDOP]))
  out.set(row, 'odometer', decimal(values[ODOMETER]))
  out.set(row, 'runtime', values[RUNTIME])
  setCell(row, values[CELL] ?? '', decimal(values[RSSI]), out)
  const ports = values[PORTS] ?? ''
  if (/^[0-9A-Fa-f]{4}$/.test(ports)) {
    out.set(row, 'input', hexadecimal(ports.slice(0, 2)))
    out.set(row, 'output', hexadecimal(ports.slice(2)))
  }
  setAnalog(row, values[ANALOG] ?? '', session, out)
  setTail(row, Number(event), values.slice(TAIL), out)
  if (Number(event) === ASKED) session.answer({ ok: true, text: '' })
}

/** `mcc|mnc|lac|cid`, the last two in hex; all 0 where the device sees no network. */
function setCell(row: number, field: string, rssi: number, out: PositionBatch): void {
  const [country, network, area = '', cell = ''] = field.split('|')
  const mcc = decimal(country)
  const mnc = decimal(network)
  if (!(mcc > 0 && mnc > 0)) return
  const tower = { mcc, mnc, lac: hexadecimal(area) || 0, cid: hexadecimal(cell) || 0 }
  setNetwork(out, row, [Number.isNaN(rssi) ? tower : { ...tower, rssi: signalOf(rssi) }])
}

/** Inputs 1 to 3, battery and supply in hex; or, of newer models, battery, supply, clock, controller and receiver in volts. */
function setAnalog(row: number, field: string, session: Session, out: PositionBatch): void {
  const values = field.split('|')
  if (values.every((value) => /^\d+\.\d+$/.test(value))) {
    out.set(row, 'battery', decimal(values[0]))
    out.set(row, 'power', decimal(values[1]))
    return
  }
  for (let input = 1; input <= 3; input++) out.set(row, `adc${input}`, hexadecimal(values[input - 1]))
  const volts = VOLTS.get(session.device?.model.toUpperCase() ?? '') ?? HUNDREDTHS
  out.set(row, 'battery', hexadecimal(values[3]) * volts.battery)
  out.set(row, 'power', hexadecimal(values[4]) * volts.power)
}

/**
 * Event data, reserved, version of the protocol, fuel, temperatures, count of data, data. Older devices end before the
 * version, or have none of it as it is here; some leave out the field of the event data where they have none.
 */
function setTail(row: number, event: number, tail: readonly string[], out: PositionBatch): void {
  const fields = [tail, ['', ...tail]].find(isTail)
  if (fields === undefined) return
  const [data, , version, fuel, temperatures, , ...more] = fields
  if (data) out.set(row, event === DRIVER ? 'driverUniqueId' : 'eventData', data)
  if (/^[0-9A-Fa-f]{4}$/.test(fuel!)) out.set(row, 'fuel', hundredths(fuel!))
  for (const temperature of temperatures?.split('|') ?? []) {
    if (!/^[0-9A-Fa-f]{6}$/.test(temperature)) continue
    const value = temperature.slice(2)
    out.set(
      row,
      `temp${hexadecimal(temperature.slice(0, 2))}`,
      Number(version) >= SIGNED_TEMPERATURES ? int16(value) / 100 : signedHundredths(value),
    )
  }
  if (more[1]) out.set(row, 'tempData', more[1])
  if (more[5]) setTaximeter(row, more[5].split('|'), out)
}

/** Whether the fields are those of {@link setTail}, told by their form alone. */
function isTail([, , version, fuel, temperatures, count, ...data]: readonly string[]): boolean {
  if (!/^\d*$/.test(version ?? '') || !/^([0-9A-Fa-f]{4})?$/.test(fuel ?? ' ')) return false
  if (temperatures === undefined) return true
  if (!/^([0-9A-Fa-f]{6}(\|[0-9A-Fa-f]{6})*)?$/.test(temperatures)) return false
  return count === undefined || (/^\d+$/.test(count) && data.length > 0)
}

/** State, start, and for a ride that is over end, distance, fare, time under way and time of waiting. */
function setTaximeter(row: number, [state, start, ...ride]: string[], out: PositionBatch): void {
  out.set(row, 'taximeterOn', state![1] === '0')
  out.set(row, 'taximeterStart', start)
  const [end, distance, fare, trip, wait] = ride
  out.set(row, 'taximeterEnd', end)
  out.set(row, 'taximeterDistance', decimal(distance))
  out.set(row, 'taximeterFare', decimal(fare))
  out.set(row, 'taximeterTrip', trip)
  out.set(row, 'taximeterWait', wait)
}

/** NaN for anything but a decimal number. */
function decimal(text = ''): number {
  return /^-?\d+(\.\d*)?$/.test(text) ? Number(text) : Number.NaN
}

/** NaN for anything but up to 8 hexadecimal digits. */
function hexadecimal(text = ''): number {
  return /^[0-9A-Fa-f]{1,8}$/.test(text) ? Number.parseInt(text, 16) : Number.NaN
}

function int16(hex: string): number {
  return (Number.parseInt(hex, 16) << 16) >> 16
}

/** A byte of whole ones, then a byte of hundredths. */
function hundredths(hex: string): number {
  return Number.parseInt(hex.slice(0, 2), 16) + Number.parseInt(hex.slice(2), 16) / 100
}

/** As {@link hundredths}, with a signed byte of whole ones. */
function signedHundredths(hex: string): number {
  const whole = (Number.parseInt(hex.slice(0, 2), 16) << 24) >> 24
  const rest = Number.parseInt(hex.slice(2), 16) / 100
  return whole < 0 ? whole - rest : whole + rest
}

/** `yymmddhhmmss`, UTC, in ms since 1970-01-01T00:00Z. */
function utcOf(date = ''): number {
  if (!/^\d{12}$/.test(date)) return Number.NaN
  const two = (at: number) => Number(date.slice(at, at + 2))
  return Date.UTC(2000 + two(0), two(2) - 1, two(4), two(6), two(8), two(10))
}
