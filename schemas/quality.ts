/**
 * Quality: a bit set that says why a position is doubted. 0 is a position without doubt. Doubtful rows are
 * kept and marked, and left out of the live state.
 */
export const QUALITY = {
  /** The message carries no place: latitude and longitude are absent, the time is the device's or the server's. */
  noPlace: 1,
  /** The receiver itself says that the fix is not valid (NMEA status V). */
  invalidFix: 2,
  /** The message carries no time that can be used: the time of receipt stands in its place. */
  noTime: 4,
  /** The fix lies more than {@link FUTURE_MS} after the time of receipt. */
  future: 8,
  /** The device would have had to move faster than {@link JUMP_KMH} since its last good position. */
  jump: 16,
  /** The checksum of the frame does not fit, in a protocol whose devices are known to get it wrong. */
  checksum: 32,
} as const

export type QualityName = keyof typeof QUALITY

/** A fix may lie this far after the time of receipt, ms: clocks of devices drift. */
export const FUTURE_MS = 24 * 3600 * 1000

/** Faster than this between two good positions no vehicle on the ground moves, km/h. */
export const JUMP_KMH = 1000

/** Names of the bits that are set, in the order of {@link QUALITY}. */
export function qualityNames(bits: number): QualityName[] {
  return (Object.keys(QUALITY) as QualityName[]).filter((name) => (bits & QUALITY[name]) !== 0)
}
