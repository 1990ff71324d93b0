/** What is known of a device between two fixes, and what evaluation is handed. */
import type { GeofenceRule } from '../../schemas/geofence.ts'
import type { FenceIds } from '../index/fence-ids.ts'
import type { Crossing } from '../index/fence-index.ts'
import type { WatchedFence } from '../index/fence-map.ts'
import type { Visit } from './changes.ts'
import { dwellMs, ruleFor } from './rules.ts'

/** A fix that counts: undoubted, with a place. What is handed in may be used again for the next one. */
export interface Fix {
  /** ms UTC. */
  readonly timeMs: number
  /** Of the record, as unsigned numbers. */
  readonly digestHigh: number
  readonly digestLow: number
  readonly latitudeDeg: number
  readonly longitudeDeg: number
  /** NaN where it was not reported. Taken as a float32, which is what the database keeps. */
  readonly speedKmh: number
}

/** A geofence as it is now. */
export type Fence = WatchedFence

/** What evaluation asks of the geofences; `FenceMap` is one. */
export interface Fences {
  /** Counted up by each change of the geofences: what was looked up before is looked up anew. */
  readonly generation: number
  /** @returns undefined where it is gone or disabled. */
  find(geofence: number): Fence | undefined
  /** The ways of a straight segment through geofences that have a rule with `crossingGapS`. */
  crossed(
    organizationId: number,
    fromLatitudeDeg: number,
    fromLongitudeDeg: number,
    toLatitudeDeg: number,
    toLongitudeDeg: number,
  ): readonly Crossing[]
}

/** Who is evaluated. */
export interface WatchedDevice {
  readonly device: number
  readonly organizationId: number
  /** Ids of its groups. */
  readonly groups: readonly number[]
}

/** Fixes in a row, up to the last one, that lie on the other side than the one that counts. */
export interface Run {
  readonly fixes: number
  /** Of the first of them, as are the others. */
  readonly timeMs: number
  readonly latitudeDeg: number
  readonly longitudeDeg: number
  readonly speedKmh: number
}

/** A geofence that the device is inside of, or that it begins to be. Never changed, but replaced: clones share them. */
export interface Member {
  readonly geofence: number
  /** Of the geofence as it is now, as are its rule for the device and its time zone. */
  readonly version: number
  readonly rule: GeofenceRule
  readonly timeZone: string
  /** Of the visit; NaN = outside. */
  readonly enteredMs: number
  readonly enteredVersion: number
  /** Of the visit, ms UTC; NaN = none, or made already. */
  readonly dwellMs: number
  /** Where the visit was put into the changes of its piece. Of no meaning in others. */
  readonly openedAt: number
  readonly speeding: boolean
  /** null while the last fix lies on the side that counts. */
  readonly run: Run | null
}

const NO_IDS = new Int32Array()

/**
 * A geofence as one that the device is outside of; undefined where it does not watch the device, as that of an
 * organisation that the device has left.
 */
export function outside(
  geofence: number,
  { organizationId, groups }: WatchedDevice,
  fences: Fences,
): Member | undefined {
  const fence = fences.find(geofence)
  if (fence?.organizationId !== organizationId) return undefined
  const rule = ruleFor(fence.terms, groups)
  return rule && memberOf(fence, rule)
}

/**
 * A geofence that has a visit of a device which it does not watch any more: the next fix ends the visit, without a word.
 * Undefined where it is gone or disabled, and the database has done so.
 */
export function left(geofence: number, fences: Fences): Member | undefined {
  const fence = fences.find(geofence)
  const rule = fence?.terms.rules[0]
  return rule && memberOf(fence!, rule)
}

function memberOf({ id, version, terms }: Fence, rule: GeofenceRule): Member {
  return {
    geofence: id,
    version,
    rule,
    timeZone: terms.timeZone,
    enteredMs: Number.NaN,
    enteredVersion: 0,
    dwellMs: Number.NaN,
    openedAt: -1,
    speeding: false,
    run: null,
  }
}

/** The same geofence as one that the device has entered. */
export function entered(member: Member, enteredMs: number, version: number): Member {
  const { rule, timeZone } = member
  return { ...member, enteredMs, enteredVersion: version, dwellMs: dwellMs(rule, timeZone, enteredMs) }
}

/** What is known of a device after its last fix. */
export class DeviceState implements WatchedDevice {
  readonly device: number
  readonly organizationId: number
  readonly groups: readonly number[]
  /** Of the last fix; NaN before the first one. */
  timeMs = Number.NaN
  digestHigh = 0
  digestLow = 0
  latitudeDeg = Number.NaN
  longitudeDeg = Number.NaN
  /** Geofences that the last fix lies inside of, watched or not. Replaced, never written to. */
  raw: Int32Array = NO_IDS
  /** By id. Replaced, never written to. */
  members: readonly Member[] = []
  /** Of the geofences when they were last looked at. */
  generation = -1
  /** Whether there is a run of fixes on another side than the one that counts. */
  runs = false
  private speeding = false
  private speedLimitKmh = Number.POSITIVE_INFINITY
  /** Whether a revision of the same piece may have put visits of this device into its changes. */
  revised = false

  constructor({ device, organizationId, groups }: WatchedDevice) {
    this.device = device
    this.organizationId = organizationId
    this.groups = groups
  }

  /**
   * For a piece that may not get stored: the clone is advanced, and takes the place of this one when it is. To be taken
   * once for each {@link GeofenceChanges}. Costs the same whatever the device is inside of.
   */
  clone(): DeviceState {
    const clone = new DeviceState(this)
    clone.timeMs = this.timeMs
    clone.digestHigh = this.digestHigh
    clone.digestLow = this.digestLow
    clone.latitudeDeg = this.latitudeDeg
    clone.longitudeDeg = this.longitudeDeg
    clone.raw = this.raw
    clone.members = this.members
    clone.generation = this.generation
    clone.runs = this.runs
    clone.speeding = this.speeding
    clone.speedLimitKmh = this.speedLimitKmh
    return clone
  }

  /**
   * What is to be done with a fix: `next` is for {@link advance}; `late` is for `revise`, with all that are late of the
   * piece; `passed` changes nothing, since it is the last one itself or another one of its time.
   */
  order({ timeMs, digestHigh, digestLow }: Fix): 'next' | 'late' | 'passed' {
    // Written so that before the first fix all is next.
    if (!(timeMs <= this.timeMs)) return 'next'
    if (timeMs < this.timeMs) return 'late'
    return (digestHigh - this.digestHigh || digestLow - this.digestLow) < 0 ? 'late' : 'passed'
  }

  /** Up to when what follows from visits is certain: no later fix changes a side before it. */
  settledMs(): number {
    let settledMs = this.timeMs
    for (const { run } of this.members) if (run !== null) settledMs = Math.min(settledMs, run.timeMs)
    return settledMs
  }

  /** Takes over the visits that are open, which are in the same geofences; those without `dueMs` have no dwell to come. */
  takeVisits(visits: readonly Omit<Visit, 'device'>[]): void {
    const open = new Map(
      visits.filter(({ exitedMs }) => Number.isNaN(exitedMs)).map((visit) => [visit.geofence, visit]),
    )
    this.members = this.members.map((member) => {
      const visit = open.get(member.geofence)
      if (visit === undefined || Number.isNaN(member.enteredMs)) return member
      const next = entered(member, visit.enteredMs, visit.version)
      return Number.isNaN(visit.dueMs) ? { ...next, dwellMs: Number.NaN } : next
    })
  }

  /** Whether a fix inside of `inside` only moves the device. */
  isQuiet(inside: FenceIds, speedKmh: number, generation: number): boolean {
    if (this.runs || this.speeding || speedKmh > this.speedLimitKmh || generation !== this.generation) {
      return false
    }
    return this.isAt(inside)
  }

  /** Whether the last fix lies inside of the same geofences. */
  isAt({ ids, length }: FenceIds): boolean {
    const { raw } = this
    if (raw.length !== length) return false
    for (let i = 0; i < length; i++) if (raw[i] !== ids[i]) return false
    return true
  }

  moveTo({ timeMs, digestHigh, digestLow, latitudeDeg, longitudeDeg }: Fix): void {
    this.timeMs = timeMs
    this.digestHigh = digestHigh
    this.digestLow = digestLow
    this.latitudeDeg = latitudeDeg
    this.longitudeDeg = longitudeDeg
  }

  setMembers(members: readonly Member[]): void {
    this.members = members
    this.runs = false
    this.speeding = false
    this.speedLimitKmh = Number.POSITIVE_INFINITY
    for (const { enteredMs, rule, run, speeding } of members) {
      if (run !== null) this.runs = true
      if (speeding) this.speeding = true
      if (rule.speedLimitKmh !== null && !Number.isNaN(enteredMs)) {
        this.speedLimitKmh = Math.min(this.speedLimitKmh, rule.speedLimitKmh)
      }
    }
  }
}
