/** Fields of a text message: where they stand in the frame, and what they say. */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import type { CellTower } from '../../network.ts'

/** A longitude or latitude. */
export const DEGREES = /^-?\d{1,3}\.\d{6}$/

/** Reads the fields of a message one after the other. Reading past the last one is a RangeError. */
export class FieldReader {
  readonly values: readonly string[]
  /** Next field to read. */
  at: number

  constructor(values: readonly string[], at: number) {
    this.values = values
    this.at = at
  }

  /** Fields not read yet. */
  get left(): number {
    return this.values.length - this.at
  }

  /** A field without reading it, counted from the next; '' past the last one. */
  peek(ahead = 0): string {
    return this.values[this.at + ahead] ?? ''
  }

  text(): string {
    if (this.at >= this.values.length) throw new RangeError(`no field ${this.at}`)
    return this.values[this.at++]!
  }

  /** NaN where the field is empty or no decimal number. */
  number(): number {
    return numberOf(this.text())
  }

  /** NaN where the field is empty or no hex number. */
  hex(): number {
    return hexOf(this.text())
  }

  skip(fields: number): void {
    this.at += fields
    if (this.at > this.values.length) throw new RangeError(`no field ${this.at - 1}`)
  }
}

/** NaN where the text is no decimal number. */
export function numberOf(text: string): number {
  return /^[+-]?\d+(\.\d*)?$/.test(text) ? Number(text) : Number.NaN
}

/** NaN where the text is no hex number of 32 bits at most. */
export function hexOf(text: string): number {
  return /^[0-9a-f]{1,8}$/i.test(text) ? Number.parseInt(text, 16) : Number.NaN
}

/** A mask, which is none where the text is no hex number: bits are asked for with {@link hasBit}. */
export function maskOf(text: string): number {
  const mask = hexOf(text)
  return Number.isNaN(mask) ? 0 : mask
}

export function hasBit(mask: number, bit: number): boolean {
  return ((mask >>> bit) & 1) === 1
}

/** `yyyyMMddHHmmss`, UTC, as ms; NaN where the text is anything else. */
export function timeOf(text: string): number {
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(text) ?? []
  if (second === undefined) return Number.NaN
  return Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second))
}

/** `hhhhh:mm:ss` as ms; NaN where the text is anything else. */
export function hoursOf(text: string): number {
  const [, hours, minutes = '0', seconds = '0'] = /^(\d{1,7})(?::(\d+))?(?::(\d+))?$/.exec(text) ?? []
  return hours === undefined
    ? Number.NaN
    : ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000
}

/** `c413e200ff14` as `c4:13:e2:00:ff:14`. */
export function macOf(text: string): string {
  return text.replace(/..(?=.)/g, '$&:')
}

/**
 * Tower of four fields: country and network in decimal, area and cell in hex; undefined where one is missing.
 * @param signal Above −signal dBm, where the message tells it.
 */
export function towerOf(
  [mcc, mnc, lac, cid]: readonly (string | undefined)[],
  signal?: string,
): CellTower | undefined {
  const tower = {
    mcc: numberOf(mcc ?? ''),
    mnc: numberOf(mnc ?? ''),
    lac: hexOf(lac ?? ''),
    cid: hexOf(cid ?? ''),
  }
  if (Object.values(tower).some(Number.isNaN)) return undefined
  const rssi = signal === undefined ? Number.NaN : -Math.abs(numberOf(signal))
  return Number.isNaN(rssi) ? tower : { ...tower, rssi }
}

/** States of ignition, in the upper half of the first byte of a device status. */
const IGNITION_OFF = 1 << 20
const IGNITION_ON = 1 << 21

/** Device status, three bytes: ignition and motion, inputs (the first is the ignition's), outputs. Longer ones begin with more. */
export function setDeviceStatus(out: PositionBatch, row: number, text: string): void {
  if (!/^[0-9a-f]{1,16}$/i.test(text)) return
  const status = Number.parseInt(text.slice(-6), 16)
  if ((status & IGNITION_OFF) !== 0) out.set(row, 'ignition', false)
  else if ((status & IGNITION_ON) !== 0) out.set(row, 'ignition', true)
  const input = (status >>> 8) & 0xff
  const output = status & 0xff
  out.set(row, 'input', input)
  out.set(row, 'in1', (input & 2) !== 0)
  out.set(row, 'in2', (input & 4) !== 0)
  out.set(row, 'output', output)
  out.set(row, 'out1', (output & 1) !== 0)
  out.set(row, 'out2', (output & 2) !== 0)
}
