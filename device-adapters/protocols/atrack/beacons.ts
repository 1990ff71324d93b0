/** Bluetooth beacons around an ATrack device, the custom field `%BC`, which text positions hold in hex. */
import type { AttributeValue } from '../../../schemas/attributes.ts'
import { ByteReader } from '../../byte-reader.ts'

type Attributes = Map<string, AttributeValue>

/** What each beacon has, from the highest bit of the mask on; bit 7 is its id in all modes. */
const ID = 0x80

/** Bytes of a part of a beacon by mask bit, and the attribute that it is. */
type Part = readonly [bit: number, bytes: number, attribute?: string]

const MODES: ReadonlyMap<number, readonly Part[]> = new Map<number, readonly Part[]>([
  // iBeacon: major, minor, power, signal.
  [
    1,
    [
      [0x40, 2],
      [0x20, 2],
      [0x10, 1],
      [0x08, 1, 'Rssi'],
    ],
  ],
  // Eddystone: battery, temperature, power, signal.
  [
    2,
    [
      [0x40, 2],
      [0x20, 2, 'Temp'],
      [0x10, 1],
      [0x08, 1, 'Rssi'],
    ],
  ],
  // Sensor: humidity, temperature, signal, reserved.
  [
    3,
    [
      [0x40, 2, 'Humidity'],
      [0x20, 2, 'Temp'],
      [0x08, 1, 'Rssi'],
      [0x04, 2],
    ],
  ],
])

/** Mode 4: bits of the mask, the bytes that a sensor of each hardware has, and those of a name. */
const SENSORS = 4
const HARDWARE = 0x40
const READINGS = 0x20
const NAME = 0x10
/** Fuel; temperature; temperature and light; fuel; temperature, humidity, light and pressure. */
const READINGS_BYTES: ReadonlyMap<number, number> = new Map([
  [1, 11],
  [2, 2],
  [3, 6],
  [4, 11],
  [5, 10],
])
const NAME_BYTES = 9

/** Type of a listed beacon that is a temperature sensor. */
const TEMPERATURE_SENSOR = 0xe0

/**
 * `mode:mask:beacons`, or beacons alone. What is cut off or no hex is left out: a beacon never costs the position.
 */
export function setBeacons(text: string, attributes: Attributes): void {
  const [mode, mask, hex] = text.includes(':') ? text.split(':') : [undefined, undefined, text]
  if (hex === undefined || !/^(?:[0-9A-Fa-f]{2})+$/.test(hex)) return
  const reader = new ByteReader(Buffer.from(hex, 'hex'))
  if (mode === undefined) setListed(reader, attributes)
  else if (Number(mode) === SENSORS) setSensors(reader, Number(mask), attributes)
  else setMasked(reader, MODES.get(Number(mode)) ?? [], Number(mask), attributes)
}

/** Each: length u8 of what follows, type u8, MAC address, then of a sensor the temperature i16 in 0.01 °C. */
function setListed(reader: ByteReader, attributes: Attributes): void {
  for (let tag = 1; reader.left > 0; tag++) {
    const length = reader.u8()
    if (length > reader.left) return
    const beacon = new ByteReader(reader.frame, reader.at, reader.at + length)
    reader.skip(length)
    if (length < 9 || beacon.u8() !== TEMPERATURE_SENSOR) continue
    beacon.skip(6)
    attributes.set(`tag${tag}Temp`, beacon.i16() / 100)
  }
}

/** Each: the parts whose bit the mask has. */
function setMasked(reader: ByteReader, mode: readonly Part[], mask: number, attributes: Attributes): void {
  const parts = mode.filter(([bit]) => (mask & bit) !== 0)
  const idBytes = (mask & ID) !== 0 ? 6 : 0
  const bytes = parts.reduce((sum, [, size]) => sum + size, idBytes)
  for (let tag = 1; bytes > 0 && reader.left >= bytes; tag++) {
    if (idBytes > 0) attributes.set(`tag${tag}Id`, reader.hex(idBytes))
    for (const [, size, attribute] of parts) {
      const value = size === 1 ? reader.u8() : reader.u16()
      if (attribute !== undefined) attributes.set(`tag${tag}${attribute}`, value)
    }
  }
}

/** Each: id, hardware u8, readings as long as the hardware says, name; of them those whose bit the mask has. */
function setSensors(reader: ByteReader, mask: number, attributes: Attributes): void {
  const idBytes = (mask & ID) !== 0 ? 6 : 0
  const hardwareBytes = (mask & HARDWARE) !== 0 ? 1 : 0
  const nameBytes = (mask & NAME) !== 0 ? NAME_BYTES : 0
  if (idBytes === 0) return
  for (let tag = 1; reader.left >= idBytes + hardwareBytes; tag++) {
    attributes.set(`tag${tag}Id`, reader.hex(idBytes))
    const hasReadings = hardwareBytes > 0 && (mask & READINGS) !== 0
    const hardware = hardwareBytes > 0 ? reader.u8() : 0
    const readingsBytes = hasReadings ? READINGS_BYTES.get(hardware) : 0
    // Where the next one begins is not known.
    if (readingsBytes === undefined || readingsBytes + nameBytes > reader.left) return
    reader.skip(readingsBytes + nameBytes)
  }
}
