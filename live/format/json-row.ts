/** A row as a JSON array, written column by column into one buffer: no object is made, and stored attributes are not parsed. */
import { roundSpeed } from '../../schemas/position.ts'
import { ATTRIBUTE_KIND, BOOLEAN_UNKNOWN, type PositionBatch } from '../../schemas/position-batch.ts'
import { ALARM_KEY, attributeColumns, BOOLEAN_KEYS, NUMBER_KEYS } from './attribute-columns.ts'
import { RowBuffer } from './row-buffer.ts'

const COMMA = 0x2c
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

const key = (name: string) => `${JSON.stringify(name)}:`
const NUMBER_NAMES = NUMBER_KEYS.map(key)
const BOOLEAN_NAMES = BOOLEAN_KEYS.map(key)
const ALARM_NAME = key(ALARM_KEY)

const out = new RowBuffer()

/** One character a byte. */
export function jsonRow(batch: PositionBatch, row: number, withAttributes: boolean): string {
  mark('[')
  field(batch.device[row]!)
  field(batch.fixTimeMs[row]!)
  field(batch.receivedMs[row]!)
  field(batch.latitudeDeg[row]!)
  field(batch.longitudeDeg[row]!)
  field(batch.altitudeM[row]!)
  field(roundSpeed(batch.speedKmh[row]!))
  field(batch.courseDeg[row]!)
  if (withAttributes) attributes(batch, row)
  else mark('{}')
  mark(']')
  return out.take()
}

function attributes(batch: PositionBatch, row: number): void {
  const { numbers, booleans } = attributeColumns(batch)
  mark('{')
  const first = out.at
  for (let i = 0; i < numbers.length; i++) {
    const value = numbers[i]![row]!
    if (Number.isNaN(value)) continue
    out.makeRoom(0)
    mark(NUMBER_NAMES[i]!)
    field(value)
  }
  for (let i = 0; i < booleans.length; i++) {
    const value = booleans[i]![row]!
    if (value === BOOLEAN_UNKNOWN) continue
    mark(BOOLEAN_NAMES[i]!)
    mark(value === 1 ? 'true,' : 'false,')
  }
  const alarm = batch.alarm[row]!
  if (alarm !== 0) {
    mark(ALARM_NAME)
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
    else if (kind === ATTRIBUTE_KIND.boolean) mark(value === 1 ? 'true,' : 'false,')
    else entry(kind === ATTRIBUTE_KIND.text ? JSON.stringify(batch.texts[value]) : batch.texts[value]!)
  }
  // In the place of the last comma.
  if (out.at > first) out.at--
  mark('}')
}

/** What is known to be short and of ASCII. */
function mark(ascii: string): void {
  out.writeAscii(ascii)
}

function text(value: string): void {
  out.makeRoom(3 * value.length)
  if (!out.writeAscii(value)) out.writeUtf8(value)
}

/** JSON and a comma. */
function entry(json: string): void {
  text(json)
  out.bytes[out.at++] = COMMA
}

/** A number and a comma; NaN is null. */
function field(value: number): void {
  const magnitude = Math.abs(value)
  const whole = Math.floor(magnitude)
  if (whole === magnitude && magnitude < WHOLE_MAX) {
    if (value < 0) out.bytes[out.at++] = MINUS
    wholeNumber(whole)
  } else if (!(magnitude < SCALED_MAX && decimal(value, magnitude, whole))) {
    mark(Number.isNaN(value) ? 'null' : String(value))
  }
  out.bytes[out.at++] = COMMA
}

/** A number with few digits behind the point. @returns Whether it is one; else nothing is written. */
function decimal(value: number, magnitude: number, whole: number): boolean {
  const scaled = Math.round(magnitude * SCALE)
  // The quotient of two whole numbers is what their decimal is read as.
  if (scaled / SCALE !== magnitude) return false
  if (value < 0) out.bytes[out.at++] = MINUS
  wholeNumber(whole)
  let behind = (scaled - whole * SCALE) | 0
  let count = DECIMALS
  for (; behind % 10 === 0; count--) behind = (behind / 10) | 0
  out.bytes[out.at++] = POINT
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
