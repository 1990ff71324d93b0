/** Binary reports of Meitrack with several records, CCC and CCE; their layouts are in ../protocols/meitrack.ts. */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { DecodeError } from '../../adapter.ts'
import { ByteReader } from '../../byte-reader.ts'
import { type AccessPoint, type CellTower, setNetwork } from '../../network.ts'
import { ALARMS, signalOf } from './events.ts'
import type { Frame } from './frame.ts'

/** 2000-01-01T00:00Z, from which devices count seconds. */
const EPOCH_MS = Date.UTC(2000, 0, 1)

/** `CCC,` or `CCE,` */
const TYPE_BYTES = 4
/** CCC: version u16, bytes of a record u16, records in the memory of the device u32. */
const FIXED_HEAD_BYTES = 8
/** CCC: bytes of a record that are known; newer devices append to them. */
const FIXED_RECORD_BYTES = 52

/**
 * Records of a CCC frame.
 * @throws DecodeError if it has records of another layout, or shorter than that.
 */
export function countOfFixedRecords(bytes: Buffer, { typeAt, end }: Frame): number {
  const reader = new ByteReader(bytes, typeAt + TYPE_BYTES, end)
  // Readings of vehicle buses (T622), in a layout of its own; documents have it in either order of the bytes.
  const version = reader.u16()
  if (version === 0x0501 || version === 0x0105) throw new DecodeError('unsupported', 'CCC of version 0501')
  const recordBytes = reader.u16LittleEndian()
  if (recordBytes < FIXED_RECORD_BYTES) throw new DecodeError('unsupported', `CCC of ${recordBytes} bytes`)
  reader.skip(4)
  return Math.floor(reader.left / recordBytes)
}

/** Appends the rows of a CCC frame. */
export function decodeFixedRecords(bytes: Buffer, frame: Frame, out: PositionBatch): void {
  const count = countOfFixedRecords(bytes, frame)
  const recordBytes = bytes.readUInt16LE(frame.typeAt + TYPE_BYTES + 2)
  const firstAt = frame.typeAt + TYPE_BYTES + FIXED_HEAD_BYTES
  for (let at = firstAt; at < firstAt + count * recordBytes; at += recordBytes) {
    const row = addFixedRecord(new ByteReader(bytes, at, at + recordBytes), out)
    out.setRecord(row, at, at + recordBytes)
  }
}

function addFixedRecord(reader: ByteReader, out: PositionBatch): number {
  const event = reader.u8()
  const latitudeDeg = reader.i32LittleEndian() / 1e6
  const longitudeDeg = reader.i32LittleEndian() / 1e6
  const row = out.add(EPOCH_MS + reader.u32LittleEndian() * 1000, latitudeDeg, longitudeDeg)
  out.set(row, 'event', event)
  out.set(row, 'alarm', ALARMS.get(event))
  out.setValid(row, reader.u8() === 1)
  out.set(row, 'sat', reader.u8())
  const rssi = reader.u8()
  out.speedKmh[row] = reader.u16LittleEndian()
  out.courseDeg[row] = reader.u16LittleEndian()
  out.set(row, 'hdop', reader.u16LittleEndian() / 10)
  out.altitudeM[row] = reader.i16LittleEndian()
  out.set(row, 'odometer', reader.u32LittleEndian())
  out.set(row, 'runtime', reader.u32LittleEndian())
  const mcc = reader.u16LittleEndian()
  const mnc = reader.u16LittleEndian()
  const lac = reader.u16LittleEndian()
  setNetwork(out, row, [{ mcc, mnc, lac, cid: reader.u16LittleEndian(), rssi: signalOf(rssi) }])
  out.set(row, 'status', reader.u16LittleEndian())
  out.set(row, 'adc1', reader.u16LittleEndian())
  out.set(row, 'battery', reader.u16LittleEndian() / 100)
  out.set(row, 'power', reader.u16LittleEndian() / 100)
  return row
}

/** An attribute, and its unit for a step. */
type Reading = readonly [key: string, unit: number]

/** Parameters of CCE of one byte that are an attribute, by their id. */
const BYTES: ReadonlyMap<number, Reading> = new Map([
  [0x01, ['event', 1]],
  [0x06, ['sat', 1]],
  [0x07, ['rssi', 1]],
  [0x14, ['output', 1]],
  [0x15, ['input', 1]],
  [0x97, ['throttle', 1]],
  [0x9d, ['fuel', 1]],
  [0xfe69, ['batteryLevel', 1]],
])
const VALID = 0x05
const LOCK = 0x47
const LOCK_UNKNOWN = 0
const LOCKED = 2

/** Of two bytes. */
const WORDS: ReadonlyMap<number, Reading> = new Map([
  [0x0a, ['hdop', 1]],
  [0x16, ['adc1', 0.01]],
  [0x17, ['adc2', 0.01]],
  [0x19, ['battery', 0.01]],
  [0x1a, ['power', 0.01]],
  [0x29, ['fuel', 0.01]],
  [0x40, ['event', 1]],
  [0x91, ['obdSpeed', 1]],
  [0x92, ['obdSpeed', 1]],
  [0x98, ['fuelUsed', 1]],
  [0x99, ['rpm', 1]],
  [0x9c, ['coolantTemp', 1]],
  [0x9f, ['temp1', 1]],
  [0xc9, ['fuelConsumption', 1]],
])
const SPEED = 0x08
const COURSE = 0x09
const ALTITUDE = 0x0b

/** Of four bytes. */
const LONG_WORDS: ReadonlyMap<number, Reading> = new Map([
  [0x0c, ['odometer', 1]],
  [0x0d, ['runtime', 1]],
  [0x9b, ['obdOdometer', 1]],
  [0xa0, ['fuelUsed', 0.001]],
  [0xa2, ['fuelConsumption', 0.01]],
  [0xfef4, ['hours', 60_000]],
])
const LATITUDE = 0x02
const LONGITUDE = 0x03
const TIME = 0x04
const DRIVER_CARD = 0x25

/**
 * Parameters whose length is given. One that is shorter than its layout is of another, and left out: it must not cost
 * the records of the frame, which no device sends again.
 */
const ACCESS_POINT_BYTES = 8
const CELL_TOWER_BYTES = 12
const TEMPERATURE_BYTES = 3
const CAMERA_ALARM_BYTES = 2
const BATTERIES_BYTES = 6
/** What a sensor tag has besides its name: version, length of the name, MAC address, battery, temperature, humidity. */
const SENSOR_TAG_BYTES = 13
const ACCESS_POINTS: ReadonlySet<number> = new Set([0x1d, 0x1e, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25])
const CELL_TOWERS: ReadonlySet<number> = new Set([0x0e, 0x0f, 0x10, 0x12, 0x13])
const TEMPERATURE_FIRST = 0x2a
const TEMPERATURE_LAST = 0x31
const CAMERA_ALARM = 0xfe31
const SENSOR_TAG = 0xfe73
const BATTERIES = 0xfea8

/** The camera alarm that names its picture. */
const CAMERA_ALARM_WITH_FILE = 2

/** First byte of an id of two bytes. */
const EXTENDED = 0xfe

/** A record of CCE until it has a row: place and time stand in its middle. */
interface Record {
  readonly attributes: Map<string, number | boolean | string>
  readonly cellTowers: CellTower[]
  readonly accessPoints: AccessPoint[]
  valid: boolean
  timeMs: number
  latitudeDeg: number
  longitudeDeg: number
  speedKmh: number
  courseDeg: number
  altitudeM: number
}

/** Appends the rows of a CCE frame. */
export function decodeTaggedRecords(bytes: Buffer, { typeAt, end }: Frame, out: PositionBatch): void {
  const reader = new ByteReader(bytes, typeAt + TYPE_BYTES, end)
  // Records in the memory of the device.
  reader.skip(4)
  const count = reader.u16LittleEndian()
  for (let i = 0; i < count; i++) {
    const start = reader.at
    const recordBytes = reader.u16LittleEndian()
    reader.skip(recordBytes)
    const row = addTaggedRecord(new ByteReader(bytes, start + 2, reader.at), out)
    out.setRecord(row, start, reader.at)
  }
}

function addTaggedRecord(reader: ByteReader, out: PositionBatch): number {
  const record: Record = {
    attributes: new Map(),
    cellTowers: [],
    accessPoints: [],
    valid: false,
    timeMs: Number.NaN,
    latitudeDeg: Number.NaN,
    longitudeDeg: Number.NaN,
    speedKmh: Number.NaN,
    courseDeg: Number.NaN,
    altitudeM: Number.NaN,
  }
  // Parameters in all.
  reader.skip(2)
  eachParameter(reader, (id) => readByte(id, reader.u8(), record))
  eachParameter(reader, (id) => readWord(id, reader, record))
  eachParameter(reader, (id) => readLongWord(id, reader, record))
  eachParameter(reader, (id) => {
    const at = reader.at + 1
    const length = reader.u8()
    reader.skip(length)
    readSized(id, new ByteReader(reader.frame, at, at + length), record)
  })

  const row = out.add(record.timeMs, record.latitudeDeg, record.longitudeDeg)
  out.setValid(row, record.valid)
  out.speedKmh[row] = record.speedKmh
  out.courseDeg[row] = record.courseDeg
  out.altitudeM[row] = record.altitudeM
  for (const [key, value] of record.attributes) out.set(row, key, value)
  out.set(row, 'alarm', ALARMS.get(record.attributes.get('event') as number))
  setNetwork(out, row, record.cellTowers, record.accessPoints)
  return row
}

/** Reads a count u8, then that many ids, each with what `read` takes. */
function eachParameter(reader: ByteReader, read: (id: number) => void): void {
  const count = reader.u8()
  for (let i = 0; i < count; i++) {
    const id = reader.u8()
    read(id === EXTENDED ? (EXTENDED << 8) | reader.u8() : id)
  }
}

function readByte(id: number, value: number, record: Record): void {
  if (id === VALID) record.valid = value > 0
  else if (id === LOCK) {
    if (value !== LOCK_UNKNOWN) record.attributes.set('lock', value === LOCKED)
  } else setReading(BYTES.get(id), value, record)
}

function readWord(id: number, reader: ByteReader, record: Record): void {
  if (id === SPEED) record.speedKmh = reader.u16LittleEndian()
  else if (id === COURSE) record.courseDeg = reader.u16LittleEndian()
  else if (id === ALTITUDE) record.altitudeM = reader.i16LittleEndian()
  else setReading(WORDS.get(id), reader.u16LittleEndian(), record)
}

function readLongWord(id: number, reader: ByteReader, record: Record): void {
  if (id === LATITUDE) record.latitudeDeg = reader.i32LittleEndian() / 1e6
  else if (id === LONGITUDE) record.longitudeDeg = reader.i32LittleEndian() / 1e6
  else if (id === TIME) record.timeMs = EPOCH_MS + reader.u32LittleEndian() * 1000
  else if (id === DRIVER_CARD) record.attributes.set('driverUniqueId', String(reader.u32LittleEndian()))
  else setReading(LONG_WORDS.get(id), reader.u32LittleEndian(), record)
}

function readSized(id: number, reader: ByteReader, record: Record): void {
  const { left } = reader
  if (ACCESS_POINTS.has(id) && left >= ACCESS_POINT_BYTES) {
    record.accessPoints.push({ mac: reader.mac(), rssi: reader.i16LittleEndian() })
  } else if (CELL_TOWERS.has(id) && left >= CELL_TOWER_BYTES) {
    const mcc = reader.u16LittleEndian()
    const mnc = reader.u16LittleEndian()
    const lac = reader.u16LittleEndian()
    const cid = reader.u32LittleEndian()
    record.cellTowers.push({ mcc, mnc, lac, cid, rssi: signalOf(reader.i16LittleEndian()) })
  } else if (id >= TEMPERATURE_FIRST && id <= TEMPERATURE_LAST && left >= TEMPERATURE_BYTES) {
    // Label of the sensor.
    reader.skip(1)
    record.attributes.set(`temp${id - TEMPERATURE_FIRST}`, reader.i16LittleEndian() / 100)
  } else if (id === CAMERA_ALARM && left >= CAMERA_ALARM_BYTES) readCameraAlarm(reader, record)
  else if (id === SENSOR_TAG && left >= SENSOR_TAG_BYTES) readSensorTag(reader, record)
  else if (id === BATTERIES && left >= BATTERIES_BYTES) readBatteries(reader, record)
}

/** Version u8, kind of alarm u8, name of the picture, which begins with its date. */
function readCameraAlarm(reader: ByteReader, record: Record): void {
  const version = reader.u8()
  record.attributes.set('alarmType', reader.u8())
  if (version !== CAMERA_ALARM_WITH_FILE || reader.left < 2) return
  const file = reader.latin1(reader.left)
  record.attributes.set('image', `${file.slice(0, 8).replace(/^(\d{4})(\d{2})(\d{2})$/, '$1-$2-$3')}/${file}`)
}

/** Version u8, length of the name u8, name, MAC address, battery % u8, temperature and humidity in 1/256, thresholds. */
function readSensorTag(reader: ByteReader, record: Record): void {
  reader.skip(1)
  const nameBytes = reader.u8()
  if (nameBytes > reader.left + 2 - SENSOR_TAG_BYTES) return
  record.attributes.set('tagName', reader.latin1(nameBytes))
  reader.skip(6)
  record.attributes.set('tagBattery', reader.u8())
  record.attributes.set('tagTemp', reader.i16LittleEndian() / 256)
  record.attributes.set('tagHumidity', reader.i16LittleEndian() / 256)
}

/** Of the main battery and two more: whether it is there u8, level % u8. */
function readBatteries(reader: ByteReader, record: Record): void {
  for (const key of ['batteryLevel', 'battery2Level', 'battery3Level']) {
    const isThere = reader.u8() > 0
    const level = reader.u8()
    if (isThere) record.attributes.set(key, level)
  }
}

function setReading(reading: Reading | undefined, value: number, record: Record): void {
  if (reading !== undefined) record.attributes.set(reading[0], value * reading[1])
}
