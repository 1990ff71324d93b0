/** Records without their tags: a minimal data set in bits, the numbers of the tags, their values. */
import { DecodeError } from '../../adapter.ts'
import type { RecordReader } from './record.ts'
import { readTag } from './tags.ts'

const MINIMAL_BYTES = 10
const LONGITUDE_STEPS = 2 ** 22
const LATITUDE_STEPS = 2 ** 21
const DAY_MS = 86_400_000

/** Reads one record. `receivedMs` tells the year of its time, which counts from the first of January. */
export function readCompressed(record: RecordReader, receivedMs: number): void {
  readMinimal(record, receivedMs)
  const tags = record.bytes(record.u8())
  for (const tag of tags) readTag(record, tag)
}

/** Bits: 1 reserved, 25 seconds of the year, 1 not valid, 22 longitude, 21 latitude, 1 alarm, 9 reserved. */
function readMinimal(record: RecordReader, receivedMs: number): void {
  const bytes = record.bytes(MINIMAL_BYTES)
  const seconds = bitsOf(bytes, 1, 25)
  record.setTime(timeMs(seconds, receivedMs))
  const longitude = bitsOf(bytes, 27, 22) / LONGITUDE_STEPS
  const latitude = bitsOf(bytes, 49, 21) / LATITUDE_STEPS
  record.setPlace(latitude * 180 - 90, longitude * 360 - 180, bitsOf(bytes, 26, 1) === 0)
  if (bitsOf(bytes, 70, 1) === 1) record.set('alarm', 'general')
}

/** A time of last December that comes in in January is of last year. */
function timeMs(seconds: number, receivedMs: number): number {
  const year = new Date(receivedMs).getUTCFullYear()
  const thisYear = Date.UTC(year, 0) + seconds * 1000
  return thisYear > receivedMs + DAY_MS ? Date.UTC(year - 1, 0) + seconds * 1000 : thisYear
}

/** `count` bits from bit `at` on, of which the first is the highest of the first byte. */
function bitsOf(bytes: Buffer, at: number, count: number): number {
  let value = 0
  for (let bit = at; bit < at + count; bit++) value = value * 2 + ((bytes[bit >> 3]! >> (7 - (bit & 7))) & 1)
  return value
}

/** Whether all of `record`, which is read for this alone, is tags that are known: what is compressed is not. */
export function isTagged(record: RecordReader): boolean {
  try {
    while (record.left > 0) readTag(record, record.u8())
    return true
  } catch (error) {
    if (error instanceof RangeError || error instanceof DecodeError) return false
    throw error
  }
}
