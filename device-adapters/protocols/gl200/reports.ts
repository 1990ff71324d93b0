/**
 * Reports whose fields a pattern tells, by type. Each begins after the id, and ends with send time and count number.
 *
 * Source: Queclink, @Track Air Interface Protocols of GL200, GL300, GL500, GV55, GV200, GV300, GV500 and others.
 */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { type AccessPoint, type CellTower, setNetwork } from '../../network.ts'
import { hasBit, hexOf, hoursOf, macOf, maskOf, numberOf, setDeviceStatus, towerOf } from './fields.ts'
import { addTaken, LOCATION } from './location.ts'
import { type Message, spanOf } from './message.ts'
import {
  ALL_BUT_LAST,
  either,
  field,
  optional,
  type Rule,
  repeated,
  sequence,
  type Taken,
} from './pattern.ts'

/** A report: what its fields are, and what they say. */
export interface Report {
  readonly pattern: Rule
  read(taken: Taken, message: Message, out: PositionBatch): void
}

const NAME = field(/^/)
const EMPTY = field(/^$/)
const BIT = field(/^[01]$/)
const VIN = /^[0-9A-Z]{17}$/
const COUNT = field(/^[0-9a-f]{4}$/i)
const END = sequence(field(/^(\d{14})?$/), COUNT)
/** Anything, and send time or not: such reports are of the time of their fix alone. */
const OPEN_END = sequence(ALL_BUT_LAST, COUNT)
/** Most locations of one report; documents say 15. */
const LOCATIONS_MAX = 99
/** Cells that are read of one report. */
const CELLS_MAX = 6

/** What follows the locations of a position report, which depends on the model. */
const AFTER_LOCATIONS = either(
  // GL500: light, battery mV and %, mode, motion, temperature.
  sequence(
    field(/^\d{1,2}$/),
    field(/^\d{0,5}$/, 'batteryMillivolts'),
    field(/^\d{1,3}$/, 'batteryLevel'),
    BIT,
    field(/^[01]?$/),
    field(/^(-?\d{1,2}\.\d)?$/, 'temperature'),
  ),
  // GV: odometer, hours, analog inputs, battery %, status, and what OBD tells.
  sequence(
    field(/^(\d{1,7}\.\d)?$/, 'odometerKm'),
    field(/^(\d{5}:\d\d:\d\d)?$/, 'hours'),
    field(/^[0-9a-f]*$/i, 'adc1'),
    field(/^[0-9a-f]*$/i, 'adc2'),
    optional(field(/^\d*$/)),
    field(/^\d{0,3}$/, 'batteryLevel'),
    field(/^([0-9a-f]{6})?$/i, 'status'),
    field(/^\d*$/, 'rpm'),
    field(/^(\d+\.?\d*|Inf|NaN)?$/),
    field(/^\d*$/, 'fuel'),
  ),
  // GT501: signal, battery %.
  sequence(field(/^-?\d$/, 'signal'), field(/^\d{1,3}$/, 'batteryLevel')),
  // GL200, GL300: odometer or not, battery %.
  sequence(optional(field(/^(\d{1,7}\.\d)?$/, 'odometerKm')), field(/^\d{0,3}$/, 'batteryLevel')),
)

const POSITIONS: Report = {
  pattern: sequence(
    optional(field(VIN, 'vin')),
    NAME,
    field(/^\d*$/, 'power'),
    optional(field(/^\d{1,2}$/, 'reportType')),
    // How many locations there are, and reserved.
    optional(field(/^\d{1,2}$/)),
    optional(field(/^\d*$/)),
    optional(field(/^\d+$/, 'battery')),
    repeated('locations', 1, LOCATIONS_MAX, LOCATION),
    AFTER_LOCATIONS,
    OPEN_END,
  ),
  read(taken, message, out) {
    const locations = taken.all('locations')
    let row = 0
    for (const location of locations) {
      row = addTaken(location, out)
      setText(out, row, 'vin', taken.get('vin'))
      if (locations.length > 1) out.setRecord(row, ...spanOf(message, location.start, location.end))
    }
    const power = numberOf(taken.get('power'))
    // Some models have a flag there.
    if (power > 10) out.set(row, 'power', power / 1000)
    out.set(row, 'batteryLevel', numberOf(taken.get('battery')))
    out.set(row, 'batteryLevel', numberOf(taken.get('batteryLevel')))
    out.set(row, 'battery', numberOf(taken.get('batteryMillivolts')) / 1000)
    out.set(row, 'temp1', numberOf(taken.get('temperature')))
    out.set(row, 'odometer', numberOf(taken.get('odometerKm')) * 1000)
    out.set(row, 'hours', hoursOf(taken.get('hours')))
    setText(out, row, 'adc1', taken.get('adc1'))
    setText(out, row, 'adc2', taken.get('adc2'))
    setDeviceStatus(out, row, taken.get('status'))
    out.set(row, 'rpm', numberOf(taken.get('rpm')))
    out.set(row, 'fuel', numberOf(taken.get('fuel')))
    if (taken.get('signal') !== '') {
      const reportType = numberOf(taken.get('reportType'))
      if (!Number.isNaN(reportType)) {
        out.set(row, 'motion', hasBit(reportType, 0))
        out.set(row, 'charge', hasBit(reportType, 1))
      }
      out.set(row, 'rssi', numberOf(taken.get('signal')))
    }
  },
}

const OBD: Report = {
  pattern: sequence(
    field(/^([0-9A-Z]{17})?$/),
    field(/^.{0,20}$/),
    // Type and mask of the report, VIN, whether OBD is connected, its voltage, supported identifiers.
    BIT,
    field(/^[0-9a-f]{1,8}$/i),
    field(/^([0-9A-Z]{17})?$/),
    BIT,
    field(/^\d{0,5}$/),
    field(/^([0-9a-f]{8})?$/i),
    field(/^\d{0,5}$/, 'rpm'),
    field(/^\d{0,3}$/, 'obdSpeed'),
    field(/^(-?\d{1,3})?$/, 'temp1'),
    field(/^(\d+\.?\d*|Inf|NaN)?$/, 'fuelConsumption'),
    field(/^\d{0,5}$/, 'dtcsClearedDistance'),
    field(/^\d{0,5}$/),
    field(/^[01]?$/, 'connected'),
    field(/^\d{0,3}$/, 'dtcsNumber'),
    field(/^[0-9a-f]*$/i, 'dtcsCodes'),
    field(/^\d{0,3}$/, 'throttle'),
    // Engine load.
    field(/^\d{0,3}$/),
    field(/^\d{0,3}$/, 'fuel'),
    optional(field(/^[0-9A]$/)),
    field(/^\d+$/, 'obdOdometerKm'),
    LOCATION,
    field(/^(\d{1,7}\.\d)?$/, 'odometerOfObdKm'),
    END,
  ),
  read(taken, message, out) {
    const row = addSent(taken, message, out)
    for (const key of ['rpm', 'obdSpeed', 'temp1', 'dtcsClearedDistance', 'dtcsNumber', 'throttle', 'fuel']) {
      out.set(row, key, numberOf(taken.get(key)))
    }
    // Text, for it may be Inf or NaN.
    setText(out, row, 'fuelConsumption', taken.get('fuelConsumption'))
    if (taken.get('connected') !== '') out.set(row, 'odbConnect', taken.get('connected') === '1')
    setText(out, row, 'dtcsCodes', taken.get('dtcsCodes'))
    const odometerKm = taken.get('odometerOfObdKm') || taken.get('obdOdometerKm')
    out.set(row, 'obdOdometer', Math.trunc(numberOf(odometerKm) * 1000))
  },
}

/** Reports of a switch: the state is that of input `index`. */
function inputReport(index: number): Report {
  return {
    pattern: sequence(NAME, BIT, field(/^[01]$/, 'state'), LOCATION, END),
    read(taken, message, out) {
      out.set(addSent(taken, message, out), `in${index}`, taken.get('state') === '1')
    },
  }
}

/** Power of the device switched on and off. */
function powerReport(alarm: string): Report {
  return {
    pattern: sequence(NAME, END),
    read: (_taken, _message, out) => out.set(out.addWithoutFix(), 'alarm', alarm),
  }
}

/** Optional fields of an accessory, by the bits of its mask. */
const ACCESSORY: readonly [bit: number, key: string, scale: number][] = [
  [0, 'accessoryName', 0],
  [1, 'accessoryMac', 0],
  [2, 'accessoryStatus', 1],
  [3, 'accessoryVoltage', 0.001],
  [4, 'accessoryTemp', 1],
  [5, 'accessoryHumidity', 1],
]

/** A Bluetooth accessory: `head` comes before its mask, and `bits` are those that have a field. */
function accessoryReport(head: readonly Rule[], bits: readonly number[]): Report {
  return {
    pattern: sequence(
      NAME,
      ...head,
      field(/^[0-9a-f]{4}$/i, 'mask'),
      repeated('accessory', 0, bits.length, field(/^.+$/, 'value')),
      LOCATION,
      OPEN_END,
    ),
    read(taken, _message, out) {
      const row = addTaken(taken, out)
      const mask = maskOf(taken.get('mask'))
      const values = taken.all('accessory').map((value) => value.get('value'))
      for (const [bit, key, scale] of ACCESSORY) {
        if (!bits.includes(bit) || !hasBit(mask, bit)) continue
        const value = values.shift() ?? ''
        if (scale === 0) setText(out, row, key, value)
        else out.set(row, key, numberOf(value) * scale)
      }
    },
  }
}

/** The reports by their types. */
export const REPORTS: Readonly<Partial<Record<string, Report>>> = {
  FRI: POSITIONS,
  GEO: POSITIONS,
  RTL: POSITIONS,
  DOG: POSITIONS,
  OBD,
  LSW: inputReport(1),
  TSW: inputReport(2),
  PNA: powerReport('powerOn'),
  PFA: powerReport('powerOff'),

  // The identity of a driver.
  IDA: {
    pattern: sequence(
      NAME,
      EMPTY,
      field(/^.+$/, 'driver'),
      BIT,
      field(/^1$/),
      LOCATION,
      field(/^\d+\.\d$/, 'odometerOfReportKm'),
      ...Array.from({ length: 4 }, () => EMPTY),
      END,
    ),
    read(taken, message, out) {
      const row = addSent(taken, message, out)
      out.set(row, 'driverUniqueId', taken.get('driver'))
      out.set(row, 'odometer', numberOf(taken.get('odometerOfReportKm')) * 1000)
    },
  },

  // Access points.
  WIF: {
    pattern: sequence(
      NAME,
      field(/^\d+$/),
      repeated(
        'wifi',
        1,
        32,
        field(/^[0-9a-f]{12}$/i, 'mac'),
        field(/^-?\d+$/, 'rssi'),
        ...Array.from({ length: 3 }, () => EMPTY),
      ),
      ...Array.from({ length: 4 }, () => EMPTY),
      field(/^\d{1,3}$/, 'batteryLevel'),
      END,
    ),
    read(taken, _message, out) {
      const row = out.addWithoutFix()
      const wifi: AccessPoint[] = taken
        .all('wifi')
        .map((point) => ({ mac: macOf(point.get('mac')), rssi: numberOf(point.get('rssi')) }))
      setNetwork(out, row, [], wifi)
      out.set(row, 'batteryLevel', numberOf(taken.get('batteryLevel')))
    },
  },

  // Cells, after what made the device look for them.
  GSM: {
    pattern: sequence(
      field(/^(STR|CTN|NMR|RTL)$/),
      repeated(
        'cells',
        1,
        CELLS_MAX,
        field(/^\d*$/, 'mcc'),
        field(/^\d*$/, 'mnc'),
        field(/^[0-9a-f]*$/i, 'lac'),
        field(/^[0-9a-f]*$/i, 'cid'),
        field(/^\d*$/, 'signal'),
        field(/^/),
      ),
      OPEN_END,
    ),
    read(taken, _message, out) {
      const row = out.addWithoutFix()
      const towers = taken.all('cells').map((cell) =>
        towerOf(
          ['mcc', 'mnc', 'lac', 'cid'].map((name) => cell.get(name)),
          cell.get('signal'),
        ),
      )
      setNetwork(
        out,
        row,
        towers.filter((tower): tower is CellTower => tower !== undefined),
      )
    },
  },

  // Versions of hardware and firmware.
  VER: {
    pattern: sequence(
      NAME,
      field(/^/, 'model'),
      field(/^[0-9a-f]{4}$/i, 'firmware'),
      field(/^[0-9a-f]{4}$/i, 'hardware'),
      END,
    ),
    read(taken, message, out) {
      const row = out.addWithoutFix(message.sentMs)
      setText(out, row, 'deviceType', taken.get('model'))
      out.set(row, 'versionFw', hexOf(taken.get('firmware')))
      out.set(row, 'versionHw', hexOf(taken.get('hardware')))
    },
  },

  // What a camera makes of the driver.
  DAR: {
    pattern: sequence(
      NAME,
      field(/^\d$/, 'warning'),
      field(/^\d{1,2}$/, 'degree'),
      EMPTY,
      EMPTY,
      LOCATION,
      OPEN_END,
    ),
    read(taken, _message, out) {
      const row = addTaken(taken, out)
      if (taken.get('warning') === '1') {
        out.set(row, 'alarm', 'fatigueDriving')
        out.set(row, 'fatigueDegree', numberOf(taken.get('degree')))
      } else out.set(row, 'warningType', numberOf(taken.get('warning')))
    },
  },

  // Bytes of what is connected to the serial port, in hex.
  DTT: {
    pattern: sequence(NAME, EMPTY, EMPTY, field(/^\d$/), field(/^\d+$/), field(/^[0-9a-f]+$/i, 'data'), END),
    read(taken, message, out) {
      const row = out.addWithoutFix(message.sentMs)
      const text = Buffer.from(taken.get('data'), 'hex')
        .toString('latin1')
        .replace(/[\x80-\xff]/g, '\ufffd')
        .replaceAll('\0', '')
      // A fuel sensor of Escort.
      if (text.includes('COMB')) out.set(row, 'fuel', numberOf(text.split(',')[2] ?? ''))
      else setText(out, row, 'result', text)
    },
  },

  BAA: accessoryReport(
    [field(/^[0-9a-f]+$/i), field(/^\d$/), field(/^\d$/), field(/^[0-9a-f]+$/i)],
    [0, 1, 2, 3, 4, 5],
  ),
  BID: accessoryReport([field(/^\d$/), field(/^\d$/)], [1, 3]),

  // Light.
  LSA: {
    pattern: sequence(
      NAME,
      field(/^\d$/),
      field(/^\d$/),
      field(/^\d+$/),
      LOCATION,
      field(/^\d+$/),
      field(/^\d$/, 'light'),
      field(/^\d+$/, 'batteryLevel'),
      BIT,
      field(/^[01]?$/),
      field(/^(-?\d+\.\d)?$/, 'temperature'),
      END,
    ),
    read(taken, message, out) {
      const row = addSent(taken, message, out)
      out.set(row, 'lightLevel', numberOf(taken.get('light')))
      out.set(row, 'batteryLevel', numberOf(taken.get('batteryLevel')))
      out.set(row, 'temp1', numberOf(taken.get('temperature')))
    },
  },
}

/** Appends the location, at the device's time of sending. */
function addSent(taken: Taken, message: Message, out: PositionBatch): number {
  const row = addTaken(taken, out)
  if (!Number.isNaN(message.sentMs)) out.deviceTimeMs[row] = message.sentMs
  return row
}

function setText(out: PositionBatch, row: number, key: string, text: string): void {
  if (text !== '') out.set(row, key, text)
}
