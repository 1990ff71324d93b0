/** Quality of positions in the order in which a shard sees them: what cannot be true is marked, not dropped. */
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { FUTURE_MS, JUMP_KMH, QUALITY } from '../../schemas/quality.ts'

/** After so many jumps in a row it is the old place that was wrong. */
const JUMPS_MAX = 3
/** Below this distance a jump is the receiver's noise, m. */
const JUMP_M_MIN = 2_000
const EARTH_M_PER_DEGREE = 111_195
const RADIANS = Math.PI / 180

/** Last good fix of a device. */
interface LastFix {
  timeMs: number
  latitudeDeg: number
  longitudeDeg: number
  jumps: number
}

/** Marks rows against the last good fix of their device. One a shard: a device stays with its shard. */
export class QualityCheck {
  private readonly lastFixes = new Map<number, LastFix>()

  /** Sets {@link QUALITY} bits of all rows of a batch. */
  mark(batch: PositionBatch): void {
    const { fixTimeMs, receivedMs, latitudeDeg, longitudeDeg, device, quality } = batch
    for (let row = 0; row < batch.length; row++) {
      const timeMs = fixTimeMs[row]!
      if (timeMs > receivedMs[row]! + FUTURE_MS) quality[row]! |= QUALITY.future
      if (quality[row] !== 0) continue
      const latitude = latitudeDeg[row]!
      const longitude = longitudeDeg[row]!
      const last = this.lastFixes.get(device[row]!)
      if (last === undefined) {
        this.lastFixes.set(device[row]!, { timeMs, latitudeDeg: latitude, longitudeDeg: longitude, jumps: 0 })
        continue
      }
      const hours = (timeMs - last.timeMs) / 3_600_000
      // A late fix is no jump: it is compared with nothing, and the last fix stays.
      if (hours < 0) continue
      const distanceM = distance(last.latitudeDeg, last.longitudeDeg, latitude, longitude)
      if (distanceM > JUMP_M_MIN && distanceM / 1000 > JUMP_KMH * hours && last.jumps < JUMPS_MAX) {
        quality[row]! |= QUALITY.jump
        last.jumps++
        continue
      }
      last.timeMs = timeMs
      last.latitudeDeg = latitude
      last.longitudeDeg = longitude
      last.jumps = 0
    }
  }
}

/** Metres between two places, on a sphere made flat between them: right to some percent, which is enough here. */
function distance(latitudeA: number, longitudeA: number, latitudeB: number, longitudeB: number): number {
  let east = Math.abs(longitudeB - longitudeA)
  if (east > 180) east = 360 - east
  const x = east * Math.cos(((latitudeA + latitudeB) / 2) * RADIANS)
  return Math.hypot(x, latitudeB - latitudeA) * EARTH_M_PER_DEGREE
}
