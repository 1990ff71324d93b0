/** Text reports of the generations before the universal protocol; their layouts are in ../protocols/suntech.ts. */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { DecodeError } from '../../adapter.ts'
import { setNetwork } from '../../network.ts'
import { ALERTS, EMERGENCIES } from './alarms.ts'
import { Fields, type SuntechSession, signalOf } from './fields.ts'
import { legacyDateAt, legacyPlaceAt } from './layout.ts'
import { setSerialData } from './serial-data.ts'

const HEAD_LENGTH = 5
const MS_A_MINUTE = 60_000
const CELL_FIELDS_ST600 = 5
/** Inputs and outputs in their order: `1` is on. */
const SIGNALS = ['ignition', 'in1', 'in2', 'in3', 'out1', 'out2'] as const

/** What reports of a type have behind the inputs and outputs. */
const READ_TYPE: Readonly<Record<string, (fields: Fields, out: PositionBatch, row: number) => void>> = {
  STT: (fields, out, row) => {
    out.set(row, 'status', fields.number())
    out.set(row, 'index', fields.number())
  },
  EMG: (fields, out, row) => out.set(row, 'alarm', EMERGENCIES.get(fields.number())),
  EVT: (fields, out, row) => out.set(row, 'event', fields.number()),
  ALT: (fields, out, row) => out.set(row, 'alarm', ALERTS.get(fields.number())),
  UEX: (fields, out, row) => {
    fields.skip() // length
    setSerialData(out, row, fields.text())
    fields.skip() // checksum
  },
}

/** A report of the ST200, ST300, ST500 and ST600 series, `values[0]` its head and type. */
export function decodeLegacy(values: readonly string[], session: SuntechSession, out: PositionBatch): void {
  const type = values[0]!.slice(HEAD_LENGTH)
  const fields = new Fields(values, 1)
  fields.identify(session)
  if (type === 'HTE') {
    out.set(out.addWithoutFix(), 'driverUniqueId', values.at(-1)!)
    return
  }
  const readType = READ_TYPE[type]
  if (readType === undefined) return

  const dateAt = legacyDateAt(values)
  const placeAt = legacyPlaceAt(values)
  if (dateAt === undefined || placeAt === undefined) throw new DecodeError('malformed', `no place in ${type}`)
  fields.at = dateAt
  const timeMs = fields.time()
  fields.at = placeAt
  const row = out.add(timeMs, fields.degrees(), fields.degrees())
  out.set(row, 'type', type)
  out.set(row, 'versionFw', values[dateAt - 1]!)
  if (placeAt - dateAt - 2 === CELL_FIELDS_ST600) {
    const cell = new Fields(values, dateAt + 2)
    const tower = { cid: cell.hex(), mcc: cell.number(), mnc: cell.number(), lac: cell.hex() }
    setTower(out, row, { ...tower, rssi: cell.number() })
  }
  out.speedKmh[row] = fields.number()
  out.courseDeg[row] = fields.number()
  out.set(row, 'sat', fields.number())
  out.setValid(row, fields.text() === '1')
  out.set(row, 'odometer', fields.number())
  out.set(row, 'power', fields.number())
  const signals = fields.text()
  if (signals.length >= SIGNALS.length) {
    for (const [i, key] of SIGNALS.entries()) out.set(row, key, signals[i] === '1')
  }
  readType(fields, out, row)
  readOptions(fields, session.device?.options ?? {}, out, row)
}

/** Fields at the end that a report has where the device is set up so, of which nothing in it tells. */
function readOptions(
  fields: Fields,
  options: Readonly<Record<string, unknown>>,
  out: PositionBatch,
  row: number,
): void {
  const hbm = Number(options.hbm ?? 0)
  if (!(hbm >= 1)) return
  if (fields.left > 0) out.set(row, 'hours', fields.number() * MS_A_MINUTE)
  if (fields.left > 0) out.set(row, 'battery', fields.number())
  if (fields.left > 0 && fields.text() === '0') out.set(row, 'archive', true)
  if (options.includeAdc === true) {
    for (let i = 1; i <= 3 && fields.left > 0; i++) out.set(row, `adc${i}`, fields.number())
  }
  if (options.includeRpm === true && fields.left > 0) out.set(row, 'rpm', fields.number())
  // A driver and whether that one is registered; behind them the cell, where the device reports it.
  if (fields.left >= (hbm === 1 ? 2 : 7)) {
    const driver = fields.text()
    if (driver !== '') out.set(row, 'driverUniqueId', driver)
    fields.skip()
  }
  if (options.includeTemp === true) {
    for (let i = 1; i <= 3 && fields.left > 0; i++) {
      const sensor = fields.text()
      out.set(row, `temp${i}`, new Fields([sensor.slice(sensor.indexOf(':') + 1)]).number())
    }
  }
  if (hbm >= 2 && fields.left >= 5) {
    const [cid, mcc, mnc, rssi, lac] = Array.from({ length: 5 }, () => fields.number())
    setTower(out, row, { cid: cid!, mcc: mcc!, mnc: mnc!, rssi: rssi!, lac: lac! })
  }
}

interface Tower {
  readonly mcc: number
  readonly mnc: number
  readonly lac: number
  readonly cid: number
  readonly rssi: number
}

function setTower(out: PositionBatch, row: number, { rssi, ...tower }: Tower): void {
  if (Object.values(tower).some(Number.isNaN)) return
  setNetwork(out, row, [Number.isNaN(rssi) ? tower : { ...tower, rssi: signalOf(rssi) }])
}

/** Cells of a report of the ST400 series. */
const TOWERS = 7
/** Model of the ST419, which gives its variant as well. */
const MODEL_ST419 = 41

/** A report of the ST400 series: cells first, and a fix where there is one. */
export function decodeSt4(values: readonly string[], session: SuntechSession, out: PositionBatch): void {
  const type = values[0]!.slice(HEAD_LENGTH)
  const fields = new Fields(values, 1)
  fields.identify(session)
  if (type !== 'STT' && type !== 'ALT') return
  const version = fields.text()
  const model = fields.number()
  if (model === MODEL_ST419) fields.skip()
  const towers: Tower[] = []
  for (let i = 0; i < TOWERS; i++) {
    const [cid, mcc, mnc, fourth, fifth] = Array.from({ length: 5 }, () => fields.number())
    fields.skip() // timing advance
    // The serving cell has signal and area the other way round.
    const [rssi, lac] = i === 0 ? [fourth, fifth] : [fifth, fourth]
    const tower = { mcc: mcc!, mnc: mnc!, lac: lac!, cid: cid!, rssi: signalOf(rssi!) }
    if (Object.values(tower).some(Number.isNaN)) throw new DecodeError('malformed', 'a cell of no numbers')
    if (tower.cid > 0) towers.push(tower)
  }
  const battery = fields.number()
  const stored = fields.text() === '0'
  const index = fields.number()
  const status = fields.number()
  // Collaborative network.
  if (fields.values[fields.at]?.length === 3) fields.skip()
  let motion: boolean | undefined
  if (model === MODEL_ST419) {
    fields.skip(2) // collaborative network, temperature
    motion = fields.number() === 2
  }
  const timeMs = fields.time()
  const row = out.add(timeMs, fields.degrees(), fields.degrees())
  out.set(row, 'type', type)
  out.set(row, 'versionFw', version)
  out.set(row, 'battery', battery)
  if (stored) out.set(row, 'archive', true)
  out.set(row, 'index', index)
  out.set(row, 'status', status)
  out.set(row, 'motion', motion)
  setNetwork(out, row, towers)
  if (Number.isNaN(out.latitudeDeg[row]!)) return
  out.speedKmh[row] = fields.number()
  out.courseDeg[row] = fields.number()
  out.set(row, 'sat', fields.number())
  out.setValid(row, fields.text() === '1')
}

/** A report of the ST900 series. Newer ones give the cell before the place, and the odometer behind it. */
export function decodeSt9(values: readonly string[], session: SuntechSession, out: PositionBatch): void {
  const fields = new Fields(values, 1)
  const type = fields.text()
  fields.identify(session)
  if (type !== 'Location' && type !== 'Emergency' && type !== 'Alert') return
  // Newer alerts have no software version.
  const version = /^\d{8}$/.test(values[fields.at] ?? '') ? undefined : fields.text()
  const timeMs = fields.time()
  const withCell = !values[fields.at]?.includes('.')
  if (withCell) fields.skip()
  const row = out.add(timeMs, fields.degrees(), fields.degrees())
  if (type !== 'Location') out.set(row, 'alarm', 'general')
  out.set(row, 'versionFw', version)
  out.speedKmh[row] = fields.number()
  out.courseDeg[row] = fields.number()
  out.setValid(row, fields.text() === '1')
  if (withCell) out.set(row, 'odometer', fields.number())
}
