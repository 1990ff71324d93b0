/** Zip reports, the binary form of the text reports; their layouts are in ../protocols/suntech.ts. */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { DecodeError } from '../../adapter.ts'
import { ByteReader } from '../../byte-reader.ts'
import { setNetwork } from '../../network.ts'
import { ALERTS, EMERGENCIES } from './alarms.ts'
import { type SuntechSession, signalOf } from './fields.ts'
import { has, MAP } from './universal.ts'

const MS_A_MINUTE = 60_000
const SIGN = 0x8000_0000

const LEGACY_TYPE = { status: 0x10, emergency: 0x11, event: 0x12, alert: 0x13 }
/** Device id, of whose ten digits the older generations use nine. */
const ID_BYTES = 5
const LEGACY_ID_DIGITS = 9
/** Hour meter, voltage of the battery, type of message. */
const LEGACY_METER_BYTES = 7
const LEGACY_CELL_BYTES = 10

/** A zip report of the ST300 series. */
export function decodeLegacyZip(frame: Buffer, session: SuntechSession, out: PositionBatch): void {
  // Behind the start and the length, and before the end.
  const reader = new ByteReader(frame, 3, frame.length - 1)
  const type = reader.u8()
  const id = reader.hex(ID_BYTES).slice(0, LEGACY_ID_DIGITS)
  if (!/^\d+$/.test(id)) throw new DecodeError('malformed', 'no device id')
  session.identify(id)
  if (type < LEGACY_TYPE.status || type > LEGACY_TYPE.alert) return
  reader.skip(3) // model, software version
  const timeMs = reader.date()
  reader.skip(3) // cell
  const latitude = reader.u8() + decimals(reader, 3)
  const longitude = reader.u8() + decimals(reader, 3)
  const speedKmh = reader.u16() + decimals(reader, 1)
  const courseDeg = reader.u16() + decimals(reader, 1)
  const flags = reader.u8()
  const row = out.add(timeMs, has(flags, 6) ? -latitude : latitude, has(flags, 5) ? -longitude : longitude)
  out.setValid(row, has(flags, 7))
  out.speedKmh[row] = speedKmh
  out.courseDeg[row] = courseDeg
  out.set(row, 'sat', flags & 0x1f)
  out.set(row, 'odometer', reader.u32())
  out.set(row, 'power', reader.u8() + decimals(reader, 1))
  const signals = reader.u8()
  for (const [bit, key] of ['ignition', 'in1', 'in2', 'in3', 'out1', 'out2'].entries()) {
    out.set(row, key, has(signals, bit))
  }
  const event = reader.u8()
  out.set(row, 'event', event)
  if (type === LEGACY_TYPE.emergency) out.set(row, 'alarm', EMERGENCIES.get(event))
  if (type === LEGACY_TYPE.alert) out.set(row, 'alarm', ALERTS.get(event))
  const numberBytes = type === LEGACY_TYPE.status ? 2 : 0
  if (numberBytes > 0 && reader.left >= numberBytes) out.set(row, 'index', reader.u16())
  if (reader.left === LEGACY_METER_BYTES || reader.left >= LEGACY_METER_BYTES + LEGACY_CELL_BYTES) {
    out.set(row, 'hours', reader.u32() * MS_A_MINUTE)
    out.set(row, 'battery', reader.u8() + decimals(reader, 1))
    if (reader.u8() === 0) out.set(row, 'archive', true)
  }
  if (Number(session.device?.options.hbm ?? 0) >= 2 && reader.left >= LEGACY_CELL_BYTES) {
    const tower = { cid: reader.u16(), mcc: reader.u16(), mnc: reader.u8(), rssi: signalOf(reader.i16()) }
    setNetwork(out, row, [{ ...tower, lac: reader.u16() }])
  }
}

/** Digits behind the decimal point, two a byte. */
function decimals(reader: ByteReader, bytes: number): number {
  const digits = reader.hex(bytes)
  if (!/^\d+$/.test(digits)) throw new DecodeError('malformed', 'decimals that are no digits')
  return Number(digits) / 100 ** bytes
}

const UNIVERSAL_TYPE = { status: 0x81, alert: 0x82 }
/** Alert of an identified driver: its data is the driver's key. */
const ALERT_DRIVER = 59
const DRIVER_BYTES = 8

/** A zip report of the universal protocol: fields by the same map as in its text reports. */
export function decodeUniversalZip(frame: Buffer, session: SuntechSession, out: PositionBatch): void {
  const type = frame[0]!
  const reader = new ByteReader(frame, 3)
  const id = reader.hex(ID_BYTES)
  if (!/^\d+$/.test(id)) throw new DecodeError('malformed', 'no device id')
  session.identify(id)
  if (type !== UNIVERSAL_TYPE.status && type !== UNIVERSAL_TYPE.alert) return
  const map = reader.u24()
  const skip = (bit: number, bytes: number) => has(map, bit) && reader.skip(bytes)
  skip(MAP.model, 1)
  const version = has(map, MAP.version) ? [reader.u8(), reader.u8(), reader.u8()].join('.') : undefined
  const stored = has(map, MAP.messageType) && reader.u8() === 0
  const timeMs = has(map, MAP.date) && has(map, MAP.time) ? reader.date() : Number.NaN
  skip(MAP.cell, 4)
  skip(MAP.mcc, 2)
  skip(MAP.mnc, 2)
  skip(MAP.lac, 2)
  const rssi = has(map, MAP.signal) ? reader.u8() : undefined
  const latitudeDeg = has(map, MAP.latitude) ? degrees(reader) : Number.NaN
  const longitudeDeg = has(map, MAP.longitude) ? degrees(reader) : Number.NaN
  const row = out.add(timeMs, latitudeDeg, longitudeDeg)
  out.set(row, 'versionFw', version)
  if (stored) out.set(row, 'archive', true)
  out.set(row, 'rssi', rssi)
  if (has(map, MAP.speed)) out.speedKmh[row] = reader.u16() / 100
  if (has(map, MAP.course)) out.courseDeg[row] = reader.u16() / 100
  if (has(map, MAP.satellites)) out.set(row, 'sat', reader.u8())
  if (has(map, MAP.fix)) out.setValid(row, reader.u8() > 0)
  if (has(map, MAP.inputs)) {
    const inputs = reader.u8()
    out.set(row, 'ignition', has(inputs, 0))
    out.set(row, 'input', inputs)
  }
  if (has(map, MAP.outputs)) out.set(row, 'output', reader.u8())
  const first = has(map, MAP.first) ? reader.u8() : undefined
  if (type === UNIVERSAL_TYPE.status) {
    out.set(row, 'mode', first)
    if (has(map, MAP.second)) out.set(row, 'reason', reader.u8())
    if (has(map, MAP.third)) out.set(row, 'index', reader.u16())
    return
  }
  if (first !== undefined) out.set(row, 'alarm', ALERTS.get(first))
  skip(MAP.second, 2)
  if (has(map, MAP.third) && first === ALERT_DRIVER) {
    out.set(row, 'driverUniqueId', reader.hex(DRIVER_BYTES))
  }
}

/** Millionths of a degree, with the sign in the first bit. */
function degrees(reader: ByteReader): number {
  const value = reader.u32()
  return (value >= SIGN ? SIGN - value : value) / 1e6
}
