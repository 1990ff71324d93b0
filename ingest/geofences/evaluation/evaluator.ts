/**
 * Evaluates positions against geofences, in the thread of their shard, before they are stored: what they change of visits
 * and events is committed with them or not at all. States of devices are in memory as far as they were committed: what a
 * piece makes of them takes their place only then.
 */
import type pg from 'pg'
import { FenceMap, type FenceMapUpdate } from '../../../geofence/index/fence-map.ts'
import {
  countChanges,
  cutBack,
  type GeofenceChanges,
  lengthsOf,
  noChanges,
  TooManyChanges,
} from '../../../geofence/visits/changes.ts'
import { isOutdated, loadState } from '../../../geofence/visits/loading.ts'
import { revise } from '../../../geofence/visits/revision.ts'
import { type LookBack, lookBackOf } from '../../../geofence/visits/rules.ts'
import { advance } from '../../../geofence/visits/visits.ts'
import type { GeofenceEventType } from '../../../schemas/geofence-event.ts'
import type { LiveEvent } from '../../../schemas/live-port.ts'
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { type CopyAnswer, failedBeforeCopy } from '../../shards/copy-query.ts'
import type { EvaluationFigures } from '../../shards/shard-messages.ts'
import {
  appliedEvents,
  applyStatement,
  CONTRADICTION,
  contradictedDevices,
  contradictedUntilMs,
  DEVICES_LOST,
  type Guard,
  lostDevices,
  newOwner,
} from '../geofence-store.ts'
import { loadDevices } from '../geofence-store-devices.ts'
import { StoredHistory } from '../geofence-store-history.ts'
import { isOfEvaluation, isOutcomeUnknown } from './evaluator-errors.ts'
import { type DeviceRun, deviceRuns, Fixes, leaveOutStored } from './evaluator-runs.ts'
import { DeviceStates } from './evaluator-states.ts'

/** Devices loaded by one statement. */
const LOAD_DEVICES = 1_000
/** How often a piece is evaluated anew before it is stored without. */
const ATTEMPTS_MAX = 5
/** Visits and events that a piece may change: the database needs some seconds for them. */
const CHANGES_MAX = 50_000
/** How many times that one row may change, which is not to be parted: what takes longer is taken for a lost server. */
const ROW_CHANGES_FACTOR = 10

/** What is to be stored with rows, in one transaction. */
export interface Evaluation {
  /** Those rows that are to be copied: it turned out that the others are stored. */
  readonly rows: Uint32Array
  /**
   * Text of what is to go before the COPY.
   * @param batchNumber Under which the rows are stored.
   */
  statements(batchNumber: number): string
  /** @returns The events that were stored. */
  committed(answer: CopyAnswer): readonly LiveEvent[]
  /**
   * Nothing was stored, or nobody knows.
   * @returns Whether the rows are to be evaluated and sent again at once; else the error is not of the evaluation.
   */
  failed(error: Error): Promise<boolean>
}

export class Evaluator {
  private readonly fences = new FenceMap()
  private baseCount = 0
  /** Neither base nor delta has any: nothing is looked at then. */
  private empty = true
  private readonly states: DeviceStates
  private readonly changesMax: number
  /** Of all devices that were met, 0 for those that are deleted. The registry of the process has far more of each. */
  private readonly organizations = new Map<number, number>()
  /** As far back as any rule since the start looked. */
  private lookBack: LookBack = { fixes: 1, seconds: 0 }
  /** What others told since the last piece. */
  private readonly told: (() => void)[] = []
  private guard: Guard | undefined
  /** Devices for which the database knows more than their states. */
  private readonly contradicted = new Set<number>()
  /** As far as timers are known to have come, ms UTC. */
  private timersMs = 0
  private attempts = 0
  private figures = noFigures()

  /**
   * @param devicesMax Devices whose state is in memory, at most, but for those of one piece.
   * @param changesMax Visits and events that are stored as one.
   */
  constructor(devicesMax: number, changesMax = CHANGES_MAX) {
    this.changesMax = changesMax
    this.states = new DeviceStates(devicesMax)
  }

  /** Geofences that count from the next piece on. */
  update(update: FenceMapUpdate): void {
    this.told.push(() => {
      this.fences.apply(update)
      this.baseCount = update.base?.count ?? this.baseCount
      this.empty = this.baseCount === 0 && (update.delta?.count ?? 0) === 0
      const { fixes, seconds } = lookBackOf(update.terms)
      const { lookBack } = this
      this.lookBack = {
        fixes: Math.max(fixes, lookBack.fixes),
        seconds: Math.max(seconds, lookBack.seconds),
      }
      // Of what comes meanwhile they would know nothing.
      if (this.empty) this.forgetAll()
    })
  }

  /**
   * Others may have changed what is known of these devices: it is read anew when they are met again.
   * @param devices undefined = all.
   */
  forget(devices: readonly number[] | undefined): void {
    this.told.push(() => this.forgetNow(devices ?? [...this.organizations.keys()]))
  }

  /**
   * Rows turned out to be stored. A device of which that is news, as after a commit that was taken for lost, is read anew.
   * @param left Those of `rows` that are not stored.
   */
  stored(batch: PositionBatch, rows: Uint32Array, left: Uint32Array): void {
    if (left.length === rows.length) return
    const fixes = new Fixes(batch)
    const unstored = new Set(left)
    for (const row of rows) {
      if (batch.quality[row] !== 0 || unstored.has(row)) continue
      const device = batch.device[row]!
      if (this.states.get(device)?.order(fixes.at(row)) === 'next') this.forgetNow([device])
    }
  }

  /** What was done since the last call; undefined where there is nothing to do. */
  takeFigures(): EvaluationFigures | undefined {
    if (this.empty) return undefined
    const { figures, states } = this
    this.figures = noFigures()
    const { evicted } = states
    states.evicted = 0
    return { ...figures, devices: states.size, evicted }
  }

  /**
   * @param rows Of the batch, by day, device, time and digest.
   * @param unstored Whether it is known that none of them is stored.
   * @param heard Called from time to time, while the database answers.
   * @returns undefined where no geofence watches any of the rows.
   * @throws pg.DatabaseError, or the error of the connection; TooManyChanges where it is to be given fewer rows.
   */
  async evaluate(
    client: pg.ClientBase,
    batch: PositionBatch,
    rows: Uint32Array,
    unstored: boolean,
    heard: () => void,
  ): Promise<Evaluation | undefined> {
    for (const change of this.told.splice(0)) change()
    if (this.empty) return undefined
    const startMs = performance.now()
    try {
      while (this.attempts < ATTEMPTS_MAX) {
        try {
          return await this.evaluatePiece(client, batch, rows, unstored, heard)
        } catch (error) {
          // Not to be taken for a fault of the rows.
          if (!isOfEvaluation(error as Error)) throw error
          if (error instanceof TooManyChanges && rows.length > 1) throw error
          this.failedFor(error as Error)
          this.forgetNow(devicesOf(batch, rows))
        }
      }
      this.giveUp(devicesOf(batch, rows))
      return undefined
    } finally {
      this.figures.seconds += (performance.now() - startMs) / 1000
    }
  }

  private async evaluatePiece(
    client: pg.ClientBase,
    batch: PositionBatch,
    rows: Uint32Array,
    unstored: boolean,
    heard: () => void,
  ): Promise<Evaluation | undefined> {
    const fixes = new Fixes(batch)
    const runs = await this.watchedRuns(client, fixes, rows, heard)
    if (runs.length === 0) return undefined
    const rest = unstored ? rows : await leaveOutStored(client, fixes, rows, runs)
    const changes = noChanges()
    const nowMs = Math.max(Date.now(), this.timersMs)
    const changesMax = rows.length > 1 ? this.changesMax : this.changesMax * ROW_CHANGES_FACTOR
    for (const run of runs) {
      if (!this.advanceRun(run, fixes, nowMs, changes, changesMax)) {
        await this.reviseRun(client, run, fixes, { nowMs, changesMax, heard }, changes)
      }
    }
    const guard = this.guard!
    return {
      rows: rest,
      statements: (batchNumber) => applyStatement(changes, guard, nowMs, batchNumber),
      committed: (answer) => this.committed(runs, answer),
      failed: (error) => this.failed(client, runs, error),
    }
  }

  /** Runs of the devices that geofences watch, with their states. */
  private async watchedRuns(
    client: pg.ClientBase,
    fixes: Fixes,
    rows: Uint32Array,
    heard: () => void,
  ): Promise<DeviceRun[]> {
    const nowMs = Date.now()
    const { organizations, fences, states } = this
    let runs = deviceRuns(fixes.batch, rows, (device) => {
      const organization = organizations.get(device)
      return organization === undefined || fences.watches(organization) || this.stopWatching(device)
    })
    const unknown = runs.filter(({ device }) => !organizations.has(device))
    if (unknown.length > 0) {
      await this.readOrganizations(client, unknown)
      runs = runs.filter(({ device }) => fences.watches(organizations.get(device)!))
    }
    let absent: number[] = []
    for (const run of runs) {
      run.state = states.get(run.device)
      if (run.state !== undefined && isOutdated(run.state, fences, nowMs)) {
        states.delete(run.device)
        run.state = undefined
      }
      if (run.state === undefined) absent.push(run.device)
    }
    if (absent.length === 0) return runs
    for (; absent.length > 0; absent = absent.slice(LOAD_DEVICES)) {
      await this.load(client, absent.slice(0, LOAD_DEVICES))
      heard()
    }
    for (const run of runs) run.state ??= states.get(run.device)
    states.evict()
    return runs.filter(({ state }) => state !== undefined)
  }

  /** @returns false */
  private stopWatching(device: number): boolean {
    this.states.delete(device)
    return false
  }

  private async readOrganizations(client: pg.ClientBase, runs: readonly DeviceRun[]): Promise<void> {
    const devices = runs.map(({ device }) => device)
    const { rows } = await client.query<{ id: number; organization_id: number }>({
      name: 'organizations of devices',
      text: 'SELECT id, organization_id FROM devices WHERE id = ANY ($1::integer[])',
      values: [devices],
    })
    for (const device of devices) this.organizations.set(device, 0)
    for (const { id, organization_id } of rows) this.organizations.set(id, organization_id)
  }

  private async load(client: pg.ClientBase, devices: readonly number[]): Promise<void> {
    this.guard ??= { owner: await newOwner(client), losses: 0 }
    const loaded = await loadDevices(client, this.guard.owner, devices, this.lookBack)
    for (const { visits, fixes, ...device } of loaded) {
      this.organizations.set(device.device, device.organizationId)
      if (!this.fences.watches(device.organizationId)) continue
      this.states.set(device.device, loadState(device, visits, fixes, this.fences))
    }
  }

  /** @returns false where it needs a revision; `changes` is as before then. */
  private advanceRun(
    run: DeviceRun,
    fixes: Fixes,
    nowMs: number,
    changes: GeofenceChanges,
    changesMax: number,
  ): boolean {
    if (this.contradicted.has(run.device)) return false
    const before = lengthsOf(changes)
    const { organizationId } = run.state!
    const { fences } = this
    for (const fix of fixes.of(run)) {
      const order = (run.next ?? run.state!).order(fix)
      if (order === 'passed') continue
      run.next ??= run.state!.clone()
      if (order === 'next') {
        fences.inside(organizationId, fix.latitudeDeg, fix.longitudeDeg, fixes.inside)
        const isDone = advance(run.next, fix, fixes.inside, fences, nowMs, changes)
        if (countChanges(changes) > changesMax) throw new TooManyChanges(changesMax)
        if (isDone) continue
      }
      cutBack(changes, before)
      run.next = undefined
      return false
    }
    return true
  }

  private async reviseRun(
    client: pg.ClientBase,
    run: DeviceRun,
    fixes: Fixes,
    options: { readonly nowMs: number; readonly changesMax: number; readonly heard: () => void },
    changes: GeofenceChanges,
  ): Promise<void> {
    const { fences, lookBack } = this
    const history = new StoredHistory(client, run.device, options.heard)
    const all = Array.from(fixes.of(run), (fix) => ({ ...fix }))
    run.next = await revise(run.state!, all, { ...options, fences, history, lookBack }, changes)
    if (countChanges(changes) > options.changesMax) throw new TooManyChanges(options.changesMax)
    this.figures.revisions++
  }

  private committed(runs: readonly DeviceRun[], answer: CopyAnswer): readonly LiveEvent[] {
    for (const { device, next } of runs) if (next !== undefined) this.states.set(device, next)
    this.attempts = 0
    this.contradicted.clear()
    const events = appliedEvents(answer.rows)
    const counts = this.figures.events
    for (const { type } of events) counts[type] = (counts[type] ?? 0) + 1
    return events
  }

  private async failed(client: pg.ClientBase, runs: readonly DeviceRun[], error: Error): Promise<boolean> {
    const { code } = error as pg.DatabaseError
    const devices = runs.map(({ device }) => device)
    // The next state of a device is forgotten with its run: what is in memory is what was committed.
    if (isOutcomeUnknown(error)) this.forgetNow(devices)
    if (!failedBeforeCopy(error) || !isOfEvaluation(error)) return false
    // No failure: whoever took them has got on, so it is not tried for ever.
    if (code === DEVICES_LOST) {
      const { owner } = this.guard!
      const lost = await lostDevices(client, owner, this.states.devices())
      this.guard = { owner, losses: lost.losses }
      this.forgetNow(lost.devices)
      return true
    }
    let disputed = devices
    if (code === CONTRADICTION) {
      disputed = contradictedDevices(error as pg.DatabaseError)
      this.timersMs = Math.max(this.timersMs, contradictedUntilMs(error as pg.DatabaseError))
      // Timers go on meanwhile: that they were first is a fault only where what they did was looked at.
      if (disputed.some((device) => this.contradicted.has(device))) this.attempts++
    } else this.failedFor(error)
    this.forgetNow(disputed)
    for (const device of disputed) this.contradicted.add(device)
    return true
  }

  private failedFor(error: Error): void {
    this.attempts++
    const { code = error.name } = error as pg.DatabaseError
    this.figures.failure = `${code}: ${error.message}`
  }

  /** Positions are stored, whatever is wrong with what they mean. */
  private giveUp(devices: Iterable<number>): void {
    this.forgetNow(devices)
    this.attempts = 0
    this.contradicted.clear()
    this.figures.failures++
  }

  private forgetNow(devices: Iterable<number>): void {
    for (const device of devices) {
      this.organizations.delete(device)
      this.states.delete(device)
    }
  }

  private forgetAll(): void {
    this.forgetNow(this.states.devices())
  }
}

function devicesOf({ device }: PositionBatch, rows: Uint32Array): Set<number> {
  return new Set(Array.from(rows, (row) => device[row]!))
}

type Figures = {
  -readonly [Name in keyof Omit<EvaluationFigures, 'devices' | 'evicted'>]: EvaluationFigures[Name]
} & {
  events: Partial<Record<GeofenceEventType, number>>
}

function noFigures(): Figures {
  return { revisions: 0, failures: 0, failure: '', seconds: 0, events: {} }
}
