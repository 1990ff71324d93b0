/**
 * H02: text and binary frames of many low-cost trackers (Sinotrack and many others), mixed on one connection.
 *
 *     *HQ,ID,V1,hhmmss,A|V,ddmm.mmmm,N|S,dddmm.mmmm,E|W,knots,course,ddmmyy,status[,…]#     position; V2, V5, … too
 *     *HQ,ID,V4,COMMAND[,…],hhmmss,hhmmss,A|V,…#                        what a command did, and where
 *     *HQ,ID,NBR,hhmmss,mcc,mnc,delay,count{,lac,cid,signal},ddmmyy,status#                 cell towers
 *     *HQ,ID,V3,hhmmss,mccmnc,count{,lac,cid,signal,delay},battery,reboot,X,ddmmyy,status#  cell towers
 *     *HQ,ID,LINK,hhmmss,rssi,satellites,battery %,steps,turnovers,ddmmyy,status#           keep-alive
 *     *HQ,ID,HTBT[,battery %]#   *HQ,ID,SMS,text#   *hq,ID,VP1,A,…#   *hq,ID,VP1,V,mcc,mnc,lac,cid,signalY…#
 *
 * `status` is 32 bits in hex, 0 = active. Binary frames are BCD, 32 bytes, or 45 with cell and mileage; in a datagram
 * also 42, with an IMEI for the serial number of 10 digits:
 *
 *     0   $     1  id (5 or 8)   6  hhmmss ddmmyy   12 ddmmmmmm   16 battery   17 dddmmmmmm, then the nibble E N A -
 *     22  knots, course: 3 digits each              25 status (4) 29 user alarms, reserved, [signal, cell, …] number
 *     X   the same, with 10 digits of mileage for the id and a temperature for the battery
 *
 * Source: Sinotrack, "Protocol ST-901, 902, 904, 905, 906, 907" (as H02 GPRS protocol v1.0.5).
 */
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { DecodeError, defineAdapter, type Session } from '../adapter.ts'
import { latin1, oneLine } from '../command-text.ts'
import { degreesFromNmea, kmhFromKnots, utcDigits } from '../units.ts'
import { decodeText, fieldsOf, fixAt, resultFixAt, setStatus, utcOf } from './h02/text.ts'

const TEXT_MARKER = 0x2a
const EASYTRACK = Buffer.from('*ET,')
const BINARY_MARKER = 0x24
const MILEAGE_MARKER = 0x58

const SHORT_BYTES = 32
const LONG_ID_BYTES = 42
const LONG_BYTES = 45

/** Mileage is counted in knot-seconds. */
const METERS_OF_KNOT_SECOND = 1852 / 3600

export const h02 = defineAdapter({
  id: 'h02',
  version: 1,
  makers: ['Sinotrack', 'Coban', 'Kuhfahl', 'Winnes', 'many others'],
  source: 'Sinotrack, Protocol ST-901/902/904/905/906/907 (H02 GPRS protocol v1.0.5)',
  listen: { tcp: 5013, udp: 5013 },
  options: {
    alternative: '`true`: knows D1 for the interval of reports',
    ack: '`true`: each fix is answered with R12',
  },
  maxFrameBytes: 1024,

  starts(bytes, transport) {
    const starts = startsAt(bytes, 0)
    // `*ET,` is EasyTrack's, which goes on in other words.
    if (starts === true && bytes.subarray(0, 4).equals(EASYTRACK)) return false
    if (starts !== false || transport !== 'udp' || bytes[0] !== BINARY_MARKER) return starts
    return bytes.length < LONG_ID_BYTES ? undefined : bytes.length === LONG_ID_BYTES && isTimeAt(bytes, 9)
  },

  frame(bytes, transport) {
    // A datagram is one binary frame, whatever a newer model adds to it.
    if (transport === 'udp' && bytes[0] === BINARY_MARKER) return bytes.length
    const starts = startsAt(bytes, 0)
    if (starts === undefined) return 0
    if (!starts) return -strayLength(bytes)
    // No `#` yet is −1 + 1: more bytes are needed.
    if (bytes[0] === TEXT_MARKER) return bytes.indexOf('#', 0, 'latin1') + 1
    if (bytes.length < SHORT_BYTES) return 0
    if (bytes[0] === MILEAGE_MARKER) return SHORT_BYTES
    // Nothing in its first 32 bytes tells a long frame from a short one, only what follows. Trackers send a frame as
    // one segment, so where nothing follows yet it is a short one; all that we read of a long one is in there too.
    if (bytes.length === SHORT_BYTES) return SHORT_BYTES
    const next = startsAt(bytes, SHORT_BYTES)
    if (next === true) return SHORT_BYTES
    return next === undefined || bytes.length < LONG_BYTES ? 0 : LONG_BYTES
  },

  decode(frame, session, out) {
    if (frame[0] === TEXT_MARKER) decodeText(fieldsOf(frame), session, out)
    else decodeBinary(frame, session, out)
  },

  ack(frame, session) {
    if (frame[0] !== TEXT_MARKER) return receipt(session)
    const fields = fieldsOf(frame)
    const [maker, id, type] = fields
    if (type === 'HTBT' || type === 'V0') return `${maker},${id},${type}#`
    if (id === '') return undefined
    if (type === 'NBR' || (type === 'V1' && fixAt(fields, 3) !== undefined)) {
      return `*HQ,${id},V4,${type},${utcDigits(session.receivedMs)}#`
    }
    if (type === 'V1' || !type?.startsWith('V')) return undefined
    const fixed = type === 'V4' ? resultFixAt(fields) !== undefined : fixAt(fields, 3) !== undefined
    return fixed ? receipt(session) : undefined
  },

  commands: {
    engineStop: (_, session) => command(session, 'S20', '1,1'),
    engineResume: (_, session) => command(session, 'S20', '1,0'),
    alarmArm: (_, session) => command(session, 'SCF', '0,0'),
    alarmDisarm: (_, session) => command(session, 'SCF', '1,1'),
    // Option `alternative` of a device: watches and clones that know D1.
    positionPeriodic: ({ frequency }, session) =>
      session.device?.options.alternative === true
        ? command(session, 'D1', String(frequency))
        : command(session, 'S71', `22,${frequency}`),
    custom: ({ data }) => latin1(oneLine(data)),
  },
})

/** Whether a frame starts at `at`; undefined where too few bytes are there to tell. */
function startsAt(bytes: Buffer, at: number): boolean | undefined {
  const marker = bytes[at]
  if (marker === TEXT_MARKER) return at + 3 < bytes.length ? bytes[at + 3] === 0x2c : undefined
  if (marker !== BINARY_MARKER && marker !== MILEAGE_MARKER) return false
  return bytes.length < at + 12 ? undefined : isTimeAt(bytes, at + 6)
}

/** Whether `hhmmss ddmmyy` stands at `at`; seconds above 59 do occur, and no date is all zeros. */
function isTimeAt(bytes: Buffer, at: number): boolean {
  for (let i = at; i < at + 6; i++) if ((bytes[i]! & 0x0f) > 9) return false
  // BCD compares as its digits do.
  return bytes[at]! < 0x24 && bytes[at + 1]! < 0x60 && bytes[at + 3]! < 0x32 && bytes[at + 4]! < 0x13
}

/** Bytes up to the next that may start a frame, the first left out. */
function strayLength(bytes: Buffer): number {
  let length = 1
  while (length < bytes.length && startsAt(bytes, length) === false) length++
  return length
}

function decodeBinary(frame: Buffer, session: Session, out: PositionBatch): void {
  const mileage = frame[0] === MILEAGE_MARKER
  const longId = frame.length === LONG_ID_BYTES
  if ((!mileage && frame[0] !== BINARY_MARKER) || frame.length < SHORT_BYTES) {
    throw new DecodeError('malformed', 'h02 binary head')
  }
  const id = frame.toString('hex', 1, longId ? 9 : 6)
  // Digits from the time on; the nibble 31 is the flags, and what follows the course is binary.
  const start = longId ? 9 : 6
  const digits = frame.toString('hex', start, start + 19)
  const [, time, date, latitude, longitude, flagsDigit, knots, course] =
    /^(\d{6})(\d{6})(\d{8})..(\d{9})(.)(\d{3})(\d{3})$/.exec(digits) ?? []
  if (course === undefined) throw new DecodeError('malformed', 'h02 binary frame with digits above 9')
  const name = longId ? id.slice(0, 15) : id
  if (/\D/.test(name)) throw new DecodeError('malformed', 'h02 binary frame of a device with digits above 9')
  if (!mileage) session.identify(name)

  const flags = Number.parseInt(flagsDigit!, 16)
  const row = out.add(
    utcOf(date, time),
    degreesFromNmea(`${latitude!.slice(0, 4)}.${latitude!.slice(4)}`, flags & 4 ? 'N' : 'S'),
    degreesFromNmea(`${longitude!.slice(0, 5)}.${longitude!.slice(5)}`, flags & 8 ? 'E' : 'W'),
  )
  out.setValid(row, (flags & 2) !== 0)
  out.speedKmh[row] = kmhFromKnots(Number(knots))
  out.courseDeg[row] = Number(course)
  if (mileage) out.set(row, 'odometer', Number(id) * METERS_OF_KNOT_SECOND)
  else out.set(row, 'batteryLevel', batteryLevelOf(frame[start + 10]!))
  setStatus(row, frame.readUInt32BE(start + 19), out)
}

/** Percent; levels 1 to 6 or, of newer models, percent itself. The high nibble F says that it charges. */
function batteryLevelOf(value: number): number | undefined {
  if (value >= 0xf1 && value <= 0xf6) return batteryLevelOf(value & 0x0f)
  if (value === 0 || value > 100) return undefined
  return [0, 0, 10, 20, 60, 80, 100][value] ?? value
}

/** Option `ack` of a device: it waits for a receipt of each fix, of those too that its document leaves unanswered. */
function receipt(session: Session): string | undefined {
  if (session.device?.options.ack !== true || session.uniqueId === '') return undefined
  return `*HQ,${session.uniqueId},R12,${utcDigits(session.receivedMs).slice(8)}#`
}

function command(session: Session, name: string, parameters: string): string {
  return `*HQ,${session.uniqueId},${name},${utcDigits(session.receivedMs).slice(8)},${parameters}#`
}
