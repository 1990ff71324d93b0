/**
 * JT/T 808: terminals on Chinese vehicles, and trackers of many makers all over the world.
 *
 *     7E | message id u16 | attributes u16 | [version u8] | terminal | serial u16 | [packages u16 | package u16] | body
 *        | checksum u8 | 7E
 *
 * Attributes: bits 0 to 9 length of the body, 10 to 12 encryption, 13 the message is one package of several, 14 (2019)
 * there is a version. Terminal: its phone number in BCD, 6 bytes, with a version 10; or the first 14 digits of its IMEI
 * as a number. Checksum: exclusive or of all between it and the delimiter. 7D and 7E inside are written 7D 01 and
 * 7D 02. Numbers are big-endian, times are BCD yymmddhhmmss of UTC+8 (option `timezoneMinutes` of the device).
 *
 * Some write E7 for 7E, with a terminal of 7 bytes, E6 01 and E6 02 for E6 and E7, 3E 01 and 3E 02 for 3E and 3D. Locks
 * send 0x5501 and 0x5502, with a serial number of one byte and, as bit 15 of the attributes, whether they want an
 * answer; and text between brackets.
 *
 * The server answers 0x8001: serial number and id of the message, result u8 (0: success, 1: failure); its own serial
 * number is 0. Registration 0x0100 is answered by 0x8100 with the number of the terminal as its key.
 *
 * A message that can be read is kept with a wrong checksum or length, but marked: devices in the field have them.
 *
 * Source: JT/T 808-2011, 808-2013 and 808-2019; JT/T 1078-2016 and T/JSATL 12-2017 for the items of video and driver
 * assistance. Items and messages of makers are those of their devices' recorded frames and of other public servers.
 */
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { QUALITY } from '../../schemas/quality.ts'
import { DecodeError, defineAdapter, type Reply, type Session } from '../adapter.ts'
import { utcDigits } from '../units.ts'
import { commands, type Jt808State } from './jt808/commands.ts'
import {
  encode,
  frameBytes,
  type Header,
  hasValidChecksum,
  headerOf,
  isText,
  LOCK_LOCATION,
  LOCK_LOCATION_BLIND,
  plainOf,
  serialBytes,
  terminalId,
  uniqueIdsOf,
} from './jt808/frame.ts'
import {
  acceleration,
  batteryTime,
  bracketedText,
  commandAnswer,
  driverCard,
  generalAnswer,
  heartbeat,
  properties,
  settings,
  textAnswer,
  textReport,
} from './jt808/information.ts'
import { LOCATION_BYTES, readLocation } from './jt808/location.ts'
import { lockLocation } from './jt808/lock.ts'
import { type Field, Report } from './jt808/report.ts'
import { starts } from './jt808/starts.ts'
import { transparent } from './jt808/transparent.ts'

type Answer = (header: Header, session: Session, ok: boolean) => Reply | undefined

/** How a message is read and answered. */
interface Layout {
  /** Nothing is read without it. */
  readonly read?: Field
  /** No answer without it. */
  readonly answer?: Answer
  /** The body is several location reports. */
  readonly batch?: true
}

const GENERAL_ANSWER = 0x8001
const LOCK_ANSWER = 0x4401
const REGISTRATION_ANSWER = 0x8100
const TIME_ANSWER = 0x8109
const BATCH = 0x0704
const SHORT_BATCH = 0x0210
/** Body of 0x0210 where it is no batch. */
const BATTERY_TIME_BYTES = 7

const SUCCESS = 0
const FAILURE = 1

const general: Answer = ({ type, serial, ...peer }, _, ok) => {
  const body = Buffer.alloc(5)
  body.writeUInt16BE(serial, 0)
  body.writeUInt16BE(type, 2)
  body[4] = ok ? SUCCESS : FAILURE
  return encode(peer, GENERAL_ANSWER, serialBytes(0), body)
}

/** Bit 15 of the attributes asks for it. */
const lockAnswer: Answer = ({ type, attributes, ...peer }, _, ok) => {
  if ((attributes & 0x8000) === 0) return undefined
  const body = Buffer.alloc(3)
  body.writeUInt16BE(type, 0)
  body[2] = ok ? SUCCESS : FAILURE
  return encode(peer, LOCK_ANSWER, Buffer.from([1]), body)
}

/** Serial number, result, and the key that the device sends back as it authenticates. */
const registration: Answer = ({ serial, ...peer }, _, ok) => {
  const head = Buffer.alloc(3)
  head.writeUInt16BE(serial, 0)
  // 4: there is no such terminal in the database.
  head[2] = ok ? SUCCESS : 4
  const key = Buffer.from(ok ? terminalId(peer.id) : '', 'latin1')
  return encode(peer, REGISTRATION_ANSWER, serialBytes(0), Buffer.concat([head, key]))
}

/** Year u16, month, day, hour, minute, second, UTC; result. */
const serverTime: Answer = (header, session) => {
  const now = new Date(session.receivedMs)
  const body = Buffer.alloc(8)
  body.writeUInt16BE(now.getUTCFullYear(), 0)
  body.set(
    [
      now.getUTCMonth() + 1,
      now.getUTCDate(),
      now.getUTCHours(),
      now.getUTCMinutes(),
      now.getUTCSeconds(),
      SUCCESS,
    ],
    2,
  )
  return encode(header, TIME_ANSWER, serialBytes(0), body)
}

const MESSAGES: ReadonlyMap<number, Layout> = new Map<number, Layout>([
  // Sessions.
  [0x0002, { read: heartbeat, answer: general }],
  [0x0003, { answer: general }],
  [0x0100, { answer: registration }],
  [0x0102, { answer: general }],
  [0x0107, { read: properties, answer: general }],
  [0x0109, { answer: serverTime }],
  [0x0506, { answer: general }],
  [0x1007, { answer: general }],
  [0x8888, { answer: general }],
  // Positions. What was asked for is not answered again.
  [0x0200, { read: readLocation, answer: general }],
  [0x0201, { read: queriedLocation }],
  [SHORT_BATCH, { batch: true, answer: general }],
  [BATCH, { batch: true, answer: general }],
  [0x0900, { read: transparent, answer: general }],
  [LOCK_LOCATION, { read: lockLocation(false), answer: lockAnswer }],
  [LOCK_LOCATION_BLIND, { read: lockLocation(true), answer: lockAnswer }],
  // Answers to commands, and what devices send beside.
  [0x0001, { read: generalAnswer }],
  [0x0104, { read: settings }],
  [0x0701, { read: commandAnswer }],
  [0x0702, { read: driverCard }],
  [0x1300, { read: textAnswer }],
  [0x2070, { read: acceleration }],
  [0x6006, { read: textReport, answer: general }],
])

const UNKNOWN: Layout = {}

export const jt808 = defineAdapter<Jt808State>({
  id: 'jt808',
  version: 1,
  makers: ['Huabao', 'Jimi', 'Jointech', 'AOVX', 'many others'],
  source: 'JT/T 808-2019, terminal communication protocol of road vehicles; 808-2013 and 808-2011 before it',
  listen: { tcp: 5015 },
  options: {
    timezoneMinutes: 'minutes that its clock is ahead of UTC, 480 if not given',
    alternative: '`true`: the relay command carries the time',
    videoServer: 'host that takes its pictures',
    videoPort: 'and its port',
  },
  maxFrameBytes: 8192,

  starts,

  open: () => ({ peer: undefined }),

  frame: frameBytes,

  unescape: plainOf,

  decode(frame, session, out) {
    if (isText(frame)) {
      decodeText(frame, session, out)
      return
    }
    const firstRow = out.length
    const isDamaged = !hasValidChecksum(frame)
    try {
      decodeMessage(frame, session, out)
    } catch (error) {
      if (isDamaged && error instanceof RangeError) throw new DecodeError('checksum', error.message)
      throw error
    }
    if (!isDamaged) return
    // A row can be marked; the name of a device that says no more than that cannot.
    if (out.length === firstRow) throw new DecodeError('checksum', 'the checksum does not fit')
    for (let row = firstRow; row < out.length; row++) out.quality[row]! |= QUALITY.checksum
  },

  ack(frame, session) {
    if (isText(frame)) return timeOfText(frame, session)
    const header = headerOf(frame)
    return layoutOf(header).answer?.(header, session, true)
  },

  refuse(frame, session) {
    if (isText(frame)) return undefined
    const header = headerOf(frame)
    return layoutOf(header).answer?.(header, session, false)
  },

  commands,
})

function layoutOf({ type, bodyAt, bodyEnd }: Header): Layout {
  if (type === SHORT_BATCH && bodyEnd - bodyAt === BATTERY_TIME_BYTES)
    return { read: batteryTime, answer: general }
  return MESSAGES.get(type) ?? UNKNOWN
}

function decodeMessage(frame: Buffer, session: Session<Jt808State>, out: PositionBatch): void {
  const header = headerOf(frame)
  session.identify(...uniqueIdsOf(header))
  const { delimiter, version, id } = header
  // A copy: the state must not keep the memory of a frame.
  if (!session.state.peer?.id.equals(id)) session.state.peer = { delimiter, version, id: Buffer.from(id) }
  const { read, batch } = layoutOf(header)
  if (read === undefined && batch === undefined) return
  if (header.isPart) throw new DecodeError('unsupported', 'the message is one package of several')
  if (batch) readBatch(frame, header, session, out)
  else if (read !== undefined) {
    const report = new Report(frame, header.bodyAt, header.bodyEnd, session, out, header.version)
    read(report)
    report.finish()
  }
}

/**
 * Location reports after their length: u16, after a count u16 and whether they were stored u8; in 0x0210 u8. A report
 * that is too short to be one is left out: its neighbours are sent for the last time.
 */
function readBatch(
  frame: Buffer,
  { type, bodyAt, bodyEnd }: Header,
  session: Session,
  out: PositionBatch,
): void {
  const isShort = type === SHORT_BATCH
  const isArchive = !isShort && frame.readUInt8(bodyAt + 2) > 0
  const lengthBytes = isShort ? 1 : 2
  let at = isShort ? bodyAt : bodyAt + 3
  while (at + lengthBytes <= bodyEnd) {
    const start = at + lengthBytes
    const end = start + frame.readUIntBE(at, lengthBytes)
    if (end > bodyEnd) throw new RangeError(`a report of ${end - start} bytes ends past the body`)
    if (end - start >= LOCATION_BYTES) {
      const report = new Report(frame, start, end, session, out)
      readLocation(report)
      if (isArchive) report.set('archive', true)
      report.finish()
    }
    at = end
  }
}

/** Message 0x0201: serial number of the question, location report. */
function queriedLocation(report: Report): void {
  report.session.answer({ serial: report.u16(), ok: true, text: '' })
  readLocation(report)
}

/** `(ID,1,001,ELOCK,…)`: what a lock reports, or `BASE,2`: a question for the time. */
function decodeText(frame: Buffer, session: Session, out: PositionBatch): void {
  const id = /^\((\d{10,15}),/.exec(frame.toString('latin1', 0, 20))?.[1]
  if (id !== undefined) session.identify(id)
  else if (session.uniqueId === '') throw new DecodeError('malformed', 'the text names no terminal')
  if (asksTime(frame)) return
  const report = new Report(frame, 0, frame.length, session, out)
  bracketedText(report)
  report.finish()
}

function asksTime(frame: Buffer): boolean {
  return frame.includes('BASE,2', 0, 'latin1')
}

/** The question with the time in it, `yyyymmddhhmmss` UTC. */
function timeOfText(frame: Buffer, session: Session): Reply | undefined {
  if (!asksTime(frame)) return undefined
  const time = utcDigits(session.receivedMs)
  return frame.toString('latin1').replace('TIME', time)
}
