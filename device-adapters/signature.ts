/** First bytes of protocols: what {@link Adapter.starts} is mostly made of. */

export type Starts = (bytes: Buffer) => boolean | undefined

/** Any byte, in a pattern of {@link startsWith}; `\x80` and above stand for themselves. */
export const ANY = '\u0100'
/** Any digit 0 to 9. */
export const DIGIT = '\u0101'
/** Any letter A to Z. */
export const CAPITAL = '\u0102'

/**
 * Whether bytes begin with one of `patterns`, Latin-1 text in which {@link ANY}, {@link DIGIT} and {@link CAPITAL}
 * stand for one byte:
 * undefined while too few bytes are there to tell.
 */
export function startsWith(...patterns: readonly [string, ...string[]]): Starts {
  return (bytes) => {
    let open = false
    for (const pattern of patterns) {
      const known = Math.min(pattern.length, bytes.length)
      let at = 0
      while (at < known && fits(pattern[at]!, bytes[at]!)) at++
      if (at === pattern.length) return true
      if (at === known) open = true
    }
    return open ? undefined : false
  }
}

function fits(wanted: string, byte: number): boolean {
  if (wanted === ANY) return true
  if (wanted === DIGIT) return byte >= 0x30 && byte <= 0x39
  if (wanted === CAPITAL) return byte >= 0x41 && byte <= 0x5a
  return wanted.charCodeAt(0) === byte
}
