/**
 * Corrections: fixes that are older than the last one of their device change what happened. They are put in their place
 * among the stored ones, the visits found anew from there on, until they are again what was recorded; the difference is
 * what is stored. A backfill of one geofence is the same without late fixes.
 *
 * - Only geofences that watch the device now are looked at, as they are now. What is recorded of others stays.
 * - Events are corrected from the first moment on at which the visits of their geofence are different; speeding, which
 *   does not depend on visits alone, from the first late fix on.
 * - Dwell and absence follow from the visits. They are made here where they are certain: the visit has ended, the next
 *   one begun, or a fix has been seen after them. Else they are left to the timer, but for those that were made and
 *   corrected before: the timer makes none with a revision.
 * - `missing` is made for moments that the device was inside of by what is recorded, and is not any more; a backfill makes
 *   it for all moments of its span since the first fix of the device.
 * - A correction has the revision after that of the event that it corrects, and after all that are stored under its key.
 */
import type { GeofenceChanges, NewEvent } from './changes.ts'
import { type FenceFinder, loadState, type RecordedVisit } from './loading.ts'
import { Correction } from './revision-correction.ts'
import { Replay } from './revision-replay.ts'
import type { LookBack } from './rules.ts'
import { DeviceState, type Fix, type WatchedDevice } from './visits-state.ts'

export type { FenceFinder, RecordedVisit } from './loading.ts'

const PAGE_ROWS = 1000

/** A row of `events`, whether it is current or not. */
export interface RecordedEvent
  extends Omit<NewEvent, 'device' | 'version' | 'replaces' | 'replacesTimeMs' | 'retracted'> {
  readonly id: number
  /** Neither superseded nor a retraction. */
  readonly current: boolean
}

/**
 * What is stored of one device. All of it is read as of before the changes, and nothing of the device is stored by
 * others meanwhile but by timers. Fixes are those that count (quality 0), ordered by time and then digest, which is
 * unsigned (high, low).
 */
export interface History {
  /** The last fixes before a time, the oldest first: `limit` of them, or all if there are fewer. */
  fixesBefore(timeMs: number, limit: number): Promise<readonly Fix[]>
  /** The first fixes at a time or after it, the oldest first: `limit` of them, or all if there are fewer. */
  fixesFrom(timeMs: number, limit: number): Promise<readonly Fix[]>
  /** Visits that were entered at `toMs` or before and are open or were left at `fromMs` or after. */
  visits(fromMs: number, toMs: number): Promise<readonly RecordedVisit[]>
  /**
   * Of each of these geofences the last visit that was left before `beforeMs`, and the first that was entered after
   * `afterMs`, which may be Infinity: then there is none.
   */
  neighbours(
    geofences: readonly number[],
    beforeMs: number,
    afterMs: number,
  ): Promise<readonly RecordedVisit[]>
  /** All events of these geofences, current or not, with times from `fromMs` to `toMs`, which may be Infinity. */
  events(geofences: readonly number[], fromMs: number, toMs: number): Promise<readonly RecordedEvent[]>
}

export interface RevisionOptions {
  readonly fences: FenceFinder
  readonly history: History
  /** At least as far as the rules of the organisation's geofences ask; see `lookBackOf`. */
  readonly lookBack: LookBack
  /** As far as timers may have come, ms UTC. */
  readonly nowMs: number
  /** Most fixes read at once. */
  readonly pageRows?: number
  /** Visits and events that may be found; no limit where it is left out. */
  readonly changesMax?: number
}

/**
 * Evaluates late fixes of a device. Those that are stored already change nothing.
 *
 * @param state Before the piece that brings the fixes. It stays as it is.
 * @param fixes Ordered by time and digest; not stored yet, or stored already.
 * @param changes Where the difference is added.
 * @returns State after them, to be advanced by the other fixes of the piece.
 * @throws TooManyChanges
 */
export async function revise(
  state: DeviceState,
  fixes: readonly Fix[],
  options: RevisionOptions,
  changes: GeofenceChanges,
): Promise<DeviceState> {
  const first = fixes[0]
  if (first === undefined) return state
  const replayOptions = { pageRows: PAGE_ROWS, ...options }
  const fromMs = first.timeMs
  const replay = new Replay(new DeviceState(state), replayOptions)
  await replay.warmUp(await Replay.lookBack(fromMs, replayOptions), fromMs)
  const replayed = await replay.run(fromMs, fixes, fromMs)
  if (!replayed.isNew) return state
  const isToTheEnd = replayed.untilMs === Number.POSITIVE_INFINITY
  const after = isToTheEnd ? replayed.state : state.clone()
  const correction = new Correction(replayed, options, { fromMs, settledMs: after.settledMs() })
  after.takeVisits(await correction.addTo(changes))
  after.revised = true
  return after
}

/**
 * Evaluates one geofence anew for a device over a span of time, with the geofence as it is now. Visits and events of it
 * in the span become what the fixes say. A visit that is recorded at `fromMs` goes on from there; without one, the device
 * is seen for the first time, as it is when a geofence is new. A visit at `toMs` is joined with what is recorded after
 * it: evaluation goes on until both agree.
 *
 * @param span From `fromMs` on, before `toMs`.
 */
export async function backfill(
  device: WatchedDevice,
  geofence: number,
  span: { readonly fromMs: number; readonly toMs: number },
  options: RevisionOptions,
  changes: GeofenceChanges,
): Promise<void> {
  const { fromMs, toMs } = span
  const fences = onlyFence(options.fences, geofence)
  const replayOptions = { pageRows: PAGE_ROWS, ...options, fences }
  const fixes = await Replay.lookBack(fromMs, replayOptions)
  const recorded = await options.history.visits(fromMs, fromMs)
  // Before the span begins, but for the ways through from the last fix before it to the first one of it.
  const lastMs = fixes.at(-1)?.timeMs ?? fromMs - 1
  const started = recorded.filter((visit) => visit.geofence === geofence && visit.enteredMs <= lastMs)
  const open = started.map((visit) => ({ ...visit, exitedMs: Number.NaN }))
  const replay = new Replay(loadState(device, open, fixes, fences), replayOptions)
  await replay.startWith(started, lastMs + 1, fromMs)
  const replayed = await replay.run(fromMs, [], toMs)
  if (fixes.length === 0 && replayed.firstMs === Number.POSITIVE_INFINITY) return
  const correction = new Correction(
    replayed,
    { ...options, fences },
    {
      fromMs: lastMs + 1,
      settledMs: replayed.state.settledMs(),
      backfill: { geofence, fromMs: fixes.length > 0 ? fromMs : replayed.firstMs, toMs },
    },
  )
  await correction.addTo(changes)
}

/** The geofences as if there were only one. */
function onlyFence(fences: FenceFinder, geofence: number): FenceFinder {
  return {
    generation: fences.generation,
    find: (id) => (id === geofence ? fences.find(id) : undefined),
    inside(organizationId, latitudeDeg, longitudeDeg, into) {
      fences.inside(organizationId, latitudeDeg, longitudeDeg, into)
      const isInside = into.ids.subarray(0, into.length).includes(geofence)
      into.length = isInside ? 1 : 0
      if (isInside) into.ids[0] = geofence
    },
    crossed: (...segment) => fences.crossed(...segment).filter((crossing) => crossing.geofence === geofence),
  }
}
