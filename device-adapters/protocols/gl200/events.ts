/** Reports of events, and all of a layout that is not known: their location is found by its form. */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import type { Session } from '../../adapter.ts'
import { setNetwork } from '../../network.ts'
import { DEGREES, hexOf, numberOf, towerOf } from './fields.ts'
import { addFix } from './location.ts'
import { CONTENT, type Message, modelOfMessage } from './message.ts'

/** What a type says has happened. */
const ALARMS: Readonly<Partial<Record<string, string>>> = {
  SOS: 'sos',
  SPD: 'overspeed',
  TOW: 'tow',
  IDL: 'idle',
  PNA: 'powerOn',
  PFA: 'powerOff',
  EPN: 'powerRestored',
  MPN: 'powerRestored',
  EPF: 'powerCut',
  MPF: 'powerCut',
  BPL: 'lowBattery',
  STT: 'movement',
  SWG: 'geofence',
  TMP: 'temperature',
  TEM: 'temperature',
  JDR: 'jamming',
  JDS: 'jamming',
  CRA: 'accident',
}

/** Harsh behaviour, by the lower digit of the report type: at high or middle speed, and of any. */
const BEHAVIOUR = ['hardBraking', 'hardAcceleration', 'hardCornering', 'hardBraking', 'hardAcceleration']

/** Second of the two digits of a report type, where the first is an id. */
const LOWER_DIGIT = 0x10

/** What the report type says in reports of some types. */
const REPORT_TYPES: Readonly<
  Partial<Record<string, (type: number, out: PositionBatch, row: number) => void>>
> = {
  NMR: (type, out, row) => out.set(row, 'motion', type === 1),
  DIS: (type, out, row) => out.set(row, `in${Math.floor(type / LOWER_DIGIT)}`, type % LOWER_DIGIT === 1),
  // 0 is on and 1 is off: so the documents have it, and devices send 1 within seconds of their report IGF. Recorded
  // values take it the other way round.
  IGL: (type, out, row) => out.set(row, 'ignition', type % LOWER_DIGIT !== 1),
  HBM: (type, out, row) => out.set(row, 'alarm', BEHAVIOUR[type % LOWER_DIGIT]),
}

/** Types that say whether the battery is being charged. */
const CHARGE: Readonly<Partial<Record<string, boolean>>> = { BTC: true, STC: false }

/** Place of a report type, of the name of the device on, and of a battery level in reports of GL500 and GL530. */
const REPORT_TYPE_AT = CONTENT + 2
const BATTERY_AT = CONTENT + 5

const CODE = /^\d{4}$/
const AREA = /^[0-9a-f]{4}$/i
const CELL = /^[0-9a-f]{4,8}$/i
const TIME = /^\d{14}$/

/** Appends a row for a report of any layout; none where it holds neither a place, nor a cell, nor an event. */
export function addEvent(message: Message, session: Session, out: PositionBatch): void {
  const { values, type } = message
  const mark = out.mark()
  const at = placeOf(values)
  const row = at === undefined ? out.addWithoutFix() : addFix(values.slice(at - 4, at + 3), out)
  let told = at !== undefined

  const reportType = values[REPORT_TYPE_AT] ?? ''
  if (/^[0-9a-f]{1,2}$/i.test(reportType)) {
    const read = REPORT_TYPES[type]
    read?.(hexOf(reportType), out, row)
    told ||= read !== undefined
    if ((type === 'STR' || type === 'CTN') && /^GL5[03]0$/.test(modelOfMessage(message, session))) {
      const batteryLevel = numberOf(values[BATTERY_AT] ?? '')
      out.set(row, 'batteryLevel', batteryLevel)
      told ||= !Number.isNaN(batteryLevel)
    }
  }

  for (let i = at === undefined ? 2 : at + 3; i + 3 < values.length; i++) {
    const [mcc, mnc, lac, cid] = values.slice(i, i + 4) as [string, string, string, string]
    if (!CODE.test(mcc) || !CODE.test(mnc) || !AREA.test(lac) || !CELL.test(cid)) continue
    setNetwork(out, row, [towerOf([mcc, mnc, lac, cid])!])
    told = true
    break
  }

  if (TIME.test(values.at(-2) ?? '')) {
    out.deviceTimeMs[row] = message.sentMs
    const last = values.at(-3) ?? ''
    if (at !== undefined && /^\d{1,3}$/.test(last)) out.set(row, 'batteryLevel', numberOf(last))
  }

  const charge = CHARGE[type]
  if (charge !== undefined) out.set(row, 'charge', charge)
  const alarm = ALARMS[type]
  if (alarm !== undefined) out.set(row, 'alarm', alarm)
  if (!told && alarm === undefined) out.rollback(mark)
}

/** Place of the longitude; undefined where there is none with its latitude, and the fields of a fix around them. */
function placeOf(values: readonly string[]): number | undefined {
  for (let i = CONTENT + 4; i + 2 < values.length; i++) {
    if (DEGREES.test(values[i]!) && DEGREES.test(values[i + 1]!))
      return TIME.test(values[i + 2]!) ? i : undefined
  }
  return undefined
}
