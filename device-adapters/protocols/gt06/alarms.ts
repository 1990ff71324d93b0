/** Alarms: numbers of the vendors' tables to the names that `alarm` has. */
import { serialOf } from './frame.ts'
import type { Block, Message } from './message.ts'
import type { Family } from './state.ts'

type Names = ReadonlyMap<number, string>

/**
 * Byte "alert" of alarm messages; with an extended table in the upper half of the byte after it. JM-VL03 protocol
 * document, alert types; what it does not list is of Jimi's 4G documents.
 */
const ALERTS: Names = new Map([
  [0x01, 'sos'],
  [0x02, 'powerCut'],
  [0x03, 'vibration'],
  [0x04, 'geofenceEnter'],
  [0x05, 'geofenceExit'],
  [0x06, 'overspeed'],
  [0x09, 'vibration'],
  [0x0c, 'powerOn'],
  [0x0e, 'lowBattery'],
  [0x0f, 'lowBattery'],
  [0x11, 'powerOff'],
  [0x13, 'tampering'],
  [0x14, 'door'],
  [0x15, 'powerOff'],
  [0x18, 'removing'],
  [0x19, 'lowBattery'],
  [0x1a, 'hardBraking'],
  [0x1b, 'hardCornering'],
  [0x23, 'fallDown'],
  [0x25, 'tampering'],
  [0x26, 'hardAcceleration'],
  [0x27, 'hardBraking'],
  [0x28, 'hardBraking'],
  [0x29, 'hardAcceleration'],
  [0x2a, 'hardCornering'],
  [0x2b, 'hardCornering'],
  [0x2c, 'accident'],
  [0x2e, 'hardCornering'],
  [0x30, 'jamming'],
  [0x32, 'tampering'],
  [0x33, 'lock'],
  [0x34, 'unlock'],
  [0x53, 'fuelLeak'],
  [0x5b, 'temperature'],
  [0x5c, 'temperature'],
  [0xc9, 'idle'],
  [0x107, 'jamming'],
  [0x10b, 'jamming'],
])

/** Where a family of devices gives a number another meaning. */
const FAMILY_ALERTS: Partial<Record<Family, Names>> = {
  lw: new Map([
    [0x18, 'accident'],
    [0x19, 'hardAcceleration'],
  ]),
  seeworld: new Map([
    [0x28, 'hardCornering'],
    [0x29, 'accident'],
  ]),
  vl: new Map([
    [0x09, 'tow'],
    [0x28, 'powerOff'],
    [0x30, 'hardBraking'],
  ]),
}

/** Bits 3 to 5 of the terminal information. */
const TERMINAL_ALARMS: Names = new Map([
  [0x01, 'vibration'],
  [0x02, 'powerCut'],
  [0x03, 'lowBattery'],
  [0x04, 'sos'],
  [0x06, 'geofence'],
  [0x07, 'removing'],
])

/** Message 0x95 of dash cameras (JC100, JC400). */
const CAMERA_EVENTS: Names = new Map([
  [0x01, 'sos'],
  [0x0e, 'lowPower'],
  [0x76, 'temperature'],
  [0x80, 'vibration'],
  [0x87, 'overspeed'],
  [0x88, 'powerCut'],
  [0x90, 'hardAcceleration'],
  [0x91, 'hardBraking'],
  [0x92, 'hardCornering'],
  [0x93, 'accident'],
])

/** Module 0x34 of message 0x70. */
const MODULE_EVENTS: Names = new Map([
  [0x10, 'door'],
  [0x12, 'removing'],
  [0x14, 'geofenceEnter'],
  [0x15, 'geofenceExit'],
  [0x16, 'temperature'],
  [0x1a, 'lowBattery'],
  [0x1b, 'overspeed'],
  [0x1c, 'powerOn'],
  [0x1d, 'powerOff'],
  [0x20, 'vibration'],
  [0x21, 'powerCut'],
  [0x23, 'tampering'],
])

/** Status of AZ735 alarms; 0xA0 and 0xA1 arm and disarm. */
const AZ735_ALARMS: Names = new Map([
  [0xa2, 'lowBattery'],
  [0xa3, 'lowBattery'],
  [0xa4, 'general'],
  [0xa5, 'door'],
])

/** Alert u8. */
export const alert: Block = (message) => message.set('alarm', alertName(message.family, message.u8()))

/** Alert u8, and language u8 whose upper half extends it. */
export const wideAlert: Block = (message) => {
  const low = message.u8()
  const language = message.left > 0 ? message.u8() : 0
  message.set('alarm', alertName(message.family, ((language >> 4) << 8) | low))
}

/** Terminal information u8: relay, alarm, charge, ignition. */
export const status: Block = (message) => setStatus(message, TERMINAL_ALARMS)

/** The same of VXT01, which means speed by 7. */
export const statusVxt01: Block = (message) => setStatus(message, VXT01_ALARMS)

const VXT01_ALARMS: Names = new Map([...TERMINAL_ALARMS, [7, 'overspeed']])

/** Event u8, its data u16, names of its files. */
export const cameraEvent: Block = (message) => {
  const event = message.u8()
  message.set('event', event)
  message.set('eventData', message.u16())
  message.set('alarm', CAMERA_EVENTS.get(event))
  if (message.left > 0) message.set('eventFiles', message.text(message.left))
}

/** Event u8 of a camera without a position. The data that servers show with it is the serial number after it. */
export const cameraEventAlone: Block = (message) => {
  const event = message.u8()
  message.set('event', event)
  message.set('eventData', serialOf(message.frame))
  message.set('alarm', event === 0x01 ? 'general' : CAMERA_EVENTS.get(event))
}

/** Event u8 of a door sensor or tag. */
export const moduleEvent: Block = (message) => {
  const event = message.u8()
  message.set('event', event)
  message.set('alarm', MODULE_EVENTS.get(event))
}

/** Status u8 of AZ735; in alarms its meaning. */
export const statusAz735: Block = (message) => {
  const status = message.u8()
  message.set('status', status)
  if (message.type !== 0x33) return
  if (status === 0xa0 || status === 0xa1) message.set('armed', status === 0xa0)
  message.set('alarm', AZ735_ALARMS.get(status))
}

function alertName(family: Family, alert: number): string | undefined {
  return FAMILY_ALERTS[family]?.get(alert) ?? ALERTS.get(alert)
}

function setStatus(message: Message, alarms: Names): void {
  const bits = message.u8()
  message.set('status', bits)
  message.set('ignition', (bits & 0x02) !== 0)
  message.set('charge', (bits & 0x04) !== 0)
  message.set('blocked', (bits & 0x80) !== 0)
  message.set('alarm', alarms.get((bits >> 3) & 0x07))
}
