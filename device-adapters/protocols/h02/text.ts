/** Text frames of H02; their layouts are in ../protocols/h02.ts. */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { DecodeError, type Session } from '../../adapter.ts'
import { type CellTower, setNetwork } from '../../network.ts'
import { degreesFromNmea, kmhFromKnots, utcFromNmea } from '../../units.ts'

const STATUS = /^[0-9A-Fa-f]{8}$/
const CELLS_OF_NBR = /^((?:\d+,\d+,-?\d+,)*)(\d{6}),([0-9A-Fa-f]{8})(?:,|$)/

/**
 * Fields of a text frame, the first with its asterisk, the last without the `#`.
 * @throws DecodeError if its head is none of H02.
 */
export function fieldsOf(frame: Buffer): string[] {
  const text = frame.toString('latin1').trimEnd()
  const fields = (text.endsWith('#') ? text.slice(0, -1) : text).split(',')
  if (fields.length < 3 || fields[0]!.length !== 3 || !/^\w{0,32}$/.test(fields[1]!)) {
    throw new DecodeError('malformed', `no head *XX,ID,TYPE: ${text.slice(0, 40)}`)
  }
  // PostgreSQL stores no U+0000.
  if (text.includes('\0')) throw new DecodeError('malformed', 'U+0000 in a text frame')
  return fields
}

/**
 * Appends the rows of a text frame; types without a place or a reading append none.
 * @throws DecodeError if the fields break the layout of their type.
 */
export function decodeText(fields: string[], session: Session, out: PositionBatch): void {
  const [, id, type] = fields
  if (id !== undefined && id !== '') session.identify(id)
  const decode = DECODERS.get(type!) ?? (type!.startsWith('V') ? decodeFix : undefined)
  decode?.(fields, out, session)
}

/** Decoders by type; every other type that starts with a V is a fix. */
const DECODERS: ReadonlyMap<string, (fields: string[], out: PositionBatch, session: Session) => void> =
  new Map([
    ['NBR', decodeNeighbours],
    ['LINK', decodeLink],
    ['VP1', decodeVp1],
    ['V3', decodeV3],
    ['V4', decodeResult],
    ['SMS', decodeSms],
    ['HTBT', decodeHeartbeat],
    ['V0', decodeHeartbeat],
  ])

interface TextFix {
  readonly timeMs: number
  readonly valid: boolean
  readonly latitudeDeg: number
  readonly longitudeDeg: number
  readonly speedKmh: number
  readonly courseDeg: number
  /** Fields after the date. */
  readonly rest: readonly string[]
}

/** The fix whose time is field `at`; undefined if the fields there are none. */
export function fixAt(fields: readonly string[], at: number): TextFix | undefined {
  const time = fields[at]!
  const validity = fields[at + 1] ?? ''
  const latitudeDeg = degreesOf(fields[at + 2], fields[at + 3], 'N', 'S')
  const longitudeDeg = degreesOf(fields[at + 4], fields[at + 5], 'E', 'W')
  // Speed and course may be empty when they are 0, and speed is padded with spaces by some.
  const knots = Number(fields[at + 6] ?? Number.NaN)
  const courseDeg = Number(fields[at + 7] ?? Number.NaN)
  if (!/^(\d{6})?$/.test(time) || !/^([ABV]|\d+)?$/.test(validity)) return undefined
  if (!Number.isFinite(latitudeDeg + longitudeDeg + knots + courseDeg)) return undefined
  // Some models put a battery level between course and date.
  const dateAt = /^\d{1,3}$/.test(fields[at + 8] ?? '') ? at + 9 : at + 8
  return {
    // VP1 has no time of day.
    timeMs: utcOf(fields[dateAt], time === '' ? '000000' : time),
    // Digits are a coding scheme, which only a valid fix has.
    valid: validity === 'A' || /^\d/.test(validity),
    latitudeDeg,
    longitudeDeg,
    speedKmh: kmhFromKnots(knots),
    courseDeg,
    rest: fields.slice(dateAt + 1),
  }
}

/** `ddmm.mmmm`, the same without its point, or `-dd-mm.mmmm`, whose sign says nothing; NaN for anything else. */
function degreesOf(text = '', hemisphere: string | undefined, positive: string, negative: string): number {
  if (hemisphere !== positive && hemisphere !== negative) return Number.NaN
  if (/^\d+\.\d+$/.test(text)) return degreesFromNmea(text, hemisphere)
  if (/^\d{7,9}$/.test(text)) return degreesFromNmea(`${text.slice(0, -4)}.${text.slice(-4)}`, hemisphere)
  const dashed = /^-(\d+)-(\d+\.\d+)$/.exec(text)
  if (dashed === null) return Number.NaN
  return (hemisphere === negative ? -1 : 1) * (Number(dashed[1]) + Number(dashed[2]) / 60)
}

/** ms UTC; NaN where the tracker knows no date (empty or zeros). */
export function utcOf(date = '', time = ''): number {
  if (!/^\d{6}$/.test(date) || !/^\d{6}$/.test(time)) return Number.NaN
  return date.startsWith('00') || date.startsWith('00', 2) ? Number.NaN : utcFromNmea(date, time)
}

function addFix(fix: TextFix, out: PositionBatch): number {
  const row = out.add(fix.timeMs, fix.latitudeDeg, fix.longitudeDeg)
  out.setValid(row, fix.valid)
  out.speedKmh[row] = fix.speedKmh
  out.courseDeg[row] = fix.courseDeg
  // Three fields about the SIM (its number, an address, the ICCID) stand before the status in some messages.
  const statusAt = [0, 3].find((at) => STATUS.test(fix.rest[at] ?? ''))
  if (statusAt === undefined) return row
  setStatus(row, Number.parseInt(fix.rest[statusAt]!, 16), out)
  const tail = fix.rest.slice(statusAt + 1)
  if (/^\d+,-?\d+,\d+\.\d+,-?\d+,[\dA-Fa-f]+,[\dA-Fa-f]+$/.test(tail.join(','))) {
    const [odometer, temperature, fuel, altitude, lac, cid] = tail
    out.set(row, 'odometer', Number(odometer))
    out.set(row, 'temp1', Number(temperature))
    out.set(row, 'fuel', Number(fuel))
    out.altitudeM[row] = Number(altitude)
    // The operator is not told.
    const tower = { mcc: 0, mnc: 0, lac: Number.parseInt(lac!, 16), cid: Number.parseInt(cid!, 16) }
    setTowers(row, [tower], out)
  } else {
    tail.forEach((value, i) => {
      if (value.trim() !== '') out.set(row, `io${i + 1}`, value.trim())
    })
  }
  return row
}

function decodeFix(fields: string[], out: PositionBatch): void {
  const fix = fixAt(fields, 3)
  if (fix !== undefined) addFix(fix, out)
  else if (fields[4] === 'A') throw new DecodeError('malformed', 'a valid fix without a place')
}

/** V4: the result, if there is one, is what stands between the type and the fix; its last field is the time of the command. */
function decodeResult(fields: string[], out: PositionBatch, session: Session): void {
  const at = resultFixAt(fields)
  if (at === undefined) return
  const row = addFix(fixAt(fields, at)!, out)
  const result = fields.slice(3, at)
  if (result.length === 0) return
  out.set(row, 'result', result.join(','))
  if (/^\d{6}$/.test(result.at(-1)!)) result.pop()
  session.answer({ ok: !result.includes('ERROR'), text: result.join(',') })
}

/** Field where the fix of a V4 starts; undefined if it has none. */
export function resultFixAt(fields: readonly string[]): number | undefined {
  for (let at = fields.length - 9; at >= 3; at--) if (fixAt(fields, at) !== undefined) return at
  return undefined
}

function decodeNeighbours(fields: string[], out: PositionBatch): void {
  const [, cells, date, status] = CELLS_OF_NBR.exec(fields.slice(8).join(',')) ?? []
  const mcc = Number(fields[4])
  const mnc = Number(fields[5])
  if (cells === undefined || Number.isNaN(mcc + mnc)) throw new DecodeError('malformed', 'NBR')
  const row = out.addWithoutFix(utcOf(date, fields[3]))
  setStatus(row, Number.parseInt(status!, 16), out)
  setTowers(row, towersOf(mcc, mnc, cells.split(','), 3, true), out)
}

/**
 * V3: cell towers, or of older models a fix with the wish for its street address. The battery is a raw reading, for
 * which no unit is known.
 */
function decodeV3(fields: string[], out: PositionBatch): void {
  const fix = fixAt(fields, 3)
  if (fix !== undefined) {
    addFix(fix, out)
    return
  }
  const end = fields.lastIndexOf('X') - 2
  const [, mcc, mnc] = /^(\d{3})(\d+)$/.exec(fields[4] ?? '') ?? []
  const battery = fields[end] ?? ''
  const status = fields[end + 4] ?? ''
  if (mnc === undefined || !/^[0-9A-Fa-f]{4}$/.test(battery) || !STATUS.test(status)) {
    throw new DecodeError('malformed', 'V3')
  }
  const row = out.addWithoutFix(utcOf(fields[end + 3], fields[3]))
  out.set(row, 'battery', Number.parseInt(battery, 16))
  setStatus(row, Number.parseInt(status, 16), out)
  const count = Number(fields[5])
  setTowers(row, towersOf(Number(mcc), Number(mnc), fields.slice(6, end).slice(0, 4 * count), 4, false), out)
}

function decodeVp1(fields: string[], out: PositionBatch): void {
  const validity = fields[3]
  if (validity === 'V') {
    const towers = fields
      .slice(6)
      .join(',')
      .split('Y')
      .flatMap((cell) => towersOf(Number(fields[4]), Number(fields[5]), cell.split(','), 3, true))
    if (towers.length === 0) throw new DecodeError('malformed', 'VP1 without a cell tower')
    setTowers(out.addWithoutFix(), towers, out)
    return
  }
  const fix = fixAt(['', ...fields.slice(3)], 0)
  if (fix === undefined) throw new DecodeError('malformed', 'VP1')
  // A is a fix by GPS, B one by BeiDou.
  addFix({ ...fix, valid: true, rest: [] }, out)
}

function decodeLink(fields: string[], out: PositionBatch): void {
  const [time, rssi, satellites, battery, steps, turnovers, date, status] = fields.slice(3)
  if (![rssi, satellites, battery, steps, turnovers].every((field) => /^\d+$/.test(field ?? ''))) {
    throw new DecodeError('malformed', 'LINK')
  }
  const row = out.addWithoutFix(utcOf(date, time))
  out.set(row, 'rssi', Number(rssi))
  out.set(row, 'sat', Number(satellites))
  out.set(row, 'batteryLevel', Number(battery))
  out.set(row, 'steps', Number(steps))
  out.set(row, 'turnovers', Number(turnovers))
  if (STATUS.test(status ?? '')) setStatus(row, Number.parseInt(status!, 16), out)
}

/** What a tracker answers to a command that came as a short message. */
function decodeSms(fields: string[], out: PositionBatch, session: Session): void {
  const text = fields.slice(3).join(',')
  if (text === '') return
  out.set(out.addWithoutFix(), 'result', text)
  session.answer({ ok: true, text })
}

function decodeHeartbeat(fields: string[], out: PositionBatch): void {
  if (/^\d+$/.test(fields[3] ?? '')) out.set(out.addWithoutFix(), 'batteryLevel', Number(fields[3]))
}

/** Towers of records of `size` fields that start with lac, cid, and a signal strength whose sign may be left out. */
function towersOf(
  mcc: number,
  mnc: number,
  fields: readonly string[],
  size: number,
  withSignal: boolean,
): CellTower[] {
  const towers: CellTower[] = []
  for (let at = 0; at + size <= fields.length; at += size) {
    const tower = { mcc, mnc, lac: Number(fields[at]), cid: Number(fields[at + 1]) }
    const rssi = -Math.abs(Number(fields[at + 2]))
    if (Number.isNaN(tower.lac + tower.cid)) throw new DecodeError('malformed', 'cell tower')
    towers.push(withSignal && !Number.isNaN(rssi) ? { ...tower, rssi } : tower)
  }
  return towers
}

/** Sets the towers that the tracker saw, each once. */
function setTowers(row: number, towers: readonly CellTower[], out: PositionBatch): void {
  setNetwork(out, row, towers)
}

/** The status of the vehicle; a bit that is 0 is active, but for the ignition (0 = "ACC off"). */
export function setStatus(row: number, status: number, out: PositionBatch): void {
  const active = (bit: number) => ((status >>> bit) & 1) === 0
  if (active(0)) out.set(row, 'alarm', 'vibration')
  else if (active(1) || active(18)) out.set(row, 'alarm', 'sos')
  else if (active(2)) out.set(row, 'alarm', 'overspeed')
  else if (active(19)) out.set(row, 'alarm', 'powerCut')
  out.set(row, 'ignition', !active(10))
  out.set(row, 'status', status)
}
