/** Messages of what the device is connected to: engine, battery, inputs, driver. */
import { alert, cameraEvent, cameraEventAlone } from './alarms.ts'
import { dated, datedSeconds, field, gpsJc100, gpsJc400, skip } from './blocks.ts'
import type { Block } from './message.ts'

/** Message 0x8C: date, ignition u8, readings as text `283=000274d8,463=…`, position. */
export const obd: Block = (message) => {
  dated(message)
  message.set('ignition', message.u8() > 0)
  for (const pair of message.text(Math.max(0, message.left - OBD_TAIL_BYTES)).split(',')) {
    const [name = '', value = ''] = pair.split('=')
    const reading = OBD_READINGS.get(name.slice(0, 2).toUpperCase())
    if (reading === 'vin' && value !== '') message.set(reading, value)
    else if (reading !== undefined && /^[0-9a-f]{1,8}$/i.test(value)) {
      message.set(reading, Number.parseInt(value, 16) / 100)
    }
  }
}

const OBD_TAIL_BYTES = 12

const OBD_READINGS: ReadonlyMap<string, string> = new Map([
  ['28', 'odometer'],
  ['2B', 'fuel'],
  ['2D', 'coolantTemp'],
  ['35', 'obdSpeed'],
  ['36', 'rpm'],
  ['47', 'fuelUsed'],
  ['49', 'hours'],
  ['4A', 'vin'],
])

/** Message 0x40 of TBIT WD-209: a traction battery and its controller. */
export const BATTERY_SYSTEM: readonly Block[] = [
  // Serial number, before the time that begins the row.
  skip(8),
  datedSeconds,
  field('relativeCapacity', 'u8'),
  field('remainingCapacity', 'u16'),
  field('absoluteCapacity', 'u8'),
  field('fullCapacity', 'u16'),
  field('batteryHealth', 'u8'),
  (message) => message.set('batteryTemp', message.u16() / 10 - 273.1),
  field('current', 'u16'),
  field('battery', 'u16', 0.001),
  field('cycleIndex', 'u16'),
  ...Array.from({ length: 14 }, (_, cell) => field(`batteryCell${cell + 1}`, 'u16', 0.001)),
  field('currentChargeInterval', 'u16'),
  field('maxChargeInterval', 'u16'),
  (message) => message.set('barcode', message.text(16).trim()),
  field('batteryVersion', 'u16'),
  (message) => message.set('manufacturer', message.text(16).trim()),
  field('batteryStatus', 'u32'),
  field('controllerStatus', 'u32'),
  field('controllerFault', 'u32'),
]

/** Heartbeat 0x23 of GK310: bits 0 armed, 1 ignition, 2 charge; then, in some, battery u16 and signal u8. */
export const heartbeat: Block = (message) => {
  const bits = message.u8()
  message.set('armed', (bits & 0x01) !== 0)
  message.set('ignition', (bits & 0x02) !== 0)
  message.set('charge', (bits & 0x04) !== 0)
  if (message.left >= 2) message.set('battery', message.u16() / 100)
  if (message.left >= 1) message.set('rssi', message.u8())
}

/** Message 0x34 of X1, after the fix: terminal information, mileage, LBS, driver, voltages, ports. */
export const x1: Block = (message) => {
  message.skip(2)
  message.set('odometer', message.u32())
  message.setNetwork([{ mcc: message.u16(), mnc: message.u8(), lac: message.u16(), cid: message.u32() }])
  const driver = message.u32()
  if (driver > 0) message.set('driverUniqueId', String(driver))
  message.set('battery', message.u16() / 100)
  message.set('power', message.u16() / 100)
  const ports = message.u32()
  message.set('input', message.u8())
  message.set('output', message.u8())
  const adcs = (ports >>> 20) & 0x0f
  for (let adc = 1; adc <= adcs; adc++) message.set(`adc${adc}`, message.u16() / 100)
}

/**
 * Heartbeat 0x13 of OBD6 after the status: signal u16, alert, language, battery %, mode, voltage u16, reserved,
 * working time u16; in mode 4 a temperature i16.
 */
export const heartbeatObd: Block = (message) => {
  const signal = message.u16()
  message.set('sat', ((signal >> 10) & 0x1f) + ((signal >> 5) & 0x1f))
  message.set('rssi', signal & 0x1f)
  alert(message)
  message.skip(1)
  message.set('batteryLevel', message.u8())
  const mode = message.u8()
  message.set('power', message.u16() / 100)
  message.skip(3)
  if (mode === 4) message.set('temp1', message.i16() / 10)
}

/** Heartbeat 0x13 of 16 bytes: status, satellites, alarm, language, battery %, mode, voltage, times, temperature. */
export const heartbeatTemperature: Block = (message) => {
  message.skip(5)
  message.set('batteryLevel', message.u8())
  message.skip(8)
  const value = message.u16()
  const temperature = (value & 0x7fff) / 10
  message.set('temp1', (value & 0x8000) !== 0 ? temperature : -temperature)
}

/** Inputs of Benway, u16: bits 15 ignition, 14 input 2, 12 whether the rest is a temperature or a voltage. */
export const benwayInputs: Block = (message) => {
  const inputs = message.u16()
  message.set('ignition', (inputs & 0x8000) !== 0)
  message.set('in2', (inputs & 0x4000) !== 0)
  if ((inputs & 0x1000) !== 0) {
    const degrees = inputs & 0x01ff
    message.set('temp1', (inputs & 0x0200) !== 0 ? -degrees : degrees)
  } else {
    const steps = inputs & 0x03ff
    message.set('adc1', (inputs & 0x2000) !== 0 ? steps : steps / 10)
  }
}

/** A number whose highest bit is its sign, not its complement. */
export function signed(key: string, type: 'u8' | 'u16', steps: number): Block {
  const sign = type === 'u8' ? 0x80 : 0x8000
  return (message) => {
    const value = message[type]()
    message.set(key, ((value & sign) !== 0 ? -(value & (sign - 1)) : value) / steps)
  }
}

/** Card as text after its length u8. */
export const card: Block = (message) => message.set('card', message.text(message.u8()).trim())

/** Card reader of Wetrust: alarm u8, card status u8, driving time u16. */
export const cardReader: Block = (message) => {
  if (message.u8() > 0) message.set('alarm', 'general')
  message.set('cardStatus', message.u8())
  message.set('drivingTime', message.u16())
}

/** Driver of XT40: length u8 of what follows, kind of id u8, id. */
export const driver: Block = (message) => {
  const length = message.u8()
  if (length === 0) return
  message.skip(1)
  message.set('driverUniqueId', message.hex(length - 1))
}

/** Driver of an iButton, u48. */
export const iButton: Block = (message) => message.set('driverUniqueId', String(message.u48()))

/** Voltage of the vehicle in the lower 12 bits of u16, 0.1 V. */
export const powerTenths: Block = (message) => message.set('power', (message.u16() & 0x0fff) / 10)

/** Whether the device moves, u16. */
export const motion: Block = (message) => message.set('motion', message.u16() > 0)

/**
 * Message 0x95. JC400 begins with FFFF and a version, and has the voltage of the vehicle; JC100 has a position
 * in its long form only.
 */
export const camera: Block = (message) => {
  if (message.frame.readUInt16BE(message.at) === 0xffff) {
    message.skip(3)
    gpsJc400(message)
    message.set('power', message.u16() / 10)
    cameraEvent(message)
  } else if (message.left > 7) {
    gpsJc100(message)
    cameraEvent(message)
  } else {
    dated(message)
    cameraEventAlone(message)
  }
}
