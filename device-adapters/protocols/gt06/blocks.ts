/** The blocks that messages are made of: time, GPS, LBS, status, and single values. */
import type { Block, CellTower, Message } from './message.ts'

/** A message without time and place. */
export const undated: Block = (message) => message.withoutFix()

/** Time without a place. */
export const dated: Block = (message) => message.withoutFix(message.date())

/** Time u32, seconds since 1970, without a place. */
export const datedSeconds: Block = (message) => message.withoutFix(message.u32() * 1000)

/** Date, satellites u8, latitude u32, longitude u32, speed u8, course and status u16. */
export const gps: Block = (message) => {
  const time = message.date()
  readFix(message, time, message.u8())
}

/** {@link gps}, after a length u8 that is 0 where there is no fix. */
export const optionalGps: Block = (message) => {
  const time = message.date()
  if (message.u8() === 0) message.withoutFix(time)
  else readFix(message, time, message.u8())
}

/** {@link gps} of JC400: course and status before a speed u16. */
export const gpsJc400: Block = (message) => {
  const time = message.date()
  const satellites = message.u8()
  const latitude = message.u32()
  const longitude = message.u32()
  const course = message.u16()
  setFix(message, time, latitude, longitude, message.u16(), course)
  message.set('sat', satellites & 0x0f)
}

/** {@link gps} of JC100: neither satellites nor speed. */
export const gpsJc100: Block = (message) => {
  const time = message.date()
  const latitude = message.u32()
  const longitude = message.u32()
  setFix(message, time, latitude, longitude, Number.NaN, message.u16())
}

/** Satellites, position, speed, course and status of a fix at `timeMs`; the upper half of `satellites` is a length. */
function readFix(message: Message, timeMs: number, satellites: number): void {
  const latitude = message.u32()
  const longitude = message.u32()
  const speed = message.u8()
  setFix(message, timeMs, latitude, longitude, speed, message.u16())
  message.set('sat', satellites & 0x0f)
}

/**
 * Begins the row with a fix.
 * @param latitude And `longitude`: 1/30,000 minute, unsigned.
 * @param course Course and status: bits 0-9 degrees, 10 north, 11 west, 12 positioned, 14 ignition is known, 15 ignition.
 */
export function setFix(
  message: Message,
  timeMs: number,
  latitude: number,
  longitude: number,
  speedKmh: number,
  course: number,
): void {
  const north = (course & 0x0400) !== 0 ? 1 : -1
  const east = (course & 0x0800) !== 0 ? -1 : 1
  message.fix(timeMs, (north * latitude) / 1_800_000, (east * longitude) / 1_800_000)
  message.setMotion(speedKmh, course & 0x03ff, (course & 0x1000) !== 0)
  if ((course & 0x4000) !== 0) message.set('ignition', (course & 0x8000) !== 0)
}

/** Widths of an LBS block, bytes. Bit 15 of the country code says that the network code has two bytes. */
export interface LbsWidths {
  readonly mnc?: 1 | 2
  readonly lac?: 2 | 4
  readonly cid?: 3 | 4 | 8
}

/** Widths of 4G messages. */
export const LTE: LbsWidths = { lac: 4, cid: 8 }

/** Country code u16, network code, location area code, cell id. */
export function lbs(widths: LbsWidths = {}): Block {
  return (message) => message.setNetwork([readTower(message, widths)])
}

/** Bytes of a list of cells that is not filled, after its length of 0; the first of them may hold what was there before. */
const EMPTY_CELLS_BYTES = 45
const EMPTY_CELLS_HEAD_BYTES = 9

/** {@link lbs} after its length u8, which counts itself in most devices; 0 means that there is none. */
export function sizedLbs(widths: LbsWidths = {}): Block {
  return (message) => {
    const length = message.u8()
    if (length === 0) {
      const { at, frame } = message
      const unfilled = frame.subarray(at + EMPTY_CELLS_HEAD_BYTES, at + EMPTY_CELLS_BYTES)
      if (message.left >= EMPTY_CELLS_BYTES && unfilled.every((byte) => byte === 0)) {
        message.skip(EMPTY_CELLS_BYTES)
      }
      return
    }
    const start = message.at
    message.setNetwork([readTower(message, widths)])
    const rest = length - 1 - (message.at - start)
    // Some devices give a length that is none.
    if (rest > 0 && rest <= message.left) message.skip(rest)
  }
}

/** Network generation u8 (3 and up: 4G), {@link lbs}, signal strength. */
export const generationLbs: Block = (message) => {
  const lte = message.u8() >= 3
  message.setNetwork([readTower(message, lte ? LTE : {})])
  message.skip(lte ? 2 : 1)
}

/** Country code without bit 15, network code; then area code and cell id. */
export function readTower(message: Message, widths: LbsWidths): CellTower {
  const { mcc, mnc } = readOperator(message, widths.mnc)
  return readCell(message, widths, mcc, mnc)
}

/** Country code without bit 15, and network code. */
export function readOperator(message: Message, mncBytes: 1 | 2 = 1): { mcc: number; mnc: number } {
  const mcc = message.u16()
  const mnc = mncBytes === 2 || (mcc & 0x8000) !== 0 ? message.u16() : message.u8()
  return { mcc: mcc & 0x7fff, mnc }
}

/** Area code and cell id of a tower. */
export function readCell(message: Message, widths: LbsWidths, mcc: number, mnc: number): CellTower {
  const { lac = 2, cid = 3 } = widths
  return {
    mcc,
    mnc,
    lac: lac === 2 ? message.u16() : message.i32(),
    cid: cid === 3 ? message.u24() : cid === 4 ? message.u32() : message.u64(),
  }
}

/** Battery u8: 0 to 6 in steps of a sixth, or percent. */
export const battery: Block = (message) => {
  const level = message.u8()
  if (level <= 6) message.set('batteryLevel', Math.trunc((level * 100) / 6))
  else if (level <= 100) message.set('batteryLevel', level)
}

/** Ignition u8, reason of the upload u8, upload of a stored fix u8. */
export const accModeStored: Block = (message) => {
  if (message.left < 3) return
  message.set('ignition', message.u8() > 0)
  message.set('event', message.u8())
  message.set('archive', message.u8() > 0)
}

/** What follows the last block of a report, told by its length: the fields of {@link accModeStored}, mileage in m. */
export const remainder: Block = (message) => {
  if (message.left === 3 || message.left === 7) {
    message.set('ignition', message.u8() > 0)
    message.skip(1)
    if (message.u8() > 0) message.set('archive', true)
  }
  if (message.left === 5) message.skip(1)
  if (message.left === 4) message.set('odometer', message.u32())
}

/** Bytes that say nothing here: language, reserved, identity that the login gave. */
export function skip(bytes: number): Block {
  return (message) => message.skip(bytes)
}

type NumberType = 'u8' | 'i8' | 'u16' | 'i16' | 'u24' | 'u32' | 'i32' | 'u32LittleEndian'

/** One number: `scale` units a step. */
export function field(key: string, type: NumberType, scale = 1): Block {
  // Divided where the step is a fraction, so that 0.1 is the nearest number to 0.1.
  const steps = scale < 1 ? Math.round(1 / scale) : 1
  return (message) => {
    const value = message[type]()
    message.set(key, scale < 1 ? value / steps : value * scale)
  }
}

/** One byte as yes or no. */
export function flag(key: string): Block {
  return (message) => message.set(key, message.u8() > 0)
}

/** Altitude i16, m. */
export const altitude: Block = (message) => message.setAltitude(message.i16())

/** Bytes of an id, as hex. */
export function hexField(key: string, bytes: number): Block {
  return (message) => message.set(key, message.hex(bytes))
}

/** Several blocks as one. */
export function sequence(...blocks: readonly Block[]): Block {
  return (message) => {
    for (const block of blocks) block(message)
  }
}
