/**
 * IO elements of Teltonika devices: which AVL id is which attribute, in what unit. One table; an id that is not in
 * it, or not for the device's model, is kept raw as `io<id>`.
 *
 * Source: "Teltonika Data Sending Parameters ID" of FMB130, FMB640, FMB003 and TAT100, wiki.teltonika-gps.com.
 */

/**
 * Whose element it is. An id means one thing in one product line and another in the next, so most ids are named only
 * where the registered model tells the line: `fm` are FMB, FMC, FMM, … and their kin, `fm6` the professional ones
 * among them (FMB640, FMC650), `tat` the asset trackers.
 */
type Line = 'any' | 'fm' | 'fm-not-6' | 'fm6' | 'fm-or-tat' | 'FMB003' | 'TAT100'

/**
 * - `unsigned`, `signed`: the value divided by the divisor. `kilometres`: as metres. `minutes`: as milliseconds.
 *   `boolean`: whether it is above 0.
 * - `sensor`: as `unsigned`, but from 2000 on a fault of a Bluetooth sensor, which is kept raw.
 * - `alarm`: raises the alarm of that name when above 0; `driving`, `geofence`: the alarm depends on the value.
 * - `text64`: 8 bytes as a decimal text. `key`: an iButton or RFID key, least significant byte first; 0 is none.
 * - `speed`: speed over ground, in place of the GPS element's.
 * - `operator`, `lac`, `cell2g`, `cell4g`: parts of the serving cell; `tower`: a part of one of four cells.
 * - `cardHigh`, `cardLow`: the halves of a driver card's number.
 */
export type ElementKind =
  | 'unsigned'
  | 'signed'
  | 'kilometres'
  | 'minutes'
  | 'sensor'
  | 'boolean'
  | 'alarm'
  | 'driving'
  | 'geofence'
  | 'text64'
  | 'key'
  | 'speed'
  | 'operator'
  | 'lac'
  | 'cell2g'
  | 'cell4g'
  | 'tower'
  | 'cardHigh'
  | 'cardLow'

export interface Element {
  /** Attribute, or name of the alarm. */
  readonly key: string
  readonly kind: ElementKind
  /** What the value is divided by; a division keeps decimals exact where a product would not. */
  readonly divisor: number
}

type Row = readonly [id: number, line: Line, key: string, kind?: ElementKind, divisor?: number]

const ELEMENTS: readonly Row[] = [
  [1, 'any', 'in1', 'boolean'],
  [2, 'any', 'in2', 'boolean'],
  [3, 'any', 'in3', 'boolean'],
  [4, 'any', 'in4', 'boolean'],
  [9, 'fm', 'adc1', 'unsigned', 1000],
  [10, 'fm', 'adc2', 'unsigned', 1000],
  [11, 'fm', 'iccid', 'text64'],
  [12, 'fm', 'fuelUsed', 'unsigned', 1000],
  [13, 'fm', 'fuelConsumption', 'unsigned', 100],
  [16, 'any', 'odometer'],
  [17, 'any', 'axisX', 'signed'],
  [18, 'any', 'axisY', 'signed'],
  [19, 'any', 'axisZ', 'signed'],
  [20, 'fm-not-6', 'bleBattery2', 'sensor'],
  [21, 'any', 'rssi'],
  [22, 'fm-not-6', 'bleBattery3', 'sensor'],
  [23, 'fm-not-6', 'bleBattery4', 'sensor'],
  [24, 'fm', 'speed', 'speed'],
  [25, 'any', 'bleTemp1', 'signed', 100],
  [26, 'any', 'bleTemp2', 'signed', 100],
  [27, 'any', 'bleTemp3', 'signed', 100],
  [28, 'any', 'bleTemp4', 'signed', 100],
  [29, 'fm-not-6', 'bleBattery1', 'sensor'],
  [30, 'fm', 'faultCount'],
  [31, 'fm', 'engineLoad'],
  [32, 'fm', 'coolantTemp', 'signed'],
  [36, 'fm', 'rpm'],
  [37, 'fm-not-6', 'obdSpeed'],
  [39, 'fm-not-6', 'intakeTemp', 'signed'],
  [40, 'fm-not-6', 'massAirFlow', 'unsigned', 100],
  [41, 'fm-not-6', 'throttle'],
  [43, 'fm', 'milDistance'],
  [48, 'fm-not-6', 'fuelLevel'],
  [53, 'fm-not-6', 'ambientTemp', 'signed'],
  [57, 'fm', 'hybridBatteryLevel', 'signed'],
  [58, 'fm-not-6', 'oilTemp', 'signed'],
  [60, 'fm-not-6', 'fuelConsumption', 'unsigned', 100],
  [66, 'any', 'power', 'unsigned', 1000],
  [67, 'any', 'battery', 'unsigned', 1000],
  [68, 'fm', 'batteryCurrent', 'unsigned', 1000],
  [72, 'fm', 'temp1', 'signed', 10],
  [73, 'fm', 'temp2', 'signed', 10],
  [74, 'fm', 'temp3', 'signed', 10],
  [75, 'fm', 'temp4', 'signed', 10],
  [78, 'any', 'driverUniqueId', 'key'],
  [80, 'fm-not-6', 'dataMode'],
  [81, 'fm-not-6', 'obdSpeed'],
  [82, 'fm-not-6', 'throttle'],
  [83, 'fm-not-6', 'fuelUsed', 'unsigned', 10],
  [84, 'fm-not-6', 'fuel', 'unsigned', 10],
  [85, 'fm-not-6', 'rpm'],
  [86, 'fm-not-6', 'bleHumidity1', 'sensor', 10],
  [87, 'fm-not-6', 'obdOdometer'],
  [89, 'fm-not-6', 'fuelLevel'],
  [102, 'fm-not-6', 'hours', 'minutes'],
  [104, 'fm-not-6', 'bleHumidity2', 'sensor', 10],
  [106, 'fm-not-6', 'bleHumidity3', 'sensor', 10],
  [107, 'fm', 'fuelUsed', 'unsigned', 10],
  [108, 'fm-not-6', 'bleHumidity4', 'sensor', 10],
  [110, 'fm', 'fuelConsumption', 'unsigned', 10],
  [113, 'fm', 'batteryLevel'],
  [115, 'fm', 'engineTemp', 'signed', 10],
  [175, 'fm', 'geofence', 'geofence'],
  [179, 'any', 'out1', 'boolean'],
  [180, 'any', 'out2', 'boolean'],
  [181, 'any', 'pdop', 'unsigned', 10],
  [182, 'any', 'hdop', 'unsigned', 10],
  [195, 'fm6', 'io195', 'cardHigh'],
  [196, 'fm6', 'io196', 'cardLow'],
  [199, 'any', 'tripOdometer'],
  [200, 'fm', 'sleepMode'],
  [205, 'fm-or-tat', 'cell2g', 'cell2g'],
  [206, 'fm-or-tat', 'lac', 'lac'],
  [236, 'any', 'general', 'alarm'],
  [239, 'any', 'ignition', 'boolean'],
  [240, 'any', 'motion', 'boolean'],
  [241, 'any', 'operator', 'operator'],
  [246, 'fm', 'tow', 'alarm'],
  [247, 'fm', 'accident', 'alarm'],
  [249, 'fm', 'jamming', 'alarm'],
  [251, 'fm', 'idle', 'alarm'],
  [252, 'fm', 'powerCut', 'alarm'],
  [253, 'any', 'driving', 'driving'],
  [389, 'FMB003', 'obdOdometer', 'kilometres'],
  [636, 'fm-or-tat', 'cell4g', 'cell4g'],
  [662, 'fm', 'door', 'boolean'],
  [701, 'fm6', 'bleTemp1', 'signed', 10],
  [702, 'fm6', 'bleTemp2', 'signed', 10],
  [703, 'fm6', 'bleTemp3', 'signed', 10],
  [704, 'fm6', 'bleTemp4', 'signed', 10],
  [705, 'fm6', 'bleBattery1', 'sensor'],
  [706, 'fm6', 'bleBattery2', 'sensor'],
  [707, 'fm6', 'bleBattery3', 'sensor'],
  [708, 'fm6', 'bleBattery4', 'sensor'],
  [10644, 'fm', 'tempProbe1', 'signed', 100],
  [10645, 'fm', 'tempProbe2', 'signed', 100],
  [10646, 'fm', 'tempProbe3', 'signed', 100],
  [10647, 'fm', 'tempProbe4', 'signed', 100],
  [10648, 'fm', 'tempProbe5', 'signed', 100],
  [10649, 'fm', 'tempProbe6', 'signed', 100],
]

/** Elements of the four sensors EYE: of each the first id, the others follow. */
const EYE: readonly Row[] = (
  [
    [10800, 'eyeTemp', 'signed', 100],
    [10804, 'eyeHumidity'],
    [10808, 'eyeMagnet', 'boolean'],
    [10812, 'eyeMotion', 'boolean'],
    [10816, 'eyePitch', 'signed'],
    [10820, 'eyeLowBattery', 'boolean'],
    [10824, 'eyeBattery', 'unsigned', 1000],
    [10832, 'eyeRoll', 'signed'],
    [10836, 'eyeMotionCount'],
    [10840, 'eyeMagnetCount'],
  ] satisfies readonly (readonly [first: number, key: string, kind?: ElementKind, divisor?: number])[]
).flatMap(([id, key, kind = 'unsigned', divisor = 1]) =>
  [0, 1, 2, 3].map((sensor): Row => [id + sensor, 'fm', `${key}${sensor + 1}`, kind, divisor]),
)

/** Elements 287 to 298 and 1200 to 1203 of a TAT100: four cells of LAC, cell id, signal strength and MNC. */
const TOWERS: readonly Row[] = [0, 1, 2, 3].flatMap((cell) =>
  [287 + cell * 3, 288 + cell * 3, 289 + cell * 3, 1200 + cell].map((id): Row => [id, 'TAT100', '', 'tower']),
)

/** Elements of codec 7 (GH3000), which has ids of its own. Source: the vendor's GH3000 protocol description. */
const GH3000_ELEMENTS: readonly Row[] = [
  [1, 'any', 'batteryLevel'],
  [2, 'any', 'usbConnected', 'boolean'],
  [5, 'any', 'uptime'],
  [20, 'any', 'hdop', 'unsigned', 10],
  [21, 'any', 'vdop', 'unsigned', 10],
  [22, 'any', 'pdop', 'unsigned', 10],
  [67, 'any', 'battery', 'unsigned', 1000],
  [221, 'any', 'button'],
  [222, 'any', 'sos', 'alarm'],
  [240, 'any', 'motion', 'boolean'],
  [244, 'any', 'roaming', 'boolean'],
]

/** Elements by id; undefined = kept raw. */
export type Elements = readonly (Element | undefined)[]

export const GH3000: Elements = byId(GH3000_ELEMENTS)

/** Tables that were asked for, by the lines that share them: no more than there are sets of lines. */
const tables = new Map<string, Elements>()

/** @param model As registered, such as `FMB130`; '' if not known. */
export function elementsOf(model: string): Elements {
  const lines = linesOf(model)
  const name = lines.join()
  let table = tables.get(name)
  if (table === undefined) {
    table = byId([...ELEMENTS, ...EYE, ...TOWERS].filter(([, line]) => lines.includes(line)))
    tables.set(name, table)
  }
  return table
}

function linesOf(model: string): Line[] {
  const lines: Line[] = ['any']
  const fm = /^(FM[B-Z]...|MTB100|MSP500)$/.test(model)
  const fm6 = /^FM.6..$/.test(model)
  if (fm) lines.push('fm')
  if (fm6) lines.push('fm6')
  if (fm && !fm6) lines.push('fm-not-6')
  if (fm || /^T.T...$/.test(model)) lines.push('fm-or-tat')
  if (model === 'FMB003' || model === 'TAT100') lines.push(model)
  return lines
}

function byId(rows: readonly Row[]): Elements {
  const table = new Array<Element | undefined>(Math.max(...rows.map(([id]) => id)) + 1).fill(undefined)
  for (const [id, , key, kind = 'unsigned', divisor = 1] of rows) table[id] = { key, kind, divisor }
  return table
}

const rawNames: (string | undefined)[] = new Array(65536)

/** Attribute of an element that is kept raw. */
export function rawName(id: number): string {
  const name = rawNames[id]
  if (name !== undefined) return name
  rawNames[id] = `io${id}`
  return rawNames[id]
}
