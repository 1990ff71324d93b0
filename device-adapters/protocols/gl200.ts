/**
 * @Track: text and binary messages of Queclink's trackers, GL, GV, GB, GMT, GT and CV.
 *
 *     +RESP:GTtyp,VERSION,IMEI,name,…,yyyyMMddHHmmss,COUNT$       report
 *     +BUFF:GTtyp,…                                              the same, when it had to wait for the network
 *     +ACK:GTtyp,VERSION,IMEI,name,serial,yyyyMMddHHmmss,COUNT$   answer to a command
 *     +ACK:GTHBD,VERSION,IMEI,name,yyyyMMddHHmmss,COUNT$          heartbeat, answered with +SACK:GTHBD,VERSION,COUNT$
 *
 * `$` may be NUL. VERSION is the device type and the version of the protocol, in hex: 6 digits, of newer models 10. What
 * stands between name and time depends on the type: ../gl200/reports.ts, eri.ts, can.ts, information.ts, text.ts, and
 * events.ts for all others. The location is that of ../gl200/location.ts in all of them.
 *
 * Binary frames are those of ../gl200/binary.ts (`+RSP`, `+EVT`, `+INF`, …) and of ../gl200/records.ts (`+` and NUL).
 *
 * Reports are answered with `+SACK:COUNT$` where the device's option `ack` says so: it must be what the device's own
 * "SACK enable" is, for a device that waits keeps and re-sends what it sees no answer to.
 *
 * Source: Queclink, @Track Air Interface Protocol of each model, such as TRACGL300AN001 1.02 and TRACGV55AN001 1.05.
 */
import { defineAdapter, type Session } from '../adapter.ts'
import { passwordOf, printableAscii } from '../command-text.ts'
import { BINARY_BYTES_MIN, decodeBinary, LENGTHS } from './gl200/binary.ts'
import { messageOf } from './gl200/message.ts'
import { decodeRecords, RECORDS_BYTES_MIN } from './gl200/records.ts'
import { decodeText } from './gl200/text.ts'

const FRAME_BYTES_MAX = 8192
const PLUS = 0x2b
const DOLLAR = 0x24

/** A text message up to its id, and any beginning of one. */
const START = /^\+(RESP|BUFF|ACK):GT[A-Z0-9]{3},([0-9A-Za-z]{6}|[0-9A-Za-z]{10})?,(\d{15}|[0-9A-Fa-f]{14}),/
/** The same of models whose messages have no version. In a stream it is another protocol's. */
const SHORT_START = /^\+(RESP|BUFF|ACK):GT[A-Z0-9]{3},\d{15},/
/** What may be put behind a beginning of a message to see whether it is one. */
const STARTS = ['RESP', 'BUFF', 'ACK'].flatMap((kind) =>
  ['000000,', '0000000000,', ',', ''].flatMap((version) =>
    ['000000000000000,', '00000000000000,'].map((id) => `+${kind}:GT000,${version}${id}`),
  ),
)
const START_BYTES = 48

export const gl200 = defineAdapter({
  id: 'gl200',
  version: 1,
  makers: ['Queclink'],
  source:
    'Queclink, @Track Air Interface Protocol (GL200, GL300, GL500, GV55, GV200, GV300, GV500, GV600 and others)',
  listen: { tcp: 5004, udp: 5004 },
  options: {
    ack: '`true`: reports are answered with SACK, as the device is set up to ask',
  },
  maxFrameBytes: FRAME_BYTES_MAX,

  starts(bytes, transport) {
    if (bytes[0] !== PLUS) return false
    if (bytes.length < 2) return undefined
    if (bytes[1] === 0) return startsRecords(bytes)
    const binary = startsBinary(bytes)
    return binary === false ? startsText(bytes, transport === 'udp') : binary
  },

  frame(bytes, transport) {
    if (bytes[0] !== PLUS) {
      const next = bytes.indexOf(PLUS)
      return next < 0 ? -bytes.length : -next
    }
    if (bytes.length < 2) return 0
    if (bytes[1] === 0) {
      if (bytes.length < 4) return 0
      const length = bytes.readUInt16BE(2)
      if (length < RECORDS_BYTES_MIN) return -1
      return bytes.length < length ? 0 : length
    }
    if (bytes.length < 5) return 0
    const field = lengthField(bytes)
    if (field === undefined) return textLength(bytes, transport === 'udp')
    const [at, size] = field
    if (bytes.length < at + size) return 0
    const length = bytes.readUIntBE(at, size)
    if (length < BINARY_BYTES_MIN) return -1
    return bytes.length < length ? 0 : length
  },

  decode(frame, session, out) {
    if (frame[1] === 0) decodeRecords(frame, session, out)
    else if (lengthField(frame) !== undefined) decodeBinary(frame, session, out)
    else decodeText(frame, session, out)
  },

  ack(frame, session) {
    if (frame[1] === 0 || lengthField(frame) !== undefined) return undefined
    const { kind, type, version, values } = messageOf(frame)
    const count = values.at(-1)!
    if (kind === 'ACK' && type === 'HBD') return `+SACK:GTHBD,${version},${count}$`
    return session.device?.options.ack === true ? `+SACK:${count}$` : undefined
  },

  commands: {
    custom: ({ data }) => printableAscii(data),
    positionSingle: (_, session) => request(session, 1),
    rebootDevice: (_, session) => request(session, 3),
    deviceIdentification: (_, session) => request(session, 8),
    engineStop: (_, session) => output(session, 1),
    engineResume: (_, session) => output(session, 0),
  },
})

/** Where the length of a binary frame stands; undefined in a text message. */
function lengthField(bytes: Buffer): readonly [at: number, bytes: 1 | 2] | undefined {
  const head = bytes.toString('latin1', 0, 4)
  return head === '+ACK' && bytes[4] === 0x3a ? undefined : LENGTHS[head]
}

/** A text message up to its end, which is a part of it in datagrams alone; they may lack it. */
function textLength(bytes: Buffer, datagram: boolean): number {
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at] === DOLLAR || bytes[at] === 0) return datagram ? at + 1 : at
  }
  return datagram ? bytes.length : 0
}

function startsText(bytes: Buffer, short: boolean): boolean | undefined {
  const text = bytes.toString('latin1', 0, START_BYTES)
  const fits = (whole: string) => START.test(whole) || (short && SHORT_START.test(whole))
  if (fits(text)) return true
  return STARTS.some((start) => text.length < start.length && fits(text + start.slice(text.length)))
    ? undefined
    : false
}

function startsBinary(bytes: Buffer): boolean | undefined {
  const head = bytes.toString('latin1', 0, 4)
  if (bytes.length < 5)
    return Object.keys(LENGTHS).some((known) => known.startsWith(head)) ? undefined : false
  const field = lengthField(bytes)
  if (field === undefined) return false
  const [at, size] = field
  if (bytes.length < at + size) return undefined
  const length = bytes.readUIntBE(at, size)
  return length >= BINARY_BYTES_MIN && length <= FRAME_BYTES_MAX
}

/** Bytes of a frame of records up to the IMEI: 2B 00, length, flags, and 0 with 15 digits. */
function startsRecords(bytes: Buffer): boolean | undefined {
  const hex = bytes.toString('hex', 0, 13)
  if (bytes.length >= 4) {
    const length = bytes.readUInt16BE(2)
    if (length < RECORDS_BYTES_MIN || length > FRAME_BYTES_MAX) return false
  }
  const start = `2b00000000${'0'.repeat(16)}`
  const whole = hex + start.slice(hex.length)
  // With several packets there are two more bytes before the IMEI.
  if (!/^2b00....(000\d{15}|80....0)/.test(whole)) return false
  return bytes.length < 13 ? undefined : true
}

/** Requests of a place, a restart or a version, by number. */
function request(session: Session, number: number): string {
  return `AT+GTRTO=${passwordOfDevice(session)},${number},,,,,,FFFF$`
}

/** Output 1, which cuts the engine, on or off for good; all others off. */
function output(session: Session, state: 0 | 1): string {
  return `AT+GTOUT=${passwordOfDevice(session)},${state},,,0,0,0,0,0,0,0,,,,,,,FFFF$`
}

/** None where the device has none: some take commands without. */
function passwordOfDevice(session: Session): string {
  return session.device?.options.devicePassword === undefined ? '' : passwordOf(session, '')
}
