/**
 * CAN, what the bus of the vehicle tells: three masks, and a field for each of their bits, in an order of its own.
 *
 *     name,report type,state of the bus,mask,fields…,send time,count number
 *
 * Source: Queclink, @Track Air Interface Protocols of GV300W, GV65, GV350M, GV350CEU and GV355CEU.
 */
import type { AttributeValue } from '../../../schemas/attributes.ts'
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import type { Session } from '../../adapter.ts'
import { type FieldReader, hasBit, hexOf, maskOf, numberOf } from './fields.ts'
import { addFix } from './location.ts'
import { type Message, modelOfMessage } from './message.ts'

const HOUR_MS = 3_600_000

type Reading = readonly [key: string, value: AttributeValue]
/** A bit of a mask: its key, and how its field is read, NaN if it says nothing; a bit of no key is stepped over. */
type Bit = readonly [bit: number, key?: string, read?: (field: string) => AttributeValue]

const text = (field: string) => field
const scaled = (factor: number) => (field: string) => numberOf(field) * factor
/** The number after `unit`; NaN where there is another unit. */
const inUnit = (unit: string) => (field: string) =>
  field.startsWith(unit) ? numberOf(field.slice(unit.length)) : Number.NaN
/** Litres, with or without an L before them; kilograms, after a K, have no key. */
const litres = (field: string) => numberOf(field.replace(/^L/, ''))

/** Bits of the first mask that are the same on all models. */
const VEHICLE: readonly Bit[] = [
  [0, 'vin', text],
  [1, 'ignition', (field) => numberOf(field) > 0],
  // H: hectometres, which recorded values hold as they are; I: impulses.
  [2, 'obdOdometer', inUnit('H')],
  [3, 'fuelUsed', litres],
  [5, 'rpm', numberOf],
  [4, 'obdSpeed', numberOf],
  [6, 'coolantTemp', numberOf],
  // L/H, or L/100KM, or M where there is none.
  [7, 'fuelConsumption', inUnit('L/H')],
  // L or P, for litres or %.
  [8, 'fuel', (field) => numberOf(field.slice(1))],
  [9, 'range', scaled(100)],
  [10, 'throttle', numberOf],
  [11, 'hours', scaled(HOUR_MS)],
  [12, 'drivingTime', numberOf],
  [13, 'idleHours', numberOf],
  [14, 'idleFuelConsumption', litres],
  [15, 'axleWeight', numberOf],
  [16, 'tachographInfo', hexOf],
  [17, 'indicators', hexOf],
  [18, 'lights', hexOf],
  [19, 'doors', hexOf],
  [20, 'vehicleOverspeed', numberOf],
  [21, 'engineOverspeed', numberOf],
]

const EXTENDED = 29
const GNSS = 30

/** Bits of the extended mask. */
const VEHICLE_EXTENDED: readonly Bit[] = [
  [0, 'adBlueLevel', (field) => numberOf(field.replace(/^[LP]/, ''))],
  [1, 'axleWeight1', numberOf],
  [2, 'axleWeight3', numberOf],
  [3, 'axleWeight4', numberOf],
  [4],
  [5],
  [6],
  [7, 'adc1', scaled(0.001)],
  ...bits(8, 14),
  [15, 'driver1Card', text],
  [16, 'driver2Card', text],
  [17, 'driver1Name', text],
  [18, 'driver2Name', text],
  [19, 'registration', text],
  ...bits(20, 25),
]

/** GV350CEU and GV355CEU, whose masks differ from those of all others. */
const CEU = /^GV35.CEU$/

/** Reads a CAN report of which name and what follows is left. */
export function readCan(fields: FieldReader, message: Message, session: Session, out: PositionBatch): void {
  const model = modelOfMessage(message, session)
  const ceu = CEU.test(model)
  const readings: Reading[] = []
  fields.skip(3)
  const mask = maskOf(fields.text())
  readBits(fields, mask, VEHICLE, readings)
  if (model === 'GV350M') readBits(fields, mask, bits(22, 24), readings)
  else if (ceu) readBits(fields, mask, bits(23, 27), readings)

  const extended = hasBit(mask, EXTENDED) ? maskOf(fields.text()) : 0
  readBits(fields, extended, VEHICLE_EXTENDED, readings)
  if (!ceu) readBits(fields, extended, bits(26, 27), readings)
  if (hasBit(extended, 28)) {
    const codes = fields.number()
    if (ceu && codes > 0) fields.skip(codes)
  }
  readBits(fields, extended, bits(29, 30), readings)

  const more = hasBit(extended, 31) ? maskOf(fields.text()) : 0
  readBits(fields, more, model === 'GV350CEU' ? bits(0, 1) : bits(0, 2), readings)
  if (ceu) skipTrailer(fields, mask, more)

  // Recorded values of GV355CEU have no fix: what stands before it differs between its versions.
  const row = hasBit(mask, GNSS) && model !== 'GV355CEU' ? addFixOf(fields, out) : out.addWithoutFix()
  for (const [key, value] of readings) out.set(row, key, value)
  if (!Number.isNaN(message.sentMs)) out.deviceTimeMs[row] = message.sentMs
}

/** Trailers, tyres, generators and batteries, of which nothing is kept. */
function skipTrailer(fields: FieldReader, mask: number, more: number): void {
  const skipMasked = () => fields.skip(bitCount(maskOf(fields.text())))
  for (let bit = 4; bit <= 12; bit++) if (hasBit(more, bit)) fields.skip(1)
  if (hasBit(more, 14)) fields.skip(1)
  if (hasBit(more, 15)) {
    const tyres = fields.number()
    if (tyres > 0) fields.skip(tyres * 5)
  }
  for (let bit = 16; bit <= 19; bit++) if (hasBit(more, bit)) fields.skip(1)
  if (hasBit(more, 3)) skipMasked()
  if (hasBit(mask, 28)) skipMasked()
}

/** Appends a row of the fix that follows: HDOP, which is not 0 where it is valid, and if there is a speed the rest. */
function addFixOf(fields: FieldReader, out: PositionBatch): number {
  // Fields of bits that are not known are empty as a rule.
  while (fields.peek() === '') fields.skip(1)
  const hdop = fields.number()
  if (fields.peek() === '') return out.addWithoutFix()
  const row = addFix(['', ...Array.from({ length: 6 }, () => fields.text())], out)
  out.setValid(row, hdop > 0)
  return row
}

/** Reads the fields of the bits that are set in the mask. */
function readBits(fields: FieldReader, mask: number, table: readonly Bit[], readings: Reading[]): void {
  for (const [bit, key, read] of table) {
    if (!hasBit(mask, bit)) continue
    const value = fields.text()
    if (key !== undefined && read !== undefined && value !== '') readings.push([key, read(value)])
  }
}

/** Bits from `first` to `last` that are stepped over. */
function bits(first: number, last: number): Bit[] {
  return Array.from({ length: last - first + 1 }, (_, i) => [first + i] as const)
}

function bitCount(mask: number): number {
  let count = 0
  for (let rest = mask; rest !== 0; rest >>>= 1) count += rest & 1
  return count
}
