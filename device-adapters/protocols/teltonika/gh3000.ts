/**
 * Records of Teltonika codec 7, of the GH3000.
 *
 *     record:  priority 2 bits, time, s since 2007-01-01 30 bits | mask 1 | GPS element? | elements of 1, 2, 4 bytes?
 *     GPS:     mask 1 | latitude, longitude (float32) 8? | altitude 2? | course, 1/256 turn 1? | speed, km/h 1?
 *              | satellites 1? | LAC, cell id 4? | signal 1? | operator 4?
 *
 * Each `?` is a bit of its mask, from the lowest. Source: the vendor's GH3000 protocol description.
 */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { setNetwork } from '../../network.ts'
import { GH3000 } from './elements.ts'
import { cellTower, type RecordState, setElement, short } from './record.ts'

const EPOCH_S = Date.UTC(2007, 0, 1) / 1000

/**
 * Appends the record at `start`, unless it is empty.
 * @returns Where the next one starts.
 * @throws DecodeError if the record does not end before `end`.
 */
export function decodeGh3000Record(
  frame: Buffer,
  start: number,
  end: number,
  state: RecordState,
  out: PositionBatch,
): number {
  const timeMs = ((frame.readUInt32BE(start) & 0x3fffffff) + EPOCH_S) * 1000
  const mask = frame.readUInt8(start + 4)
  let at = start + 5
  if ((mask & 0x0f) === 0) return at
  let row: number
  if ((mask & 0x01) !== 0) {
    row = out.length
    at = decodeGps(frame, at, timeMs, out)
  } else row = out.addWithoutFix(timeMs)
  for (let bytes = 1, bit = 0x02; bit <= 0x08; bytes *= 2, bit *= 2) {
    if ((mask & bit) === 0) continue
    const listEnd = at + 1 + frame.readUInt8(at) * (1 + bytes)
    if (listEnd > end) throw short()
    for (at++; at < listEnd; at += 1 + bytes) {
      setElement(out, row, state, GH3000, frame[at]!, frame, at + 1, bytes)
    }
  }
  if (at > end) throw short()
  out.setRecord(row, start, at)
  return at
}

function decodeGps(frame: Buffer, start: number, timeMs: number, out: PositionBatch): number {
  const mask = frame.readUInt8(start)
  let at = start + 1
  let row: number
  if ((mask & 0x01) !== 0) {
    row = out.add(timeMs, frame.readFloatBE(at), frame.readFloatBE(at + 4))
    at += 8
  } else row = out.addWithoutFix(timeMs)
  if ((mask & 0x02) !== 0) {
    out.altitudeM[row] = frame.readInt16BE(at)
    at += 2
  }
  if ((mask & 0x04) !== 0) out.courseDeg[row] = (frame.readUInt8(at++) * 360) / 256
  if ((mask & 0x08) !== 0) out.speedKmh[row] = frame.readUInt8(at++)
  if ((mask & 0x10) !== 0) out.set(row, 'sat', frame.readUInt8(at++))
  let lac = Number.NaN
  let cell = Number.NaN
  let signal = Number.NaN
  let operator = Number.NaN
  if ((mask & 0x20) !== 0) {
    lac = frame.readUInt16BE(at)
    cell = frame.readUInt16BE(at + 2)
    at += 4
  }
  if ((mask & 0x40) !== 0) signal = frame.readUInt8(at++)
  if ((mask & 0x80) !== 0) {
    operator = frame.readUInt32BE(at)
    at += 4
  }
  if (Number.isNaN(cell)) {
    out.set(row, 'rssi', signal)
    out.set(row, 'operator', operator)
  } else setNetwork(out, row, [cellTower(operator, lac, cell, signal)])
  return at
}
