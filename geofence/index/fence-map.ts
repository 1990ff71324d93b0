/**
 * The geofences as they are now: a base that takes its time to build, a small delta of what has changed since, and the
 * ids of the base that count no more. An update replaces whole parts, so that a look-up sees all of it or nothing.
 */
import type { GeofenceRule } from '../../schemas/geofence.ts'
import { type FenceIds, fenceIds, placeOf, reserve } from './fence-ids.ts'
import { type Crossing, FenceIndex, type FenceIndexData } from './fence-index.ts'

/** By what a geofence is watched; geofences with the same terms share them. */
export interface Terms {
  readonly timeZone: string
  readonly rules: readonly GeofenceRule[]
}

/** What `FenceMap.apply` takes; posted between threads without a copy of the indexes. */
export interface FenceMapUpdate {
  /** Replaces the base; without it the base stays. */
  readonly base?: FenceIndexData
  /** Replaces the delta: geofences that are not in the base, or not as they are now; null = none. */
  readonly delta: FenceIndexData | null
  /** Replaces the set of ids of the base that are deleted, disabled or in the delta; in any order. */
  readonly gone: Int32Array
  /** Terms from number `termsFrom` on; those before stay, what was there from it on is replaced. */
  readonly termsFrom: number
  readonly terms: readonly Terms[]
}

/** A geofence of the map. */
export interface WatchedFence {
  readonly id: number
  readonly organizationId: number
  readonly version: number
  readonly terms: Terms
}

const NO_CROSSINGS: Crossing[] = []
const NONE_GONE = new Int32Array()

/** Answers which geofences a place is in. An empty one has none. */
export class FenceMap {
  /** Counted up by each update. */
  generation = 0
  private base: FenceIndex | null = null
  private delta: FenceIndex | null = null
  /** Ascending. */
  private gone = NONE_GONE
  /** How many of `gone` an organisation has. */
  private goneByOrganization = new Map<number, number>()
  private terms: readonly Terms[] = []
  private readonly ofBase = fenceIds()
  private readonly ofDelta = fenceIds()

  apply(update: FenceMapUpdate): void {
    const base = update.base === undefined ? this.base : new FenceIndex(update.base)
    const gone = update.gone.toSorted()
    const goneByOrganization = new Map<number, number>()
    for (const id of gone) {
      const fence = base?.find(id) ?? -1
      if (fence < 0) continue
      const organizationId = base!.organizationAt(fence)
      goneByOrganization.set(organizationId, (goneByOrganization.get(organizationId) ?? 0) + 1)
    }
    this.generation++
    this.base = base
    this.delta = update.delta === null ? null : new FenceIndex(update.delta)
    this.gone = gone
    this.goneByOrganization = goneByOrganization
    this.terms = [...this.terms.slice(0, update.termsFrom), ...update.terms]
  }

  /** Whether the organisation has any geofence that is watched. */
  watches(organizationId: number): boolean {
    if ((this.delta?.countOf(organizationId) ?? 0) > 0) return true
    const inBase = this.base?.countOf(organizationId) ?? 0
    return inBase > (this.goneByOrganization.get(organizationId) ?? 0)
  }

  /** Replaces the content of `into` by the ids of the organisation's geofences that have the place, ascending. Degrees. */
  inside(organizationId: number, latitudeDeg: number, longitudeDeg: number, into: FenceIds): void {
    const { base, delta, gone } = this
    into.length = 0
    if (delta === null && gone.length === 0) {
      base?.inside(organizationId, latitudeDeg, longitudeDeg, into)
      return
    }
    const { ofBase, ofDelta } = this
    ofBase.length = 0
    ofDelta.length = 0
    base?.inside(organizationId, latitudeDeg, longitudeDeg, ofBase)
    delta?.inside(organizationId, latitudeDeg, longitudeDeg, ofDelta)
    reserve(into, ofBase.length + ofDelta.length)
    const { ids } = into
    const checked = this.goneByOrganization.has(organizationId)
    let length = 0
    let next = 0
    for (let i = 0; i < ofBase.length; i++) {
      const id = ofBase.ids[i]!
      if (checked && placeOf(gone, id) >= 0) continue
      while (next < ofDelta.length && ofDelta.ids[next]! < id) ids[length++] = ofDelta.ids[next++]!
      ids[length++] = id
    }
    while (next < ofDelta.length) ids[length++] = ofDelta.ids[next++]!
    into.length = length
  }

  /**
   * Ways through the organisation's geofences with `crossing`, along the straight line in longitude and latitude between
   * two places, the shorter way round the globe. By geofence, then along the line.
   */
  crossed(
    organizationId: number,
    fromLatitudeDeg: number,
    fromLongitudeDeg: number,
    toLatitudeDeg: number,
    toLongitudeDeg: number,
  ): readonly Crossing[] {
    const place = [fromLatitudeDeg, fromLongitudeDeg, toLatitudeDeg, toLongitudeDeg] as const
    let ofBase = this.base?.crossed(organizationId, ...place) ?? NO_CROSSINGS
    const ofDelta = this.delta?.crossed(organizationId, ...place) ?? NO_CROSSINGS
    if (ofBase.length > 0 && this.goneByOrganization.has(organizationId)) {
      ofBase = ofBase.filter(({ geofence }) => placeOf(this.gone, geofence) < 0)
    }
    if (ofDelta.length === 0) return ofBase
    if (ofBase.length === 0) return ofDelta
    return [...ofBase, ...ofDelta].sort((a, b) => a.geofence - b.geofence || a.from - b.from)
  }

  /** The geofence of this id, if it is watched. */
  find(id: number): WatchedFence | undefined {
    let index = this.delta
    let fence = index?.find(id) ?? -1
    if (fence < 0) {
      index = this.base
      fence = index?.find(id) ?? -1
      if (fence < 0 || placeOf(this.gone, id) >= 0) return undefined
    }
    return {
      id,
      organizationId: index!.organizationAt(fence),
      version: index!.versionAt(fence),
      terms: this.terms[index!.termsAt(fence)]!,
    }
  }
}
