/** Text reports of the universal protocol; their layouts are in ../protocols/suntech.ts. */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { DecodeError } from '../../adapter.ts'
import { setNetwork } from '../../network.ts'
import { ALERTS } from './alarms.ts'
import { Fields, type SuntechSession } from './fields.ts'
import { setSerialData } from './serial-data.ts'

/** Bits of the report map, one a field, in their order. */
export const MAP = {
  model: 1,
  version: 2,
  messageType: 3,
  date: 4,
  time: 5,
  cell: 6,
  mcc: 7,
  mnc: 8,
  lac: 9,
  signal: 10,
  latitude: 11,
  longitude: 12,
  speed: 13,
  course: 14,
  satellites: 15,
  fix: 16,
  inputs: 17,
  outputs: 18,
  first: 19,
  second: 20,
  third: 21,
  reserved: 22,
  assigned: 23,
} as const

/** Beacon reports have no report map: model, version, date, time and place. */
const BEACON_MAP = bits(MAP.model, MAP.version, MAP.date, MAP.time, MAP.latitude, MAP.longitude)
const BEACON_FIELDS = 7
const ASSIGNED_BITS = 31

export function has(map: number, bit: number): boolean {
  return ((map >>> bit) & 1) === 1
}

/** The three fields whose meaning depends on the type of the report. */
const READ_TYPE: Readonly<
  Record<string, (fields: Fields, map: number, out: PositionBatch, row: number) => void>
> = {
  STT: (fields, map, out, row) => {
    if (has(map, MAP.first)) out.set(row, 'mode', fields.number())
    if (has(map, MAP.second)) out.set(row, 'reason', fields.number())
    if (has(map, MAP.third)) out.set(row, 'index', fields.number())
  },
  ALT: (fields, map, out, row) => {
    if (has(map, MAP.first)) out.set(row, 'alarm', ALERTS.get(fields.number()))
    if (has(map, MAP.second)) setText(out, row, 'alertModifier', fields.text())
    if (has(map, MAP.third)) setText(out, row, 'alertData', fields.text())
  },
  UEX: (fields, _map, out, row) => {
    fields.skip() // length
    setSerialData(out, row, fields.text())
    fields.skip() // checksum
  },
}

/** Beacons, what a command did, and crash reports. */
const OTHER_TYPES: ReadonlySet<string> = new Set(['BLE', 'RES', 'CRR'])

/** A report whose first field is its type. */
export function decodeUniversal(
  values: readonly string[],
  session: SuntechSession,
  out: PositionBatch,
): void {
  const type = values[0]!
  const readType = READ_TYPE[type]
  const fields = new Fields(values, 1)
  const isKnown = readType !== undefined || OTHER_TYPES.has(type)
  // A line of three letters may be a part of an answer in several lines, as those of older devices to Preset: no id then.
  if (!isKnown && !/^\d{10}$/.test(values[1] ?? '')) return
  session.state.head = ''
  fields.identify(session)
  if (!isKnown) return
  if (type === 'RES') {
    const text = values.slice(2).join(';')
    const row = out.addWithoutFix()
    out.set(row, 'type', type)
    setText(out, row, 'result', text)
    session.answer({ ok: true, text })
    return
  }
  // Their binary part may hold any byte, so that a CR in it ends the frame too early.
  if (type === 'CRR') throw new DecodeError('unsupported', 'a crash report')

  const map = type === 'BLE' ? BEACON_MAP : fields.hex()
  if (Number.isNaN(map)) throw new DecodeError('malformed', 'no report map')
  const row = addPosition(fields, map, out)
  out.set(row, 'type', type)
  if (readType === undefined) {
    setBeacons(fields, out, row)
    return
  }
  if (has(map, MAP.speed)) out.speedKmh[row] = fields.number()
  if (has(map, MAP.course)) out.courseDeg[row] = fields.number()
  if (has(map, MAP.satellites)) out.set(row, 'sat', fields.number())
  if (has(map, MAP.fix)) out.setValid(row, fields.text() === '1')
  // Digits of bits, read as a decimal number: so they stand in the report.
  if (has(map, MAP.inputs)) {
    const inputs = fields.number()
    out.set(row, 'ignition', inputs % 2 === 1)
    out.set(row, 'input', inputs)
  }
  if (has(map, MAP.outputs)) out.set(row, 'output', fields.number())
  readType(fields, map, out, row)
  if (has(map, MAP.reserved) && fields.left > 0) fields.skip()
  if (has(map, MAP.assigned) && type !== 'UEX') setAssigned(fields, out, row)
  for (let i = 1; fields.left > 0; i++) setText(out, row, `assign${i}`, fields.text())
}

/** Appends the position of the fields up to the longitude, with the readings among them. */
function addPosition(fields: Fields, map: number, out: PositionBatch): number {
  if (has(map, MAP.model)) fields.skip()
  const version = has(map, MAP.version) ? fields.text() : ''
  const stored = has(map, MAP.messageType) && fields.text() === '0'
  const timed = has(map, MAP.date) && has(map, MAP.time)
  const timeMs = timed ? fields.time() : Number.NaN
  if (!timed && (has(map, MAP.date) || has(map, MAP.time))) fields.skip()
  const cid = has(map, MAP.cell) ? fields.hex() : Number.NaN
  const mcc = has(map, MAP.mcc) ? fields.number() : Number.NaN
  const mnc = has(map, MAP.mnc) ? fields.number() : Number.NaN
  const lac = has(map, MAP.lac) ? fields.hex() : Number.NaN
  const rssi = has(map, MAP.signal) ? fields.number() : Number.NaN
  const latitudeDeg = has(map, MAP.latitude) ? fields.degrees() : Number.NaN
  const longitudeDeg = has(map, MAP.longitude) ? fields.degrees() : Number.NaN
  const row = out.add(timeMs, latitudeDeg, longitudeDeg)
  setText(out, row, 'versionFw', version)
  if (stored) out.set(row, 'archive', true)
  if (!Number.isNaN(cid + mcc + mnc + lac)) setNetwork(out, row, [{ mcc, mnc, lac, cid }])
  out.set(row, 'rssi', rssi)
  return row
}

/** Readings that the operator chose: a map of them, then their values. */
function setAssigned(fields: Fields, out: PositionBatch, row: number): void {
  const map = fields.hex()
  for (let bit = 0; bit < ASSIGNED_BITS; bit++) {
    if (has(map, bit)) setText(out, row, `io${bit + 1}`, fields.text())
  }
}

/** Beacons: signal with its least and most, id, samples, major and minor of each. */
function setBeacons(fields: Fields, out: PositionBatch, row: number): void {
  const count = fields.number()
  if (fields.left < count * BEACON_FIELDS) throw new DecodeError('malformed', 'beacons are missing')
  for (let i = 1; i <= count; i++) {
    out.set(row, `tag${i}Rssi`, fields.number())
    fields.skip(2)
    setText(out, row, `tag${i}Id`, fields.text())
    out.set(row, `tag${i}Samples`, fields.number())
    out.set(row, `tag${i}Major`, fields.number())
    out.set(row, `tag${i}Minor`, fields.number())
  }
}

function setText(out: PositionBatch, row: number, key: string, text: string): void {
  if (text !== '') out.set(row, key, text)
}

function bits(...positions: readonly number[]): number {
  return positions.reduce((map, bit) => map | (1 << bit), 0)
}
