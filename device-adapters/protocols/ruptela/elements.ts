/** IO elements of Ruptela records: their ids, and what they say. */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import type { ByteReader } from '../../byte-reader.ts'

interface Reading {
  readonly key: string
  /** 1 if not given. */
  readonly scale?: number
  readonly signed?: boolean
  /** Anything but 0 is true. */
  readonly flag?: boolean
}

/** Those that are not of this table are `io` and their id. Scales are those of the sensors and of SAE J1939. */
const READINGS: ReadonlyMap<number, Reading> = new Map<number, Reading>([
  [2, { key: 'in1' }],
  [3, { key: 'in2' }],
  [4, { key: 'in3' }],
  [5, { key: 'in4' }],
  [13, { key: 'motion', flag: true }],
  [20, { key: 'adc3' }],
  [21, { key: 'adc4' }],
  [22, { key: 'adc1' }],
  [23, { key: 'adc2' }],
  [29, { key: 'power', scale: 0.001 }],
  [30, { key: 'battery', scale: 0.001 }],
  [32, { key: 'deviceTemp', signed: true }],
  [39, { key: 'engineLoad' }],
  [65, { key: 'odometer' }],
  [74, { key: 'temp3', scale: 0.1, signed: true }],
  [78, { key: 'temp0', scale: 0.1, signed: true }],
  [79, { key: 'temp1', scale: 0.1, signed: true }],
  [80, { key: 'temp2', scale: 0.1, signed: true }],
  [94, { key: 'rpm', scale: 1 / 4 }],
  [95, { key: 'obdSpeed' }],
  [98, { key: 'fuelLevel', scale: 100 / 255 }],
  [100, { key: 'fuelConsumption', scale: 1 / 20 }],
  [150, { key: 'operator' }],
  [163, { key: 'odometer', scale: 5 }],
  [164, { key: 'tripOdometer', scale: 5 }],
  [165, { key: 'obdSpeed', scale: 1 / 256 }],
  [166, { key: 'rpm', scale: 1 / 8 }],
  [170, { key: 'charge', flag: true }],
  [173, { key: 'motion', flag: true }],
  [197, { key: 'rpm', scale: 1 / 8 }],
  [205, { key: 'fuel' }],
  [207, { key: 'fuelLevel', scale: 0.4 }],
  [208, { key: 'fuelUsed', scale: 0.5 }],
  [251, { key: 'ignition', flag: true }],
  [409, { key: 'ignition', flag: true }],
  [645, { key: 'obdOdometer', scale: 1000 }],
])

/** Alarms, and the values that raise them. */
const ALARMS: ReadonlyMap<number, { readonly alarm: string; readonly raised: (value: number) => boolean }> =
  new Map([
    [88, { alarm: 'jamming', raised: isSet }],
    [134, { alarm: 'hardBraking', raised: isSet }],
    [136, { alarm: 'hardAcceleration', raised: isSet }],
    [410, { alarm: 'tow', raised: isSet }],
    [411, { alarm: 'accident', raised: isSet }],
    [415, { alarm: 'gpsAntennaCut', raised: (value) => value === 0 }],
    [758, { alarm: 'tampering', raised: (value) => value === 1 }],
  ])

const IBUTTON = 34
/** Halves of a card's number, as text: of a driver on the CAN bus, and in the tachograph. */
const CARDS = [
  [126, 127],
  [155, 156],
] as const
/** Halves of a beacon's id. */
const TAG = [760, 761] as const
const HALVES: ReadonlySet<number> = new Set([...CARDS.flat(), ...TAG])
const HALF_BYTES = 8

/**
 * Reads the elements of a record: in four lists, of 1, 2, 4 and 8 bytes.
 * @param idBytes 2 in extended records.
 */
export function readElements(reader: ByteReader, idBytes: 1 | 2, out: PositionBatch, row: number): void {
  let driver = ''
  let halves: Map<number, Buffer> | undefined
  for (const bytes of [1, 2, 4, 8] as const) {
    for (let left = reader.u8(); left > 0; left--) {
      const id = idBytes === 2 ? reader.u16() : reader.u8()
      if (id === IBUTTON) driver = reader.hex(bytes)
      else if (bytes === HALF_BYTES && HALVES.has(id)) {
        halves ??= new Map()
        halves.set(id, reader.bytes(bytes))
      } else setElement(reader, id, bytes, out, row)
    }
  }
  for (const [first, second] of CARDS) driver = cardOf(halves?.get(first), halves?.get(second)) || driver
  if (driver !== '') out.set(row, 'driverUniqueId', driver)
  const [first, second] = [halves?.get(TAG[0]), halves?.get(TAG[1])]
  if (first !== undefined && second !== undefined) out.set(row, 'tagId', hexOf(first) + hexOf(second))
}

function setElement(
  reader: ByteReader,
  id: number,
  bytes: 1 | 2 | 4 | 8,
  out: PositionBatch,
  row: number,
): void {
  const reading = READINGS.get(id)
  const value = VALUES[bytes](reader, reading?.signed ?? false)
  const alarm = ALARMS.get(id)
  if (alarm !== undefined) {
    if (alarm.raised(value)) out.set(row, 'alarm', alarm.alarm)
  } else if (reading === undefined) out.set(row, `io${id}`, value)
  else out.set(row, reading.key, reading.flag === true ? isSet(value) : value * (reading.scale ?? 1))
}

const VALUES: Readonly<Record<1 | 2 | 4 | 8, (reader: ByteReader, signed: boolean) => number>> = {
  1: (reader, signed) => (signed ? reader.i8() : reader.u8()),
  2: (reader, signed) => (signed ? reader.i16() : reader.u16()),
  4: (reader, signed) => (signed ? reader.i32() : reader.u32()),
  8: (reader) => Number(reader.bytes(8).readBigInt64BE()),
}

/** Text in two halves; '' where there is no card, which is all zeros. */
function cardOf(first: Buffer | undefined, second: Buffer | undefined): string {
  if (first === undefined || second === undefined) return ''
  return Buffer.concat([first, second]).toString('latin1').replaceAll('\0', '').trim()
}

/** In hex, without leading zeros. */
function hexOf(half: Buffer): string {
  return half.readBigUInt64BE().toString(16)
}

function isSet(value: number): boolean {
  return value !== 0
}
