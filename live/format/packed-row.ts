/** A row as an array of msgpack, written column by column into one buffer: no object is made of it. */
import { roundSpeed } from '../../schemas/position.ts'
import { ATTRIBUTE_KIND, BOOLEAN_UNKNOWN, type PositionBatch } from '../../schemas/position-batch.ts'
import { ALARM_KEY, attributeColumns, BOOLEAN_KEYS, NUMBER_KEYS } from './attribute-columns.ts'
import { RowBuffer } from './row-buffer.ts'
import { packr } from './stream-format.ts'

/** Elements of a row, below 16. */
const FIELDS = 9

const NUMBER_NAMES = NUMBER_KEYS.map((key) => packr.pack(key))
const BOOLEAN_NAMES = BOOLEAN_KEYS.map((key) => packr.pack(key))
const ALARM_NAME = packr.pack(ALARM_KEY)

const out = new RowBuffer()

/** One character a byte. */
export function packedRow(batch: PositionBatch, row: number, withAttributes: boolean): string {
  out.begin()
  out.writeByte(0x90 | FIELDS)
  number(batch.device[row]!)
  number(batch.fixTimeMs[row]!)
  number(batch.receivedMs[row]!)
  number(batch.latitudeDeg[row]!)
  number(batch.longitudeDeg[row]!)
  number(batch.altitudeM[row]!)
  number(roundSpeed(batch.speedKmh[row]!))
  number(batch.courseDeg[row]!)
  if (withAttributes) attributes(batch, row)
  else out.writeByte(0x80)
  return out.text()
}

function attributes(batch: PositionBatch, row: number): void {
  const { numbers, booleans } = attributeColumns(batch)
  let count = 0
  // The head is written last, when they have been counted.
  const head = out.at
  out.at += 3
  for (let i = 0; i < numbers.length; i++) {
    const value = numbers[i]![row]!
    if (Number.isNaN(value)) continue
    out.writeBytes(NUMBER_NAMES[i]!)
    number(value)
    count++
  }
  for (let i = 0; i < booleans.length; i++) {
    const value = booleans[i]![row]!
    if (value === BOOLEAN_UNKNOWN) continue
    out.writeBytes(BOOLEAN_NAMES[i]!)
    boolean(value === 1)
    count++
  }
  const alarm = batch.alarm[row]!
  if (alarm !== 0) {
    out.writeBytes(ALARM_NAME)
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
  out.bytes[head] = 0xde
  out.view.setUint16(head + 1, count)
}

function any(value: unknown): void {
  if (typeof value === 'number') number(value)
  else if (typeof value === 'string') text(value)
  else if (typeof value === 'boolean') boolean(value)
  else {
    const packed = packr.pack(value)
    out.makeRoom(packed.length)
    out.at += packed.copy(out.bytes, out.at)
  }
}

function boolean(value: boolean): void {
  out.makeRoom(1)
  out.writeByte(value ? 0xc3 : 0xc2)
}

/** NaN is nil. */
function number(value: number): void {
  out.makeRoom(9)
  if (Number.isNaN(value)) out.writeByte(0xc0)
  else if (value >= 0 && value <= 0xffff_ffff && Number.isInteger(value)) {
    if (value < 0x80) out.writeByte(value)
    else if (value < 0x100) {
      out.writeByte(0xcc)
      out.writeByte(value)
    } else if (value < 0x1_0000) {
      out.writeByte(0xcd)
      out.view.setUint16(out.at, value)
      out.at += 2
    } else {
      out.writeByte(0xce)
      out.view.setUint32(out.at, value)
      out.at += 4
    }
  } else {
    out.writeByte(0xcb)
    out.view.setFloat64(out.at, value)
    out.at += 8
  }
}

function text(value: string): void {
  const { length } = value
  out.makeRoom(3 * length + 5)
  const head = out.at
  if (length < 32) {
    out.at++
    if (out.writeAscii(value)) {
      out.bytes[head] = 0xa0 | length
      return
    }
  }
  out.at = head + 5
  const count = out.writeUtf8(value)
  out.bytes[head] = 0xdb
  out.view.setUint32(head + 1, count)
}
