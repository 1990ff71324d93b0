/** Text messages: which report is read how. */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import type { Session } from '../../adapter.ts'
import { type CellTower, setNetwork } from '../../network.ts'
import { readCan } from './can.ts'
import { readEri } from './eri.ts'
import { addEvent } from './events.ts'
import { DEGREES, FieldReader, hoursOf, numberOf, towerOf } from './fields.ts'
import { readInformation } from './information.ts'
import { readLocation } from './location.ts'
import { CONTENT, type Message, messageOf, modelOfMessage } from './message.ts'
import { match } from './pattern.ts'
import { REPORTS } from './reports.ts'

type Reader = (fields: FieldReader, message: Message, session: Session, out: PositionBatch) => void

/** Reports whose fields tell what follows them. */
const READERS: Readonly<Partial<Record<string, Reader>>> = {
  INF: readInformation,
  CAN: readCan,
  ERI: readEri,
  IGN: readIgnition,
  IGF: readIgnition,
  VGN: readIgnition,
  VGF: readIgnition,
  LBS: readCells,
  DAT: readData,
}

/** Reads one text message. */
export function decodeText(frame: Buffer, session: Session, out: PositionBatch): void {
  const message = messageOf(frame)
  session.identify(message.id)
  const first = out.length
  if (message.kind === 'ACK') decodeAnswer(message, session, out)
  else decodeReport(message, session, out)
  if (out.length !== first + 1) return
  // Head and count number are left out: a report that is sent again has others.
  const start = '+RESP:'.length
  const end = frame.lastIndexOf(`,${message.values.at(-1)}`, undefined, 'latin1')
  if (end > start) out.setRecord(first, start, end)
}

function decodeReport(message: Message, session: Session, out: PositionBatch): void {
  const { type, values, short } = message
  const mark = out.mark()
  const report = short ? undefined : REPORTS[type]
  const taken = report === undefined ? undefined : match(report.pattern, values, CONTENT)
  const reader = short ? undefined : READERS[type]
  try {
    if (taken !== undefined) report!.read(taken, message, out)
    else reader?.(new FieldReader(values, CONTENT), message, session, out)
  } catch (error) {
    // A layout of a model that we do not know must not cost the location, which has a form of its own.
    if (!(error instanceof RangeError)) throw error
    out.rollback(mark)
  }
  if (out.length === mark.rows) addEvent(message, session, out)
  for (let row = mark.rows; row < out.length; row++) out.set(row, 'type', type)
}

/** The answer to a command; a heartbeat has the same form. */
function decodeAnswer(message: Message, session: Session, out: PositionBatch): void {
  if (message.type === 'HBD') return
  const result = message.values[0]!
  out.set(out.addWithoutFix(message.sentMs), 'result', result)
  session.answer({ ok: true, text: result })
}

/** Ignition on and off, real or told by the voltage: name, on some two more, how long it was off or on, location, hours, km. */
function readIgnition(fields: FieldReader, message: Message, session: Session, out: PositionBatch): void {
  const model = modelOfMessage(message, session)
  fields.skip(1)
  if (model === 'CV200' || (DEGREES.test(fields.peek(7)) && DEGREES.test(fields.peek(8)))) fields.skip(2)
  fields.skip(1)
  const row = readLocation(fields, model, out)
  out.set(row, 'ignition', message.type.endsWith('GN'))
  out.set(row, 'hours', hoursOf(fields.text()))
  out.set(row, 'odometer', numberOf(fields.text()) * 1000)
  if (!Number.isNaN(message.sentMs)) out.deviceTimeMs[row] = message.sentMs
}

/** Cells of a message of GL50. */
const CELLS = 7

/** Cells around: name, trigger, type, battery %, …, and for each cell its four fields, its signal, and one reserved. */
function readCells(fields: FieldReader, message: Message, _session: Session, out: PositionBatch): void {
  const row = out.addWithoutFix(message.sentMs)
  fields.skip(3)
  out.set(row, 'batteryLevel', fields.number())
  fields.skip(5)
  const towers: CellTower[] = []
  for (let i = 0; i < CELLS; i++) {
    const cell = Array.from({ length: 4 }, () => fields.text())
    const tower = towerOf(cell, fields.text())
    fields.skip(1)
    if (tower !== undefined) towers.push(tower)
  }
  setNetwork(out, row, towers)
}

/** What came in on a serial port: name, type, two reserved, the data, location. */
function readData(fields: FieldReader, message: Message, session: Session, out: PositionBatch): void {
  fields.skip(4)
  const data = fields.text()
  const row = readLocation(fields, modelOfMessage(message, session), out)
  if (data !== '') out.set(row, 'data', data)
  if (!Number.isNaN(message.sentMs)) out.deviceTimeMs[row] = message.sentMs
}
