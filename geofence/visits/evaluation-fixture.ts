/** Tables of geofences in memory, with the timers that work on them, and a shard that evaluates one device. */

import type { GeofenceRule } from '../../schemas/geofence.ts'
import type { GeofenceEventType } from '../../schemas/geofence-event.ts'
import { type FenceIds, fenceIds, reserve } from '../index/fence-ids.ts'
import type { Crossing } from '../index/fence-index.ts'
import { type GeofenceChanges, type NewEvent, noChanges, type Visit } from './changes.ts'
import { firstEvent, NO_PLACE } from './events.ts'
import { type FenceFinder, loadState } from './loading.ts'
import { type History, revise } from './revision.ts'
import { type LookBack, lookBackOf } from './rules.ts'
import { inWindows, nextInstant } from './schedule.ts'
import { advance } from './visits.ts'
import type { DeviceState, Fix } from './visits-state.ts'

export const DEVICE = 7
export const ORGANIZATION = 3
export const WATCHED = { device: DEVICE, organizationId: ORGANIZATION, groups: [] }

/** A box with one rule. */
export interface Box {
  readonly id: number
  readonly south: number
  readonly north: number
  readonly west: number
  readonly east: number
  readonly timeZone: string
  readonly rule: GeofenceRule
}

/** Boxes, looked at one by one. */
export class Boxes implements FenceFinder {
  generation = 1
  boxes: readonly Box[]

  constructor(boxes: readonly Box[]) {
    this.boxes = boxes.toSorted((a, b) => a.id - b.id)
  }

  /** Replaces the boxes. */
  edit(boxes: readonly Box[]): void {
    this.boxes = boxes.toSorted((a, b) => a.id - b.id)
    this.generation++
  }

  get lookBack(): LookBack {
    return lookBackOf(this.boxes.map(({ rule, timeZone }) => ({ timeZone, rules: [rule] })))
  }

  find(id: number) {
    const box = this.boxes.find((other) => other.id === id)
    const organizationId = ORGANIZATION
    const terms = box && { timeZone: box.timeZone, rules: [box.rule] }
    return terms && { id, organizationId, version: this.generation, terms }
  }

  inside(organizationId: number, latitudeDeg: number, longitudeDeg: number, into: FenceIds): void {
    into.length = 0
    if (organizationId !== ORGANIZATION) return
    for (const box of this.boxes) {
      if (!contains(box, latitudeDeg, longitudeDeg)) continue
      reserve(into, 1)
      into.ids[into.length++] = box.id
    }
  }

  crossed(_: number, latitude0: number, longitude0: number, latitude1: number, longitude1: number) {
    const found: Crossing[] = []
    for (const box of this.boxes) {
      const way = wayThrough(box, latitude0, longitude0, latitude1, longitude1)
      if (box.rule.crossingGapS > 0 && way !== undefined) {
        found.push({ geofence: box.id, from: way[0], to: way[1] })
      }
    }
    return found
  }
}

export function contains(
  { south, north, west, east }: Box,
  latitudeDeg: number,
  longitudeDeg: number,
): boolean {
  return latitudeDeg >= south && latitudeDeg <= north && longitudeDeg >= west && longitudeDeg <= east
}

/** The part of a segment that lies inside, 0 … 1. */
export function wayThrough(
  { south, north, west, east }: Box,
  latitude0: number,
  longitude0: number,
  latitude1: number,
  longitude1: number,
): [number, number] | undefined {
  let from = 0
  let to = 1
  for (const [start, end, low, high] of [
    [latitude0, latitude1, south, north],
    [longitude0, longitude1, west, east],
  ] as const) {
    const way = end - start
    if (way === 0) {
      if (start < low || start > high) return undefined
      continue
    }
    const parts = [(low - start) / way, (high - start) / way]
    from = Math.max(from, Math.min(...parts))
    to = Math.min(to, Math.max(...parts))
  }
  return from < to ? [from, to] : undefined
}

/** What the store fails with, FF001. */
export class Contradiction extends Error {}

export interface EventRow extends NewEvent {
  readonly id: number
  superseded: boolean
}

interface VisitRow extends Visit {
  /** Of the last event that a timer made of it. */
  readonly firedMs: number
}

/** The tables of one device, and the timers that work on them. */
export class Tables {
  fixes: readonly Fix[] = []
  visits: readonly VisitRow[] = []
  events: readonly EventRow[] = []
  private readonly boxes: Boxes
  private instantsDoneMs: number
  private lastId = 0

  constructor(boxes: Boxes, startMs: number) {
    this.boxes = boxes
    this.instantsDoneMs = startMs
  }

  readonly history: History = {
    fixesBefore: async (timeMs, limit) => this.fixes.filter((fix) => fix.timeMs < timeMs).slice(-limit),
    fixesFrom: async (timeMs, limit) => this.fixes.filter((fix) => fix.timeMs >= timeMs).slice(0, limit),
    visits: async (fromMs, toMs) =>
      this.visits.filter(({ enteredMs, exitedMs }) => enteredMs <= toMs && !(exitedMs < fromMs)),
    neighbours: async (geofences, beforeMs, afterMs) =>
      geofences.flatMap((geofence) => {
        const own = this.visitsOf(geofence)
        const around = [
          own.findLast(({ exitedMs }) => exitedMs < beforeMs),
          own.find(({ enteredMs }) => enteredMs > afterMs),
        ]
        return around.filter((visit) => visit !== undefined)
      }),
    events: async (geofences, fromMs, toMs) =>
      this.events
        .filter(({ geofence, timeMs }) => geofences.includes(geofence) && timeMs >= fromMs && timeMs <= toMs)
        .map((event) => ({ ...event, current: !event.superseded && !event.retracted })),
  }

  current(): EventRow[] {
    return this.events.filter(({ superseded, retracted }) => !superseded && !retracted)
  }

  /** Stores what an evaluation found with its fixes, or nothing. @throws Contradiction */
  store(changes: GeofenceChanges, fixes: readonly Fix[]): void {
    const { visits, events, lastId } = this
    try {
      this.apply(changes)
    } catch (error) {
      Object.assign(this, { visits, events, lastId })
      throw error
    }
    this.fixes = [...this.fixes, ...fixes].sort(compareFixes)
  }

  /** Makes what is due by a moment, as the timers do. */
  fire(nowMs: number): void {
    for (const visit of this.visits) {
      if (!(visit.dueMs <= nowMs)) continue
      const type = Number.isNaN(visit.exitedMs) ? 'dwell' : 'absence'
      this.fireOnce(visit.geofence, type, visit.dueMs)
      this.replace({ ...visit, firedMs: visit.dueMs, dueMs: Number.NaN })
    }
    for (const { id, rule, timeZone } of this.boxes.boxes) {
      if (rule.insideBy === null) continue
      const next = (timeMs: number) => nextInstant(rule.insideBy!, timeZone, timeMs)
      for (let at = next(this.instantsDoneMs); at <= nowMs; at = next(at)) {
        const isInside = this.visitsOf(id).some((visit) => isIn(visit, at))
        const hasReported = this.fixes.some(({ timeMs }) => timeMs <= at)
        if (hasReported && !isInside && inWindows(at, timeZone, rule.windows))
          this.fireOnce(id, 'missing', at)
      }
    }
    this.instantsDoneMs = Math.max(this.instantsDoneMs, nowMs)
  }

  private fireOnce(geofence: number, type: GeofenceEventType, timeMs: number): void {
    const event = firstEvent({ device: DEVICE, geofence, version: 1 }, type, timeMs, NO_PLACE)
    if (!this.has(event)) this.insert(event)
  }

  private apply({ opened, changed, removed, events }: GeofenceChanges): void {
    /** What timers made that must not hold any more. */
    const spent: VisitRow[] = []
    for (const visit of removed) {
      const old = this.find(visit)
      if (old === undefined) throw new Error('a visit is removed that is not there')
      this.visits = this.visits.filter((other) => other !== old)
      spent.push(old)
    }
    for (const visit of changed) {
      const old = this.find(visit)
      if (old === undefined) throw new Error('a visit is changed that is not there')
      const { firedMs } = old
      this.replace({ ...visit, firedMs: visit.firedMs ?? firedMs })
      const isMoved = !Object.is(old.exitedMs, visit.exitedMs)
      if (isMoved && (firedMs > visit.exitedMs || firedMs > old.exitedMs)) spent.push(old)
    }
    for (const visit of opened) {
      if (this.find(visit) !== undefined) throw new Error('a visit is opened that is there')
      this.visits = [...this.visits, { firedMs: Number.NaN, ...visit }]
    }
    for (const { geofence, enteredMs } of opened) {
      const before = this.visitsOf(geofence).findLast((visit) => visit.enteredMs < enteredMs)
      if (before === undefined) continue
      if (before.firedMs > enteredMs) spent.push(before)
      if (before.dueMs > enteredMs) this.replace({ ...before, dueMs: Number.NaN })
    }
    for (const event of events) this.correct(event)
    for (const { geofence, type, timeMs } of this.current()) {
      const isFired = (visit: Omit<Visit, 'device'>) =>
        visit.geofence === geofence && visit.firedMs === timeMs
      const isSpent = spent.some(isFired) && ![...opened, ...changed].some(isFired)
      const isInside = this.visitsOf(geofence).some((visit) => isIn(visit, timeMs))
      if (type === 'missing' ? isInside : isSpent && (type === 'dwell' || type === 'absence')) {
        throw new Contradiction(`${type} does not hold any more`)
      }
    }
  }

  private correct(event: NewEvent): void {
    const { geofence, replaces, replacesTimeMs } = event
    if (replaces !== null) {
      const old = this.events.find(({ id }) => id === replaces)
      if (old === undefined || old.superseded || old.retracted || old.timeMs !== replacesTimeMs) {
        throw new Error('an event is corrected that is not current')
      }
      this.events = this.events.map((other) => (other === old ? { ...old, superseded: true } : other))
      // It is as if no timer had made it.
      this.visits = this.visits.map((visit) =>
        visit.geofence === geofence && visit.firedMs === old.timeMs
          ? { ...visit, firedMs: Number.NaN }
          : visit,
      )
    }
    if (!this.has(event)) this.insert(event)
    else {
      const isOfTimer = event.revision === 0 && ['dwell', 'absence', 'missing'].includes(event.type)
      const isThere = this.current().some((other) => isSameMoment(other, event))
      if (!isOfTimer || !isThere) throw new Contradiction('the key of an event is there')
    }
  }

  private has(event: NewEvent): boolean {
    return this.events.some((other) => isSameMoment(other, event) && other.revision === event.revision)
  }

  private insert(event: NewEvent): void {
    this.events = [...this.events, { ...event, id: ++this.lastId, superseded: false }]
  }

  private find(visit: Pick<Visit, 'geofence' | 'enteredMs'>): VisitRow | undefined {
    return this.visits.find((other) => isSameVisit(other, visit))
  }

  private replace(visit: VisitRow): void {
    this.visits = this.visits.map((other) => (isSameVisit(other, visit) ? visit : other))
  }

  private visitsOf(geofence: number): VisitRow[] {
    return this.visits
      .filter((visit) => visit.geofence === geofence)
      .sort((a, b) => a.enteredMs - b.enteredMs)
  }
}

const isIn = ({ enteredMs, exitedMs }: Visit, timeMs: number) => enteredMs <= timeMs && !(exitedMs <= timeMs)

type VisitKey = Pick<Visit, 'geofence' | 'enteredMs'>
const isSameVisit = (a: VisitKey, b: VisitKey) => a.geofence === b.geofence && a.enteredMs === b.enteredMs

type EventKey = Pick<NewEvent, 'geofence' | 'type' | 'timeMs'>
const isSameMoment = (a: EventKey, b: EventKey) =>
  a.geofence === b.geofence && a.type === b.type && a.timeMs === b.timeMs

export const compareFixes = (a: Fix, b: Fix) =>
  a.timeMs - b.timeMs || a.digestHigh - b.digestHigh || a.digestLow - b.digestLow

/** Evaluates one device as a shard does. */
export class OneDeviceShard {
  /** Pieces that were evaluated by revision. */
  revisions = 0
  private readonly boxes: Boxes
  private readonly tables: Tables
  private readonly pageRows: number
  private state: DeviceState | undefined

  constructor(boxes: Boxes, tables: Tables, pageRows: number) {
    this.boxes = boxes
    this.tables = tables
    this.pageRows = pageRows
  }

  /** As after a restart. */
  forget(): void {
    this.state = undefined
  }

  async take(fixes: readonly Fix[], nowMs: number): Promise<void> {
    const { tables } = this
    const before = this.state ?? this.load()
    const isStored = (fix: Fix) => tables.fixes.some((stored) => compareFixes(stored, fix) === 0)
    const fresh = fixes.filter((fix) => !isStored(fix)).sort(compareFixes)
    try {
      this.state = await this.evaluate(before, fresh, nowMs, false)
    } catch (error) {
      if (!(error instanceof Contradiction)) throw error
      this.state = await this.evaluate(before, fresh, nowMs, true)
    }
  }

  /** What a piece would change whose fixes are all stored. */
  async takeAgain(fixes: readonly Fix[], nowMs: number): Promise<GeofenceChanges> {
    const changes = noChanges()
    await this.revised(this.state ?? this.load(), fixes.toSorted(compareFixes), nowMs, changes)
    return changes
  }

  private async evaluate(
    before: DeviceState,
    fixes: readonly Fix[],
    nowMs: number,
    byRevision: boolean,
  ): Promise<DeviceState> {
    const changes = noChanges()
    const late = fixes.filter((fix) => before.order(fix) === 'late')
    let state = before.clone()
    if (byRevision || late.length > 0) {
      state = await this.revised(before, byRevision ? fixes : late, nowMs, changes)
    }
    for (const fix of fixes) {
      if (state.order(fix) !== 'next') continue
      this.boxes.inside(ORGANIZATION, fix.latitudeDeg, fix.longitudeDeg, this.into)
      if (!advance(state, fix, this.into, this.boxes, nowMs, changes)) {
        return this.evaluate(before, fixes, nowMs, true)
      }
    }
    this.tables.store(changes, fixes)
    return state
  }

  private readonly into = fenceIds()

  private revised(state: DeviceState, fixes: readonly Fix[], nowMs: number, changes: GeofenceChanges) {
    const { boxes, tables, pageRows } = this
    this.revisions++
    const { lookBack } = boxes
    return revise(
      state,
      fixes,
      { fences: boxes, history: tables.history, lookBack, nowMs, pageRows },
      changes,
    )
  }

  private load(): DeviceState {
    const { fixes, visits } = this.tables
    const { lookBack } = this.boxes
    const lastMs = fixes.at(-1)?.timeMs ?? 0
    const first = Math.min(
      Math.max(0, fixes.length - lookBack.fixes),
      fixes.findIndex(({ timeMs }) => timeMs >= lastMs - lookBack.seconds * 1000),
    )
    return loadState(WATCHED, visits, fixes.slice(Math.max(first, 0)), this.boxes)
  }
}
