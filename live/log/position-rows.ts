/** Stored positions back into the column batch that they once were. */
import type { Position } from '../../schemas/position.ts'
import { PositionBatch } from '../../schemas/position-batch.ts'

/** Of two records of one moment the greater digest is shown: what comes from a shard goes before what was read. */
const LEAST_DIGEST_HIGH = 0x8000_0000

/** A batch of undoubted positions, without what live does not show of them. */
export function batchOf(positions: readonly Position[]): PositionBatch {
  const batch = new PositionBatch(Math.max(8, Math.ceil(positions.length / 8) * 8))
  for (const position of positions) {
    if (position.latitude === null || position.longitude === null || position.quality.length > 0) continue
    const row = batch.add(Date.parse(position.fixTime), position.latitude, position.longitude)
    batch.device[row] = position.device
    batch.digestHigh[row] = LEAST_DIGEST_HIGH
    batch.receivedMs[row] = Date.parse(position.receivedAt)
    batch.altitudeM[row] = position.altitude ?? Number.NaN
    batch.speedKmh[row] = position.speed ?? Number.NaN
    batch.courseDeg[row] = position.course ?? Number.NaN
    if (position.satellites !== null) batch.set(row, 'sat', position.satellites)
    if (position.hdop !== null) batch.set(row, 'hdop', position.hdop)
    for (const [key, value] of Object.entries(position.attributes)) {
      if (typeof value === 'object') batch.setJson(row, key, value as object)
      else batch.set(row, key, value as string | number | boolean)
    }
  }
  return batch
}
