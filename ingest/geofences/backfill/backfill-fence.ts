/** The one geofence of a backfill, as evaluation asks for geofences. */
import type pg from 'pg'
import { type FenceIds, reserve } from '../../../geofence/index/fence-ids.ts'
import type { Crossing } from '../../../geofence/index/fence-index.ts'
import type { Terms, WatchedFence } from '../../../geofence/index/fence-map.ts'
import { type Shape, shapeOf } from '../../../geofence/shapes/shape.ts'
import type { FenceFinder } from '../../../geofence/visits/loading.ts'
import { FenceReader } from '../fences/fence-reader.ts'

/** A geofence that cannot be run over history; the message is for the user. */
export class BackfillFenceError extends Error {
  override readonly name = 'BackfillFenceError'
}

export class BackfillFence implements FenceFinder, WatchedFence {
  readonly id: number
  readonly organizationId: number
  readonly version: number
  readonly terms: Terms
  readonly generation = 0
  private readonly shape: Shape
  private readonly hasCrossing: boolean

  private constructor(fence: WatchedFence, shape: Shape) {
    this.id = fence.id
    this.organizationId = fence.organizationId
    this.version = fence.version
    this.terms = fence.terms
    this.shape = shape
    this.hasCrossing = fence.terms.rules.some(({ crossingGapS }) => crossingGapS > 0)
  }

  /** @throws BackfillFenceError if it is gone or disabled, or cannot be evaluated. */
  static async read(client: pg.ClientBase, id: number): Promise<BackfillFence> {
    const reader = new FenceReader(client, 0)
    let found: BackfillFence | undefined
    for await (const { fences } of reader.pages([id])) {
      for (const { version, terms, organizationId, shape } of fences) {
        const fence = { id, organizationId, version, terms: reader.terms[terms]! }
        found = new BackfillFence(fence, shapeOf(shape.numbers))
      }
    }
    if (found !== undefined) return found
    throw new BackfillFenceError(reader.refused[0]?.message ?? 'the geofence is disabled or deleted')
  }

  find(geofence: number): WatchedFence | undefined {
    return geofence === this.id ? this : undefined
  }

  inside(organizationId: number, latitudeDeg: number, longitudeDeg: number, into: FenceIds): void {
    into.length = 0
    if (organizationId !== this.organizationId || !this.shape.contains(latitudeDeg, longitudeDeg)) return
    reserve(into, 1)
    into.ids[0] = this.id
    into.length = 1
  }

  crossed(organizationId: number, ...places: readonly [number, number, number, number]): readonly Crossing[] {
    if (!this.hasCrossing || organizationId !== this.organizationId) return []
    const ways = this.shape.segmentIntervals(...places)
    return ways.map(([from, to]) => ({ geofence: this.id, from, to }))
  }
}
