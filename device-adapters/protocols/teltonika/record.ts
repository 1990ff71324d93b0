/** Records of Teltonika codecs 8, 8 Extended and 16; the layout stands in protocols/teltonika.ts. */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { DecodeError, type KnownDevice } from '../../adapter.ts'
import { type CellTower, setNetwork } from '../../network.ts'
import { BEACONS, setBeacons, setTags, TAGS } from './beacons.ts'
import { type Element, type Elements, elementsOf, rawName } from './elements.ts'

/** Widths of the fields in which the record codecs differ, bytes. */
export interface RecordLayout {
  readonly idBytes: 1 | 2
  readonly countBytes: 1 | 2
  readonly generationBytes: 0 | 1
  /** Whether elements of any length follow. */
  readonly variable: boolean
}

/** Time, priority, longitude, latitude, altitude, course, satellites, speed. */
const HEAD_BYTES = 24

/** Cells of a TAT100, each of LAC, cell id, signal strength and MNC. */
const TOWERS = 4

/** What the records of one device share, and what one record gathers until its elements are read. */
export class RecordState {
  private model: string | undefined
  /** By id, of the device's model. */
  elements: Elements = []
  /** Whether 16-byte elements follow the 8-byte ones: an option of the device, since no byte of the record says so. */
  extended = false
  operator = Number.NaN
  /** Whether one of the fields below is set. */
  gathered = false
  lac = Number.NaN
  cell2g = Number.NaN
  cell4g = Number.NaN
  cardHigh = ''
  cardLow = ''
  readonly towers = new Float64Array(TOWERS * 4).fill(Number.NaN)
  towersGathered = false

  useDevice(device: KnownDevice | undefined): void {
    const model = device?.model ?? ''
    if (model !== this.model) {
      this.model = model
      this.elements = elementsOf(model)
    }
    this.extended = device?.options.extended === true
  }

  clear(): void {
    this.operator = Number.NaN
    if (!this.gathered) return
    this.gathered = false
    this.lac = this.cell2g = this.cell4g = Number.NaN
    this.cardHigh = this.cardLow = ''
    if (this.towersGathered) this.towers.fill(Number.NaN)
    this.towersGathered = false
  }
}

/**
 * Appends the record at `start`.
 * @returns Where the next one starts.
 * @throws DecodeError if the record does not end before `end`.
 */
export function decodeRecord(
  frame: Buffer,
  start: number,
  end: number,
  layout: RecordLayout,
  state: RecordState,
  out: PositionBatch,
): number {
  const { idBytes, countBytes } = layout
  let at = start + HEAD_BYTES + idBytes + layout.generationBytes + countBytes
  if (at > end) throw short()
  state.clear()
  const row = out.add(
    frame.readUInt32BE(start) * 4294967296 + frame.readUInt32BE(start + 4),
    frame.readInt32BE(start + 13) / 1e7,
    frame.readInt32BE(start + 9) / 1e7,
  )
  out.altitudeM[row] = frame.readInt16BE(start + 17)
  out.courseDeg[row] = frame.readUInt16BE(start + 19)
  const satellites = frame[start + 21]!
  // Without a fix the place is that of the last one.
  if (satellites === 0) out.setValid(row, false)
  out.speedKmh[row] = frame.readUInt16BE(start + 22)
  out.set(row, 'priority', frame[start + 8]!)
  out.set(row, 'sat', satellites)
  out.set(row, 'event', unsigned(frame, start + HEAD_BYTES, idBytes))

  for (let bytes = 1; bytes <= 8; bytes *= 2) {
    if (at + countBytes > end) throw short()
    const count = unsigned(frame, at, countBytes)
    at += countBytes
    const listEnd = at + count * (idBytes + bytes)
    if (listEnd > end) throw short()
    for (; at < listEnd; at += idBytes + bytes) {
      setElement(out, row, state, state.elements, unsigned(frame, at, idBytes), frame, at + idBytes, bytes)
    }
  }
  if (state.extended) at = decodeHexElements(frame, at, end, layout, out, row)
  if (layout.variable) at = decodeVariableElements(frame, at, end, out, row)
  if (state.gathered) setGathered(out, row, state)
  out.setRecord(row, start, at)
  return at
}

/** Elements of 16 bytes. */
function decodeHexElements(
  frame: Buffer,
  start: number,
  end: number,
  { idBytes, countBytes }: RecordLayout,
  out: PositionBatch,
  row: number,
): number {
  if (start + countBytes > end) throw short()
  const listEnd = start + countBytes + unsigned(frame, start, countBytes) * (idBytes + 16)
  if (listEnd > end) throw short()
  for (let at = start + countBytes; at < listEnd; at += idBytes + 16) {
    const value = at + idBytes
    out.set(row, rawName(unsigned(frame, at, idBytes)), frame.toString('hex', value, value + 16))
  }
  return listEnd
}

/** Elements that give their length. */
function decodeVariableElements(
  frame: Buffer,
  start: number,
  end: number,
  out: PositionBatch,
  row: number,
): number {
  if (start + 2 > end) throw short()
  let at = start + 2
  for (let count = frame.readUInt16BE(start); count > 0; count--) {
    if (at + 4 > end) throw short()
    const id = frame.readUInt16BE(at)
    const value = at + 4
    at = value + frame.readUInt16BE(at + 2)
    if (at > end) throw short()
    if (value < at) setVariableElement(out, row, id, frame.subarray(value, at))
  }
  return at
}

function setVariableElement(out: PositionBatch, row: number, id: number, value: Buffer): void {
  if (id === 256 || id === 325) out.set(row, 'vin', value.toString('latin1'))
  else if (id === 281) out.set(row, 'dtcs', value.toString('latin1').replaceAll(',', ' '))
  else if (id === BEACONS && setBeacons(out, row, value)) return
  else if (TAGS.has(id) && setTags(out, row, value)) return
  else out.set(row, rawName(id), value.toString('hex'))
}

/** Sets the attribute of an element whose value is `frame[at, at + bytes)`. */
export function setElement(
  out: PositionBatch,
  row: number,
  state: RecordState,
  elements: Elements,
  id: number,
  frame: Buffer,
  at: number,
  bytes: number,
): void {
  const element = elements[id]
  if (element === undefined) out.set(row, rawName(id), unsigned(frame, at, bytes))
  else if (element.kind === 'unsigned')
    out.set(row, element.key, unsigned(frame, at, bytes) / element.divisor)
  else if (element.kind === 'signed') out.set(row, element.key, signed(frame, at, bytes) / element.divisor)
  else if (element.kind === 'boolean') out.set(row, element.key, unsigned(frame, at, bytes) > 0)
  else setSpecialElement(out, row, state, element, id, frame, at, bytes)
}

function setSpecialElement(
  out: PositionBatch,
  row: number,
  state: RecordState,
  { key, kind, divisor }: Element,
  id: number,
  frame: Buffer,
  at: number,
  bytes: number,
): void {
  const value = unsigned(frame, at, bytes)
  switch (kind) {
    case 'kilometres':
      out.set(row, key, value * 1000)
      return
    case 'minutes':
      out.set(row, key, value * 60_000)
      return
    case 'sensor':
      if (value < SENSOR_FAULT_MIN) out.set(row, key, value / divisor)
      else out.set(row, rawName(id), value)
      return
    case 'alarm':
      if (value > 0) out.set(row, 'alarm', key)
      return
    case 'driving': {
      const alarm = DRIVING_ALARMS[value]
      if (alarm !== undefined) out.set(row, 'alarm', alarm)
      return
    }
    case 'geofence':
      out.set(row, 'alarm', value > 0 ? 'geofenceEnter' : 'geofenceExit')
      return
    case 'text64':
      if (bytes === 8) out.set(row, key, frame.readBigUInt64BE(at).toString())
      else out.set(row, rawName(id), value)
      return
    case 'key':
      if (value !== 0) {
        const bigEndian = Buffer.from(frame.subarray(at, at + bytes)).reverse()
        out.set(row, key, bigEndian.toString('hex').toUpperCase())
      }
      return
    case 'speed':
      out.speedKmh[row] = value
      return
    case 'operator':
      out.set(row, key, value)
      state.operator = value
      return
    case 'lac':
      state.lac = value
      break
    case 'cell2g':
      state.cell2g = value
      break
    case 'cell4g':
      state.cell4g = value
      break
    case 'tower':
      state.towers[towerSlot(id)] = value
      state.towersGathered = true
      break
    case 'cardHigh':
      out.set(row, key, value)
      state.cardHigh = frame.toString('latin1', at, at + bytes)
      break
    case 'cardLow':
      out.set(row, key, value)
      state.cardLow = frame.toString('latin1', at, at + bytes)
  }
  state.gathered = true
}

/** From here on the value of a Bluetooth sensor says why there is none. */
const SENSOR_FAULT_MIN = 2000

/** Green driving, by its type. */
const DRIVING_ALARMS = [undefined, 'hardAcceleration', 'hardBraking', 'hardCornering']

/** Sets what is made of several elements. */
function setGathered(out: PositionBatch, row: number, state: RecordState): void {
  const card = (state.cardHigh && state.cardLow && state.cardHigh + state.cardLow).replace(/\0+$/, '')
  if (card !== '') out.set(row, 'driverUniqueId', card)
  const towers: CellTower[] = []
  const lte = Number.isNaN(state.cell2g) && !Number.isNaN(state.cell4g)
  const cell = lte ? state.cell4g : state.cell2g
  if (!Number.isNaN(state.lac + cell)) towers.push(cellTower(state.operator, state.lac, cell, Number.NaN))
  if (state.towersGathered) for (let i = 0; i < TOWERS; i++) addTower(out, row, state.towers, i, towers)
  setNetwork(out, row, towers, [], lte ? 'lte' : 'gsm')
}

const LAC = 0
const CELL = 1
const SIGNAL = 2
const MNC = 3

/** Place of elements 287 to 298 and 1200 to 1203 in {@link RecordState.towers}. */
function towerSlot(id: number): number {
  return id >= 1200 ? (id - 1200) * 4 + MNC : Math.trunc((id - 287) / 3) * 4 + ((id - 287) % 3)
}

/** Adds a cell that is complete to `towers`, and keeps the elements of one that is not. */
function addTower(
  out: PositionBatch,
  row: number,
  values: Float64Array,
  tower: number,
  towers: CellTower[],
): void {
  const lac = values[tower * 4 + LAC]!
  const cid = values[tower * 4 + CELL]!
  const signal = values[tower * 4 + SIGNAL]!
  const mnc = values[tower * 4 + MNC]!
  if (!Number.isNaN(lac + cid + mnc)) towers.push({ ...cellTower(Number.NaN, lac, cid, signal), mnc })
  else {
    out.set(row, rawName(287 + tower * 3), lac)
    out.set(row, rawName(288 + tower * 3), cid)
    out.set(row, rawName(289 + tower * 3), signal)
    out.set(row, rawName(1200 + tower), mnc)
  }
}

/**
 * @param operator Country and network code as one number, such as 24602; NaN or below 1000 if not known.
 * @param signal Strength without its sign; NaN if not known.
 */
export function cellTower(operator: number, lac: number, cid: number, signal: number): CellTower {
  const digits = operator >= 1000 ? String(operator) : '0000'
  const rssi = Number.isNaN(signal) ? {} : { rssi: -signal }
  return { mcc: Number(digits.slice(0, 3)), mnc: Number(digits.slice(3)), lac, cid, ...rssi }
}

/** 64-bit numbers lose their last digits beyond 2^53; they are two's complement. */
function unsigned(frame: Buffer, at: number, bytes: number): number {
  if (bytes === 1) return frame[at]!
  if (bytes === 2) return (frame[at]! << 8) | frame[at + 1]!
  if (bytes === 4) return frame.readUInt32BE(at)
  return frame.readInt32BE(at) * 4294967296 + frame.readUInt32BE(at + 4)
}

function signed(frame: Buffer, at: number, bytes: number): number {
  if (bytes === 1) return frame.readInt8(at)
  if (bytes === 2) return frame.readInt16BE(at)
  if (bytes === 4) return frame.readInt32BE(at)
  return unsigned(frame, at, bytes)
}

export function short(): DecodeError {
  return new DecodeError('malformed', 'the packet ends inside a record')
}
