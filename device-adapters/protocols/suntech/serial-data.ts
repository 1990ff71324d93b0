/** What a device on the serial port sent, as UEX reports carry it: `length;data;checksum`. */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { legacyPlaceAt } from './layout.ts'

/** In the data, the bytes 00 and 01 are sent as 01 10 and 01 11, and count as one. */
const ESCAPE = 0x01
/** The document has 500 at most, some models send more. */
const DATA_MAX_BYTES = 1024

export interface SerialRange {
  /** Field of the length. */
  readonly field: number
  /** First byte of the data. */
  readonly start: number
  /** Byte after it; more than `bytes` has where they end inside the data. */
  readonly end: number
}

/**
 * Where the data of a UEX report stands; undefined if `bytes` are no UEX report, or end before it. Its own bytes alone
 * tell it from the rest: it may hold both delimiters, `;` and CR.
 *
 * @param bytes The report, with or without what follows it.
 * @param headEnd Bytes that surely are of the report: up to its first CR.
 */
export function serialRange(bytes: Buffer, headEnd: number): SerialRange | undefined {
  const head = bytes.toString('latin1', 0, 9)
  if (!head.startsWith('UEX;') && !head.startsWith('UEX;', 5)) return undefined
  const fields = bytes.toString('latin1', 0, headEnd).split(';')
  const field = lengthFieldOf(fields)
  // The field must be whole: its end is the `;` before the data.
  if (field === undefined || field + 1 >= fields.length) return undefined
  const length = /^\d{1,4}$/.test(fields[field]!) ? Number(fields[field]) : Infinity
  if (length > DATA_MAX_BYTES) return undefined
  let start = 0
  for (let i = 0; i <= field; i++) start += fields[i]!.length + 1
  let end = start
  for (let left = length; left > 0; left--) end += bytes[end] === ESCAPE ? 2 : 1
  return { field, start, end }
}

/** Fields of a report; the data of a UEX report is one of them, whatever it holds. */
export function fieldsOf(frame: Buffer): string[] {
  const range = serialRange(frame, frame.length)
  if (range === undefined) return frame.toString('latin1').split(';')
  const next = frame.indexOf(';', Math.min(range.end, frame.length), 'latin1')
  const dataEnd = next < 0 ? frame.length : next
  return [
    ...frame.toString('latin1', 0, range.start - 1).split(';'),
    frame.toString('latin1', range.start, dataEnd),
    ...(next < 0 ? [] : frame.toString('latin1', next + 1).split(';')),
  ]
}

function lengthFieldOf(fields: readonly string[]): number | undefined {
  if (fields[0] !== 'UEX') {
    const placeAt = legacyPlaceAt(fields)
    // Latitude, longitude, speed, course, satellites, fix, distance, power, inputs and outputs.
    return placeAt === undefined ? undefined : placeAt + 9
  }
  let field = 3
  const map = Number.parseInt(fields[2] ?? '', 16)
  for (let bit = 1; bit <= 18; bit++) field += (map >>> bit) & 1
  return field
}

/**
 * Sets the readings of the sensors that we know: fuel probes (`CabAVL…`, `N_0=…`), temperatures (`t_0=…`), a reader of
 * driver cards (`GTSL|…`). Other data is kept as it came, with its escapes: text with U+0000 cannot be stored.
 */
export function setSerialData(out: PositionBatch, row: number, data: string): void {
  let fuel = 0
  const addFuel = (probe: string, value: number) => {
    out.set(row, `fuel${probe}`, value)
    fuel += value
  }
  for (const part of data.split(';')) {
    if (part.startsWith('CabAVL')) {
      const values = part.split(',')
      for (const probe of [1, 2]) {
        const value = Number(values[probe + 1])
        // −1 says that there is no probe.
        if (value > 0 && value < Infinity) addFuel(String(probe), value)
      }
    } else if (part.startsWith('GTSL')) {
      out.set(row, 'driverUniqueId', part.split('|')[4])
    } else if (part.includes('=')) {
      const [, kind, number, value] = /^([tNQ]).(\w)= ?([0-9A-Fa-f]{1,8})(?![0-9A-Fa-f])/.exec(part) ?? []
      const reading = Number.parseInt(value ?? '', 16)
      if (kind === 't') out.set(row, `temp${number}`, reading)
      else if (kind === 'N') addFuel(number!, reading)
      else if (kind === 'Q') out.set(row, 'drivingQuality', reading)
    } else {
      const serial = withoutControls(part)
      if (serial !== '') out.set(row, 'serial', serial)
    }
  }
  if (fuel > 0) out.set(row, 'fuel', fuel)
}

/** Cuts spaces and control characters off both ends. */
function withoutControls(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && text.charCodeAt(start) <= 0x20) start++
  while (end > start && text.charCodeAt(end - 1) <= 0x20) end--
  return text.slice(start, end)
}
