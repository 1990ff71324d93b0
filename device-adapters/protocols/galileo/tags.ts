/** Tags of Galileosky: the value of each has the length that its number says. */
import { DecodeError } from '../../adapter.ts'
import type { RecordReader, Tag } from './record.ts'

export const IMEI_TAG = 0x03
export const DEVICE_TAG = 0x04
export const INDEX_TAG = 0xe0
export const TEXT_TAG = 0xe1

const IMEI_DIGITS = 15

const u8 =
  (key: string): Tag =>
  (record) =>
    record.set(key, record.u8())
const u16 =
  (key: string): Tag =>
  (record) =>
    record.set(key, record.u16LittleEndian())
const u32 =
  (key: string): Tag =>
  (record) =>
    record.set(key, record.u32LittleEndian())
const skip =
  (bytes: number): Tag =>
  (record) =>
    record.skip(bytes)

/** Tags one after the other whose keys are numbered. */
function numbered(tag: number, count: number, first: number, read: (key: string) => Tag, key: string) {
  return Array.from({ length: count }, (_, i) => [tag + i, read(`${key}${first + i}`)] as const)
}

function skipped(tag: number, count: number, bytes: number) {
  return Array.from({ length: count }, (_, i) => [tag + i, skip(bytes)] as const)
}

const TAGS: ReadonlyMap<number, Tag> = new Map<number, Tag>([
  [0x01, u8('versionHw')],
  [0x02, u8('versionFw')],
  [IMEI_TAG, imei],
  [DEVICE_TAG, u16('deviceId')],
  [0x10, u16('index')],
  [0x20, (record) => record.setTime(record.u32LittleEndian() * 1000)],
  // Milliseconds of the time.
  [0x21, skip(2)],
  [0x30, place],
  // 0.1 km/h, 0.1°.
  [0x33, (record) => record.setMotion(record.u16LittleEndian() / 10, record.u16LittleEndian() / 10)],
  [0x34, (record) => record.setAltitude(record.i16LittleEndian())],
  [0x35, (record) => record.set('hdop', record.u8() / 10)],
  [0x40, u16('status')],
  [0x41, (record) => record.set('power', record.u16LittleEndian() / 1000)],
  [0x42, (record) => record.set('battery', record.u16LittleEndian() / 1000)],
  [0x43, (record) => record.set('deviceTemp', record.i8())],
  [0x44, u32('acceleration')],
  [0x45, u16('output')],
  [0x46, u16('input')],
  // Driving style.
  [0x47, skip(4)],
  [0x48, u16('statusExtended')],
  ...numbered(0x50, 8, 0, u16, 'adc'),
  ...numbered(0x58, 2, 0, u16, 'rs232'),
  // Meter, refrigeration unit, tyre pressures, dosimeter.
  [0x5a, skip(4)],
  [0x5b, skip(7)],
  [0x5c, skip(68)],
  [0x5d, skip(3)],
  ...numbered(0x60, 3, 0, u16, 'fuel'),
  // Fuel sensors 3 to 15 with their temperatures; thermometers.
  ...skipped(0x63, 13, 3),
  ...skipped(0x70, 8, 2),
  // Inputs 8 to 13; thermometers with hygrometers.
  ...numbered(0x78, 6, 8, u16, 'adc'),
  ...skipped(0x80, 8, 3),
  // Temperatures of fuel sensors.
  ...skipped(0x88, 5, 1),
  [0x90, (record) => record.set('driverUniqueId', String(record.u32LittleEndian()))],
  ...numbered(0xa0, 16, 15, u8, 'can8BitR'),
  ...numbered(0xb0, 10, 5, u16, 'can16BitR'),
  [0xc0, (record) => record.set('fuelTotal', record.u32LittleEndian() * 0.5)],
  [0xc1, engine],
  [0xc2, u32('canB0')],
  [0xc3, u32('canB1')],
  ...numbered(0xc4, 15, 0, u8, 'can8BitR'),
  // Second key.
  [0xd3, skip(4)],
  [0xd4, u32('odometer')],
  // Which keys are there.
  [0xd5, skip(1)],
  ...numbered(0xd6, 5, 0, u16, 'can16BitR'),
  ...numbered(0xdb, 5, 0, u32, 'can32BitR'),
  [INDEX_TAG, u32('index')],
  [TEXT_TAG, (record) => record.set('result', record.latin1(record.u8()))],
  ...numbered(0xe2, 8, 0, u32, 'userData'),
  [0xea, (record) => record.set('userDataArray', record.hex(record.u8()))],
  ...numbered(0xf0, 10, 5, u32, 'can32BitR'),
  [0xfa, skip(3)],
  [0xfd, skip(8)],
  // Extended tags after their length: readings of Modbus, Bluetooth and one's own algorithms.
  [0xfe, (record) => record.skip(record.u16LittleEndian())],
])

/**
 * Reads the value of `tag`.
 * @throws DecodeError if it is not known: where it ends is not known then either.
 */
export function readTag(record: RecordReader, tag: number): void {
  const read = TAGS.get(tag)
  if (read === undefined) throw new DecodeError('unsupported', `unknown tag 0x${tag.toString(16)}`)
  read(record)
}

function imei(record: RecordReader): void {
  const digits = record.latin1(IMEI_DIGITS)
  if (!/^\d{15}$/.test(digits)) throw new DecodeError('malformed', 'the IMEI has 15 digits')
  record.imei = digits
}

/** Source and satellites u8: 0 in its upper half is a fix of the receiver; latitude, longitude i32, millionths of a degree. */
function place(record: RecordReader): void {
  const isFix = (record.u8() & 0xf0) === 0
  record.setPlace(record.i32LittleEndian() / 1_000_000, record.i32LittleEndian() / 1_000_000, isFix)
}

/** Fuel 0.4 %, coolant + 40 °C, revolutions 0.125. */
function engine(record: RecordReader): void {
  record.set('fuel', record.u8() * 0.4)
  record.set('temp1', record.u8() - 40)
  record.set('rpm', record.u16LittleEndian() * 0.125)
}
