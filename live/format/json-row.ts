/**
 * A row as JSON, written column by column into one buffer: no object is made, and stored attributes are not parsed.
 * Joined of strings, an array took three times as long.
 */
import { roundSpeed } from '../../schemas/position.ts'
import { ATTRIBUTE_KIND, BOOLEAN_UNKNOWN, type PositionBatch } from '../../schemas/position-batch.ts'
import type { StreamRow } from '../../schemas/stream.ts'
import { ALARM_KEY, attributeColumns, BOOLEAN_KEYS, NUMBER_KEYS } from './attribute-columns.ts'
import { RowBuffer } from './row-buffer.ts'

const LIST = 0x5b
const LIST_END = 0x5d
const OBJECT = 0x7b
const OBJECT_END = 0x7d
const COMMA = 0x2c
const QUOTE = 0x22
const DIGIT_0 = 0x30
const MINUS = 0x2d
const POINT = 0x2e
/** Digits behind the point that are written here: the finest that trackers send of a degree. */
const DECIMALS = 7
const SCALE = 10 ** DECIMALS
/** Numbers below it times {@link SCALE} are whole numbers that a double has exactly. */
const SCALED_MAX = 2 ** 29
/** Whole numbers below it are written in two parts that fit 31 bits. */
const WHOLE_MAX = 1e16
const PART_DIGITS = 9
const PART = 10 ** PART_DIGITS

/** Shorter text is written faster letter by letter. */
const LONG_TEXT = 24

const key = (name: string) => `${JSON.stringify(name)}:`
const fieldName = (name: keyof StreamRow) => Buffer.from(key(name))
const FIELDS = {
  device: fieldName('device'),
  fixTime: fieldName('fixTime'),
  receivedAt: fieldName('receivedAt'),
  latitude: fieldName('latitude'),
  longitude: fieldName('longitude'),
  altitude: fieldName('altitude'),
  speed: fieldName('speed'),
  course: fieldName('course'),
  attributes: fieldName('attributes'),
}
const NUMBER_NAMES = NUMBER_KEYS.map((name) => Buffer.from(key(name)))
const BOOLEAN_NAMES = BOOLEAN_KEYS.map((name) => Buffer.from(key(name)))
const ALARM_NAME = Buffer.from(key(ALARM_KEY))
const TRUE = Buffer.from('true,')
const FALSE = Buffer.from('false,')
const NOTHING = Buffer.from('{}')
const NULL = Buffer.from('null')

const out = new RowBuffer()

/** As an array, the fields in the order of the header; one character a byte. */
export function jsonArray(batch: PositionBatch, row: number, withAttributes: boolean): string {
  out.begin()
  out.writeByte(LIST)
  field(batch.device[row]!)
  field(batch.fixTimeMs[row]!)
  field(batch.receivedMs[row]!)
  field(batch.latitudeDeg[row]!)
  field(batch.longitudeDeg[row]!)
  field(batch.altitudeM[row]!)
  field(roundSpeed(batch.speedKmh[row]!))
  field(batch.courseDeg[row]!)
  if (withAttributes) attributes(batch, row)
  else out.writeBytes(NOTHING)
  out.writeByte(LIST_END)
  return out.text()
}

/** As an object, a `StreamRow` of schemas/stream.ts; one character a byte. */
export function jsonObject(batch: PositionBatch, row: number, withAttributes: boolean): string {
  out.begin()
  out.writeByte(OBJECT)
  out.writeBytes(FIELDS.device)
  field(batch.device[row]!)
  out.writeBytes(FIELDS.fixTime)
  time(batch.fixTimeMs[row]!)
  out.writeBytes(FIELDS.receivedAt)
  time(batch.receivedMs[row]!)
  out.writeBytes(FIELDS.latitude)
  field(batch.latitudeDeg[row]!)
  out.writeBytes(FIELDS.longitude)
  field(batch.longitudeDeg[row]!)
  out.writeBytes(FIELDS.altitude)
  field(batch.altitudeM[row]!)
  out.writeBytes(FIELDS.speed)
  field(roundSpeed(batch.speedKmh[row]!))
  out.writeBytes(FIELDS.course)
  field(batch.courseDeg[row]!)
  out.writeBytes(FIELDS.attributes)
  if (withAttributes) attributes(batch, row)
  else out.writeBytes(NOTHING)
  out.writeByte(OBJECT_END)
  return out.text()
}

function attributes(batch: PositionBatch, row: number): void {
  const { numbers, booleans } = attributeColumns(batch)
  out.writeByte(OBJECT)
  const first = out.at
  for (let i = 0; i < numbers.length; i++) {
    const value = numbers[i]![row]!
    if (Number.isNaN(value)) continue
    out.makeRoom(0)
    out.writeBytes(NUMBER_NAMES[i]!)
    field(value)
  }
  for (let i = 0; i < booleans.length; i++) {
    const value = booleans[i]![row]!
    if (value === BOOLEAN_UNKNOWN) continue
    out.writeBytes(BOOLEAN_NAMES[i]!)
    out.writeBytes(value === 1 ? TRUE : FALSE)
  }
  const alarm = batch.alarm[row]!
  if (alarm !== 0) {
    out.writeBytes(ALARM_NAME)
    entry(JSON.stringify(batch.texts[alarm]))
  }
  for (let i = batch.attributeFirst[row]!; i >= 0; i = batch.attributeNext[i]!) {
    const kind = batch.attributeKind[i]!
    const value = batch.attributeValue[i]!
    if (kind === ATTRIBUTE_KIND.object) {
      const entries = batch.texts[value]!.slice(1, -1)
      if (entries !== '') entry(entries)
      continue
    }
    text(key(batch.keys[batch.attributeKey[i]!]!))
    if (kind === ATTRIBUTE_KIND.number) field(value)
    else if (kind === ATTRIBUTE_KIND.boolean) out.writeBytes(value === 1 ? TRUE : FALSE)
    else entry(kind === ATTRIBUTE_KIND.text ? JSON.stringify(batch.texts[value]) : batch.texts[value]!)
  }
  // In the place of the last comma.
  if (out.at > first) out.at--
  out.writeByte(OBJECT_END)
}

function text(value: string): void {
  out.makeRoom(3 * value.length)
  if (value.length >= LONG_TEXT || !out.writeAscii(value)) out.writeUtf8(value)
}

/** A time in ISO 8601, and a comma. */
function time(timeMs: number): void {
  out.writeByte(QUOTE)
  out.writeAscii(new Date(timeMs).toISOString())
  out.writeByte(QUOTE)
  out.writeByte(COMMA)
}

/** JSON and a comma. */
function entry(json: string): void {
  text(json)
  out.writeByte(COMMA)
}

/** A number and a comma; NaN is null. */
function field(value: number): void {
  const magnitude = Math.abs(value)
  const whole = Math.floor(magnitude)
  if (whole === magnitude && magnitude < WHOLE_MAX) {
    if (value < 0) out.writeByte(MINUS)
    wholeNumber(whole)
  } else if (!(magnitude < SCALED_MAX && decimal(value, magnitude, whole))) {
    if (Number.isNaN(value)) out.writeBytes(NULL)
    else out.writeAscii(String(value))
  }
  out.writeByte(COMMA)
}

/** A number with few digits behind the point. @returns Whether it is one; else nothing is written. */
function decimal(value: number, magnitude: number, whole: number): boolean {
  const scaled = Math.round(magnitude * SCALE)
  // The quotient of two whole numbers is what their decimal is read as.
  if (scaled / SCALE !== magnitude) return false
  if (value < 0) out.writeByte(MINUS)
  wholeNumber(whole)
  let behind = (scaled - whole * SCALE) | 0
  let count = DECIMALS
  for (; behind % 10 === 0; count--) behind = (behind / 10) | 0
  out.writeByte(POINT)
  digits(behind, count)
  return true
}

function wholeNumber(whole: number): void {
  const high = Math.floor(whole / PART)
  if (high > 0) digits(high | 0, digitsOf(high))
  const low = (whole - high * PART) | 0
  digits(low, high > 0 ? PART_DIGITS : digitsOf(low))
}

function digitsOf(whole: number): number {
  let count = 1
  for (let bound = 10; whole >= bound; bound *= 10) count++
  return count
}

/** @param value Below 2^31. @param count Digits, with zeros before it. */
function digits(value: number, count: number): void {
  const { bytes } = out
  let rest = value
  for (let at = out.at + count - 1; at >= out.at; at--) {
    const tenth = (rest / 10) | 0
    bytes[at] = DIGIT_0 + rest - 10 * tenth
    rest = tenth
  }
  out.at += count
}
