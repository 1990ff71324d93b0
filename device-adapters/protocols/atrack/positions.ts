/** Positions of ATrack, text and binary; their layouts are in ../protocols/atrack.ts. */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { DecodeError, type Session } from '../../adapter.ts'
import { ByteReader } from '../../byte-reader.ts'
import { keysOf, readBinaryFields, readText, readTextFields, Values } from './custom.ts'
import { binaryEnd } from './frame.ts'

/** Prefix, CRC, length, sequence u16, unit id u64. */
const BINARY_HEAD_BYTES = 16
/** A position without texts and custom fields. */
const BINARY_POSITION_BYTES = 41

/** A clock that shows the time of the fix, ms: the receiver's and the device's differ by what a fix takes. */
const CLOCK_DIFFERS_MS = 5000

/** Fields of a text packet before those of its first position: prefix, CRC, length, sequence, unit id. */
export const TEXT_HEAD_FIELDS = 5
const CUSTOM_FIELDS_AT = 17

/** `FULS:F=2091 t=17 N=0901`: what a fuel sensor says. */
const FUEL_SENSOR = /^FULS:F=[0-9A-F]+ t=[0-9A-F]+ N=([0-9A-F]{1,8})/i

/**
 * Appends the positions of a text packet, one a line.
 * @throws DecodeError if it has none, or one that breaks the layout.
 */
export function decodeText(frame: Buffer, session: Session, out: PositionBatch): void {
  const text = frame.toString('latin1')
  if (text.includes('\0')) throw new DecodeError('malformed', 'U+0000 in a text packet')
  let start = 0
  for (let i = 0; i < TEXT_HEAD_FIELDS; i++) {
    start = text.indexOf(',', start) + 1
    if (start === 0) throw new DecodeError('malformed', 'a text packet without a position')
  }
  for (const line of text.slice(start).split('\n')) {
    // The last line may lack its ends, and have a Control-Z before them.
    if (line.trim() !== '') addTextPosition(line.trimEnd(), start, session, out)
    start += line.length + 1
  }
}

function addTextPosition(line: string, start: number, session: Session, out: PositionBatch): void {
  const fields = line.split(',')
  const numbers = fields
    .slice(0, 16)
    .map((field) => (/^-?\d+(\.\d+)?$/.test(field) ? Number(field) : Number.NaN))
  const [, , , longitude, latitude, course, report, odometer, hdop, input, speed, output, adc] = numbers
  const times = fields.slice(0, 3).map(utcOf) as [number, number, number]
  if (Number.isNaN(times[0]) || Number.isNaN(longitude! + latitude!) || fields.length < 16) {
    throw new DecodeError('malformed', `a position without time, place or readings: ${line.slice(0, 40)}`)
  }
  const row = out.add(times[0], latitude! / 1e6, longitude! / 1e6)
  const bodyAt = start + fields.slice(0, 3).join(',').length + 1
  out.setRecord(row, differs(times) ? start : bodyAt, start + line.length)
  out.courseDeg[row] = course!
  out.speedKmh[row] = speed!
  const values = new Values()
  values.attributes
    .set('event', report!)
    .set('odometer', odometer! * 100)
    .set('hdop', hdop! / 10)
    .set('input', input!)
    .set('output', output!)
    .set('adc1', adc!)
    .set('temp1', numbers[14]!)
    .set('temp2', numbers[15]!)
  if (fields[13] !== '') values.attributes.set('driverUniqueId', fields[13]!)
  setAlarm(report!, session, values)
  const custom = fields.slice(CUSTOM_FIELDS_AT)
  const form = custom[0]?.startsWith('%CI') ? custom.shift() : formOf(session)
  if (form !== undefined) readTextFields(keysOf(form), custom, values)
  values.writeTo(out, row)
}

/** `yyyymmddhhmmss`, or seconds since 1970. */
function utcOf(text: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text) * 1000
  if (!/^\d{14}$/.test(text)) return Number.NaN
  const two = (at: number) => Number(text.slice(at, at + 2))
  return Date.UTC(Number(text.slice(0, 4)), two(4) - 1, two(6), two(8), two(10), two(12))
}

/**
 * Appends the positions of a binary packet.
 * @throws DecodeError if a custom field of unknown length hides the next.
 */
export function decodeBinary(frame: Buffer, session: Session, out: PositionBatch): void {
  const reader = new ByteReader(frame, BINARY_HEAD_BYTES, binaryEnd(frame))
  // What is left after the last is padding.
  while (reader.left >= BINARY_POSITION_BYTES) {
    const unknown = addBinaryPosition(reader, session, out)
    if (unknown === undefined) continue
    if (reader.left < BINARY_POSITION_BYTES) return
    throw new DecodeError('unsupported', `custom field %${unknown.slice(0, 8)}`)
  }
}

/** @returns The custom field at which reading ended, if it is not known. */
function addBinaryPosition(reader: ByteReader, session: Session, out: PositionBatch): string | undefined {
  const start = reader.at
  const readTime = session.device?.options.longDate === true || isLongDate(reader) ? longDate : seconds
  const times = [readTime(reader), readTime(reader), readTime(reader)] as const
  const bodyAt = reader.at
  const longitudeDeg = reader.i32() / 1e6
  const row = out.add(times[0], reader.i32() / 1e6, longitudeDeg)
  out.deviceTimeMs[row] = times[1]
  out.courseDeg[row] = reader.u16()
  const values = new Values()
  const report = reader.u8()
  values.attributes
    .set('type', report)
    .set('odometer', reader.u32() * 100)
    .set('hdop', reader.u16() / 10)
    .set('input', reader.u8())
  out.speedKmh[row] = reader.u16()
  values.attributes.set('output', reader.u8()).set('adc1', reader.u16() / 1000)
  const driver = readText(reader)
  if (driver !== '') values.attributes.set('driverUniqueId', driver)
  values.attributes.set('temp1', reader.i16() / 10).set('temp2', reader.i16() / 10)
  setMessage(readText(reader), session, values)
  setAlarm(report, session, values)
  const form = isForm(reader) ? readText(reader) : formOf(session)
  const unknown = form === undefined ? undefined : readBinaryFields(keysOf(form), reader, values)
  values.writeTo(out, row)
  out.setRecord(row, differs(times) ? start : bodyAt, reader.at)
  return unknown
}

/**
 * Whether the time of the fix is not the device's. A position that is sent again has another time of sending, so that
 * its place and readings identify it together with the time of its fix; but while there is no fix that stays the same,
 * and only the clock tells the positions apart.
 */
function differs([fixMs, clockMs]: readonly [number, number, number]): boolean {
  return !(Math.abs(fixMs - clockMs) <= CLOCK_DIFFERS_MS)
}

/** A year for the first two bytes of the seconds since 1970, which would be in 1973 and 1974. */
function isLongDate({ frame, at }: ByteReader): boolean {
  const year = frame.readUInt16BE(at)
  return year >= 2000 && year < 2100
}

/** Year u16, month, day, hour, minute, second, UTC. */
function longDate(reader: ByteReader): number {
  return Date.UTC(reader.u16(), reader.u8() - 1, reader.u8(), reader.u8(), reader.u8(), reader.u8())
}

function seconds(reader: ByteReader): number {
  return reader.u32() * 1000
}

function isForm({ frame, at, left }: ByteReader): boolean {
  return left >= 4 && frame.toString('latin1', at, at + 3) === '%CI'
}

/** Option `form` of the device: what stands at the end of its positions where it does not say so itself. */
function formOf(session: Session): string | undefined {
  const form = session.device?.options.form
  return typeof form === 'string' ? form : undefined
}

/** Option `alarmMap` of the device, `2=sos,5=tow`: which of its reports are alarms, since operators number them. */
function setAlarm(report: number, session: Session, values: Values): void {
  const map = session.device?.options.alarmMap
  if (typeof map !== 'string') return
  for (const pair of map.split(',')) {
    const [number, alarm] = pair.split('=')
    if (alarm && Number(number) === report) values.alarms.push(alarm)
  }
}

/** Option `decimalFuel` of the device: its fuel sensor counts in decimal digits. */
function setMessage(message: string, session: Session, values: Values): void {
  const fuel = FUEL_SENSOR.exec(message)?.[1]
  const radix = session.device?.options.decimalFuel === true ? 10 : 16
  if (fuel !== undefined) values.attributes.set('fuel', Number.parseInt(fuel, radix) / 10)
  else if (message !== '') values.attributes.set('message', message)
}
