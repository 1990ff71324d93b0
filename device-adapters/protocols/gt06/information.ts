/** Messages of text, of information types (0x94), and of what peripherals send through the device. */
import { dated, field, hexField, sequence, undated } from './blocks.ts'
import type { Block, Message } from './message.ts'

/** Message 0x94 by its information type u8; types that are not here hold nothing for a position. */
const INFORMATION: ReadonlyMap<number, Block> = new Map([
  [0x00, sequence(undated, field('adc1', 'u16', 0.01))],
  [0x04, sequence(undated, synchronisation)],
  [0x05, door],
  [0x0a, sequence(undated, iccid)],
  [0x0b, sequence(undated, networkOrVoltage)],
  [0x0d, fuelSensor],
  [0x1b, sequence(undated, rfid)],
  [0x1e, sequence(undated, field('temp1', 'i32', 0.1), field('humidity', 'i32', 0.1))],
])

/** Message 0x94 of a long frame. */
export const information: Block = (message) => INFORMATION.get(message.u8())?.(message)

/** What devices say of a command that they did not do: `DYD=Fail!`, `DYD=Speed Limit, Speed 40km/h`, `DYD=Unvalued Fix`. */
const REFUSAL = /fail|error|unvalued|unsupported|speed limit/i

/** The server flag of the command comes back in the answer: it is the number of the command. */
function answer(message: Message, serial: number, text: string): void {
  message.session.answer({ serial, ok: !REFUSAL.test(text), text })
}

/**
 * Message 0x15: length u8, server flag u32, text. The length counts flag and text. Some devices leave it 0, and fill
 * the message up with NULs and a language u16.
 */
export const commandAnswer: Block = (message) => {
  message.withoutFix()
  const length = message.u8()
  if (length < 4 && message.left < 6) return
  const serial = message.u32()
  const text = message.text(length < 4 ? message.left - 2 : length - 4)
  if (text === '') return
  answer(message, serial, text)
  if (text.startsWith('<ICCID:')) message.set('iccid', text.slice(7, 27))
  else message.set('result', text)
}

/** Message 0x21: server flag u32, encoding u8 (1 = ASCII, else UTF-16), text. */
export const encodedAnswer: Block = (message) => {
  const serial = message.u32()
  const encoding = message.u8() === 1 ? 'latin1' : 'utf16be'
  const text = message.text(message.left, encoding)
  answer(message, serial, text)
  const place = LOCATION_TEXT.exec(text)
  if (place === null) {
    message.withoutFix()
    message.set('result', text)
    return
  }
  const [, north, latitude, east, longitude, course, speed, date, time] = place
  message.fix(
    Date.parse(`${date}T${time}Z`),
    Number(latitude) * (north === 'N' ? 1 : -1),
    Number(longitude) * (east === 'E' ? 1 : -1),
  )
  message.setMotion(Number(speed), Number(course), true)
}

/** What devices answer to the command WHERE; speed in km/h. */
const LOCATION_TEXT =
  /Current position!Lat:([NS])([\d.]+),Lon:([EW])([\d.]+),Course:([\d.]+),Speed:([\d.]+),DateTime:(\d{4}-\d\d-\d\d) +(\d\d:\d\d:\d\d)/

/** Message 0x9B: port u8, bytes of the device behind it. Bytes that are not text are given as hex. */
export const serialPort: Block = (message) => {
  message.withoutFix()
  message.skip(1)
  const raw = message.frame.subarray(message.at, message.end)
  const isText = raw.every((byte) => (byte >= 0x20 && byte < 0x80) || byte === 0x0a || byte === 0x0d)
  message.set('result', isText ? raw.toString('latin1').trim() : raw.toString('hex'))
}

/** Message 0xB2: a Bluetooth tag at a reader. */
export const bluetoothClock: Block = sequence(
  dated,
  field('rssi', 'i8'),
  hexField('tagMac', 6),
  hexField('tagUuid', 16),
  field('tagMajor', 'u16'),
  field('tagMinor', 'u16'),
  field('tagBattery', 'u16', 0.01),
  (message) => message.set('clock', (message.u8() >> 2) & 0x0f),
)

/** Type 0x04, states as text: `ALM1=FF;ALM2=FF;STA1=C0;DYD=01;SOS=…`. */
function synchronisation(message: Message): void {
  for (const pair of message.text(message.left).split(';')) {
    const [name = '', value = ''] = pair.split('=')
    const key = SYNCHRONISED.get(name)
    if (key !== undefined && /^[0-9a-f]{1,8}$/i.test(value)) message.set(key, Number.parseInt(value, 16))
  }
}

const SYNCHRONISED: ReadonlyMap<string, string> = new Map([
  ['ALM1', 'alarm1Status'],
  ['ALM2', 'alarm2Status'],
  ['ALM3', 'alarm3Status'],
  ['ALM4', 'alarm4Status'],
  ['STA1', 'otherStatus'],
  ['DYD', 'engineStatus'],
])

/** Type 0x0A: IMEI, IMSI, ICCID of 20 digits, padded with F. */
function iccid(message: Message): void {
  message.skip(16)
  message.set('iccid', message.hex(10).replace(/f+$/, ''))
}

/** Type 0x0B: generation of the network u8, or voltage of the vehicle u16. */
function networkOrVoltage(message: Message): void {
  if (message.left === 1) message.set('networkTechnology', message.u8() > 0 ? '4G' : '2G')
  else if (message.left === 2) message.set('power', message.u16() / 100)
}

/** Type 0x05: a date in some devices, then bits: 0 door, 2 I/O port. */
function door(message: Message): void {
  message.withoutFix(message.left >= 7 ? message.date() : Number.NaN)
  const bits = message.u8()
  message.set('door', (bits & 0x01) !== 0)
  message.set('io1', (bits & 0x04) !== 0)
}

/** Type 0x0D, the line of an ultrasonic fuel sensor, after a date in some devices. */
function fuelSensor(message: Message): void {
  if (message.frame[message.at] !== 0x21) message.skip(6)
  const [, temperature, fuel] = FUEL_LINE.exec(message.text(message.left)) ?? []
  if (fuel === undefined) return
  message.withoutFix()
  message.set('temp1', Number(temperature))
  message.set('fuel', Number(fuel))
}

/** Address, output, temperature, version, statuses, level, movement, waves, checksum. */
const FUEL_LINE = /^!AIOIL,\d+,\d+\.\d+,(\d+\.\d+),[^,]+,\d{4},(\d+\.\d+),[01],\d+,[0-9a-f]{2}/i

/** Type 0x1B: a serial number as text, or two bytes and the id of a card. */
function rfid(message: Message): void {
  const first = String.fromCharCode(message.frame[message.at] ?? 0)
  if (/[a-z]/i.test(first)) message.set('serial', message.text(message.left).trim())
  else {
    message.skip(2)
    message.set('driverUniqueId', message.hex(4))
  }
}
