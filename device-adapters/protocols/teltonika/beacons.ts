/**
 * Bluetooth beacons and tags in the variable-length IO elements of Teltonika codec 8 Extended.
 *
 *     beacons (385):  part 1 | beacon…
 *       beacon:       flags 1 | UUID 16, major 2, minor 2  or  namespace 10, instance 6
 *                     | RSSI 1? | battery, mV 2? | temperature 2?
 *       flags:        1 RSSI, 2 battery, 4 temperature, 0x20 iBeacon (else Eddystone)
 *     tags (548, 10828, 10829, 10831, 11317):  header 1 | tag…
 *       tag:          length 1 | parameter…
 *       parameter:    id 1 | length 1 | value
 *
 * Source: "Beacon List" (element 385) and "Advanced Beacon" (548 and later), wiki.teltonika-gps.com.
 */
import type { PositionBatch } from '../../../schemas/position-batch.ts'

export const BEACONS = 385
export const TAGS: ReadonlySet<number> = new Set([548, 10828, 10829, 10831, 11317])

const FLAG = { rssi: 1, battery: 2, temperature: 4, iBeacon: 0x20 }

/** @returns False if `bytes` do not have the layout; nothing is set then. */
export function setBeacons(out: PositionBatch, row: number, bytes: Buffer): boolean {
  let end = 1
  while (end < bytes.length) end += beaconBytes(bytes[end]!)
  if (end !== bytes.length) return false
  for (let at = 1, number = 1; at < bytes.length; at += beaconBytes(bytes[at]!), number++) {
    const flags = bytes[at]!
    const name = `beacon${number}`
    const id = at + 1
    let value = id + idBytes(flags)
    if ((flags & FLAG.iBeacon) !== 0) {
      out.set(row, `${name}Uuid`, bytes.toString('hex', id, id + 16))
      out.set(row, `${name}Major`, bytes.readUInt16BE(id + 16))
      out.set(row, `${name}Minor`, bytes.readUInt16BE(id + 18))
    } else {
      out.set(row, `${name}Namespace`, bytes.toString('hex', id, id + 10))
      out.set(row, `${name}Instance`, bytes.toString('hex', id + 10, id + 16))
    }
    if ((flags & FLAG.rssi) !== 0) out.set(row, `${name}Rssi`, bytes.readInt8(value++))
    if ((flags & FLAG.battery) !== 0) {
      out.set(row, `${name}Battery`, bytes.readUInt16BE(value) / 1000)
      value += 2
    }
    if ((flags & FLAG.temperature) !== 0) out.set(row, `${name}Temp`, bytes.readInt16BE(value))
  }
  return true
}

function idBytes(flags: number): number {
  return (flags & FLAG.iBeacon) !== 0 ? 20 : 16
}

function beaconBytes(flags: number): number {
  const rssi = (flags & FLAG.rssi) !== 0 ? 1 : 0
  const battery = (flags & FLAG.battery) !== 0 ? 2 : 0
  const temperature = (flags & FLAG.temperature) !== 0 ? 2 : 0
  return 1 + idBytes(flags) + rssi + battery + temperature
}

/** Parameters of a tag by id: end of the attribute's name, and how the value is read at the length it has. */
const TAG_PARAMETERS: readonly (readonly [name: string, kind: TagKind] | undefined)[] = [
  ['Rssi', 'signed'],
  ['Id', 'hex'],
  ['', 'state'],
  undefined,
  undefined,
  ['Name', 'text'],
  ['Temp', 'signed'],
  ['Humidity', 'unsigned'],
  ['Magnet', 'boolean'],
  ['Motion', 'boolean'],
  ['MotionCount', 'unsigned'],
  ['Pitch', 'signed'],
  ['AngleRoll', 'signed'],
  ['LowBattery', 'unsigned'],
  ['Battery', 'unsigned'],
  ['Mac', 'hex'],
]
type TagKind = 'signed' | 'unsigned' | 'boolean' | 'hex' | 'text' | 'state'

/** @returns False if `bytes` do not have the layout; nothing is set then. */
export function setTags(out: PositionBatch, row: number, bytes: Buffer): boolean {
  if (!tagsFit(bytes)) return false
  for (let at = 1, number = 1; at < bytes.length; at += 1 + bytes[at]!, number++) {
    const end = at + 1 + bytes[at]!
    for (let parameter = at + 1; parameter < end; parameter += 2 + bytes[parameter + 1]!) {
      const value = bytes.subarray(parameter + 2, parameter + 2 + bytes[parameter + 1]!)
      const known = TAG_PARAMETERS[bytes[parameter]!]
      if (known !== undefined && value.length > 0) setTagParameter(out, row, `tag${number}`, ...known, value)
    }
  }
  return true
}

function tagsFit(bytes: Buffer): boolean {
  let at = 1
  while (at < bytes.length) {
    const end = at + 1 + bytes[at]!
    if (end > bytes.length) return false
    at++
    while (at < end) at += at + 1 < end ? 2 + bytes[at + 1]! : 2
    if (at !== end) return false
  }
  return true
}

function setTagParameter(
  out: PositionBatch,
  row: number,
  tag: string,
  name: string,
  kind: TagKind,
  value: Buffer,
): void {
  if (kind === 'hex') out.set(row, tag + name, value.toString('hex'))
  else if (kind === 'text') out.set(row, tag + name, value.toString('utf8'))
  else if (kind === 'state') {
    if ((value[0]! & 0x40) !== 0) out.set(row, `${tag}LowBattery`, true)
    if ((value[0]! & 0x80) !== 0 && value.length > 1) out.set(row, `${tag}Voltage`, 2000 + value[1]! * 10)
  } else if (value.length <= 6) {
    const number = kind === 'signed' ? value.readIntBE(0, value.length) : value.readUIntBE(0, value.length)
    out.set(row, tag + name, kind === 'boolean' ? number > 0 : number)
  }
}
