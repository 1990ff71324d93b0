/** CRC-32C (Castagnoli, polynomial 0x1EDC6F41 reflected), as of RFC 3720, appendix B.4. */

const SLICES = 8
const REFLECTED = 0x82f63b78

/** CRC of each byte followed by 0 … 7 zero bytes, so that eight bytes take one step. Signed: V8 keeps those unboxed. */
const TABLE = new Int32Array(SLICES * 256)
for (let i = 0; i < TABLE.length; i++) {
  if (i < 256) {
    let crc = i
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ REFLECTED : crc >>> 1
    TABLE[i] = crc
  } else {
    const before = TABLE[i - 256]!
    TABLE[i] = (before >>> 8) ^ TABLE[before & 0xff]!
  }
}

/**
 * CRC-32C of `bytes[start, end)`.
 * @param seed Bits that the register's start is changed by: bytes that are right for one seed are wrong for all others.
 */
export function crc32c(bytes: Uint8Array, start: number, end: number, seed = 0): number {
  let crc = ~seed
  let i = start
  for (; i + 8 <= end; i += 8) {
    crc ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    crc =
      TABLE[1792 + (crc & 0xff)]! ^
      TABLE[1536 + ((crc >>> 8) & 0xff)]! ^
      TABLE[1280 + ((crc >>> 16) & 0xff)]! ^
      TABLE[1024 + (crc >>> 24)]! ^
      TABLE[768 + bytes[i + 4]!]! ^
      TABLE[512 + bytes[i + 5]!]! ^
      TABLE[256 + bytes[i + 6]!]! ^
      TABLE[bytes[i + 7]!]!
  }
  for (; i < end; i++) crc = (crc >>> 8) ^ TABLE[(crc ^ bytes[i]!) & 0xff]!
  return ~crc >>> 0
}
