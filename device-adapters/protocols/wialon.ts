/**
 * Wialon IPS: the text protocol of Gurtam that many trackers, phones and gateways speak, versions 1.x and 2.x.
 *
 *     #L#IMEI;PASSWORD                   #L#2.0;IMEI;PASSWORD;CRC           login
 *     #SD#DATE;TIME;LAT;N|S;LON;E|W;SPEED;COURSE;ALTITUDE;SATELLITES[;CRC]   short data
 *     #D#…the same…;HDOP;INPUTS;OUTPUTS;ADC;IBUTTON;PARAMS[;CRC]             extended data
 *     #B#DATA|DATA|…[|CRC]               black box: data of either form
 *     #P#                                ping
 *     #M#TEXT[;CRC]                      message of the driver, and what a device says to a command
 *     #I#BYTES;…  #T#CODE;BYTES;…        parts of photos and tachograph files, whose bytes follow the line
 *
 * Each ends with CR LF, save in datagrams, where each begins with `2.0;IMEI` or `IMEI`. Any field may be `NA`. DATE and
 * TIME are `ddmmyy` and `hhmmss[.fff]`, UTC; without them the server's time counts. LAT and LON are `ddmm.mmmm` and
 * `dddmm.mmmm`, SPEED is km/h. ADC has values between commas, PARAMS has `NAME:TYPE:VALUE` between commas: type 1 is
 * whole, 2 decimal, 3 text. CRC is CRC-16/IBM in hex of what stands between it and the type.
 *
 * Answers: `#AL#1` (0 refuses), `#ASD#1`, `#AD#1`, `#AB#n` for n data, `#AP#`, `#AM#1`.
 *
 * Source: Gurtam, Wialon IPS v. 1.1, 2.0 and 2.1.
 */
import type { AttributeValue } from '../../schemas/attributes.ts'
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { DecodeError, defineAdapter } from '../adapter.ts'
import { crc16Ibm } from '../checksums.ts'
import { oneLine } from '../command-text.ts'
import { type CellTower, setNetwork } from '../network.ts'
import { degreesFromNmea, utcFromNmea } from '../units.ts'

/** Fields of short data, of extended data, and of a login with a version. */
const SHORT_FIELDS = 10
const EXTENDED_FIELDS = 16
/** Satellites that make a fix. */
const SATELLITES_MIN = 3
/** Neighbouring cells are numbered from 1. */
const TOWERS_MAX = 9
/** Values and parameters of one record; what is beyond is left out. */
const ADC_MAX = 64
const PARAMETERS_MAX = 256

/** Version, device, type, and what the type says. */
const PACKET = /^(?:\d\.\d;)?([\x21\x22\x24-\x3a\x3c-\x7e]{0,64})#([A-Z]{1,3})#(.*)$/s
const START = /^(?:\d\.\d;)?[\w-]{0,32}#(?:L|SD|D|B|P|M|I|IT|T)#/
/** A beginning of {@link START}. */
const START_OPEN = /^(?:\d(?:\.(?:\d;?)?)?|(?:\d\.\d;)?[\w-]{0,32}(?:#(?:[LDBPMIT]|SD?|IT)?)?)$/
/** Size of the bytes that follow a line. */
const ATTACHED = /^[^#]{0,70}#(?:I#|T#\d{1,9};)(\d{1,9});/
const NUMBER = /^-?\d+\.?\d*$/
/** Values of parameters: what a device prints of a double, too. */
const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?$/i

export const wialon = defineAdapter({
  id: 'wialon',
  version: 1,
  makers: ['Gurtam', 'many others'],
  source: 'Gurtam, Wialon IPS communication protocol v. 2.1',
  listen: { tcp: 5039, udp: 5039 },
  maxFrameBytes: 65_536,

  starts(bytes) {
    const text = bytes.toString('latin1', 0, 48)
    return START.test(text) || (START_OPEN.test(text) ? undefined : false)
  },

  frame(bytes, transport) {
    const end = bytes.indexOf('\n') + 1
    if (end === 0) return transport === 'udp' ? bytes.length : 0
    const line = bytes.toString('latin1', 0, end)
    if (line.trim() === '') return -end
    const length = end + Number(ATTACHED.exec(line)?.[1] ?? 0)
    return bytes.length < length ? 0 : length
  },

  decode(frame, session, out) {
    const { id, type, body } = packetOf(frame)
    if (id !== '') session.identify(id)
    if (type === 'L') session.identify(loginOf(body))
    else if (type === 'M') {
      const text = utf8(messageOf(body))
      out.set(out.addWithoutFix(session.receivedMs), 'result', text)
      session.answer({ ok: true, text })
    } else if (type === 'D' || type === 'SD' || type === 'B') {
      const start = frame.indexOf(`#${type}#`, 0, 'latin1') + type.length + 2
      const data = dataOf(type, body)
      for (const { at, fields } of data) {
        const row = addData(fields, session.receivedMs, out)
        // The same bytes whether it comes as it happens or out of the black box.
        out.setRecord(row, start + at, start + at + fields.join(';').length)
        if (type === 'B') out.set(row, 'archive', true)
      }
    } else if (type !== 'P') throw new DecodeError('unsupported', `packet ${type}`)
  },

  ack(frame) {
    const { type, body } = packetOf(frame)
    if (type === 'P') return '#AP#\r\n'
    return `#A${type}#${type === 'B' ? dataOf(type, body).length : 1}\r\n`
  },

  refuse(frame) {
    return packetOf(frame).type === 'L' ? '#AL#0\r\n' : undefined
  },

  commands: {
    custom: ({ data }) => command(data),
    deviceIdentification: () => command('VER?'),
    outputControl: ({ index = 1, data }) => command(`L${index}=${data}`),
    rebootDevice: () => command('reboot'),
    sendUssd: ({ phone }) => command(`USSD:${phone}`),
  },
})

function command(text: string): Buffer {
  return Buffer.from(`${oneLine(text)}\r\n`, 'utf8')
}

interface Packet {
  readonly id: string
  readonly type: string
  /** Latin-1, so that places in it are places of bytes. */
  readonly body: string
}

/** @throws DecodeError if the frame is none of Wialon IPS. */
function packetOf(frame: Buffer): Packet {
  let end = frame.length
  while (frame[end - 1] === 0x0a || frame[end - 1] === 0x0d) end--
  const [, id, type, body] = PACKET.exec(frame.toString('latin1', 0, end)) ?? []
  if (body === undefined) throw new DecodeError('malformed', 'no head #TYPE#')
  // PostgreSQL stores no U+0000.
  if (body.includes('\0')) throw new DecodeError('malformed', 'U+0000 in a packet')
  return { id: id!, type: type!, body }
}

/** Device of a login. Its CRC is not looked at: recorded devices are known by name, and it fits none of their logins. */
function loginOf(body: string): string {
  const fields = body.split(';')
  const hasVersion = fields[0]!.includes('.')
  const id = hasVersion ? (fields[1] ?? '') : fields[0]!
  // Name and password are all there is without a version.
  if (!hasVersion && fields.length > 2) throw new DecodeError('malformed', 'a login of no known version')
  if (!/^[\x21-\x7e]{1,64}$/.test(id)) throw new DecodeError('malformed', 'a login without a name')
  return id
}

/** Text of a message, without the CRC of version 2. */
function messageOf(body: string): string {
  const crcAt = body.lastIndexOf(';') + 1
  return crcAt > 0 && hasCrc(body, crcAt) ? body.slice(0, crcAt - 1) : body
}

interface Data {
  /** Where in the body it starts. */
  readonly at: number
  /** Without the CRC. */
  readonly fields: readonly string[]
}

/**
 * The data of a packet.
 * @throws DecodeError if there is none that can be read, or the CRC does not fit.
 */
function dataOf(type: string, body: string): readonly Data[] {
  const parts = type === 'B' ? body.split('|') : [body]
  if (type === 'B' && parts.length > 1 && !parts.at(-1)!.includes(';')) {
    const crc = parts.pop()!
    if (crc !== '') checkCrc(body, body.length - crc.length)
  }
  const data: Data[] = []
  let at = 0
  for (const part of parts) {
    const fields = part.split(';')
    const fieldsMax = type === 'SD' ? SHORT_FIELDS : EXTENDED_FIELDS
    const crc = fields.length > fieldsMax ? fields.slice(fieldsMax).join(';') : ''
    if (type !== 'B' && crc !== '') checkCrc(body, body.length - crc.length)
    // One that cannot be read must not cost the others of a black box.
    if (isData(fields)) data.push({ at, fields: fields.slice(0, fieldsMax) })
    at += part.length + 1
  }
  if (data.length === 0) throw new DecodeError('malformed', `no data in ${type}: ${body.slice(0, 40)}`)
  return data
}

function checkCrc(body: string, at: number): void {
  if (!hasCrc(body, at)) throw new DecodeError('checksum', 'the CRC of the packet does not fit')
}

/** Whether what stands at `at` is the CRC of what stands before it. */
function hasCrc(body: string, at: number): boolean {
  const crc = Number.parseInt(body.slice(at), 16)
  return crc === crc16Ibm(Buffer.from(body.slice(0, at), 'latin1'), 0, at)
}

/** Patterns of the fields up to the satellites; each may be `NA`, and speed and course may be empty. */
const FIELDS: readonly RegExp[] = [
  /^\d{6}$/,
  /^\d{6}(\.\d+)?$/,
  /^\d{3,}\.?\d*$/,
  /^[NS]$/,
  /^\d{3,}\.?\d*$/,
  /^[EW]$/,
  /^(\d+\.?\d*)?$/,
  /^(\d+\.?\d*)?$/,
  NUMBER,
  /^\d+$/,
]

function isData(fields: readonly string[]): boolean {
  return FIELDS.every((pattern, i) => fields[i] === 'NA' || pattern.test(fields[i] ?? '\n'))
}

function addData(fields: readonly string[], receivedMs: number, out: PositionBatch): number {
  const [date, time, latitude, northSouth, longitude, eastWest, speed, course, altitude, satellites] =
    fields.map((field) => (field === 'NA' ? '' : field)) as [string, string, ...string[]]
  const [hdop, inputs, outputs, adc, iButton, params] = fields
    .slice(SHORT_FIELDS)
    .map((field) => (field === 'NA' ? '' : field))
  const timeMs =
    date === '' || time === '' ? receivedMs : utcFromNmea(date, time) + 1000 * Number(`0${time.slice(6)}`)
  const placed = latitude !== '' && longitude !== ''
  const row = placed
    ? out.add(timeMs, degreesFromNmea(latitude, northSouth), degreesFromNmea(longitude, eastWest))
    : out.addWithoutFix(timeMs)
  if (placed) {
    out.setValid(row, Number(satellites) >= SATELLITES_MIN)
    out.speedKmh[row] = numberOf(speed)
    out.courseDeg[row] = numberOf(course)
    out.altitudeM[row] = numberOf(altitude)
  }
  out.set(row, 'sat', numberOf(satellites))
  out.set(row, 'hdop', numberOf(hdop))
  if (inputs) out.set(row, 'input', inputs)
  if (outputs) out.set(row, 'output', outputs)
  adc?.split(',', ADC_MAX).forEach((value, i) => {
    if (value !== '') out.set(row, `adc${i + 1}`, utf8(value))
  })
  if (iButton) out.set(row, 'driverUniqueId', utf8(iButton))
  if (params) setParameters(utf8(params), row, out)
  return row
}

/** Parameters that have a key of their own here. */
const KEYS: ReadonlyMap<string, string> = new Map([
  ['bat', 'batteryLevel'],
  ['temp', 'deviceTemp'],
])

function setParameters(text: string, row: number, out: PositionBatch): void {
  const parameters = new Map<string, AttributeValue>()
  for (const parameter of text.split(',', PARAMETERS_MAX)) {
    const [, name, value] = /^(.{1,64}):[1-3]:(.+)$/.exec(parameter) ?? []
    // `__proto__` would name no property of the object that the attributes become, `network` is the towers.
    if (value === undefined || name === '__proto__' || name === 'network') continue
    parameters.set(name!.toLowerCase(), typed(value.trim()))
  }
  const towers = takeTowers(parameters)
  const accuracyM = parameters.get('accuracy')
  if (typeof accuracyM === 'number') {
    out.accuracyM[row] = accuracyM
    parameters.delete('accuracy')
  }
  for (const [name, value] of parameters) out.set(row, KEYS.get(name) ?? name, value)
  setNetwork(out, row, towers)
}

/** Cells, of which `mcc`, `mnc`, `lac` and `cell_id` are all there: the serving one without a number, then 1, 2, …. */
function takeTowers(parameters: Map<string, AttributeValue>): CellTower[] {
  const towers: CellTower[] = []
  for (let number = 0; number <= TOWERS_MAX; number++) {
    const suffix = number === 0 ? '' : String(number)
    const [mcc, mnc, lac, cid] = ['mcc', 'mnc', 'lac', 'cell_id'].map((name) => parameters.get(name + suffix))
    if (
      typeof mcc === 'number' &&
      typeof mnc === 'number' &&
      typeof lac === 'number' &&
      typeof cid === 'number'
    ) {
      towers.push({ mcc, mnc, lac, cid })
      // The cell id stays beside the tower: some servers' reports are made by it.
      for (const name of ['mcc', 'mnc', 'lac']) parameters.delete(name + suffix)
    } else if (number > 0) break
  }
  return towers
}

/** A number, true or false where it reads as one, whatever type the device gives it; else text. */
function typed(text: string): AttributeValue {
  if (DECIMAL.test(text) && Number.isFinite(Number(text))) return Number(text)
  const word = text.toLowerCase()
  return word === 'true' || word === 'false' ? word === 'true' : text
}

function numberOf(text: string | undefined): number {
  return text === undefined || !NUMBER.test(text) ? Number.NaN : Number(text)
}

function utf8(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('utf8')
}
