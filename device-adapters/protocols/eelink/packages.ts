/** Packages of Eelink; their layouts are in ../protocols/eelink.ts. */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { DecodeError, type Session } from '../../adapter.ts'
import type { ByteReader } from '../../byte-reader.ts'
import { type AccessPoint, type CellTower, setNetwork } from '../../network.ts'

const STEPS_OF_DEGREE = 1_800_000

export const TYPE = {
  login: 0x01,
  position: 0x02,
  heartbeat: 0x03,
  alarm: 0x04,
  state: 0x05,
  sms: 0x06,
  obd: 0x07,
  normal: 0x12,
  warning: 0x14,
  report: 0x15,
  obdCodes: 0x19,
  cameraInformation: 0x1e,
  cameraData: 0x1f,
  downlink: 0x80,
  data: 0x81,
} as const

const ALARMS: ReadonlyMap<number, string> = new Map([
  [0x01, 'powerOff'],
  [0x02, 'sos'],
  [0x03, 'lowBattery'],
  [0x04, 'vibration'],
  [0x08, 'gpsAntennaCut'],
  [0x09, 'gpsAntennaCut'],
  [0x25, 'removing'],
  [0x81, 'lowspeed'],
  [0x82, 'overspeed'],
  [0x83, 'geofenceEnter'],
  [0x84, 'geofenceExit'],
  [0x85, 'accident'],
  [0x86, 'fallDown'],
])

export interface Package {
  readonly type: number
  readonly serial: number
  readonly content: ByteReader
  /** Where the content starts and ends in the frame. */
  readonly start: number
  readonly end: number
}

/** Eight bytes of binary coded decimals. @throws DecodeError if they are none. */
export function imeiOf(reader: ByteReader): string {
  const bcd = reader.hex(8)
  if (!/^\d{16}$/.test(bcd)) throw new DecodeError('malformed', 'the IMEI has digits above 9')
  return bcd.slice(1)
}

/** Appends what a package says; those that say nothing of the device append nothing. */
export function decodePackage(part: Package, session: Session, out: PositionBatch): void {
  const { type, content } = part
  if (type === TYPE.login) session.identify(imeiOf(content))
  else if (type === TYPE.heartbeat || (type === TYPE.obd && content.left === 4)) {
    if (content.left >= 2) setStatus(out.addWithoutFix(), content.u16(), out)
  } else if (type === TYPE.obd) decodeObd(content, out)
  else if (type === TYPE.downlink) decodeAnswer(part, session, out)
  else if (type >= TYPE.position && type <= TYPE.sms) decodeFirst(part, out)
  else if (type >= TYPE.normal && type <= TYPE.obdCodes) decodeSecond(part, out)
}

/** Packages of version 1. */
function decodeFirst({ type, serial, content, start, end }: Package, out: PositionBatch): void {
  const row = out.add(content.u32() * 1000, content.i32() / STEPS_OF_DEGREE, content.i32() / STEPS_OF_DEGREE)
  out.setRecord(row, start, end)
  out.set(row, 'index', serial)
  out.speedKmh[row] = content.u8()
  out.courseDeg[row] = content.u16()
  const tower = { mcc: content.u16(), mnc: content.u16(), lac: content.u16(), cid: content.u24() }
  setNetwork(out, row, [tower])
  out.setValid(row, (content.u8() & 0x01) !== 0)
  if (type === TYPE.position) {
    if (content.left >= 2) setStatus(row, content.u16(), out)
    if (content.left >= 8) {
      out.set(row, 'battery', content.u16() / 1000)
      out.set(row, 'rssi', content.u16())
      out.set(row, 'adc1', content.u16())
      out.set(row, 'adc2', content.u16())
    }
  } else if (type === TYPE.alarm) out.set(row, 'alarm', ALARMS.get(content.u8()))
  else if (type === TYPE.state) {
    const event = content.u8()
    out.set(row, 'event', event)
    // Ignition on and off, and inputs, come with a time and the status.
    if (event >= 1 && event <= 3) {
      content.skip(4)
      if (content.left >= 2) setStatus(row, content.u16(), out)
    }
  }
}

/** Packages of version 2. */
function decodeSecond({ type, serial, content, start, end }: Package, out: PositionBatch): void {
  const timeMs = content.u32() * 1000
  const mask = content.u8()
  const fixed = (mask & 0x01) !== 0
  const row = fixed
    ? out.add(timeMs, content.i32() / STEPS_OF_DEGREE, content.i32() / STEPS_OF_DEGREE)
    : out.addWithoutFix(timeMs)
  out.setRecord(row, start, end)
  out.set(row, 'index', serial)
  if (fixed) {
    out.altitudeM[row] = content.i16()
    out.speedKmh[row] = content.u16()
    out.courseDeg[row] = content.u16()
    out.set(row, 'sat', content.u8())
  }
  readSurroundings(content, mask, row, out)
  if (type === TYPE.warning) out.set(row, 'alarm', ALARMS.get(content.u8()))
  else if (type === TYPE.report) content.skip(1)
  else if (type !== TYPE.normal) return
  const status = content.u16()
  if (fixed) out.setValid(row, (status & 0x01) !== 0)
  setStatus(row, status, out)
  if ((status & 0x08) !== 0) out.set(row, 'motion', (status & 0x200) !== 0)
  out.set(row, 'gps', (status & 0x400) !== 0)
  if (type !== TYPE.normal) return
  for (const { bytes, read } of NORMAL) if (content.left >= bytes) read(content, row, out)
}

/** Cell towers and access points that the mask announces. */
function readSurroundings(content: ByteReader, mask: number, row: number, out: PositionBatch): void {
  const towers: CellTower[] = []
  const wifi: AccessPoint[] = []
  let network = { mcc: 0, mnc: 0 }
  if ((mask & 0x02) !== 0) network = { mcc: content.u16(), mnc: content.u16() }
  for (const bit of [0x02, 0x04, 0x08]) {
    if ((mask & bit) === 0) continue
    towers.push({ ...network, lac: content.u16(), cid: content.u32(), rssi: signalOf(content) })
  }
  for (const bit of [0x10, 0x20, 0x40]) {
    if ((mask & bit) !== 0) wifi.push({ mac: content.mac(), rssi: signalOf(content) })
  }
  const lte = (mask & 0x80) !== 0
  if (lte) {
    content.skip(1)
    const counts = content.u8()
    const cells = counts & 0x07
    if (cells > 0) {
      network = { mcc: content.u16(), mnc: content.u16() }
      const lac = content.u16()
      content.skip(2)
      const cid = content.u32()
      content.skip(6)
      towers.push({ ...network, lac, cid, rssi: signalOf(content) })
      content.skip((cells - 1) * 5)
    }
    for (let left = (counts >> 3) & 0x0f; left > 0; left--) {
      wifi.push({ mac: content.mac(), rssi: signalOf(content) })
    }
  }
  setNetwork(out, row, towers, wifi, lte ? 'lte' : 'gsm')
}

/** dBm: with its sign, or without it. */
function signalOf(content: ByteReader): number {
  const signal = content.i8()
  return signal > 0 ? -signal : signal
}

/** Each pair of bits: whether the device knows, and what. */
function setStatus(row: number, status: number, out: PositionBatch): void {
  if ((status & 0x02) !== 0) out.set(row, 'ignition', (status & 0x04) !== 0)
  if ((status & 0x08) !== 0) out.set(row, 'armed', (status & 0x10) !== 0)
  if ((status & 0x20) !== 0) out.set(row, 'blocked', (status & 0x40) === 0)
  if ((status & 0x80) !== 0) out.set(row, 'charge', (status & 0x100) !== 0)
  out.set(row, 'status', status)
}

interface Reading {
  /** Bytes without which the package has none of it. */
  readonly bytes: number
  readonly read: (content: ByteReader, row: number, out: PositionBatch) => void
}

/** What follows the status of package 12, in this order; older versions end earlier. */
const NORMAL: readonly Reading[] = [
  { bytes: 2, read: (content, row, out) => out.set(row, 'battery', content.u16() / 1000) },
  {
    bytes: 4,
    read(content, row, out) {
      out.set(row, 'adc0', content.u16())
      out.set(row, 'adc1', content.u16())
    },
  },
  { bytes: 4, read: (content, row, out) => out.set(row, 'odometer', content.u32()) },
  // Counters of the GSM and GPS module.
  { bytes: 4, read: (content) => content.skip(4) },
  {
    bytes: 4,
    read(content, row, out) {
      out.set(row, 'steps', content.u16())
      content.skip(2)
    },
  },
  {
    bytes: 12,
    read(content, row, out) {
      out.set(row, 'temp1', content.i16() / 256)
      out.set(row, 'humidity', content.u16() / 10)
      out.set(row, 'illuminance', content.u32() / 256)
      out.set(row, 'co2', content.u32())
    },
  },
  { bytes: 2, read: (content, row, out) => out.set(row, 'temp2', content.i16() / 16) },
  { bytes: 2, read: readTags },
]

/** Bluetooth tags: number, id, then address 6, signal, reserved, model, version, battery, temperature, data each. */
function readTags(content: ByteReader, row: number, out: PositionBatch): void {
  const count = content.u8()
  content.skip(1)
  for (let number = 1; number <= count; number++) {
    out.set(row, `tag${number}Id`, content.hex(6))
    content.skip(4)
    out.set(row, `tag${number}Battery`, content.u16() / 1000)
    out.set(row, `tag${number}Temp`, content.i16() / 256)
    out.set(row, `tag${number}Data`, content.u16())
  }
}

/** Bytes of a value that the vehicle did not fill. */
const NO_ANSWER = 0x5555_5555

/** Readings by their PID: those of SAE J1979 in the first bytes of the value, and 89 to 8B, which are the device's own. */
const OBD: ReadonlyMap<number, readonly [key: string, of: (value: number) => number]> = new Map([
  [0x04, ['engineLoad', (value) => ((value >>> 24) * 100) / 255]],
  [0x05, ['coolantTemp', (value) => (value >>> 24) - 40]],
  [0x0c, ['rpm', (value) => (value >>> 16) / 4]],
  [0x0d, ['obdSpeed', (value) => value >>> 24]],
  [0x11, ['throttle', (value) => ((value >>> 24) * 100) / 255]],
  [0x89, ['fuelConsumption', (value) => value]],
  [0x8a, ['odometer', (value) => value * 1000]],
  [0x8b, ['fuel', (value) => Math.trunc(value / 10)]],
])

function decodeObd(content: ByteReader, out: PositionBatch): void {
  const row = out.addWithoutFix(content.u32() * 1000)
  while (content.left >= 5) {
    const reading = OBD.get(content.u8())
    const value = content.u32()
    if (reading !== undefined && value !== NO_ANSWER) out.set(row, reading[0], reading[1](value))
  }
}

const PLACE =
  /Lat:([NS])(\d+\.\d+)[\s\S]{0,8}Lon:([EW])(\d+\.\d+)[\s\S]{0,8}Course:(\d+\.\d+)[\s\S]{0,8}Speed:(\d+\.\d+)[\s\S]{0,16}Date ?Time:(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)/

/** Answer to a command; that to `WHERE#` is a position. */
function decodeAnswer({ serial, content }: Package, session: Session, out: PositionBatch): void {
  content.skip(1)
  const commandSerial = content.u32()
  const text = content.bytes(content.left).toString('utf8')
  // Many end in U+0000, which is no part of the answer.
  session.answer({ serial: commandSerial, ok: true, text: text.replaceAll('\0', '').trim() })
  const [, northSouth, latitude, eastWest, longitude, course, speed, date, time] = PLACE.exec(text) ?? []
  if (time === undefined) {
    const row = out.addWithoutFix()
    out.set(row, 'index', serial)
    out.set(row, 'result', text)
    return
  }
  const row = out.add(
    Date.parse(`${date}T${time}Z`),
    Number(latitude) * (northSouth === 'S' ? -1 : 1),
    Number(longitude) * (eastWest === 'W' ? -1 : 1),
  )
  out.set(row, 'index', serial)
  out.courseDeg[row] = Number(course)
  out.speedKmh[row] = Number(speed)
}
