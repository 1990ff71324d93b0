/** Items that hold a list or a mask of readings of their own. */
import { bit, type Field, type Fields, field, per, type Report, sequence } from './report.ts'

/** Container trackers of AOVX. */
export const AOVX_MODELS: ReadonlySet<string> = new Set(['AL300', 'GL100'])

/** Below this no country code begins: what is less is the length of a reading. */
const COUNTRY_MIN = 200

/** Item 0xEA: a kind u8, then id u8, length u8, value. */
const SENSORS: Fields = new Map<number, Field>([
  [0x11, sequence(field('externalAlarms', 'u16'), field('alarmThresholdType', 'u8'))],
  [0x13, field('externalIlluminance', 'u16')],
  [0x14, field('externalAirPressure', 'u16')],
  [0x15, field('externalHumidity', 'u16', per(10))],
  [0x16, field('externalTemp', 'u16', (raw) => raw / 10 - 50)],
])

export const sensors: Field = (report) => {
  report.skip(1)
  report.items(SENSORS, 'u8')
}

/** Item 0xEB: length u16 of what follows it, id u16, value. */
const READINGS: Fields = new Map<number, Field>([
  [0x0001, field('fuel1', 'u16', per(10))],
  [0x0023, (report) => setNumber(report, 'fuel2', report.latin1(6))],
  [
    0x002d,
    (report) =>
      (report.left === 4 ? field('power', 'u32', per(1000)) : field('battery', 'u16', per(1000)))(report),
  ],
  [0x0089, stateOfDevice],
  [0x00a8, field('batteryLevel', 'u8')],
  [0x00b2, (report) => report.set('iccid', report.hex(10).replace(/f{1,20}$/, ''))],
  [0x00b9, wifi],
  [0x00c5, stateOfMotion],
  [0x00c6, batteryAlarm],
  [0x00ce, field('power', 'u16', per(100))],
  [0x00d8, (report) => report.cell(report.u16(), report.u8(), report.u16(), report.u32())],
  [0x00e1, field('batteryLevel', 'u8')],
])

/** Item 0xEB: cells of one network, the name of the time zone, or {@link READINGS}. */
export const readings: Field = (report) => {
  const { frame, at, left } = report
  const first = frame.readUInt16BE(at)
  if (first > COUNTRY_MIN && (left - 3) % 5 === 0) {
    const mcc = report.u16()
    const mnc = report.u8()
    while (report.left > 0) report.cell(mcc, mnc, report.u16(), report.u16(), report.u8())
  } else if (isPrintable(frame.subarray(at, at + left))) report.set('timezone', report.latin1(left))
  else {
    while (report.left >= 4) {
      const bytes = report.u16() - 2
      const reading = READINGS.get(report.u16())
      if (bytes < 0 || bytes > report.left) return
      report.part(bytes, reading)
    }
  }
}

function isPrintable(bytes: Buffer): boolean {
  return bytes.every((byte) => byte >= 0x20 && byte < 0x7f)
}

/** Text as a number, where it is one. */
function setNumber(report: Report, key: string, value: string): void {
  const number = Number(value)
  if (value.trim() !== '' && !Number.isNaN(number)) report.set(key, number)
}

/** Bits that are 0 when: 0 the supply is cut, 12 the device is taken off. */
function stateOfDevice(report: Report): void {
  report.alarmBits(~report.u32(), [
    [1 << 0, 'powerOff'],
    [1 << 12, 'removing'],
  ])
}

/** Bit 6 is 0 when it shakes; bits 23 and 24 are 0 when it moves, 1 when it rests. */
function stateOfMotion(report: Report): void {
  const bits = report.u32()
  report.alarmBits(~bits, [[1 << 6, 'vibration']])
  const motion = (bits >>> 23) & 0x03
  if (motion <= 1) report.set('motion', motion === 0)
}

function batteryAlarm(report: Report): void {
  const value = report.u8()
  if (value === 0x03 || value === 0x04) report.alarm('lowBattery')
  report.set('batteryAlarm', value)
}

/** Access points as text after their count u8: `MAC,dBm,MAC,dBm`. */
function wifi(report: Report): void {
  report.skip(1)
  const parts = report.latin1(report.left).split(',')
  for (let i = 0; i + 1 < parts.length; i += 2) {
    const rssi = Number(parts[i + 1])
    if (Number.isInteger(rssi)) report.accessPoint(parts[i]!, rssi)
  }
}

/** Item 0xF3 of AOVX: a mask of what is known of each Bluetooth tag, then the tags. */
export const tags: Field = (report) => {
  const mask = report.u8()
  for (let tag = 1; report.left > 0; tag++) {
    report.set(`tag${tag}Mac`, report.hex(6))
    report.set(`tag${tag}Rssi`, report.i8())
    if (bit(mask, 0)) report.set(`tag${tag}Name`, report.latin1(10).trim())
    // Version of its firmware.
    if (bit(mask, 1)) report.skip(2)
    if (bit(mask, 2)) report.set(`tag${tag}Battery`, report.u16() / 1000)
    if (bit(mask, 3)) report.set(`tag${tag}Temp`, report.i16() / 10)
    if (bit(mask, 4)) report.set(`tag${tag}Humidity`, report.i16() / 10)
    // Acceleration, and two reserved values.
    if (bit(mask, 5)) report.skip(6)
    if (bit(mask, 6)) report.skip(2)
    if (bit(mask, 7)) report.skip(2)
  }
}

/** Item 0xF6 of AOVX: event u8, 2 for motion; a mask u8 of what follows. */
export const aovxStatus: Field = (report) => {
  const event = report.u8()
  report.set('event', event)
  if (event === 2) report.set('motion', true)
  const mask = report.u8()
  if (bit(mask, 0)) report.set('lightSensor', report.u16())
  if (bit(mask, 1)) report.set('temp1', report.i16() / 10)
  if (bit(mask, 2)) report.set('humidity', report.i16() / 10)
  if (bit(mask, 3)) report.set('gSensor', `[${report.i16()},${report.i16()},${report.i16()}]`)
  // Thresholds.
  if (bit(mask, 4)) report.skip(10)
  if (bit(mask, 5)) report.set('airPressure', report.u16())
}
