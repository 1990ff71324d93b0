/** A row as an array of msgpack, written column by column into one buffer: no object is made of it. */
import { Packr } from 'msgpackr'
import { roundSpeed } from '../../schemas/position.ts'
import { ATTRIBUTE_KIND, BOOLEAN_UNKNOWN, type PositionBatch } from '../../schemas/position-batch.ts'
import { ALARM_KEY, attributeColumns, BOOLEAN_KEYS, NUMBER_KEYS } from './attribute-columns.ts'

/** Numbers and heads of a row; what is longer asks for room. */
const ROOM_BYTES = 1_024
/** Elements of a row, below 16. */
const FIELDS = 9

// Records and other extensions of msgpackr would be read by msgpackr only.
const packr = new Packr({ useRecords: false, variableMapSize: true })

let bytes = Buffer.allocUnsafe(65_536)
let view = new DataView(bytes.buffer, bytes.byteOffset)
let at = 0

/** One character a byte. */
export function packedRow(batch: PositionBatch, row: number, withAttributes: boolean): string {
  at = 0
  bytes[at++] = 0x90 | FIELDS
  number(batch.device[row]!)
  number(batch.fixTimeMs[row]!)
  number(batch.receivedMs[row]!)
  number(batch.latitudeDeg[row]!)
  number(batch.longitudeDeg[row]!)
  number(batch.altitudeM[row]!)
  number(roundSpeed(batch.speedKmh[row]!))
  number(batch.courseDeg[row]!)
  if (withAttributes) attributes(batch, row)
  else bytes[at++] = 0x80
  return bytes.toString('latin1', 0, at)
}

function attributes(batch: PositionBatch, row: number): void {
  const { numbers, booleans } = attributeColumns(batch)
  let count = 0
  // The head is written last, when they have been counted.
  const head = at
  at += 3
  for (let i = 0; i < numbers.length; i++) {
    const value = numbers[i]![row]!
    if (Number.isNaN(value)) continue
    text(NUMBER_KEYS[i]!)
    number(value)
    count++
  }
  for (let i = 0; i < booleans.length; i++) {
    const value = booleans[i]![row]!
    if (value === BOOLEAN_UNKNOWN) continue
    text(BOOLEAN_KEYS[i]!)
    boolean(value === 1)
    count++
  }
  const alarm = batch.alarm[row]!
  if (alarm !== 0) {
    text(ALARM_KEY)
    text(batch.texts[alarm]!)
    count++
  }
  for (let i = batch.attributeFirst[row]!; i >= 0; i = batch.attributeNext[i]!) {
    const kind = batch.attributeKind[i]!
    const value = batch.attributeValue[i]!
    if (kind === ATTRIBUTE_KIND.object) {
      const object = JSON.parse(batch.texts[value]!) as Record<string, unknown>
      for (const key in object) {
        text(key)
        any(object[key])
        count++
      }
      continue
    }
    text(batch.keys[batch.attributeKey[i]!]!)
    if (kind === ATTRIBUTE_KIND.number) number(value)
    else if (kind === ATTRIBUTE_KIND.boolean) boolean(value === 1)
    else if (kind === ATTRIBUTE_KIND.text) text(batch.texts[value]!)
    else any(JSON.parse(batch.texts[value]!))
    count++
  }
  bytes[head] = 0xde
  view.setUint16(head + 1, count)
}

function any(value: unknown): void {
  if (typeof value === 'number') number(value)
  else if (typeof value === 'string') text(value)
  else if (typeof value === 'boolean') boolean(value)
  else {
    const packed = packr.pack(value)
    makeRoom(packed.length)
    at += packed.copy(bytes, at)
  }
}

function boolean(value: boolean): void {
  makeRoom(1)
  bytes[at++] = value ? 0xc3 : 0xc2
}

/** NaN is nil. */
function number(value: number): void {
  makeRoom(9)
  if (Number.isNaN(value)) bytes[at++] = 0xc0
  else if (value >= 0 && value <= 0xffff_ffff && Number.isInteger(value)) {
    if (value < 0x80) bytes[at++] = value
    else if (value < 0x100) {
      bytes[at++] = 0xcc
      bytes[at++] = value
    } else if (value < 0x1_0000) {
      bytes[at] = 0xcd
      view.setUint16(at + 1, value)
      at += 3
    } else {
      bytes[at] = 0xce
      view.setUint32(at + 1, value)
      at += 5
    }
  } else {
    bytes[at] = 0xcb
    view.setFloat64(at + 1, value)
    at += 9
  }
}

function text(value: string): void {
  // A UTF-16 unit has 3 bytes at most.
  const { length } = value
  makeRoom(length * 3 + 5)
  if (length < 32) {
    const end = writeShort(value, at + 1)
    if (end >= 0) {
      bytes[at] = 0xa0 | length
      at = end
      return
    }
  }
  const count = bytes.write(value, at + 5)
  bytes[at] = 0xdb
  view.setUint32(at + 1, count)
  at += 5 + count
}

/** Text of ASCII, such as keys are. @returns The end of it; −1 if it is of something else. */
function writeShort(value: string, start: number): number {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i)
    if (code > 0x7f) return -1
    bytes[start + i] = code
  }
  return start + value.length
}

function makeRoom(more: number): void {
  if (at + more + ROOM_BYTES <= bytes.length) return
  const grown = Buffer.allocUnsafe(2 * (at + more + ROOM_BYTES))
  bytes.copy(grown, 0, 0, at)
  bytes = grown
  view = new DataView(grown.buffer, grown.byteOffset)
}
