/** First bytes of JT/T 808. */
import { ANY, DIGIT, startsWith } from '../../signature.ts'
import { ALTERNATIVE_DELIMITER, DELIMITER, LOCK_LOCATION, LOCK_LOCATION_BLIND, plainOf } from './frame.ts'

const TERMINAL = DIGIT.repeat(12)
const bracketed = startsWith(`(${TERMINAL},${DIGIT},${DIGIT.repeat(3)},${ANY}`)

/** Message ids of devices, from and to: those of the standards, then those of makers. */
const TYPES: readonly (readonly [from: number, to: number])[] = [
  [0x0001, 0x0005],
  [0x0100, 0x0111],
  [0x0200, 0x0201],
  [0x0301, 0x0303],
  [0x0500, 0x0500],
  [0x0608, 0x0608],
  [0x0700, 0x0706],
  [0x0800, 0x0805],
  [0x0900, 0x0901],
  [0x0a00, 0x0a00],
  [0x1003, 0x1007],
  [0x1205, 0x1206],
  [0x1210, 0x1212],
  [0x0210, 0x0210],
  [0x0506, 0x0506],
  [0x1300, 0x1300],
  [0x2070, 0x2070],
  [LOCK_LOCATION, LOCK_LOCATION_BLIND],
  [0x6006, 0x6006],
  [0x8888, 0x8888],
]

/** Delimiter, message id, attributes. */
const HEAD_BYTES = 5
const TERMINAL_MAX_BYTES = 10
/** Encryption, and a bit that is reserved, which are not in use; 2019 gives the version. */
const UNUSED_ATTRIBUTES = 0x9c
const VERSIONED = 0x40
const VERSION_MAX = 3
/** The first 14 digits of an IMEI are less. */
const IMEI_LIMIT = 1e14

/** See `Adapter.starts`. */
export function starts(bytes: Buffer): boolean | undefined {
  const first = bytes[0]
  if (first !== DELIMITER && first !== ALTERNATIVE_DELIMITER) return bracketed(bytes)
  // An escape whose second byte is to come is left out.
  const plain = plainOf(bytes.subarray(0, 2 * (HEAD_BYTES + 1 + TERMINAL_MAX_BYTES)))
  // What is known of the message id, and the ids that it may become.
  const low = (plain[1] ?? 0) * 0x100 + (plain[2] ?? 0)
  const high = (plain[1] ?? 0xff) * 0x100 + (plain[2] ?? 0xff)
  if (!TYPES.some(([from, to]) => from <= high && to >= low)) return false
  if (plain.length <= HEAD_BYTES) return undefined

  const isLock = low === LOCK_LOCATION || low === LOCK_LOCATION_BLIND
  if (!isLock && (plain[3]! & UNUSED_ATTRIBUTES) !== 0) return false
  const isVersioned = !isLock && (plain[3]! & VERSIONED) !== 0
  if (isVersioned && plain[HEAD_BYTES]! > VERSION_MAX) return false
  const at = isVersioned ? HEAD_BYTES + 1 : HEAD_BYTES
  const end = at + (isVersioned ? TERMINAL_MAX_BYTES : first === ALTERNATIVE_DELIMITER ? 7 : 6)
  if (plain.length < end) return undefined
  const isDigits = /^\d+$/.test(plain.toString('hex', at, end))
  return isDigits || (!isVersioned && plain.readUIntBE(at, 6) < IMEI_LIMIT)
}
