/**
 * Frames of records, which newer devices send instead of text; numbers are big-endian.
 *
 *     2B 00, length u16 of the frame, flags u8 (80: one of several packets, and which, u16), IMEI (8, BCD), device type u16,
 *     protocol u16, custom version u8, reserved (length u8, bytes), records, count number u16, CRC-8/NRSC-5 u8, 24
 *
 *     record   length (itself counted), time u32, number u16, id u8, event u8, data
 *     data     id, length, bytes: 51 and 52 are a place, 61 is the battery
 *     place    state u8 (bits 2 and 3 are 2: fix), longitude and latitude i32 in 10⁻⁶ degree, time u32, km/h u16 in tenths,
 *              and in 52: HDOP u8 in tenths, degrees u16, altitude i24 in tenths of a metre, satellites u8
 *
 * Ids and lengths of records and data are one byte, or two where the highest bit of the first is set; it is no part of the
 * number then.
 *
 * Source: Queclink, GL601 @Track Air Interface Protocol V10, Report.
 */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { DecodeError, type Session } from '../../adapter.ts'
import { ByteReader } from '../../byte-reader.ts'
import { crc8Nrsc5 } from '../../checksums.ts'

/** Head up to the device type, and what the frame ends with. */
export const RECORDS_BYTES_MIN = 23

const TAIL_BYTES = 4
const SEVERAL_PACKETS = 0x80

const SHORT_PLACE = 0x51
const PLACE = 0x52
const BATTERY = 0x61

/** Reads one frame of records. */
export function decodeRecords(frame: Buffer, session: Session, out: PositionBatch): void {
  const checkAt = frame.length - 2
  if (frame.length < RECORDS_BYTES_MIN || crc8Nrsc5(frame, 0, checkAt) !== frame[checkAt]) {
    throw new DecodeError('checksum', 'the CRC of a frame of records does not fit')
  }
  const bytes = new ByteReader(frame, 4, frame.length - TAIL_BYTES)
  if ((bytes.u8() & SEVERAL_PACKETS) !== 0) bytes.skip(2)
  const imei = bytes.hex(8).slice(1)
  if (!/^\d{15}$/.test(imei)) throw new DecodeError('malformed', `no IMEI: ${imei}`)
  session.identify(imei)
  bytes.skip(5)
  bytes.skip(bytes.u8())
  while (bytes.left > 0) {
    const start = bytes.at
    const end = start + variable(bytes)
    if (end <= bytes.at) throw new DecodeError('malformed', 'a record without content')
    readRecord(new ByteReader(frame, bytes.at, end), out)
    bytes.skip(end - bytes.at)
  }
}

function readRecord(bytes: ByteReader, out: PositionBatch): void {
  const [start, end] = [bytes.at, bytes.at + bytes.left]
  const timeMs = bytes.u32() * 1000
  bytes.skip(3)
  const event = bytes.u8()
  const data = new Map<number, ByteReader>()
  while (bytes.left > 0) {
    const id = variable(bytes)
    const length = variable(bytes)
    data.set(id, new ByteReader(bytes.frame, bytes.at, bytes.at + length))
    bytes.skip(length)
  }

  const long = data.get(PLACE)
  const place = long ?? data.get(SHORT_PLACE)
  const row = place === undefined ? out.addWithoutFix(timeMs) : addPlace(place, out)
  out.setRecord(row, start, end)
  out.deviceTimeMs[row] = timeMs
  if (event !== 0) out.set(row, 'event', event)
  if (long !== undefined) {
    out.set(row, 'hdop', long.u8() / 10)
    out.courseDeg[row] = long.u16()
    out.altitudeM[row] = ((long.u24() << 8) >> 8) / 10
    out.set(row, 'sat', long.u8())
  }
  const battery = data.get(BATTERY)
  if (battery !== undefined) {
    battery.skip(1)
    out.set(row, 'battery', battery.u16() / 1000)
    out.set(row, 'batteryLevel', battery.u8())
  }
}

/** Appends what both forms of a place begin with. */
function addPlace(place: ByteReader, out: PositionBatch): number {
  const state = place.u8()
  const longitude = place.i32() / 1e6
  const latitude = place.i32() / 1e6
  const row = out.add(place.u32() * 1000, latitude, longitude)
  out.setValid(row, ((state >> 2) & 3) === 2)
  out.speedKmh[row] = place.u16() / 10
  return row
}

/** A number of one byte, or of two where the highest bit says so. */
function variable(bytes: ByteReader): number {
  const first = bytes.u8()
  return first < 0x80 ? first : ((first & 0x7f) << 8) | bytes.u8()
}
