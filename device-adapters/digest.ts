/**
 * 64-bit digest of a record's bytes: with device and fix time it is the key of a position, so that a record sent
 * twice is stored once. Two 32-bit MurmurHash3 lanes in one pass; not cryptographic, and it need not be: a device
 * can only collide with itself, within one millisecond.
 */

/** Digest of `bytes[start, end)`, written to `high[at]` and `low[at]`. */
export function digestInto(
  bytes: Buffer,
  start: number,
  end: number,
  high: Uint32Array,
  low: Uint32Array,
  at: number,
): void {
  let h1 = 0x9747b28c
  let h2 = 0x3c074a61
  let i = start
  for (; i + 4 <= end; i += 4) {
    const k = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    h1 = mix(h1, k, 0xcc9e2d51, 0x1b873593)
    h2 = mix(h2, k, 0x239b961b, 0xab0e9789)
  }
  let tail = 0
  for (let shift = 0; i < end; i++, shift += 8) tail |= bytes[i]! << shift
  const length = end - start
  h1 = mix(h1, tail, 0xcc9e2d51, 0x1b873593) ^ length
  h2 = mix(h2, tail, 0x239b961b, 0xab0e9789) ^ length
  high[at] = avalanche(h1 + h2)
  low[at] = avalanche(h2)
}

function mix(hash: number, word: number, c1: number, c2: number): number {
  let k = Math.imul(word, c1)
  k = (k << 15) | (k >>> 17)
  hash ^= Math.imul(k, c2)
  hash = (hash << 13) | (hash >>> 19)
  return (Math.imul(hash, 5) + 0xe6546b64) | 0
}

function avalanche(hash: number): number {
  hash ^= hash >>> 16
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  hash = Math.imul(hash, 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}
