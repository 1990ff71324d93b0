/**
 * TK103: text frames in parentheses, of trackers of many makers. Two forms that differ in the order of the date:
 *
 *     (ID TYPE [data] yymmdd A|V ddmm.mmmm N|S dddmm.mmmm E|W km/h hhmmss course status)     without any separator
 *     (ID,TYPE,ddmmyy,A|V,ddmm.mmmm N|S,dddmm.mmmm E|W,km/h,hhmmss,course[,altitude,satellites])
 *
 * ID has 12 digits in the first form (a few have 11, or an IMEI), TYPE has 4 characters, the speed 5, the course 6 or
 * 2, and `status` is: supply 0 = on, ignition 1 = on, three digits of flags in hex, fuel in 3 hex digits, `L` and the
 * mileage in hex, and maybe a temperature, `+017.7`. Other messages:
 *
 *     (ID BP00 …HSO…)   handshake, answered (ID AP01HSO)
 *     (ID BP05 IMEI position)   login, answered (ID AP05)
 *     (ID TYPE [IMEI],{mcc,mnc,lac,cid}\n…,mileage)   any type of position, without a fix
 *     (ID BO01 alarm position)  (ID BQ81,ALARM,alarm,value,position)
 *     (ID BV00 VIN)   (ID BZ00,mcc,mnc,lac,cid,…)   (ID BS50 hex)   (ID BS51 id:hex,…)     see ../tk103/battery.ts
 *     (ID,ZC20,ddmmyy,hhmmss,battery level,battery 0.01 V,supply 0.1 V,installed)
 *     (ID,ZC03,ddmmyy,hhmmss,$text$)   what a command did; the text may hold parentheses
 *     (ID,DW5x,mcc,mnc,lac,cid,count,{mac*dBm*channel,}ddmmyy,hhmmss)
 *
 * Commands: see ../tk103/commands.ts.
 *
 * Source: "GPRS Communication Protocol" of the KX402 (TK103B), version 1.5; ZC and DW messages as sent.
 */
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { DecodeError, defineAdapter, type Session } from '../adapter.ts'
import { type AccessPoint, type CellTower, setNetwork } from '../network.ts'
import { ANY, DIGIT, startsWith } from '../signature.ts'
import { setBatterySystem, setDalyAnswers } from './tk103/battery.ts'
import { COMMANDS } from './tk103/commands.ts'

const OPEN = 0x28
const CLOSE = 0x29
const TEXT_MARK = 0x24

const COMPACT = /^(\d{15}|\d{12}|\d{11})(B[A-Z]\d\d)(.*)$/s
const SEPARATED = /^(\d{1,20}),([0-9A-Z]{4}),?(.*)$/s
/** `yymmdd` to the status, or to the course in the form with separators. */
const POSITION =
  /^,?(?:ALARM,(\d),\d+,|G,\d+,)?(\d*)(\d\d)(\d\d)(\d\d),?([AV]),? *(\d*)(\d\d\.\d+)([NS]),? *(\d*)(\d\d\.\d+)([EW]),?([ \d.]{1,5})(?:\d*,)?(\d\d)(\d\d)(\d\d),?(?:([ \d.]{6}|\d\d),?([01])([01])([0-9A-Fa-f])([0-9A-Fa-f])([0-9A-Fa-f])([0-9A-Fa-f]{3})L([0-9A-Fa-f]+)|(\d+\.\d+))/
const DATED = /^(\d\d)(\d\d)(\d\d),(\d\d)(\d\d)(\d\d),(.*)$/s
const BATTERY = /^(\d+),(\d+),(\d+),\d+/
const SERVING_CELL = /^,(\d{1,4}),(\d{1,4}),([0-9A-Fa-f]{1,8}),([0-9A-Fa-f]{1,8}),/
const LISTED_CELLS = /^(?:\d{15})?,((?:\{\d+,\d+,\d+,\d+\}\s*)+),([0-9A-Fa-f]{8})$/
const SCAN =
  /^(\d+),(\d+),(\d+),(\d+),\d+,((?:(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\*[-+]?\d+\*\d+,)*)(\d\d)(\d\d)(\d\d),(\d\d)(\d\d)(\d\d)/

const BO01_ALARMS = ['', 'accident', 'sos', 'vibration', 'lowspeed', 'overspeed', 'geofenceExit']
const BQ81_ALARMS = ['lowBattery', 'overspeed', 'idle', 'hardAcceleration', 'hardBraking', 'temperature']

/** Alarms of the form with separators: of ZC messages, of DW messages with a fix, and of those without one. */
const ALARMS: ReadonlyMap<string, string> = new Map(
  [
    ['movement', 'ZC11', 'DW31', 'DW51'],
    ['lowBattery', 'ZC12', 'DW32', 'DW52'],
    ['powerCut', 'ZC13', 'DW33', 'DW53'],
    ['removing', 'ZC17', 'DW37', 'DW57'],
    ['sos', 'ZC25', 'DW3E', 'DW5E'],
    ['tampering', 'ZC26', 'DW3F', 'DW5F'],
    ['lowPower', 'ZC27', 'DW40', 'DW60'],
  ].flatMap(([alarm, ...types]) => types.map((type) => [type, alarm!] as const)),
)
const IGNITION: ReadonlyMap<string, boolean> = new Map(
  [
    [true, 'ZC15', 'DW35', 'DW55', 'ZC29', 'DW42', 'DW62'] as const,
    [false, 'ZC16', 'DW36', 'DW56'] as const,
  ].flatMap(([on, ...types]) => types.map((type) => [type, on] as const)),
)
/** Percent of the levels of ZC20. */
const BATTERY_LEVELS: ReadonlyMap<string, number> = new Map([
  ['6', 100],
  ['5', 80],
  ['4', 50],
  ['3', 20],
  ['2', 10],
])
/** Flags of the status by digit and bit: inputs and outputs of which a 0 is told too, and those told only when set. */
const FLAGS = [
  [0, 0, 'in2', true],
  [0, 1, 'panic', true],
  [0, 2, 'out2', true],
  [0, 3, 'blocked', false],
  [1, 0, 'hs3', false],
  [1, 1, 'hs2', false],
  [1, 2, 'hs1', false],
  [1, 3, 'door', false],
  [2, 1, 'ls3', false],
  [2, 2, 'ls2', false],
  [2, 3, 'ls1', false],
] as const

const VIN_LENGTH = 17

export const tk103 = defineAdapter({
  id: 'tk103',
  version: 1,
  makers: ['Xexun', 'KeXing', 'many others'],
  source: 'GPRS Communication Protocol of KX402 (TK103B), version 1.5',
  listen: { tcp: 5002, udp: 5002 },
  options: {
    alternative: '`true`: takes commands as `[begin]…[end]`',
  },
  maxFrameBytes: 1024,

  starts: startsWith(
    `(${DIGIT.repeat(11)}B${ANY}${DIGIT}${DIGIT}`,
    `(${DIGIT.repeat(12)}B${ANY}${DIGIT}${DIGIT}`,
    `(${DIGIT.repeat(15)}B${ANY}${DIGIT}${DIGIT}`,
    ...[12, 15].flatMap((digits) =>
      ['ZC', 'DW', 'BP'].map((type) => `(${DIGIT.repeat(digits)},${type}${ANY}${ANY},`),
    ),
  ),

  frame(bytes, transport) {
    if (bytes[0] !== OPEN) {
      const start = bytes.indexOf(OPEN)
      return start < 0 ? -bytes.length : -start
    }
    // Parentheses between dollar signs are text.
    let inText = false
    for (let at = 1; at < bytes.length; at++) {
      if (bytes[at] === TEXT_MARK) inText = !inText
      else if (bytes[at] === CLOSE && !inText) return at + 1
    }
    return transport === 'udp' ? bytes.length : 0
  },

  decode(frame, session, out) {
    const text = textOf(frame)
    if (text.includes('\0')) throw new DecodeError('malformed', 'U+0000 in a text frame')
    const compact = COMPACT.exec(text)
    const [, id, type, body] = compact ?? SEPARATED.exec(text) ?? []
    if (body === undefined) throw malformed(text)
    // The parenthesis counts as the first character of 11 digits where they are registered as 12.
    if (id!.length === 11 && frame[0] === OPEN) session.identify(`(${id}`, id!)
    else session.identify(id!)
    if (isAnswer(type!, body)) session.answer({ ok: true, text: type === 'BP04' ? '' : body })
    ;(DECODERS.get(type!) ?? (/^DW[56]/.test(type!) ? decodeScan : decodePosition))(
      { type: type!, body, yearFirst: compact !== null },
      session,
      out,
    )
  },

  ack(frame) {
    const [, id, type] = COMPACT.exec(textOf(frame)) ?? []
    if (type === 'BP00') return `(${id}AP01HSO)`
    return type === 'BP05' ? `(${id}AP05)` : undefined
  },

  commands: COMMANDS,
})

interface Message {
  readonly type: string
  /** What follows the type, without the closing parenthesis. */
  readonly body: string
  /** Whether dates are `yymmdd`. */
  readonly yearFirst: boolean
}

type Decoder = (message: Message, session: Session, out: PositionBatch) => void

const DECODERS: ReadonlyMap<string, Decoder> = new Map<string, Decoder>([
  ['BP00', () => {}],
  ['BV00', decodeVin],
  ['BZ00', decodeServingCell],
  ['BS50', ({ body }, _, out) => setBatterySystem(out.addWithoutFix(), body, out)],
  ['BS51', ({ body }, _, out) => setDalyAnswers(out.addWithoutFix(), body, out)],
  ['ZC03', decodeResult],
  ['ZC20', decodeBattery],
])

/** The frame without its parentheses. */
function textOf(frame: Buffer): string {
  const end = frame.at(-1) === CLOSE ? frame.length - 1 : frame.length
  return frame.toString('latin1', frame[0] === OPEN ? 1 : 0, end)
}

/** Whether the message told cells in place of a position, which are then a row. */
function decodeListedCells(body: string, out: PositionBatch): boolean {
  const [, cells, mileage] = LISTED_CELLS.exec(body) ?? []
  if (cells === undefined) return false
  const row = out.addWithoutFix()
  const towers = [...cells.matchAll(/(\d+),(\d+),(\d+),(\d+)/g)].map((cell) =>
    towerOf(cell.slice(1).map(Number)),
  )
  setNetwork(out, row, towers)
  out.set(row, 'odometer', Number.parseInt(mileage!, 16))
  return true
}

/** Appends the row of a position; messages without one have nothing that we read. */
function decodePosition({ type, body, yearFirst }: Message, _: Session, out: PositionBatch): void {
  const fields = POSITION.exec(body)
  if (fields === null) {
    if (decodeListedCells(body, out)) return
    if (/\d{6},?[AV],? *\d/.test(body)) throw malformed(body)
    return
  }
  const [, kind, data, first, second, third, validity] = fields
  const [latitude, latitudeMinutes, north, longitude, longitudeMinutes, east] = fields.slice(7)
  const [speed, hour, minute, second60, padded, supply, ignition, ...flags] = fields.slice(13)
  const [fuel, mileage, course] = flags.splice(3)
  const [year, month, day] = yearFirst ? [first, second, third] : [third, second, first]
  const row = out.add(
    utcOf(year, month, day, hour, minute, second60),
    (north === 'S' ? -1 : 1) * (Number(latitude) + Number(latitudeMinutes) / 60),
    (east === 'W' ? -1 : 1) * (Number(longitude) + Number(longitudeMinutes) / 60),
  )
  out.setValid(row, validity === 'A')
  out.speedKmh[row] = Number(speed)
  out.courseDeg[row] = Number(padded ?? course)
  setType(row, type, kind ?? data ?? '', out)
  if (supply === undefined) return
  out.set(row, 'charge', supply === '0')
  out.set(row, 'ignition', ignition === '1')
  for (const [digit, bit, key, always] of FLAGS) {
    const set = (Number.parseInt(flags[digit]!, 16) >> bit) & 1
    if (set === 1 || always) out.set(row, key, set)
  }
  out.set(row, 'fuel', Number.parseInt(fuel!, 16))
  out.set(row, 'odometer', Number.parseInt(mileage!, 16))
  const [celsius] = /[-+]\d{3}\.\d/.exec(body.slice(fields[0].length)) ?? []
  if (celsius !== undefined) out.set(row, 'temp1', Number(celsius))
}

/** Sets what the type says of the vehicle. @param data Digits before the date. */
function setType(row: number, type: string, data: string, out: PositionBatch): void {
  const ignition = IGNITION.get(type)
  if (ignition !== undefined) out.set(row, 'ignition', ignition)
  const alarm =
    type === 'BO01'
      ? BO01_ALARMS[Number(data[0])]
      : type === 'BQ81'
        ? BQ81_ALARMS[Number(data)]
        : ALARMS.get(type)
  if (alarm) out.set(row, 'alarm', alarm)
}

/** An answer to AP00, which is a position, to AT00, AV00 or AV01; BV00 may also be a VIN. */
function isAnswer(type: string, body: string): boolean {
  return /^B(?:P04|T00|V0[01])$/.test(type) && !(type === 'BV00' && body.length === VIN_LENGTH)
}

function decodeVin({ body }: Message, _: Session, out: PositionBatch): void {
  if (body.length === VIN_LENGTH) out.set(out.addWithoutFix(), 'vin', body)
}

/** More cells follow the first, whose fields differ from model to model. */
function decodeServingCell({ body }: Message, _: Session, out: PositionBatch): void {
  const [, mcc, mnc, lac, cid] = SERVING_CELL.exec(body) ?? []
  if (cid === undefined) throw malformed(body)
  const tower = [Number(mcc), Number(mnc), Number.parseInt(lac!, 16), Number.parseInt(cid, 16)]
  setNetwork(out, out.addWithoutFix(), [towerOf(tower)])
}

function decodeBattery({ body }: Message, _: Session, out: PositionBatch): void {
  const [, day, month, year, hour, minute, second, rest] = DATED.exec(body) ?? []
  const [, level, battery, supply] = BATTERY.exec(rest ?? '') ?? []
  if (supply === undefined) throw malformed(body)
  const row = out.addWithoutFix(utcOf(year, month, day, hour, minute, second))
  out.set(row, 'batteryLevel', BATTERY_LEVELS.get(level!))
  if (battery !== '65535') out.set(row, 'battery', Number(battery) / 100)
  if (supply !== '65535') out.set(row, 'power', Number(supply) / 10)
}

function decodeResult({ body }: Message, session: Session, out: PositionBatch): void {
  const [, day, month, year, hour, minute, second, rest] = DATED.exec(body) ?? []
  if (!rest?.startsWith('$')) throw malformed(body)
  const result = rest.slice(1).split('$', 1)[0]!
  session.answer({ ok: true, text: result })
  const row = out.addWithoutFix(utcOf(year, month, day, hour, minute, second))
  if (result !== '') out.set(row, 'result', result)
}

function decodeScan(message: Message, session: Session, out: PositionBatch): void {
  const { type, body } = message
  const fields = SCAN.exec(body)
  if (fields === null) {
    // Some have a fix where others have only what they hear.
    if (!POSITION.test(body)) throw malformed(body)
    decodePosition(message, session, out)
    return
  }
  const [day, month, year, hour, minute, second] = fields.slice(6)
  const row = out.addWithoutFix(utcOf(year, month, day, hour, minute, second))
  setType(row, type, '', out)
  const wifi = fields[5]!
    .split(',')
    .slice(0, -1)
    .map((point): AccessPoint => {
      const [mac, rssi, channel] = point.split('*')
      return { mac: mac!, rssi: Number(rssi), channel: Number(channel) }
    })
  setNetwork(out, row, [towerOf(fields.slice(1, 5).map(Number))], wifi)
}

function towerOf(numbers: readonly number[]): CellTower {
  const [mcc, mnc, lac, cid] = numbers as [number, number, number, number]
  return { mcc, mnc, lac, cid }
}

/** ms UTC of two digits each. */
function utcOf(...digits: (string | undefined)[]): number {
  const [year, month, day, hour, minute, second] = digits.map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  return Date.UTC(2000 + year, month - 1, day, hour, minute, second)
}

function malformed(text: string): DecodeError {
  return new DecodeError('malformed', `no message of tk103: ${text.slice(0, 60)}`)
}
