/**
 * ERI, the extended position report: a mask, the locations, readings of which each model has its own, and what the mask
 * says of sensors.
 *
 *     [VIN,]name,mask,power mV,report type,count{,location}
 *     [,odometer km][,hours,adc 1][,adc 2][,adc 3|reserved],battery %,status,reserved      and others, see READINGS
 *     [,fuel][,…][,count{,id,type,temperature}][,count{,type,fuel[,volume][,temperature]}][,…][,count{accessory}]
 *
 * Source: Queclink, @Track Air Interface Protocols of GV300W, GV310LAU, GV350M, GV600MG, GL320M and GL500M.
 */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import type { Session } from '../../adapter.ts'
import { type FieldReader, hasBit, hexOf, hoursOf, maskOf, numberOf, setDeviceStatus } from './fields.ts'
import { readLocation } from './location.ts'
import { type Message, modelOfMessage, spanOf } from './message.ts'

/** Bits of the mask. */
const FUEL = 0
const TEMPERATURES = 1
const CAN = 2
const FUEL_PERCENT = 3
const FUEL_VOLUME = 4
const RADIO_SENSORS = 7
const ACCESSORIES = 8
const FUEL_TEMPERATURE = 10
const FUEL_DATA = 29

/** Readings after the locations, in their order. */
type Reading =
  | 'odometer'
  | 'hours'
  | 'adc1'
  | 'adc2'
  | 'adc3'
  | 'batteryLevel'
  | 'status'
  | 'input'
  | 'output'
  | 'motion'
  | 'reserved'

const STATUS: readonly Reading[] = ['batteryLevel', 'status', 'reserved']
const METERS: readonly Reading[] = ['odometer', 'hours', 'adc1']

/** The readings of models by their names, the first that fits; all others have those of {@link METERS}. */
const READINGS: readonly [model: RegExp, readings: readonly Reading[]][] = [
  [/^GL5/, ['batteryLevel', 'reserved', 'motion']],
  [/^GL320M$/, ['odometer', 'batteryLevel']],
  [/^GV200$/, [...METERS, 'adc2', 'adc3', 'input', 'output', 'reserved']],
  [/^GV(310LAU|350CEU)$/, [...METERS, 'adc2', 'adc3', ...STATUS]],
  [/^GV3.*CEU$/, [...METERS, 'adc2', 'reserved', ...STATUS]],
  [/^GV600M/, [...METERS, 'reserved', ...STATUS]],
  [/^GV(6|350M$)/, [...METERS, ...STATUS]],
  [/^GV/, [...METERS, 'adc2', ...STATUS]],
  [/^/, [...METERS, ...STATUS]],
]

/** Reads an ERI report of which name and what follows is left. */
export function readEri(fields: FieldReader, message: Message, session: Session, out: PositionBatch): void {
  const model = modelOfMessage(message, session)
  const vin = model === 'GV500' ? fields.text() : ''
  fields.skip(1)
  const mask = maskOf(fields.text())
  const powerV = fields.number() / 1000
  fields.skip(1)

  const count = fields.number()
  let row = -1
  for (let left = count; left > 0; left--) {
    const start = fields.at
    row = readLocation(fields, model, out)
    if (vin !== '') out.set(row, 'vin', vin)
    if (count > 1) out.setRecord(row, ...spanOf(message, start, fields.at))
  }
  if (row < 0) throw new RangeError('no location in ERI')
  if (!Number.isNaN(message.sentMs)) out.deviceTimeMs[row] = message.sentMs
  out.set(row, 'power', powerV)

  const readings = READINGS.find(([models]) => models.test(model))![1]
  for (const reading of readings) READERS[reading](fields.text(), out, row)
  if (model === 'GL320M' && hasBit(mask, RADIO_SENSORS)) out.set(row, 'externalBattery', fields.number())
  readSensors(fields, mask, model, out, row)
}

const READERS: Readonly<Record<Reading, (text: string, out: PositionBatch, row: number) => void>> = {
  odometer: (text, out, row) => out.set(row, 'odometer', numberOf(text) * 1000),
  hours: (text, out, row) => out.set(row, 'hours', hoursOf(text)),
  adc1: (text, out, row) => setAnalog(1, text, out, row),
  adc2: (text, out, row) => setAnalog(2, text, out, row),
  adc3: (text, out, row) => setAnalog(3, text, out, row),
  batteryLevel: (text, out, row) => out.set(row, 'batteryLevel', numberOf(text)),
  status: (text, out, row) => setDeviceStatus(out, row, text),
  input: (text, out, row) => out.set(row, 'input', hexOf(text)),
  output: (text, out, row) => out.set(row, 'output', hexOf(text)),
  motion: (text, out, row) => {
    if (text !== '') out.set(row, 'motion', numberOf(text) > 0)
  },
  reserved: () => {},
}

/** An analog input: mV, or after F what a fuel sensor there tells in %. */
function setAnalog(index: number, text: string, out: PositionBatch, row: number): void {
  if (text.startsWith('F')) out.set(row, `fuel${index}`, numberOf(text.slice(1)))
  else out.set(row, `adc${index}`, numberOf(text) / 1000)
}

function readSensors(
  fields: FieldReader,
  mask: number,
  model: string,
  out: PositionBatch,
  row: number,
): void {
  const tanksOfModel = model === 'GV350M'
  if (hasBit(mask, FUEL) && !tanksOfModel) out.set(row, 'fuel', fields.hex())
  if (hasBit(mask, FUEL_DATA)) {
    fields.skip(2)
    const data = maskOf(fields.text())
    if (hasBit(data, 0)) out.set(row, 'fuel', fields.hex())
    if (hasBit(data, 1)) fields.skip(1)
  }
  if (hasBit(mask, TEMPERATURES)) {
    const count = fields.number()
    for (let i = 1; i <= count; i++) {
      fields.skip(2)
      const sixteenths = fields.hex()
      // 16 bits with their sign.
      if (!Number.isNaN(sixteenths)) out.set(row, `temp${i}`, ((sixteenths << 16) >> 16) / 16)
    }
  }
  // What CAN tells has no length of its own: nothing behind it can be found.
  if (hasBit(mask, CAN)) return

  const tanks =
    hasBit(mask, FUEL_PERCENT) || hasBit(mask, FUEL_VOLUME) || (hasBit(mask, FUEL) && tanksOfModel)
  if (tanks && fields.left > 2) {
    for (let left = fields.number(); left > 0; left--) {
      fields.skip(tanksOfModel ? 2 : 1)
      if (hasBit(mask, FUEL) && tanksOfModel) out.set(row, 'fuel', fields.hex())
      if (hasBit(mask, FUEL_PERCENT)) out.set(row, 'fuel', fields.number())
      if (hasBit(mask, FUEL_VOLUME)) fields.skip(1)
      if (hasBit(mask, FUEL_TEMPERATURE)) fields.skip(1)
    }
  }
  if (model === 'GL320M') return
  if (hasBit(mask, RADIO_SENSORS)) {
    for (let left = fields.number(); left > 0; left--) {
      fields.skip(1)
      const withHumidity = fields.number() === 2
      fields.skip(withHumidity ? 2 : 1)
    }
  }
  if (hasBit(mask, ACCESSORIES)) {
    const count = fields.number()
    for (let i = 1; i <= count; i++) readAccessory(fields, `tag${i}`, model, out, row)
  }
}

/** What an accessory of Bluetooth reports, by the bits of its mask in their order: text, a number, or nothing we use. */
const ACCESSORY: readonly [bit: number, key?: string, type?: 'text' | 'number'][] = [
  [0],
  [1, 'Id', 'text'],
  [2],
  [3],
  [4, 'Temp', 'number'],
  [5, 'Humidity', 'number'],
  [7],
  [8],
  [9],
  [10],
  [11],
  [12],
  [13, 'Battery', 'number'],
  [14],
]

function readAccessory(
  fields: FieldReader,
  tag: string,
  model: string,
  out: PositionBatch,
  row: number,
): void {
  // Index, type, model, on some with their length the raw data.
  fields.skip(model.startsWith('GV600M') ? 5 : 4)
  const mask = maskOf(fields.text())
  for (const [bit, key, type] of ACCESSORY) {
    if (!hasBit(mask, bit)) continue
    const text = fields.text()
    if (key === undefined || text === '') continue
    out.set(row, tag + key, type === 'text' ? text : numberOf(text))
  }
}
