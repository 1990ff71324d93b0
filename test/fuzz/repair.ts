/** Makes the outer parts of a damaged frame right again, so that the damage reaches what is behind them. */
import {
  crc8Nrsc5,
  crc16CcittFalse,
  crc16Ibm,
  crc16Kermit,
  crc16Modbus,
  crc16X25,
  rotatedSum16,
} from '../../device-adapters/checksums.ts'
import type { Random } from './random.ts'

/** Repairs `bytes` in place; those that are too short for the layout stay as they are. */
export type Repair = (bytes: Buffer, random: Random) => void

/** By protocol and transport: `gt06 tcp`. */
export const REPAIRS: Readonly<Record<string, Repair>> = {
  'teltonika tcp': (bytes, random) => {
    if (bytes.length < 15) return
    bytes.writeUInt32BE(0, 0)
    bytes.writeUInt32BE(bytes.length - 12, 4)
    // Both numbers of records.
    if (!random.once(4)) bytes[bytes.length - 5] = bytes[9]!
    bytes.writeUInt32BE(crc16Ibm(bytes, 8, bytes.length - 4), bytes.length - 4)
  },
  'teltonika udp': (bytes, random) => {
    if (bytes.length < 13) return
    bytes.writeUInt16BE((bytes.length - 2) & 0xffff, 0)
    const codecAt = 8 + bytes.readUInt16BE(6)
    if (!random.once(4) && codecAt + 1 < bytes.length) bytes[bytes.length - 1] = bytes[codecAt + 1]!
  },
  'gt06 tcp': (bytes) => {
    const long = bytes[0] === 0x79
    if (bytes.length < 10 || bytes.length > (long ? 65_541 : 260)) return
    bytes[1] = bytes[0] = long ? 0x79 : 0x78
    if (long) bytes.writeUInt16BE(bytes.length - 6, 2)
    else bytes[2] = bytes.length - 5
    bytes.writeUInt16BE(crc16X25(bytes, 2, bytes.length - 4), bytes.length - 4)
    bytes.writeUInt16BE(0x0d0a, bytes.length - 2)
  },
  'ruptela tcp': (bytes) => {
    if (bytes.length < 13 || bytes.length > 4096) return
    bytes.writeUInt16BE(bytes.length - 4, 0)
    // No IMEI is above 0x00038d7ea4c67fff.
    bytes[2] = 0
    bytes[3]! &= 0x01
    bytes.writeUInt16BE(crc16Kermit(bytes, 2, bytes.length - 2), bytes.length - 2)
  },
  'galileo tcp': (bytes) => {
    if (bytes.length < 8 || bytes.length > 0x7fff) return
    if (bytes[0] === 0x01 && bytes.readUIntBE(3, 3) === 0x01001c) bytes.writeUInt16BE(bytes.length - 3, 1)
    else {
      if (bytes[0] !== 0x07 && bytes[0] !== 0x08) bytes[0] = 0x01
      bytes.writeUInt16LE(bytes.length - 5, 1)
      bytes.writeUInt16LE(crc16Modbus(bytes, 0, bytes.length - 2), bytes.length - 2)
    }
  },
  'gl200 tcp': repairGl200,
  'gl200 udp': repairGl200,
  'h02 tcp': repairH02,
  'h02 udp': repairH02,
  'eelink tcp': (bytes) => {
    if (bytes.length < 7) return
    bytes.writeUInt16BE(0x6767, 0)
    bytes.writeUInt16BE((bytes.length - 5) & 0xffff, 3)
  },
  'eelink udp': (bytes) => {
    if (bytes.length < 21) return
    bytes.write('EL', 0, 'latin1')
    bytes.writeUInt16BE((bytes.length - 4) & 0xffff, 2)
    for (let at = 6; at < 14; at++) bytes[at]! &= at === 6 ? 0x07 : 0x77
    // One package, however many there were.
    bytes.writeUInt16BE(0x6767, 14)
    bytes.writeUInt16BE((bytes.length - 19) & 0xffff, 17)
    bytes.writeUInt16BE(rotatedSum16(bytes, 6, bytes.length), 4)
  },
  'wialon tcp': repairWialon,
  'wialon udp': repairWialon,
}

/** The CRC of extended data, where it has one. */
function repairWialon(bytes: Buffer): void {
  const body = bytes.indexOf('#D#', 0, 'latin1') + 3
  const crc = bytes.lastIndexOf(';') + 1
  if (body < 3 || crc <= body || !/^[\dA-F]{4}\s*$/i.test(bytes.toString('latin1', crc))) return
  bytes.write(crc16Ibm(bytes, body, crc).toString(16).padStart(4, '0'), crc, 'latin1')
}

function repairGl200(bytes: Buffer, random: Random): void {
  if (bytes.length < 24 || bytes.length > 8192 || bytes[0] !== 0x2b) return
  if (bytes[1] === 0) {
    bytes.writeUInt16BE(bytes.length, 2)
    bytes[4] = 0
    // Digits of the IMEI.
    for (let at = 5; at < 13; at++) bytes[at]! &= 0x77
    bytes[5]! &= 0x07
    bytes[bytes.length - 2] = crc8Nrsc5(bytes, 0, bytes.length - 2)
    return
  }
  const head = bytes.toString('latin1', 0, 4)
  if (head === '+RSP' || head === '+EVT' || head === '+INF') {
    bytes.writeUInt16BE(bytes.length, head === '+INF' ? 7 : 9)
    bytes.writeUInt16BE(crc16CcittFalse(bytes, 4, bytes.length - 4), bytes.length - 4)
    return
  }
  bytes.write(random.once(4) ? '+BUFF:GT' : '+RESP:GT', 0, 'latin1')
  const id = bytes.indexOf(',', 13, 'latin1') + 1
  if (id > 0 && id + 16 < bytes.length) bytes.write('135790246811220,', id, 'latin1')
  // One message: an earlier end would hide the rest.
  for (let at = 8; at < bytes.length; at++) if (bytes[at] === 0x24 || bytes[at] === 0) bytes[at] = 0x2c
  bytes[bytes.length - 1] = 0x24
}

function repairH02(bytes: Buffer, random: Random): void {
  if (bytes.length < 16) return
  if (bytes[0] === 0x24 || bytes[0] === 0x58) {
    // The time and the date, which tell a frame from other bytes, and every later nibble a digit.
    for (let at = 6; at < Math.min(bytes.length, 24); at++) {
      if ((bytes[at]! & 0x0f) > 9) bytes[at]! &= 0xf7
      if (bytes[at]! > 0x99) bytes[at]! &= 0x7f
    }
    bytes[6]! &= 0x17
    bytes[7]! &= 0x57
    bytes[9]! &= 0x27
    bytes[10]! &= 0x07
    return
  }
  bytes.write('*HQ,', 0, 'latin1')
  // One frame: an earlier end would hide the rest.
  if (!random.once(4)) for (let at = 4; at < bytes.length; at++) if (bytes[at] === 0x23) bytes[at] = 0x2c
  bytes[bytes.length - 1] = 0x23
}
