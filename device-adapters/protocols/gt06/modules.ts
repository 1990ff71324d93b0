/** Messages made of modules: number, length and value, in any order. */
import { moduleEvent, statusAz735 } from './alarms.ts'
import { field, flag, hexField, readTower, sequence, setFix } from './blocks.ts'
import type { Block, Message } from './message.ts'

type Modules = ReadonlyMap<number, Block>

/** After reports of Jimi 4G trackers (0x36 to 0x39): number u16, length u8. */
const REPORT_MODULES: Modules = new Map([
  [0x18, field('battery', 'u16', 0.01)],
  [0x27, field('power', 'u16', 0.01)],
  [0x2e, field('odometer', 'u32')],
  [0x32, field('startupStatus', 'u8')],
  [0x3b, (message) => message.setAccuracy(message.u16() / 100)],
  [0x6a, field('batteryLevel', 'u8')],
])

/** Message 0x70: number u16, length u16. Its fix is {@link FIX}. */
const MODULAR: Modules = new Map([
  [0x03, hexField('iccid', 10)],
  [0x09, field('sat', 'u8')],
  [0x0a, field('satVisible', 'u8')],
  [0x11, servingCell],
  [0x18, field('battery', 'u16', 0.01)],
  [0x28, field('hdop', 'u8', 0.1)],
  [0x29, field('index', 'u32')],
  [0x2a, doorAndTamper],
  [0x2b, field('bootReason', 'u8')],
  [0x2e, field('odometer', 'u32LittleEndian')],
  [0x34, moduleEvent],
  [
    0x7f,
    sequence(
      hexField('tag1Id', 6),
      field('tag1Battery', 'u16', 0.001),
      field('tag1BatteryLevel', 'u8'),
      field('tag1Temp', 'i16', 0.1),
      field('tag1Humidity', 'i16'),
      field('tag1Status', 'u8'),
    ),
  ],
])

const FIX: Modules = new Map([[0x33, fix]])

/** Message 0xF1: number u16, length u8. */
const DEVICE_STATUS: Modules = new Map([
  [0x01, motion],
  [0x02, flag('armed')],
  [0x04, flag('ignition')],
  [0x05, field('power', 'u16', 0.01)],
  [0x07, flag('charge')],
  [0x0a, field('chargeVoltage', 'u16')],
  [0x0b, field('batteryTemp', 'u16', 0.1)],
])

/** Message 0xF2: number u16; length u8, or u16 where its first byte is 0. */
const PERIPHERALS: Modules = new Map([
  [0x0a, bluetoothData],
  [0x0c, externalBattery],
])

const byte = (message: Message) => message.u8()
const word = (message: Message) => message.u16()
const byteOrWord = (message: Message) => message.u8() || message.u8()

export const reportModules: Block = (message) => readModules(message, REPORT_MODULES, byte)

export const deviceStatus: Block = (message) => readModules(message, DEVICE_STATUS, byte)

export const peripherals: Block = (message) => readModules(message, PERIPHERALS, byteOrWord)

/** The row begins with the fix, wherever in the message that is. */
export const modular: Block = (message) => {
  const start = message.at
  readModules(message, FIX, word)
  if (!message.hasRow) message.withoutFix()
  message.at = start
  readModules(message, MODULAR, word)
}

/** Messages 0x32 and 0x33 of AZ735 after the fix: LBS, signal u8, more towers, access points, status. */
export const az735: Block = (message) => {
  const length = message.u8()
  if (length === 0) skipEmptyTowers(message)
  else {
    message.readPart(length - 1, (lbs) => lbs.setNetwork([readTower(lbs, {})]))
    message.set('rssi', message.u8())
  }
  message.skip(message.u8())
  message.skip(message.u8())
  statusAz735(message)
}

/** Without a serving cell some send the place of all cells as zeros. */
function skipEmptyTowers(message: Message): void {
  const bytes = Math.min(45, Math.max(0, message.left))
  if (message.frame.subarray(message.at + 9, message.at + bytes).every((byte) => byte === 0)) {
    message.skip(bytes)
  }
}

/** Time u32, satellites u8, altitude i16, latitude u32, longitude u32, speed u8, course and status u16. */
function fix(message: Message): void {
  const time = message.u32() * 1000
  const satellites = message.u8()
  const altitude = message.i16()
  const latitude = message.u32()
  const longitude = message.u32()
  const speed = message.u8()
  setFix(message, time, latitude, longitude, speed, message.u16())
  message.set('sat', satellites)
  message.setAltitude(altitude)
}

function servingCell(message: Message): void {
  const tower = readTower(message, { mnc: 2 })
  if (tower.cid > 0) message.setNetwork([{ ...tower, rssi: -message.u8() }])
}

function doorAndTamper(message: Message): void {
  const input = message.u8()
  message.set('door', (input & 0x0f) > 0)
  message.set('tamper', input >> 4 > 0)
}

function motion(message: Message): void {
  const state = message.u8()
  message.set('motion', state === 2 || state === 4)
}

/** Kind of address u8, MAC, event u8 and its data u8, type u8 and bytes of the data. */
function bluetoothData(message: Message): void {
  message.skip(1)
  message.set('mac', message.hex(6))
  const event = message.u8()
  const data = message.u8()
  message.set('event', event)
  if (event > 0) message.set('eventData', data)
  message.set('dataType', message.u8())
  message.set('dataDetails', message.hex(message.left))
}

function externalBattery(message: Message): void {
  message.set('externalBatteryLevel', message.u8())
  if (message.u8() > 0) message.set('externalBatteryCharge', true)
  message.set('externalBatteryCycles', message.u16())
}

/** Reads every module that `modules` knows; each ends where its length says. */
function readModules(message: Message, modules: Modules, lengthOf: (message: Message) => number): void {
  while (message.left >= 4) {
    const number = message.u16()
    message.readPart(lengthOf(message), modules.get(number))
  }
}
