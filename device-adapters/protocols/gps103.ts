/**
 * GPS103: text frames of Coban's trackers and of the many that copy them. A frame ends with `;` (or `*`, or a line
 * end), and in a datagram with the datagram.
 *
 *     ##,imei:IMEI,A;                                                       login, answered LOAD
 *     IMEI;                                                                 heartbeat, answered ON
 *     imei:IMEI,KEYWORD,yymmddhhmm[ss],SENDER,F,hhmmss.sss,A|V,ddmm.mmmm,N|S,dddmm.mmmm,E|W,
 *         knots[,course[,altitude[,ignition[,door[,fuel 1 %,fuel 2 %[,temperature]]]]]];   position
 *     imei:IMEI,KEYWORD,[yymmddhhmm],SENDER,L,,,lac,,cid,,,;                no fix; area and cell in hex may be left out
 *     imei:IMEI,OBD,yymmddhhmmss,odometer,l/h now,l/h mean,hours,km/h,load %,coolant,throttle %,rpm,V,codes…;
 *     imei:IMEI,NAME,event,sensor,sensor V,hhmmss,ddmmyy,rssi,fix,latitude,longitude,km/h,course,altitude,hdop,
 *         satellites,ignition,charge,error*                                 position in degrees
 *     imei:IMEI,vtN,…;   imei:IMEI,vr,HEX;                                  a photo of N parts, and a part of it: its
 *                                                                           number u16 little endian from 0, picture
 *
 * The date and the time after the keyword are local, the time after the F is UTC, and may be missing. SENDER is a
 * phone number, with the keyword `rfid` the card. KEYWORD is an alarm, `tracker`, or names the command that was done.
 *
 * Source: Shenzhen Coban Electronics, "GPRS Protocol" of 2014-12-12, and "GPS102, GPS103, GPS104 GPRS data protocol".
 */
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { CommandError, DecodeError, defineAdapter, type Session } from '../adapter.ts'
import { latin1 } from '../command-text.ts'
import { setNetwork } from '../network.ts'
import { DIGIT, startsWith } from '../signature.ts'
import { degreesFromNmea, kmhFromKnots, utcFromNmea } from '../units.ts'

/** A frame with an IMEI that is as short as this is a login, whatever its letter. */
const LOGIN_BYTES_MAX = 30
const IMEI_DIGITS = 15
const IMEI = DIGIT.repeat(IMEI_DIGITS)
const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
const HALF_DAY_MS = 12 * HOUR_MS

const NAMED = /imei:(\d{1,20})(?:,|$)/
const LOCAL_TIME = /^(\d\d)\/?(\d\d)\/?(\d\d) ?(\d\d):?(\d\d)(?:\d\d)?$/
const UTC_TIME = /^(\d\d)(\d\d)(\d\d)(?:\.\d+)?$/
/** Some put a meaningless number where the time is; then the local time is UTC. */
const NO_TIME = /^(?:\d{1,5}\.\d+)?$/
const NMEA = /^\d{3,5}\.\d+$/
const CELL = /^,,([0-9A-Fa-f]{1,8}),,([0-9A-Fa-f]{1,8}),,,/
/** What follows the longitude. Each field may be empty, and missing together with all that follow it. */
const READINGS =
  /^(\d+\.?\d*)?(?:,(\d+\.?\d*)?)?(?:,(-?\d+\.?\d*)?)?(?:,([01])?)?(?:,([01])?)?(?:,(?:(\d+\.\d+)%)?,(?:(\d+\.\d+)%|\d+)?)?(?:,([-+]?\d+)?)?/
const OBD =
  /^OBD,(\d{6})(\d{6}),(\d*),(?:\d+\.\d+)?,(\d+\.\d+)?,(\d*),(\d+),(\d+\.?\d*%),(?:([-+]?\d+)|[-+]?),(\d+\.?\d*%),(\d+),(\d+\.\d+),(.*)$/
const IN_DEGREES =
  /^[^,]+,([^,]*),([^,]*),([^,]*),(\d{6}),(\d{6}),(\d+),(\d),(-?\d+\.\d+),(-?\d+\.\d+),(\d+),(\d+),(-?\d+),(\d+\.\d+),(\d+),([01]),([01]),([^,]*)/

const ALARMS: ReadonlyMap<string, string> = new Map([
  ['help me', 'sos'],
  ['low battery', 'lowBattery'],
  ['stockade', 'geofence'],
  ['move', 'movement'],
  ['speed', 'overspeed'],
  ['door alarm', 'door'],
  ['ac alarm', 'powerCut'],
  ['accident alarm', 'accident'],
  ['sensor alarm', 'vibration'],
  ['bonnet alarm', 'bonnet'],
  ['footbrake alarm', 'footBrake'],
  ['DTC', 'fault'],
])

/**
 * The letter of a command and a t: the device did it; `vt` and a number: it took the photo. `et` is not one: it comes
 * after the E by which the reply to `help me` ends that alarm.
 */
const DONE = /^(?:[a-df-z]t|vt\d+)$/

/** Devices are named by an IMEI, but for some whose maker numbers them otherwise. */
const NAME = DIGIT.repeat(10)
const startsStream = startsWith(`##,imei:${NAME}`, `imei:${NAME}`, `${IMEI};`, `${IMEI}imei:`)

export const gps103 = defineAdapter({
  id: 'gps103',
  version: 1,
  makers: ['Coban', 'many others'],
  source: 'Shenzhen Coban Electronics, GPRS Protocol, 2014-12-12',
  listen: { tcp: 5001, udp: 5001 },
  maxFrameBytes: 2048,

  // In a datagram a heartbeat may be the bare IMEI.
  starts: (bytes, transport) => (transport === 'udp' && isBareImei(bytes)) || startsStream(bytes),

  frame(bytes, transport) {
    let strays = 0
    while (strays < bytes.length && isDelimiter(bytes[strays]!)) strays++
    if (strays > 0) return -strays
    const end = bytes.findIndex(isDelimiter)
    if (end >= 0) return end + 1
    return transport === 'udp' ? bytes.length : 0
  },

  decode(frame, session, out) {
    const text = textOf(frame)
    if (text.includes('\0')) throw new DecodeError('malformed', 'U+0000 in a text frame')
    const imei = NAMED.exec(text)?.[1] ?? /^\d{15}(?!\d)/.exec(text)?.[0]
    if (imei === undefined) throw new DecodeError('malformed', `no imei: ${text.slice(0, 40)}`)
    session.identify(imei)
    if (isShort(text)) return
    const body = text.slice(text.indexOf('imei:') + 'imei:'.length + imei.length + 1)
    if (body.startsWith('OBD')) decodeObd(body, out)
    else if (body.endsWith('*')) decodeInDegrees(body, out)
    else if (body.startsWith('vr')) decodePhoto(body, session, out)
    else decodeReport(body, session, out)
  },

  ack(frame) {
    const text = textOf(frame)
    const replies: string[] = []
    if (isHeartbeat(text)) replies.push('ON')
    else if (isShort(text)) replies.push('LOAD')
    const imei = /imei:(\d+),help me,/.exec(text)?.[1]
    if (imei !== undefined) replies.push(`**,imei:${imei},E;`)
    return replies
  },

  commands: {
    positionSingle: (_, session) => command(session, 'B'),
    positionPeriodic: ({ frequency }, session) => command(session, `C,${intervalOf(frequency)}`),
    positionStop: (_, session) => command(session, 'A'),
    engineStop: (_, session) => command(session, 'J'),
    engineResume: (_, session) => command(session, 'K'),
    alarmArm: (_, session) => command(session, 'L'),
    alarmDisarm: (_, session) => command(session, 'M'),
    requestPhoto: (_, session) => command(session, '160'),
    custom: ({ data }, session) => command(session, data),
  },
})

function isDelimiter(byte: number): boolean {
  return byte === 0x3b || byte === 0x2a || byte === 0x0a || byte === 0x0d
}

function isBareImei(bytes: Buffer): boolean {
  return bytes.length === IMEI_DIGITS && bytes.every((byte) => byte >= 0x30 && byte <= 0x39)
}

/** The frame without its delimiter, but for a `*`, which says what the frame is. */
function textOf(frame: Buffer): string {
  return frame.toString('latin1').replace(/[;\r\n]$/, '')
}

/** The bare IMEI; a report may follow it. */
function isHeartbeat(text: string): boolean {
  return /^\d{15}(?!\d)/.test(text)
}

/** Whether the frame holds no report. */
function isShort(text: string): boolean {
  return isHeartbeat(text) ? !text.includes('imei:') : text.length < LOGIN_BYTES_MAX
}

function decodeReport(body: string, session: Session, out: PositionBatch): void {
  const fields = body.split(',')
  const [keyword = '', localTime = '', sender, kind] = fields
  const local = LOCAL_TIME.exec(localTime)
  if (local === null && !/^\d*$/.test(localTime)) throw malformed(body)
  if (DONE.test(keyword)) session.answer({ ok: true, text: keyword })
  if (/^vt\d{1,4}$/.test(keyword)) session.dialect = keyword

  let row: number
  let temperature = keyword.startsWith('T:') ? numberOf(keyword.slice(2)) : Number.NaN
  const ignition = keyword === 'acc on' ? true : keyword === 'acc off' ? false : undefined
  if (kind === 'L') {
    row = out.addWithoutFix()
    if (ignition !== undefined) out.set(row, 'ignition', ignition)
    const [, lac, cid] = CELL.exec(fields.slice(4).join(',')) ?? []
    // The operator is not told.
    if (cid !== undefined) setNetwork(out, row, [{ mcc: 0, mnc: 0, lac: fromHex(lac!), cid: fromHex(cid) }])
  } else if (kind === 'F') {
    const fix = fixOf(fields, local)
    row = out.add(fix.timeMs, fix.latitudeDeg, fix.longitudeDeg)
    out.setValid(row, fix.valid)
    if (ignition !== undefined) out.set(row, 'ignition', ignition)
    const [, knots, course, altitude, acc, door, fuel1, fuel2, celsius] = READINGS.exec(fix.rest)!
    out.speedKmh[row] = kmhFromKnots(numberOf(knots))
    out.courseDeg[row] = numberOf(course)
    out.altitudeM[row] = numberOf(altitude)
    if (acc !== undefined) out.set(row, 'ignition', acc === '1')
    if (door !== undefined) out.set(row, 'door', door === '1')
    out.set(row, 'fuel1', numberOf(fuel1))
    out.set(row, 'fuel2', numberOf(fuel2))
    if (celsius !== undefined) temperature = Number(celsius)
  } else throw malformed(body)

  out.set(row, 'temp1', temperature)
  if (keyword === 'rfid' && sender) out.set(row, 'driverUniqueId', sender)
  setKeyword(row, keyword, out)
}

function setKeyword(row: number, keyword: string, out: PositionBatch): void {
  const alarm = keyword.startsWith('T:')
    ? 'temperature'
    : keyword.startsWith('oil')
      ? 'fuelLeak'
      : ALARMS.get(keyword)
  if (alarm !== undefined) out.set(row, 'alarm', alarm)
  else if (!/^(?:|tracker|acc on|acc off|vt.*)$/.test(keyword)) out.set(row, 'event', keyword)
  if (keyword.startsWith('oil ')) out.set(row, 'fuel', numberOf(keyword.slice(4)))
}

interface Fix {
  readonly timeMs: number
  readonly valid: boolean
  readonly latitudeDeg: number
  readonly longitudeDeg: number
  /** What follows the longitude. */
  readonly rest: string
}

/** The fix of a report, whose hemispheres may stand before or behind their degrees, or be left out. */
function fixOf(fields: readonly string[], local: RegExpExecArray | null): Fix {
  const [time = '', validity] = fields.slice(4)
  const utc = UTC_TIME.exec(time)
  let at = 6
  const hemisphere = (letters: RegExp) => (letters.test(fields[at] ?? '') ? fields[at++]! : '')
  const north = hemisphere(/^[NS]$/)
  const latitude = fields[at++]
  const south = hemisphere(/^[NS]$/)
  const east = hemisphere(/^[EW]$/)
  const longitude = fields[at++]
  const west = hemisphere(/^[EW]?$/)
  if ((utc === null && !NO_TIME.test(time)) || (validity !== 'A' && validity !== 'V')) throw malformed(time)
  if (!NMEA.test(latitude ?? '') || !NMEA.test(longitude ?? '')) throw malformed(`${latitude},${longitude}`)
  return {
    timeMs: timeOf(local, utc),
    valid: validity === 'A',
    latitudeDeg: degreesFromNmea(latitude, south || north),
    longitudeDeg: degreesFromNmea(longitude, west || east),
    rest: fields.slice(at).join(','),
  }
}

/** ms UTC: the local time without its offset, which is what lies between it and the time of day in UTC. */
function timeOf(local: RegExpExecArray | null, utc: RegExpExecArray | null): number {
  if (local === null) return Number.NaN
  const [year, month, day, hour, minute] = local.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
  ]
  const localMs = Date.UTC(2000 + year, month - 1, day, hour, minute, Number(utc?.[3] ?? 0))
  if (utc === null) return localMs
  let offsetMs = (hour - Number(utc[1])) * HOUR_MS + (minute - Number(utc[2])) * MINUTE_MS
  if (offsetMs <= -HALF_DAY_MS) offsetMs += 2 * HALF_DAY_MS
  else if (offsetMs > HALF_DAY_MS) offsetMs -= 2 * HALF_DAY_MS
  return localMs - offsetMs
}

/** Photos are told when their last part is there, not kept; of how many parts they are, the report before them says. */
function decodePhoto(body: string, { dialect }: Session, out: PositionBatch): void {
  const [, low, high] = /^vr,?([0-9A-Fa-f]{2})([0-9A-Fa-f]{2})/.exec(body) ?? []
  if (high === undefined) throw malformed(body)
  const parts = Number(dialect.slice('vt'.length))
  if (parts > 0 && fromHex(high + low) + 1 >= parts) out.set(out.addWithoutFix(), 'image', true)
}

function decodeObd(body: string, out: PositionBatch): void {
  const fields = OBD.exec(body)
  if (fields === null) throw malformed(body)
  const [, date, time, odometer, consumption, hours, speed, load, coolant, throttle, rpm, battery, codes] =
    fields
  const row = out.addWithoutFix(utcFromNmea(date!.replace(/(..)(..)(..)/, '$3$2$1'), time!))
  out.set(row, 'odometer', Number(odometer))
  out.set(row, 'fuelConsumption', Number(consumption ?? 0))
  if (hours !== '') out.set(row, 'hours', Number(hours) * HOUR_MS)
  out.set(row, 'obdSpeed', Number(speed))
  out.set(row, 'engineLoad', load)
  out.set(row, 'coolantTemp', numberOf(coolant))
  out.set(row, 'throttle', throttle)
  out.set(row, 'rpm', Number(rpm))
  out.set(row, 'battery', Number(battery))
  const troubleCodes = codes!.replaceAll(',', ' ').trim()
  if (troubleCodes !== '') out.set(row, 'dtcs', troubleCodes)
}

function decodeInDegrees(body: string, out: PositionBatch): void {
  const fields = IN_DEGREES.exec(body)
  if (fields === null) throw malformed(body)
  const [, event, sensor, sensorVoltage, time, date, rssi, fix, latitude, longitude] = fields
  const [speed, course, altitude, hdop, satellites, ignition, charge, error] = fields.slice(10)
  const row = out.add(utcFromNmea(date!, time!), Number(latitude), Number(longitude))
  out.setValid(row, fix !== '0')
  out.speedKmh[row] = Number(speed)
  out.courseDeg[row] = Number(course)
  out.altitudeM[row] = Number(altitude)
  out.set(row, 'event', reported(event))
  out.set(row, 'sensorId', reported(sensor))
  out.set(row, 'sensorVoltage', numberOf(reported(sensorVoltage)))
  out.set(row, 'rssi', Number(rssi))
  out.set(row, 'hdop', Number(hdop))
  out.set(row, 'sat', Number(satellites))
  out.set(row, 'ignition', ignition === '1')
  out.set(row, 'charge', charge === '1')
  out.set(row, 'error', reported(error))
}

/** Dashes say that there is no value. */
function reported(field = ''): string | undefined {
  return /^-*\**$/.test(field) ? undefined : field
}

function numberOf(text: string | undefined): number {
  return text === undefined || text.trim() === '' ? Number.NaN : Number(text)
}

function fromHex(digits: string): number {
  return Number.parseInt(digits, 16)
}

function malformed(text: string): DecodeError {
  return new DecodeError('malformed', `no report of gps103: ${text.slice(0, 60)}`)
}

/** Two digits and a unit: hours, minutes or seconds, the longest unit that has no rest. */
function intervalOf(seconds: number): string {
  for (const [unit, unitSeconds] of [
    ['h', 3600],
    ['m', 60],
    ['s', 1],
  ] as const) {
    const count = seconds / unitSeconds
    if (Number.isInteger(count) && count >= 1 && count <= 99)
      return `${String(count).padStart(2, '0')}${unit}`
  }
  throw new CommandError('an interval is 1 to 99 seconds, minutes or hours')
}

function command(session: Session, text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it must not hold.
  if (/[\x00-\x1f\x7f]/.test(text)) throw new CommandError('a command holds no control characters')
  return `**,imei:${session.uniqueId},${latin1(text)}`
}
