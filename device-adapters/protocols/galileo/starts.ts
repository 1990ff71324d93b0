/** First bytes of Galileosky. */
import { ANY, DIGIT, startsWith } from '../../signature.ts'

const IMEI = `\x03${DIGIT.repeat(15)}`
const VERSIONS = `\x01${ANY}\x02${ANY}`
const HEAD = `\x01${ANY}${ANY}`

/** Longest packet that devices send, far below what the length could say. */
const PACKET_MAX_BYTES = 2048

/**
 * A packet that names its device: an IMEI after versions, or before the number of the device or of the record. Not
 * before the time, as in Black Kite.
 */
const named = startsWith(
  `${HEAD}${VERSIONS}${IMEI}`,
  `${HEAD}\x01${ANY}${IMEI}`,
  `${HEAD}\x02${ANY}${IMEI}`,
  `${HEAD}${IMEI}\x04`,
  `${HEAD}${IMEI}\x10`,
)

/** Iridium: the element of the header, 28 bytes, and that of the place. */
const iridium = startsWith(
  `\x01${ANY}${ANY}\x01\x00\x1c${ANY.repeat(4)}${DIGIT.repeat(15)}${ANY.repeat(9)}\x03\x00\x0b`,
)

/** See `Adapter.starts`. */
export function starts(bytes: Buffer): boolean | undefined {
  const direct = named(bytes)
  const satellite = iridium(bytes)
  if (satellite === true) return true
  if (direct === false || tooLong(bytes)) return satellite
  return satellite === undefined && direct === true ? undefined : direct
}

function tooLong(bytes: Buffer): boolean {
  return bytes.length >= 3 && (bytes.readUInt16LE(1) & 0x7fff) > PACKET_MAX_BYTES
}
