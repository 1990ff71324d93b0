/**
 * Binary frames, "HEX" in the documents; numbers are big-endian.
 *
 *     +RSP +BSP +EVT +BVT   type u8, mask u32, length u16, device type u8, protocol u16, firmware u16, id (8), battery % u8,
 *                           supply mV u16, …, motion u8, satellites u8, what the type has, locations
 *     +INF +BNF             type u8, mask u16, length u16, id (8), device type u8, protocol u16, firmware u16, state
 *     +ACK                  type u8, mask u8, length u8, …
 *     location              HDOP u8, km/h u16 and tenths u8, degrees u16, m i16, longitude and latitude i32 in 10⁻⁶ degree,
 *                           year u16, month, day, hour, minute, second, tower: mcc, mnc, lac, cid u16, u8
 *     end                   send time (7), count number u16, CRC-16/CCITT-FALSE u16 of what follows the head, 0D0A
 *
 * The id is an IMEI, two digits a byte and the last one alone, or where bit 6 of the mask is set the device's name. B for R
 * and E, and for I in the second letter, says that the frame waited for the network.
 *
 * Source: Queclink, @Track Air Interface Protocol of GV500 and GB100, HEX messages.
 */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { DecodeError, type Session } from '../../adapter.ts'
import { ByteReader } from '../../byte-reader.ts'
import { crc16CcittFalse } from '../../checksums.ts'
import { type CellTower, setNetwork } from '../../network.ts'
import { hasBit } from './fields.ts'
import { STATES } from './information.ts'

/** Where the length of a frame stands, and in how many bytes, by its head. */
export const LENGTHS: Readonly<Partial<Record<string, readonly [at: number, bytes: 1 | 2]>>> = {
  '+RSP': [9, 2],
  '+BSP': [9, 2],
  '+EVT': [9, 2],
  '+BVT': [9, 2],
  '+INF': [7, 2],
  '+BNF': [7, 2],
  '+CRD': [6, 2],
  '+BRD': [6, 2],
  '+LGN': [6, 2],
  '+HBD': [5, 1],
  '+ACK': [6, 1],
}
/** Head, and what every frame ends with. */
export const BINARY_BYTES_MIN = 16

const HEAD_BYTES = 4
/** CRC and 0D0A, and with the count number before them. */
const CHECK_BYTES = 4
const TAIL_BYTES = 6

/** Bits of the mask that fields of a report hang on. */
const NAMED = 6
const DEVICE_TYPE = 8
const PROTOCOL = 9
const FIRMWARE = 10
const BATTERY = 11
const SUPPLY = 12
const VIN = 13
const RPM = 14
const FUEL_CONSUMPTION = 15
const FUEL_LEVEL = 16

/** Types of reports. */
const CALL = 3
const GEOFENCE = 8
const COMPRESSED = 100

/** Bytes that an event has before its location, by its type. */
const EVENT_BYTES: ReadonlyMap<number, number> = new Map([
  // Voltage of the battery.
  [6, 2],
  // Code and retry of an update.
  [15, 3],
  // How long it idled.
  [17, 4],
  // State of the receiver.
  [21, 5],
  // Crash.
  [23, 1],
  // Parking fence: id, whether it is on, mode, radius, interval.
  [26, 12],
  // Jamming of the receiver: value and state; of the network.
  [31, 2],
  [33, 1],
  // Command and result of a configuration.
  [34, 3],
  // Roaming.
  [35, 1],
  // Ignition told by the voltage: reserved, type, how long it was on or off.
  [45, 7],
  [46, 7],
])

/** Reads one binary frame. */
export function decodeBinary(frame: Buffer, session: Session, out: PositionBatch): void {
  const head = frame.toString('latin1', 0, HEAD_BYTES)
  const end = frame.length - CHECK_BYTES
  if (
    frame.length < BINARY_BYTES_MIN ||
    crc16CcittFalse(frame, HEAD_BYTES, end) !== frame.readUInt16BE(end)
  ) {
    throw new DecodeError('checksum', `the CRC of ${head} does not fit`)
  }
  const bytes = new ByteReader(frame, HEAD_BYTES, end)
  if (head === '+RSP' || head === '+BSP') decodeReport(bytes, session, out)
  else if (head === '+EVT' || head === '+BVT') decodeEvent(bytes, session, out)
  else if (head === '+INF' || head === '+BNF') decodeInformation(bytes, session, out)
  else if (head === '+ACK') {
    bytes.skip(1)
    const mask = bytes.u8()
    bytes.skip(6)
    identify(bytes, mask, session)
    session.answer({ ok: true, text: '' })
  }
}

interface Head {
  readonly type: number
  readonly firmware: number
  readonly batteryLevel: number
  readonly powerV: number
  readonly rpm: number
  readonly fuelConsumption: number
  readonly fuelLevel: number
}

/** What reports and events begin with. */
function headOf(bytes: ByteReader, session: Session): Head {
  const type = bytes.u8()
  const mask = bytes.u32()
  bytes.skip(2)
  const u8If = (bit: number) => (hasBit(mask, bit) ? bytes.u8() : Number.NaN)
  const u16If = (bit: number) => (hasBit(mask, bit) ? bytes.u16() : Number.NaN)
  u8If(DEVICE_TYPE)
  u16If(PROTOCOL)
  const firmware = u16If(FIRMWARE)
  identify(bytes, mask, session)
  if (hasBit(mask, VIN)) bytes.skip(17)
  return {
    type,
    firmware,
    batteryLevel: u8If(BATTERY),
    powerV: u16If(SUPPLY) / 1000,
    rpm: u16If(RPM),
    fuelConsumption: u16If(FUEL_CONSUMPTION),
    fuelLevel: u8If(FUEL_LEVEL),
  }
}

/** Reads the id: the device may be registered under its eight bytes as one number too, which other servers call it by. */
function identify(bytes: ByteReader, mask: number, session: Session): void {
  const id = bytes.bytes(8)
  const number = id.readBigInt64BE().toString().padStart(15, '0')
  const name = hasBit(mask, NAMED) ? id.toString('latin1').replace(/\0.*$/s, '') : imeiOf(id)
  if (/^[\x21-\x7e]+$/.test(name)) session.identify(number, name)
  else session.identify(number)
}

/** '' if the bytes are none. */
function imeiOf(id: Buffer): string {
  const digits = Array.from(id, (byte, i) => String(byte).padStart(i < 7 ? 2 : 1, '0')).join('')
  return digits.length === 15 ? digits : ''
}

function decodeReport(bytes: ByteReader, session: Session, out: PositionBatch): void {
  const head = headOf(bytes, session)
  if (head.type === GEOFENCE) bytes.skip(2)
  bytes.skip(1)
  const satellites = bytes.u8()
  if (head.type === COMPRESSED) {
    decodeCompressed(bytes, out)
    return
  }
  bytes.skip(1)
  if (head.type === CALL) {
    bytes.skip(1)
    // A phone number, two digits a byte, up to a nibble F.
    for (let digits = bytes.u8(); (digits & 0x0f) !== 0x0f && (digits & 0xf0) !== 0xf0; ) digits = bytes.u8()
  }
  for (let left = bytes.u8(); left > 0; left--) {
    const start = bytes.at
    const row = addLocation(bytes, out)
    out.setRecord(row, start, bytes.at)
    setHead(out, row, head, satellites)
  }
}

/** Points a second apart: each whole, or what changed since the one before, or none. */
function decodeCompressed(bytes: ByteReader, out: PositionBatch): void {
  let timeS = 0
  let [speed, course, longitude, latitude] = [0, 0, 0, 0]
  for (let left = bytes.u16(); left > 0; left--) {
    if (timeS > 0) timeS++
    const start = bytes.at
    const kind = bytes.u8() >> 6
    bytes.at = start
    if (kind === 1) {
      const bits = bytes.u24()
      speed = (bits >> 9) & 0xfff
      course = bits & 0x1ff
      longitude = bytes.i32()
      latitude = bytes.i32()
      if (timeS === 0) timeS = bytes.u32()
    } else if (kind === 2) {
      const high = bytes.u8()
      const low = bytes.u32()
      speed += signed(((high & 0x1f) << 2) | (low >>> 30), 7)
      course += signed((low >>> 23) & 0x7f, 7)
      longitude += signed((low >>> 11) & 0xfff, 12)
      latitude += signed(low & 0x7ff, 11)
    } else {
      bytes.skip(1)
      continue
    }
    const row = out.add(timeS * 1000, latitude / 1e6, longitude / 1e6)
    out.setRecord(row, start, bytes.at)
    out.speedKmh[row] = speed / 10
    out.courseDeg[row] = course
  }
}

/** A number of so many bits with its sign. */
function signed(value: number, bits: number): number {
  return (value << (32 - bits)) >> (32 - bits)
}

function decodeEvent(bytes: ByteReader, session: Session, out: PositionBatch): void {
  const head = headOf(bytes, session)
  bytes.skip(1)
  const satellites = bytes.u8()
  bytes.skip(EVENT_BYTES.get(head.type) ?? 0)
  // How many locations there are, which is one.
  bytes.skip(1)
  const row = addLocation(bytes, out)
  out.setRecord(row, HEAD_BYTES, bytes.frame.length - TAIL_BYTES)
  if (!Number.isNaN(head.firmware)) out.set(row, 'versionFw', String(head.firmware))
  setHead(out, row, head, satellites)
}

function setHead(out: PositionBatch, row: number, head: Head, satellites: number): void {
  out.set(row, 'batteryLevel', head.batteryLevel)
  out.set(row, 'power', head.powerV)
  out.set(row, 'sat', satellites)
  out.set(row, 'rpm', head.rpm)
  out.set(row, 'fuelConsumption', head.fuelConsumption)
  out.set(row, 'fuelLevel', head.fuelLevel)
}

function addLocation(bytes: ByteReader, out: PositionBatch): number {
  const hdop = bytes.u8()
  const speedKmh = bytes.u16() + bytes.u8() / 10
  const courseDeg = bytes.u16()
  const altitudeM = bytes.i16()
  const longitude = bytes.i32() / 1e6
  const latitude = bytes.i32() / 1e6
  const row = out.add(dateOf(bytes), latitude, longitude)
  // Without a fix it is the last place known.
  out.setValid(row, hdop > 0)
  out.set(row, 'hdop', hdop)
  out.speedKmh[row] = speedKmh
  out.courseDeg[row] = courseDeg
  out.altitudeM[row] = altitudeM
  setNetwork(out, row, [towerOf(bytes)])
  bytes.skip(1)
  return row
}

function towerOf(bytes: ByteReader): CellTower {
  return { mcc: bytes.u16(), mnc: bytes.u16(), lac: bytes.u16(), cid: bytes.u16() }
}

/** Year u16, month, day, hour, minute, second. */
function dateOf(bytes: ByteReader): number {
  return Date.UTC(bytes.u16(), bytes.u8() - 1, bytes.u8(), bytes.u8(), bytes.u8(), bytes.u8())
}

/** What a report of the state is about: one thing, or all. */
const ALL = 1
const SIGNAL = 5
const VERSIONS = 6
const BATTERIES = 7
const CELLS = 10

function decodeInformation(bytes: ByteReader, session: Session, out: PositionBatch): void {
  const type = bytes.u8()
  const has = (about: number) => type === about || type === ALL
  const mask = bytes.u16()
  bytes.skip(2)
  identify(bytes, mask, session)
  const row = out.addWithoutFix()
  out.setRecord(row, HEAD_BYTES, bytes.frame.length - TAIL_BYTES)
  bytes.skip(3)
  out.set(row, 'versionFw', String(bytes.u16()))
  if (has(VERSIONS)) bytes.skip(6)
  const [ignition, motion] = STATES.get(bytes.u8()) ?? []
  if (ignition !== undefined) out.set(row, 'ignition', ignition)
  if (motion !== undefined) out.set(row, 'motion', motion)
  bytes.skip(1)
  out.set(row, 'sat', bytes.u8())
  // Mode, time of the last fix, reserved, mask and intervals of reports, reserved.
  bytes.skip(1 + 7 + 2 + 6 + 5)
  if (has(BATTERIES)) {
    out.set(row, 'charge', bytes.u8() !== 0)
    out.set(row, 'power', bytes.u16() / 1000)
    out.set(row, 'battery', bytes.u16() / 1000)
    out.set(row, 'batteryLevel', bytes.u8())
  }
  out.set(row, 'iccid', bytes.hex(10).replace(/f$/, ''))
  if (has(SIGNAL)) {
    out.set(row, 'rssi', bytes.u8())
    bytes.skip(1)
  }
  // Time zone.
  bytes.skip(3)
  if (has(CELLS)) {
    bytes.skip(1)
    const towers: CellTower[] = []
    for (let left = bytes.u8(); left > 0; left--) {
      towers.push(towerOf(bytes))
      // Timing advance and level.
      bytes.skip(2)
    }
    setNetwork(out, row, towers)
  }
  out.deviceTimeMs[row] = dateOf(bytes)
}
