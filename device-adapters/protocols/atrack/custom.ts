/**
 * Fields that an operator of ATrack devices adds to their positions, named by a form such as `%MV%BV%GQ`. The device sends
 * the form with each position when it begins with `%CI`; else it is the option `form` of the device.
 */
import type { AttributeValue } from '../../../schemas/attributes.ts'
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import type { ByteReader } from '../../byte-reader.ts'
import { setNetwork } from '../../network.ts'
import { setBeacons } from './beacons.ts'

/** How a field is written in a binary packet: a number, a text that ends with NUL, or so many bytes that are not read. */
type Format = 'u8' | 'u16' | 'i16' | 'u32' | 'i32' | 'text' | number

/** A field, the attribute that it is, and the unit of a step. */
type Field = readonly [format: Format, attribute?: string, unit?: number]

const MILE_M = 1609.344
const TENTH_HOUR_MS = 360_000
/** Vehicle hours come in steps of 0.05 h. */
const TWENTIETH_HOUR_MS = 180_000

/** By the key of the form. Those without an attribute have their own meaning in {@link take}, or are left out. */
const FIELDS: ReadonlyMap<string, Field> = new Map<string, Field>([
  // Device and network.
  ['SA', ['u8', 'sat']],
  ['MV', ['u16', 'power', 0.1]],
  ['BV', ['u16', 'battery', 0.1]],
  ['GQ', ['u8']],
  ['CE', ['u32']],
  ['LC', ['u16']],
  ['CN', ['u32']],
  ['RL', ['u8']],
  ['NC', ['text']],
  ['GS', ['u8', 'rssi']],
  ['DT', ['u8']],
  ['CD', ['text', 'iccid']],
  ['CM', [8]],
  ['ME', [8]],
  ['MA', ['text']],
  ['GL', ['text']],
  ['CI', ['text']],
  ['BC', ['text']],
  // Movement, inputs and counters.
  ['AT', ['i32']],
  ['SM', ['u16']],
  ['GN', [60]],
  ['GV', [6]],
  ['MT', ['u8']],
  ['HA', ['u8']],
  ['HB', ['u8']],
  ['HC', ['u8']],
  ['PC', ['u32', 'count1']],
  ['AV1', ['u16', 'adc1']],
  ['IN0', ['u8']],
  ['IN1', ['u8']],
  ['IN2', ['u8']],
  ['IN3', ['u8']],
  // OBD.
  ['VN', ['text', 'vin']],
  ['RP', ['u16', 'rpm']],
  ['TR', ['u8', 'throttle']],
  ['EL', ['u8', 'engineLoad']],
  ['ET', ['i16', 'coolantTemp']],
  ['IA', ['u8', 'intakeTemp']],
  ['FL', ['u8', 'fuel']],
  ['FC', ['u32', 'fuelConsumption']],
  ['MF', ['u16']],
  ['MP', ['u8']],
  ['ML', ['u8']],
  ['PD', ['u8']],
  ['EO', ['u32', 'odometer', MILE_M]],
  ['EH', ['u32', 'hours', TENTH_HOUR_MS]],
  // J1708: brake stroke, warnings, brakes, pedal, cruise control, pressures, temperatures.
  ['ZO1', ['u8']],
  ['ZO2', ['u8']],
  ['ZO3', ['u8']],
  ['ZO4', ['u8', 'throttle', 0.4]],
  ['ZO5', ['u8']],
  ['ZO6', ['u8', 'obdSpeed', 0.805]],
  ['ZO7', ['u8']],
  ['ZO8', ['u8']],
  ['ZO9', ['u8', 'engineLoad', 0.5]],
  ['ZO10', ['u8', 'fuel', 0.5]],
  ['ZO11', ['u8']],
  ['ZO12', ['u8']],
  ['ZO13', ['u8']],
  ['ZO14', ['u8', 'coolantTemp']],
  ['ZO15', ['u8']],
  ['ZO16', ['u8']],
  ['ZO17', ['u8']],
  ['ZH1', ['u16']],
  ['ZH2', ['u16', 'fuelConsumption', 16.428 / 3600]],
  ['ZH3', ['u16', 'rpm', 0.25]],
  ['ZL1', ['u32']],
  ['ZL2', ['u32', 'odometer', 161]],
  ['ZL3', ['u32']],
  ['ZL4', ['u32', 'hours', TWENTIETH_HOUR_MS]],
  ['ZS1', ['text', 'vin']],
  // J1939 and FMS.
  ['JO1', ['u8']],
  ['JO2', ['u8']],
  ['JO3', ['u8']],
  ['JO4', ['u8', 'engineLoad']],
  ['JO5', ['u8', 'fuel', 0.4]],
  ['JO6', ['u8']],
  ['JO7', ['u8']],
  ['JO8', ['u8']],
  ['JO9', ['u8']],
  ['JO10', ['u8']],
  ['JO11', ['u8']],
  ['JO12', ['u8']],
  ['JH1', ['u16', 'obdSpeed', 1 / 256]],
  ['JH2', ['u16', 'rpm', 0.125]],
  ['JH3', ['u16', 'axleWeight1', 0.5]],
  ['JH4', ['u16', 'axleWeight2', 0.5]],
  ['JH5', ['u16', 'axleWeight3', 0.5]],
  ['JH6', ['u16', 'axleWeight4', 0.5]],
  ['JH7', ['u16', 'axleWeight5', 0.5]],
  ['JH8', ['u16', 'serviceOdometer', 5]],
  ['JH9', ['u16']],
  ['JH10', ['u16']],
  ['JH11', ['u16', 'fuelConsumption', 0.05]],
  ['JH12', ['u16']],
  ['JL1', ['u32', 'fuelUsed', 0.5]],
  ['JL2', ['u32', 'hours', TWENTIETH_HOUR_MS]],
  ['JL3', ['u32', 'odometer', 1000]],
  ['JL4', ['u32', 'fuelUsed', 0.001]],
  ['JS1', ['text', 'vin']],
  ['JS2', ['text']],
  ['JS3', ['text', 'driver1']],
  ['JS4', ['text', 'driver2']],
  ['JN1', ['u32']],
  ['JN2', ['u32']],
  ['JN3', ['u32']],
  ['JN4', ['u32']],
  ['JN5', ['u32']],
])

/** What stands for a temperature where no sensor is connected. */
const NO_SENSOR_CELSIUS = 200

const ALARMS: ReadonlyMap<string, string> = new Map([
  ['HA', 'hardAcceleration'],
  ['HB', 'hardBraking'],
  ['HC', 'hardCornering'],
])

const FLAGS: ReadonlyMap<string, string> = new Map([
  ['MT', 'motion'],
  ['IN0', 'ignition'],
  ['IN1', 'in1'],
  ['IN2', 'in2'],
  ['IN3', 'in3'],
])

/** What positions hold until they are written: a later field of the same meaning replaces an earlier one. */
export class Values {
  readonly attributes = new Map<string, AttributeValue>()
  readonly alarms: string[] = []
  altitudeM = Number.NaN
  /** Country and network code together, such as 310260. */
  operator = ''
  area = 0
  cell = 0
  signal: number | undefined

  writeTo(out: PositionBatch, row: number): void {
    if (!Number.isNaN(this.altitudeM)) out.altitudeM[row] = this.altitudeM
    this.setTower(out, row)
    for (const [key, value] of this.attributes) out.set(row, key, value)
    for (const alarm of this.alarms) out.set(row, 'alarm', alarm)
  }

  private setTower(out: PositionBatch, row: number): void {
    const { operator, area: lac, cell: cid, signal: rssi } = this
    if (/^\d{5,6}$/.test(operator) && lac !== 0 && cid !== 0) {
      const tower = { mcc: Number(operator.slice(0, 3)), mnc: Number(operator.slice(3)), lac, cid }
      setNetwork(out, row, [rssi === undefined ? tower : { ...tower, rssi }])
    } else if (rssi !== undefined) this.attributes.set('rssi', rssi)
  }
}

/** Keys of a form; the leading `%CI` is its own mark. */
export function keysOf(form: string): string[] {
  return form
    .replace(/^%CI(?=%|$)/, '')
    .split('%')
    .filter((key) => key !== '')
}

/** Reads the fields of a text position. */
export function readTextFields(keys: readonly string[], texts: readonly string[], values: Values): void {
  keys.slice(0, texts.length).forEach((key, i) => {
    const text = texts[i]!
    const [format] = FIELDS.get(key) ?? []
    if (format === 'text') take(key, text, values)
    else if (typeof format === 'string' && /^-?\d+(\.\d+)?$/.test(text)) take(key, Number(text), values)
  })
}

/**
 * Reads the fields of a binary position.
 * @returns The first key whose bytes are not known: what follows cannot be read.
 */
export function readBinaryFields(
  keys: readonly string[],
  reader: ByteReader,
  values: Values,
): string | undefined {
  for (const key of keys) {
    const format = FIELDS.get(key)?.[0]
    if (format === undefined) return key
    if (typeof format === 'number') reader.skip(format)
    else take(key, format === 'text' ? readText(reader) : readNumber(reader, format), values)
  }
  const { attributes } = values
  // The one temperature of a device without a sensor is that of the engine; other servers show it as the first as well.
  if (keys.includes('ET') && attributes.get('temp1') === NO_SENSOR_CELSIUS) {
    attributes.set('temp1', attributes.get('coolantTemp')!)
  }
  return undefined
}

/** A text up to the next NUL, which is stepped over. */
export function readText(reader: ByteReader): string {
  const end = reader.frame.indexOf(0, reader.at)
  const text = reader.bytes((end < 0 ? reader.frame.length : end) - reader.at).toString('latin1')
  reader.skip(1)
  return text
}

function readNumber(reader: ByteReader, format: Exclude<Format, 'text' | number>): number {
  return reader[format]()
}

function take(key: string, value: number | string, values: Values): void {
  const { attributes, alarms } = values
  const attribute = FIELDS.get(key)?.[1]
  const flag = FLAGS.get(key)
  const alarm = ALARMS.get(key)
  if (attribute !== undefined) {
    if (typeof value === 'number') attributes.set(attribute, scaled(value, FIELDS.get(key)![2]))
    else if (value !== '') attributes.set(attribute, value)
  } else if (flag !== undefined) attributes.set(flag, Number(value) > 0)
  else if (alarm !== undefined) {
    if (Number(value) > 0) alarms.push(alarm)
  } else if (key === 'DT') attributes.set('archive', value === 1)
  else if (key === 'AT') values.altitudeM = Number(value)
  else if (key === 'GQ') values.signal = 0 - Math.abs(Number(value))
  else if (key === 'CE') values.cell = Number(value)
  else if (key === 'LC') values.area = Number(value)
  else if (key === 'CN') values.operator = String(value)
  else if (key === 'JO11') attributes.set('coolantTemp', Number(value) - 40)
  else if (key === 'BC') setBeacons(String(value), attributes)
}

/** Without the digits that a unit such as 0.1, which is no binary fraction, would add. */
function scaled(value: number, unit = 1): number {
  return Number((value * unit).toPrecision(12))
}
